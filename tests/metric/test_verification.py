import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.metric import verification
from opensphere.metric.estimate import Estimate
from opensphere.metric.roc import roc
from opensphere.metric.verification import (
    best_threshold,
    centred_scores,
    cosine_scores,
    fold_decisions,
    ten_fold,
    unit,
)
from tests.shared import shared


def lfw():
    data = np.load(shared("goldens/lfw_embeddings.npz"))
    pairs = np.stack([data["index0"], data["index1"]], axis=1)
    return data["embeddings"], pairs, data["label"] == 1, np.repeat(np.arange(10), 600)


def test_the_published_folds_of_lfw():
    features, pairs, is_same, folds = lfw()
    accuracies, thresholds = ten_fold(centred_scores(features, pairs, folds), is_same, folds)
    expected = [99.00, 99.00, 99.00, 98.67, 99.33, 99.67, 99.17, 99.50, 100.00, 99.67]
    np.testing.assert_array_equal(np.round(100 * accuracies, 2), expected)
    assert round(100 * np.mean(accuracies), 2) == 99.30
    assert Estimate(float(np.mean(accuracies)), folds=accuracies).error == pytest.approx(
        np.std(accuracies, ddof=1) / 10**0.5
    )
    assert thresholds.min() > 0.28 and thresholds.max() < 0.30
    wrong = [6, 6, 6, 8, 4, 2, 5, 3, 0, 2]  # of 600 pairs each
    right = fold_decisions(centred_scores(features, pairs, folds), is_same, folds, thresholds)
    np.testing.assert_array_equal(np.bincount(folds[~right], minlength=10), wrong)


def test_the_mean_is_over_the_sides_of_the_other_folds():
    rng = np.random.default_rng(0)
    features = rng.normal(1, 1, (6, 4))
    pairs = np.array([(0, 1), (0, 2), (3, 3), (4, 5), (0, 5), (1, 2)])
    folds = np.array([7, 7, 3, 3, 9, 9])
    scores = centred_scores(features, pairs, folds)
    for row, fold in zip(scores, (3, 7, 9), strict=True):
        mean = features[pairs[folds != fold].ravel()].mean(axis=0)
        for score, (a, b) in zip(row, pairs, strict=True):
            x, y = features[a] - mean, features[b] - mean
            assert score == pytest.approx(x @ y / (np.linalg.norm(x) * np.linalg.norm(y)))


@pytest.mark.parametrize("block", [1, 7, 1 << 18])
def test_cosine_scores_in_blocks(block, monkeypatch):
    monkeypatch.setattr(verification, "_BLOCK", block)
    rng = np.random.default_rng(1)
    features = rng.normal(0, 1, (9, 5)).astype(np.float32)
    features[4] = 0
    pairs = rng.integers(0, 9, (23, 2))
    before = features.copy()
    scores = cosine_scores(features, pairs)
    np.testing.assert_array_equal(features, before)
    assert scores.dtype == np.float32
    for score, (a, b) in zip(scores, pairs, strict=True):
        norms = np.linalg.norm(features[a]) * np.linalg.norm(features[b])
        assert score == pytest.approx(features[a] @ features[b] / norms if norms else 0.0, abs=1e-6)
    assert not np.isnan(scores).any() and (scores[(pairs == 4).any(axis=1)] == 0).all()
    assert len(cosine_scores(features, np.zeros((0, 2), int))) == 0


def test_unit_keeps_zero():
    np.testing.assert_allclose(unit(np.array([[3.0, 4], [0, 0], [1e-30, 0]])), [[0.6, 0.8], [0, 0], [1, 0]])


