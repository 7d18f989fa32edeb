import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.metric import identification
from opensphere.metric.identification import Search, impostors_needed, search


def people(seed, probes=60, gallery=20, noise=1.0, repeats=0, levels=None, strangers=0):
    """Probes and a gallery of unit vectors, or, with levels, of small whole numbers that tie often."""
    rng = np.random.default_rng(seed)
    gallery_person = np.concatenate([np.arange(gallery), rng.integers(0, gallery, repeats)])
    centres = rng.normal(0, 1, (gallery + strangers, 4))
    probe_person = rng.integers(0, gallery + strangers, probes)
    made = [centres[person] + rng.normal(0, noise, (len(person), 4)) for person in (probe_person, gallery_person)]
    if levels:
        made = [np.round(np.clip(x, -levels, levels)) for x in made]
    else:
        made = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in made]
    return made[0], probe_person, made[1], gallery_person


def own_and_others(probe, probe_person, gallery, gallery_person):
    """For each probe, the scores of own and of others' entries, pair by pair."""
    for x, person in zip(probe, probe_person, strict=True):
        own, others = [], []
        for y, other in zip(gallery, gallery_person, strict=True):
            (own if other == person else others).append(sum(x * y))
        yield own, others


def slow(case, k, fpir):
    """Top-k and OpenSphere's TPIR, pair by pair."""
    found, genuine, impostors = 0, [], []
    for own, others in own_and_others(*case):
        genuine.append(max(own))
        impostors += others
        found += sum(score >= max(own) - 1e-12 for score in others) < k
    threshold = sorted(impostors, reverse=True)[math.ceil(fpir * len(genuine)) - 1]
    return found / len(genuine), sum(score > threshold + 1e-12 for score in genuine) / len(genuine)


def slow_open(case, fpir, rank=1):
    """TPIR in the open set: every score is tried as a threshold."""
    mated, strangers = [], []
    for own, others in own_and_others(*case):
        if own:
            place = 1 + sum(score >= max(own) for score in others)
            mated.append(max(own) if place <= rank else -math.inf)
        else:
            strangers.append(max(others))
    if not mated or not strangers or fpir * len(strangers) < 1:
        return None
    best = 0.0
    for threshold in [*strangers, *mated, math.inf]:
        if sum(score >= threshold for score in strangers) / len(strangers) <= fpir and threshold > -math.inf:
            best = max(best, sum(score >= threshold for score in mated) / len(mated))
    return best


def narrow(monkeypatch, rows, columns, piece=7):
    monkeypatch.setattr(identification, "_ROWS", rows)
    monkeypatch.setattr(identification, "_COLUMNS", columns)
    monkeypatch.setattr(identification, "_PIECE", piece)
    monkeypatch.setattr(identification, "_LEAST_WORK", 1)


@pytest.mark.parametrize("blocks", [(1, 1, 1), (7, 3, 5), (50, 20, 40), (2048, 8192, 1 << 20)])
@pytest.mark.parametrize("arguments", [{}, {"repeats": 15}, {"levels": 2}, {"levels": 1, "repeats": 5}, {"noise": 0.3}])
def test_search_of_a_loop(blocks, arguments, monkeypatch):
    narrow(monkeypatch, *blocks)
    case = people(3, **arguments)
    found = search(*case, impostors_needed(0.5, 60))
    for k, fpir in ((1, 0.01), (5, 0.1), (10, 0.5)):
        assert (found.top(k), found.seed_tpir(fpir)) == pytest.approx(slow(case, k, fpir), abs=1e-12)
    np.testing.assert_array_equal(found.cmc(range(1, 30)), [found.top(k) for k in range(1, 30)])


@pytest.mark.parametrize("blocks", [(7, 3), (2048, 8192)])
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("arguments", [{}, {"repeats": 15}, {"levels": 2}, {"levels": 1, "repeats": 5}, {"noise": 0.3}])
def test_the_open_set_of_a_loop(blocks, rank, arguments, monkeypatch):
    narrow(monkeypatch, *blocks)
    case = people(4, strangers=15, **arguments)
    found = search(*case, strangers=True)
    attempts = found.attempts(rank=rank)
    for fpir in (0.05, 0.1, 0.2, 0.5, 1):
        assert attempts.tpr_at(fpir) == pytest.approx(slow_open(case, fpir, rank), abs=1e-12)
    assert "levels" in arguments or attempts.tpr_at(1) > 0
    assert np.isnan(attempts.tpr_at(0.9 / attempts.impostors)) and attempts.too_few(0.9 / attempts.impostors)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_the_open_set_of_any_small_case(data):
    whole = st.integers(-2, 2)
    persons = [data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=9)) for _ in range(2)]
    rows = [data.draw(st.lists(st.tuples(whole, whole), min_size=len(p), max_size=len(p))) for p in persons]
    case = []
    for row, person in zip(rows, persons, strict=True):
        case += [np.array(row, float), np.array(person)]
    attempts = search(*case, strangers=True).attempts()
    for fpir in (0.2, 1 / 3, 0.5, 1):
        expected = slow_open(case, fpir)
        value = attempts.tpr_at(fpir)
        assert np.isnan(value) if expected is None else value == pytest.approx(expected)


