import math

import numpy as np
import pytest

from opensphere.metric import identification
from opensphere.metric.identification import Search, impostors_needed


def people(seed, probes=60, gallery=20, noise=1.0, repeats=0, levels=None):
    """Probes and a gallery of unit vectors, or, with levels, of small whole numbers that tie often."""
    rng = np.random.default_rng(seed)
    gallery_person = np.concatenate([np.arange(gallery), rng.integers(0, gallery, repeats)])
    centres = rng.normal(0, 1, (gallery, 4))
    probe_person = rng.integers(0, gallery, probes)
    made = [centres[person] + rng.normal(0, noise, (len(person), 4)) for person in (probe_person, gallery_person)]
    if levels:
        made = [np.round(np.clip(x, -levels, levels)) for x in made]
    else:
        made = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in made]
    return made[0], probe_person, made[1], gallery_person


def slow(probe, probe_person, gallery, gallery_person, k, fpir):
    """Top-k and TPIR pair by pair."""
    found, genuine, impostors = 0, [], []
    for x, person in zip(probe, probe_person, strict=True):
        own, others = [], []
        for y, other in zip(gallery, gallery_person, strict=True):
            (own if other == person else others).append(sum(x * y))
        genuine.append(max(own))
        impostors += others
        found += sum(score >= max(own) - 1e-12 for score in others) < k
    threshold = sorted(impostors, reverse=True)[math.ceil(fpir * len(probe)) - 1]
    return found / len(probe), sum(score > threshold + 1e-12 for score in genuine) / len(probe)


@pytest.mark.parametrize("block", [1, 50, 1 << 22])
@pytest.mark.parametrize("arguments", [{}, {"repeats": 15}, {"levels": 2}, {"levels": 1, "repeats": 5}, {"noise": 0.3}])
def test_search_of_a_loop(block, arguments, monkeypatch):
    monkeypatch.setattr(identification, "_BLOCK", block)
    case = people(3, **arguments)
    search = Search(*case, impostors_needed(0.5, 60))
    for k, fpir in ((1, 0.01), (5, 0.1), (10, 0.5)):
        top, tpir = slow(*case, k, fpir)
        assert (search.top(k), search.seed_tpir(fpir)) == pytest.approx((top, tpir), abs=1e-12)


def test_persons_may_be_named_by_text():
    probe, probe_person, gallery, gallery_person = people(4)
    one = Search(probe, probe_person, gallery, gallery_person, 10)
    two = Search(probe, probe_person.astype(str), gallery, gallery_person.astype(str), 10)
    np.testing.assert_array_equal(one.rank, two.rank)
    np.testing.assert_array_equal(one.impostors, two.impostors)


def test_the_highest_impostors_are_kept():
    case = people(5)
    scores = case[0] @ case[2].T
    impostors = np.sort(scores[case[1][:, None] != case[3]])[::-1]
    np.testing.assert_allclose(Search(*case, 25).impostors, impostors[:25])
    np.testing.assert_allclose(Search(*case, 10**9).impostors, impostors)
    assert len(Search(*case).impostors) == 0


def test_features_that_are_all_the_same_find_nobody():
    ones = np.ones((6, 3)) / 3**0.5
    search = Search(ones, np.arange(6), ones, np.arange(6), 6)
    assert search.top(1) == search.top(5) == 0 and search.top(6) == 1 and search.seed_tpir(0.1) == 0


def test_what_cannot_be_searched_is_refused():
    probe, probe_person, gallery, gallery_person = people(6)
    with pytest.raises(ValueError, match="2 of 60 probes show people who are not in the gallery"):
        Search(probe, np.concatenate([[77, 78], probe_person[2:] % 20]), gallery, gallery_person)
    with pytest.raises(ValueError, match="not numbers"):
        Search(np.full_like(probe, np.nan), probe_person, gallery, gallery_person)
    with pytest.raises(ValueError, match="no probes"):
        Search(probe[:0], probe_person[:0], gallery, gallery_person)
    search = Search(probe, probe_person, gallery, gallery_person, 3)
    with pytest.raises(ValueError, match="FPIR 0.1 needs 6 impostor scores; there are 3"):
        search.seed_tpir(0.1)
    for fpir in (0, -1, 1.5):
        with pytest.raises(ValueError, match="not above 0"):
            search.seed_tpir(fpir)