def slow_fold(scores, is_same, folds, fold):
    """The threshold of the other folds by trying every candidate, and the accuracy with it."""
    train, test = folds != fold, folds == fold
    distinct = sorted(set(scores[train].tolist()))
    candidates = [-np.inf, *((a + b) / 2 for a, b in zip(distinct[:-1], distinct[1:], strict=True)), np.inf]
    rates = [np.mean((scores[train] > threshold) == is_same[train]) for threshold in candidates]
    threshold = max(t for t, rate in zip(candidates, rates, strict=True) if rate == max(rates))
    return np.mean((scores[test] > threshold) == is_same[test]), threshold


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([3, 8, 10**6]), st.integers(2, 10))
def test_ten_fold_tries_every_midpoint(seed, levels, count):
    rng = np.random.default_rng(seed)
    folds = rng.permutation(np.arange(8 * count) % count)
    is_same = (np.arange(8 * count) // count) % 2 == 0
    is_same[np.argsort(folds, kind="stable")] = is_same.copy()
    is_same = np.where(rng.random(len(folds)) < 0.1, ~is_same, is_same)
    scores = (rng.integers(0, levels, len(folds)) + is_same * levels // 3) / levels
    accuracies, thresholds = ten_fold(scores, is_same, folds)
    expected = [slow_fold(scores, is_same, folds, fold) for fold in range(count)]
    np.testing.assert_allclose(np.stack([accuracies, thresholds], axis=1), expected, rtol=1e-15)


def test_rows_of_scores_belong_to_folds():
    rng = np.random.default_rng(2)
    is_same, folds = np.arange(40) % 2 == 0, np.arange(40) // 10
    rows = rng.normal(is_same, 1, (4, 40))
    accuracies, thresholds = ten_fold(rows, is_same, folds)
    for fold in range(4):
        alone = ten_fold(rows[fold], is_same, folds)
        assert (accuracies[fold], thresholds[fold]) == (alone[0][fold], alone[1][fold])


def test_the_highest_of_equally_good_thresholds():
    # accepting above 0.75, 0.45 and 0.15 decides three of four rightly
    scores, is_same = np.array([0.9, 0.6, 0.3, 0.0]), np.array([True, False, True, False])
    assert best_threshold(roc(scores, is_same)) == 0.75
    assert best_threshold(roc(-scores, is_same)) == np.inf
    assert best_threshold(roc(np.zeros(3), np.array([True, True, False]))) == -np.inf
    assert best_threshold(roc(np.zeros(2), np.array([True, False]))) == np.inf


@pytest.mark.parametrize("low", [1.0, np.nextafter(1.0, 2), np.nextafter(1.0, 0), 1e-300, 1e308])
def test_a_threshold_lies_below_the_scores_that_it_accepts(low):
    scores = np.array([low, np.nextafter(low, np.inf)])
    threshold = best_threshold(roc(scores, np.array([False, True])))
    assert scores[0] <= threshold < scores[1]


def test_folds_that_cannot_be_used():
    is_same = np.array([True, False, True, True])
    with pytest.raises(ValueError, match="1 fold; two or more"):
        ten_fold(np.arange(4.0), is_same, np.zeros(4, int))
    with pytest.raises(ValueError, match="no impostor pairs among 2"):
        ten_fold(np.arange(4.0), is_same, np.array([0, 0, 1, 1]))
    with pytest.raises(ValueError, match="the folds hold 1, 3 pairs; they should be of equal size, or one apart"):
        ten_fold(np.arange(4.0), is_same, np.array([0, 1, 1, 1]))
    with pytest.raises(ValueError, match="the folds hold 1, 3 pairs"):
        centred_scores(np.eye(4), np.zeros((4, 2), int), np.array([0, 1, 1, 1]))
    with pytest.raises(ValueError, match="0 folds; two or more"):
        ten_fold(np.empty(0), np.empty(0, bool), np.empty(0, int))
    ten_fold(np.arange(5.0), np.array([1, 0, 1, 0, 1]), np.array([0, 0, 1, 1, 1]))  # five pairs, dealt to two folds


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite(bad):
    folds, is_same = np.array([0, 1, 1, 0]), np.array([1, 1, 0, 0])
    with pytest.raises(ValueError, match="1 of 4 scores are not finite"):
        ten_fold(np.array([0.1, bad, 0.2, 0.3]), is_same, folds)
    rows = np.zeros((2, 4))
    rows[1, 0] = bad
    with pytest.raises(ValueError, match="1 of 8 scores are not finite"):
        ten_fold(rows, is_same, folds)


def test_labels_and_shapes_that_cannot_be_used():
    folds = np.array([0, 1, 1, 0])
    with pytest.raises(ValueError, match="2 of 4 labels are neither 0 nor 1, the first is -1"):
        ten_fold(np.arange(4.0), np.array([1, -1, 0, 2]), folds)
    with pytest.raises(ValueError, match=r"scores of shape \(3,\), labels of \(4,\), folds of \(4,\)"):
        ten_fold(np.arange(3.0), np.ones(4, bool), folds)
    with pytest.raises(ValueError, match="3 rows of scores for 2 folds"):
        ten_fold(np.zeros((3, 4)), np.ones(4, bool), folds)
    with pytest.raises(ValueError):
        fold_decisions(np.zeros(4), np.array([1, 1, 0, 0]), folds, np.zeros(3))


def test_decisions_average_to_the_accuracies():
    rng = np.random.default_rng(3)
    is_same, folds = rng.integers(0, 2, 43), np.arange(43) * 4 // 43
    rows = rng.normal(is_same, 1, (4, 43))
    for scores in (rows, rows[0]):
        accuracies, thresholds = ten_fold(scores, is_same, folds)
        right = fold_decisions(scores, is_same, folds, thresholds)
        for number in range(43):
            score = rows[folds[number] if scores is rows else 0][number]
            assert right[number] == ((score > thresholds[folds[number]]) == (is_same[number] == 1))
        np.testing.assert_allclose([right[folds == fold].mean() for fold in range(4)], accuracies)