def test_what_is_known_of_each_probe(monkeypatch):
    narrow(monkeypatch, 4, 3)
    probe = np.array([[1.0, 0], [0, 1], [1, 1], [-1, 0]])
    gallery = np.array([[2.0, 0], [0, 3], [5, 0], [1, 1], [0, 3]])
    found = search(probe, np.array([7, 8, 9, 7]), gallery, np.array([7, 8, 7, 1, 2]), strangers=True)
    assert found.mated.tolist() == [True, True, False, True]
    assert found.genuine.tolist() == [5, 3, -np.inf, -2]  # the better of two entries
    assert found.other.tolist() == [1, 3, 5, 0]
    assert found.rank.tolist() == [1, 2, 0, 4]  # a tie counts against the probe
    attempts = found.attempts(np.array([0, 1, 2, 0]))
    assert attempts.genuine.tolist() == [5, -np.inf, -np.inf] and attempts.genuine_person.tolist() == [0, 1, 0]
    assert (attempts.impostor.tolist(), attempts.impostor_persons.tolist()) == ([5], [[2]])
    assert found.cmc([1, 2, 3, 4]).tolist() == pytest.approx([1 / 3, 2 / 3, 2 / 3, 1])


def test_blocks_are_left_as_they_were():
    scores = np.array([[1.0, 2, 3], [3, 2, 1]], np.float32)
    before = scores.copy()
    found = Search(np.array([0, 1]), np.array([0, 1, 2]), 2)
    found.add(scores, 0)
    np.testing.assert_array_equal(scores, before)
    assert found.rank.tolist() == [3, 2] and [part.tolist() for part in found.impostors()] == [[3, 3], [0, 1]]


@pytest.mark.parametrize("probes", [1, 3, 40])
@pytest.mark.parametrize("width", [4, 64, 512])
def test_twins_tie_in_whatever_block_they_stand(probes, width, monkeypatch):
    monkeypatch.setattr(identification, "_COLUMNS", 256)
    rng = np.random.default_rng(0)
    base = rng.normal(0, 1, (1000, width)).astype(np.float32)
    base /= np.linalg.norm(base, axis=1, keepdims=True)
    gallery = np.concatenate([base, base[::-1]])
    probe = base[:probes] + np.float32(0.01)
    found = search(probe, np.arange(probes), gallery, np.arange(2000))
    slow_rank = [1 + np.sum(gallery @ x >= (gallery @ x)[n]) - 1 for n, x in enumerate(probe.astype(float))]
    assert (found.rank >= 2).all()
    np.testing.assert_array_equal(found.rank, np.maximum(slow_rank, 2))


def test_persons_may_be_named_by_text():
    probe, probe_person, gallery, gallery_person = people(4)
    one = search(probe, probe_person, gallery, gallery_person, 10)
    two = search(probe, probe_person.astype(str), gallery, gallery_person.astype(str), 10)
    np.testing.assert_array_equal(one.rank, two.rank)
    np.testing.assert_array_equal(one.impostors(), two.impostors())


@pytest.mark.parametrize("blocks", [(2048, 8192, 1 << 20), (7, 3, 8)])
def test_the_highest_impostors_are_kept(blocks, monkeypatch):
    narrow(monkeypatch, *blocks)
    case = people(5)
    scores = case[0] @ case[2].T
    impostors = np.sort(scores[case[1][:, None] != case[3]])[::-1]
    np.testing.assert_allclose(search(*case, 25).impostors()[0], impostors[:25])
    kept, probes = search(*case, 10**9).impostors()
    np.testing.assert_allclose(kept, impostors)
    assert np.bincount(probes).tolist() == [19] * 60
    assert len(search(*case).impostors()[0]) == 0


def test_highest_impostors_that_tie():
    ones = np.ones((5, 2))
    found = search(ones, np.arange(5), ones, np.arange(5), 7)
    assert found.impostors()[0].tolist() == [2.0] * 7


def test_features_that_are_all_the_same_find_nobody():
    ones = np.ones((6, 3)) / 3**0.5
    found = search(ones, np.arange(6), ones, np.arange(6), 6)
    assert found.top(1) == found.top(5) == 0 and found.top(6) == 1 and found.seed_tpir(0.1) == 0


def test_what_cannot_be_searched_is_refused():
    probe, probe_person, gallery, gallery_person = people(6)
    with pytest.raises(ValueError, match="2 of 60 probes show people who are not in the gallery"):
        search(probe, np.concatenate([[77, 78], probe_person[2:] % 20]), gallery, gallery_person)
    with pytest.raises(ValueError, match="holds none of the probes' people"):
        search(probe, probe_person + 50, gallery, gallery_person, strangers=True).top(1)
    for broken in ((np.nan, probe_person), (np.nan, probe_person + 50)):
        with pytest.raises(ValueError, match="not numbers"):
            search(np.full_like(probe, broken[0]), broken[1], gallery, gallery_person, strangers=True)
    with pytest.raises(ValueError, match="no probes"):
        search(probe[:0], probe_person[:0], gallery, gallery_person)
    with pytest.raises(ValueError, match="the gallery is empty"):
        search(probe, probe_person, gallery[:0], gallery_person[:0])
    found = search(probe, probe_person, gallery, gallery_person, 3)
    with pytest.raises(ValueError, match="FPIR 0.1 needs 6 impostor scores; there are 3"):
        found.seed_tpir(0.1)
    for fpir in (0, -1, 1.5):
        with pytest.raises(ValueError, match="not above 0"):
            found.seed_tpir(fpir)


def test_one_probe_and_one_entry():
    one = np.ones((1, 2))
    found = search(one, np.array([3]), one, np.array([3]), 1)
    assert found.top(1) == 1 and found.other.tolist() == [-np.inf] and len(found.impostors()[0]) == 0
    assert found.attempts().too_few(0.1) == "FPR 0.1 of 0 impostor attempts is less than one"
