import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from opensphere.metric.roc import accuracy, auc, eer, roc, tpr_at_fpr

RATES = [1e-6, 1e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0]


@st.composite
def scored_pairs(draw):
    """Scores with many ties or none, float32 or float64, and both kinds of pairs."""
    count = draw(st.integers(2, 60))
    levels = draw(st.sampled_from([2, 5, 1000]))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    is_same = rng.permutation(np.arange(count) < draw(st.integers(1, count - 1)))
    scores = (rng.integers(0, levels, count) + is_same * rng.integers(0, levels)) / levels - 0.5
    return scores.astype(draw(st.sampled_from([np.float32, np.float64]))), is_same


def close_pairs(count=4000, seed=0):
    rng = np.random.default_rng(seed)
    is_same = rng.random(count) < 0.4
    return rng.normal(is_same * 1.5, 1).astype(np.float32), is_same


def brute_points(scores, is_same):
    """(FPR, TPR) of each threshold, by counting."""
    return [(0.0, 0.0)] + [
        (np.mean(scores[~is_same] >= threshold), np.mean(scores[is_same] >= threshold))
        for threshold in sorted(set(scores.tolist()), reverse=True)
    ]


@settings(deadline=None)
@given(scored_pairs())
def test_points_are_those_of_counting(case):
    scores, is_same = case
    curve = roc(scores, is_same)
    np.testing.assert_array_equal(np.stack([curve.fpr, curve.tpr], axis=1), brute_points(scores, is_same))
    assert curve.thresholds[0] == np.inf and (np.diff(curve.thresholds) < 0).all()
    assert curve.impostors == np.sum(~is_same) and curve.genuines == np.sum(is_same)


@settings(deadline=None)
@given(scored_pairs())
def test_tpr_at_fpr_is_interpolated_on_scikit_learns_curve(case):
    scores, is_same = case
    fpr, tpr, _ = roc_curve(is_same, scores)
    np.testing.assert_allclose(tpr_at_fpr(scores, is_same, RATES), np.interp(RATES, fpr, tpr), rtol=0, atol=1e-12)


def test_tpr_at_fpr_of_many_pairs():
    scores, is_same = close_pairs()
    for some in (scores, np.round(scores, 1)):
        fpr, tpr, _ = roc_curve(is_same, some)
        np.testing.assert_allclose(tpr_at_fpr(some, is_same, RATES), np.interp(RATES, fpr, tpr), rtol=0, atol=1e-12)


def test_without_ties_tpr_is_a_step():
    scores, is_same = close_pairs()
    genuine, impostor = scores[is_same], np.sort(scores[~is_same])[::-1]
    assert len(set(scores.tolist())) == len(scores)
    for rate in RATES[:-1]:
        assert tpr_at_fpr(scores, is_same, rate) == np.mean(genuine > impostor[int(np.floor(rate * len(impostor)))])


def test_with_ties_tpr_is_on_the_diagonal():
    scores = np.array([3, 2, 2, 2, 1, 1], float)
    is_same = np.array([1, 1, 0, 0, 0, 0], bool)
    # the tie at 2 leads from (0, 1/2) to (1/2, 1)
    np.testing.assert_allclose(tpr_at_fpr(scores, is_same, [0.0, 0.125, 0.25, 0.5]), [0.5, 0.625, 0.75, 1.0])


@settings(deadline=None)
@given(scored_pairs())
def test_auc_counts_ties_half(case):
    scores, is_same = case
    wins = [(g > i) + 0.5 * (g == i) for g in scores[is_same] for i in scores[~is_same]]
    assert auc(scores, is_same) == pytest.approx(np.mean(wins), abs=1e-12)
    assert auc(scores, is_same) == pytest.approx(roc_auc_score(is_same, scores), abs=1e-12)


@settings(deadline=None)
@given(scored_pairs())
def test_eer_lies_on_the_curve_where_both_errors_are_equal(case):
    scores, is_same = case
    rate = eer(scores, is_same)
    found = []
    points = brute_points(scores, is_same)
    for (f0, t0), (f1, t1) in zip(points[:-1], points[1:], strict=True):
        # the errors of the points between two neighbours: where does FPR - (1 - TPR) vanish?
        start, end = f0 + t0 - 1, f1 + t1 - 1
        if start <= 1e-12 and end >= -1e-12:
            found.append(f0 + (f1 - f0) * np.clip(-start / (end - start), 0, 1))
    np.testing.assert_allclose(found, rate, atol=1e-9)
    assert found


def test_eer_of_known_curves():
    assert eer(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False])) == 0
    assert eer(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False])) == 1
    assert eer(np.array([4, 3, 2, 1]), np.array([True, False, True, False])) == 0.5
    assert eer(np.array([5, 4, 3, 2, 1]), np.array([True, True, False, True, False])) == pytest.approx(1 / 3)


@settings(deadline=None)
@given(scored_pairs())
def test_accuracy_is_the_best_of_all_thresholds(case):
    scores, is_same = case
    thresholds = [-np.inf, *scores.tolist(), np.inf]
    assert accuracy(scores, is_same) == max(np.mean((scores >= threshold) == is_same) for threshold in thresholds)


def test_constant_scores_tell_nothing():
    scores, is_same = np.full(8, 0.3, np.float32), np.arange(8) < 4
    assert auc(scores, is_same) == eer(scores, is_same) == accuracy(scores, is_same) == 0.5
    np.testing.assert_allclose(tpr_at_fpr(scores, is_same, [0.001, 0.5]), [0.001, 0.5])


def test_infinite_scores_tie():
    scores = np.array([np.inf, np.inf, 0.0, -np.inf])
    assert auc(scores, np.array([True, False, True, False])) == pytest.approx(2.5 / 4)


@pytest.mark.parametrize("metric", [roc, auc, eer, accuracy, lambda s, y: tpr_at_fpr(s, y, 0.1)])
def test_what_has_no_curve_is_refused(metric):
    with pytest.raises(ValueError, match="no impostor pairs among 3"):
        metric(np.arange(3.0), np.ones(3, bool))
    with pytest.raises(ValueError, match="no genuine pairs among 3"):
        metric(np.arange(3.0), np.zeros(3, bool))
    with pytest.raises(ValueError, match="no genuine pairs among 0"):
        metric(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(ValueError, match="2 of 4 scores are not a number"):
        metric(np.array([np.nan, 0.1, np.nan, 0.3]), np.array([True, False, False, True]))
    with pytest.raises(ValueError, match=r"shape \(3,\) for is_same of shape \(4,\)"):
        metric(np.arange(3.0), np.ones(4, bool))
