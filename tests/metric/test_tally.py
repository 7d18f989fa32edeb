"""Counts of many pairs against plain loops."""

import itertools

import numpy as np
import pytest

from opensphere.metric import tally

Pairs = list[tuple[float, bool, tuple[int, int]]]


def problem(images: int = 50, people: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    persons = rng.integers(0, people, images)
    features = rng.normal(size=(people, 5))[persons] + rng.normal(size=(images, 5))
    return features / np.linalg.norm(features, axis=1, keepdims=True), persons


def assert_counts(found: dict[str, np.ndarray], pairs: Pairs) -> None:
    """Points, histogram and hardest pairs are those of the list."""
    genuine = np.array([score for score, same, _ in pairs if same])
    impostor = np.array([score for score, same, _ in pairs if not same])
    assert (found["genuines"], found["impostors"]) == (len(genuine), len(impostor))
    for threshold, false, true in zip(found["thresholds"], found["false_accepts"], found["true_accepts"], strict=True):
        assert (np.sum(impostor >= threshold), np.sum(genuine >= threshold)) == (false, true)
    for kind, scores in (("genuine", genuine), ("impostor", impostor)):
        np.testing.assert_array_equal(found[f"{kind}_counts"], np.histogram(scores, found["edges"])[0])
        assert found[f"angle_{kind}_counts"].sum() == len(scores)
    for kind, sign in (("genuine", 1), ("impostor", -1)):
        distinct = {tuple(sorted(images)): sign * score for score, same, images in pairs if same == (sign == 1)}
        expected = sorted(distinct.items(), key=lambda row: row[1])[:12]
        np.testing.assert_allclose(sign * found[f"hard_{kind}_scores"], [score for _, score in expected])
        assert [tuple(sorted(pair)) for pair in found[f"hard_{kind}"].tolist()] == [images for images, _ in expected]


@pytest.mark.parametrize(("rows", "columns"), [(7, 13), (20, 5), (1024, 4096)])
def test_a_pair_counts_in_each_trial_that_holds_it(monkeypatch, rows: int, columns: int) -> None:
    monkeypatch.setattr(tally, "_ROWS", rows)
    monkeypatch.setattr(tally, "_COLUMNS", columns)
    features, persons = problem()
    rng = np.random.default_rng(2)
    trials = [rng.permutation(45)[:20] for _ in range(4)]  # five images are in none
    cos = features @ features.T
    pairs = [
        (cos[i, j], bool(persons[i] == persons[j]), (int(i), int(j)))
        for trial in trials
        for i, j in itertools.combinations(trial, 2)
    ]
    assert_counts(tally.of_trials(features, persons, trials), pairs)


@pytest.mark.parametrize(("rows", "columns"), [(7, 13), (1, 5), (1024, 4096)])
def test_people_among_strangers(monkeypatch, rows: int, columns: int) -> None:
    monkeypatch.setattr(tally, "_ROWS", rows)
    monkeypatch.setattr(tally, "_COLUMNS", columns)
    features, persons = problem()
    order = np.random.default_rng(5).permutation(50)
    probes, strangers = order[:30], order[30:]
    persons[strangers] = -1
    cos = features @ features.T
    own = [(int(i), int(j)) for i, j in itertools.combinations(probes, 2) if persons[i] == persons[j]]
    pairs = [(cos[pair], True, pair) for pair in own]
    pairs += [(cos[i, j], False, (int(i), int(j))) for i in probes for j in strangers]
    assert_counts(tally.of_strangers(features, persons, probes, strangers), pairs)


def test_rounding_beyond_one_is_one() -> None:
    counts = tally.Tally()
    counts.add(np.array([[1 + 1e-7]], np.float32), True, 0, 0)
    counts.add(np.array([[-1 - 1e-7]], np.float32), False, 0, 1)
    curve = counts.curve()
    assert curve.thresholds.tolist() == [np.inf, 1.0, -1.0] and curve.eer() == 0.0


def test_one_kind_of_pairs_has_no_curve() -> None:
    counts = tally.Tally()
    counts.add(np.zeros((1, 1)), True, 0, 0)
    with pytest.raises(ValueError, match="no impostor pairs"):
        counts.curve()
