from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.metric.discard import discard, discard_at


def slow_curve(scores, quality, threshold):
    """The mean over all orders that sort by quality, of genuine pairs alone."""
    pairs = list(zip([min(pair) for pair in quality], scores, strict=True))
    curves = []
    for order in permutations(pairs):
        if all(order[i][0] <= order[i + 1][0] for i in range(len(order) - 1)):
            curves.append([sum(s < threshold for _, s in order[k:]) / len(order[k:]) for k in range(len(order))])
    return [sum(values) / len(values) for values in zip(*curves, strict=True)]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=5))
def test_the_mean_over_all_orders(pairs):
    quality = [(one, other) for one, other, _ in pairs]
    scores = [float(score) for _, _, score in pairs]
    expected = slow_curve(scores, quality, 0.5)
    # impostor pairs between them change nothing, whatever their quality
    mixed = np.array([value for score in scores for value in (9.0, score)])
    worth = np.array([value for pair in quality for value in ((0, 0), pair)])
    curve = discard(mixed, np.arange(len(mixed)) % 2 == 1, worth, 0.5)
    np.testing.assert_allclose(curve.fnmr, expected, atol=1e-12)


def test_a_perfect_and_a_useless_quality():
    scores = np.array([0.1, 0.2, 0.6, 0.7, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9])
    is_same = np.ones(10, bool)
    perfect = discard(scores, is_same, np.stack([scores, np.ones(10)], axis=1), 0.5)
    np.testing.assert_allclose(perfect.fnmr, [2 / 10, 1 / 9, *[0] * 8])
    assert perfect.area() == pytest.approx((2 / 10 + 1 / 9) / 10)
    assert perfect.area(0.15) == pytest.approx((2 / 10 + 1 / 9 / 2) / 10)
    np.testing.assert_allclose(perfect.at([0, 0.09, 0.1, 0.3, 0.99]), [0.2, 0.2, 1 / 9, 0, 0])
    useless = discard(scores, is_same, np.ones((10, 2)), 0.5)
    np.testing.assert_allclose(useless.fnmr, 0.2)
    assert useless.area() == pytest.approx(0.2)


def test_a_share_of_whole_pairs_is_not_lost_to_rounding():
    scores = (np.arange(100) >= 29).astype(float)
    curve = discard(scores, np.ones(100, bool), np.stack([np.arange(100)] * 2, axis=1), 0.5)
    assert 0.29 * 100 < 29 and curve.at(0.29) == 0 < curve.at(0.28)


def test_the_threshold_of_a_false_match_rate():
    rng = np.random.default_rng(0)
    is_same = np.arange(400) % 2 == 0
    scores, quality = rng.normal(2.0 * is_same, 1), rng.random((400, 2))
    accepted = sorted(scores[~is_same], reverse=True)[:10]  # 5 % of 200 impostor pairs
    candidates = [value for value in scores if np.sum(scores[~is_same] >= value) <= 10]
    expected = discard(scores, is_same, quality, min(candidates))
    assert min(candidates) <= accepted[-1]
    np.testing.assert_array_equal(discard_at(scores, is_same, quality, 0.05).fnmr, expected.fnmr)
    with pytest.raises(ValueError, match="FPR 0.001 of 200 impostor pairs is less than one pair"):
        discard_at(scores, is_same, quality, 1e-3)


def test_what_cannot_be_used():
    scores, is_same, quality = np.arange(3.0), np.array([True, False, True]), np.ones((3, 2))
    with pytest.raises(ValueError, match=r"quality of \(2, 2\)"):
        discard(scores, is_same, quality[:2], 0.5)
    with pytest.raises(ValueError, match="no genuine pairs among 3"):
        discard(scores, np.zeros(3, bool), quality, 0.5)
    for broken in ((scores * np.nan, quality, 0.5), (scores, quality * np.nan, 0.5), (scores, quality, np.nan)):
        with pytest.raises(ValueError, match="not a number"):
            discard(broken[0], is_same, *broken[1:])
    curve = discard(scores, is_same, quality, 0.5)
    for share in (1, -0.1, [0.5, 1.0]):
        with pytest.raises(ValueError, match="less than all"):
            curve.at(share)
    for most in (0, 1.1):
        with pytest.raises(ValueError, match="above 0 and at most 1"):
            curve.area(most)
