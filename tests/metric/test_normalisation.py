import numpy as np
import pytest

from opensphere.metric.normalisation import adaptive_s_norm, s_norm, t_norm, z_norm
from opensphere.metric.roc import auc


def cohort_scores(seed=0, pairs=7, left=9, right=11):
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, pairs), rng.normal(0, 1, (pairs, left)), rng.normal(0.5, 2, (pairs, right))


def slow(score, cohort):
    mean = sum(cohort) / len(cohort)
    return (score - mean) / (sum((value - mean) ** 2 for value in cohort) / len(cohort)) ** 0.5


def test_each_by_loops():
    scores, left, right = cohort_scores()
    before = left.copy()
    for number, score in enumerate(scores.tolist()):
        one, other = left[number].tolist(), right[number].tolist()
        assert z_norm(scores, left)[number] == pytest.approx(slow(score, one))
        assert t_norm(scores, right)[number] == pytest.approx(slow(score, other))
        assert s_norm(scores, left, right)[number] == pytest.approx((slow(score, one) + slow(score, other)) / 2)
        near = [sorted(row, reverse=True)[:4] for row in (one, other)]
        expected = (slow(score, near[0]) + slow(score, near[1])) / 2
        assert adaptive_s_norm(scores, left, right, 4)[number] == pytest.approx(expected)
    np.testing.assert_array_equal(left, before)


def test_the_whole_cohort_is_no_choice():
    scores, left, right = cohort_scores(right=9)
    whole = adaptive_s_norm(scores, left, right, 9)
    np.testing.assert_allclose(whole, s_norm(scores, left, right))
    np.testing.assert_allclose(s_norm(scores, right, left), s_norm(scores, left, right))


def test_what_an_image_adds_to_all_its_scores_goes_away():
    """Scores of pairs, each shifted and stretched by its images: one threshold suits them again."""
    rng = np.random.default_rng(1)
    is_same = np.arange(400) % 2 == 0
    shift, stretch = rng.normal(0, 3, 400), rng.uniform(0.5, 2, 400)
    scores = shift + stretch * rng.normal(3 * is_same, 1)
    cohort = shift[:, None] + stretch[:, None] * rng.normal(0, 1, (400, 200))
    assert auc(scores, is_same) < 0.8
    assert auc(s_norm(scores, cohort, cohort), is_same) > 0.97


def test_what_cannot_be_used():
    scores, left, right = cohort_scores()
    with pytest.raises(ValueError, match=r"shape \(6, 9\) for 7 pairs"):
        z_norm(scores, left[:6])
    with pytest.raises(ValueError, match=r"shape \(7, 1\) for 7 pairs"):
        t_norm(scores, left[:, :1])
    with pytest.raises(ValueError, match="top 10 of cohorts of 9 and 11"):
        adaptive_s_norm(scores, left, right, 10)
    with pytest.raises(ValueError, match="top 1 "):
        adaptive_s_norm(scores, left, right, 1)
    with pytest.raises(ValueError, match="1 of 63 cohort scores are not finite"):
        s_norm(scores, np.where(left == left.min(), np.nan, left), right)
    with pytest.raises(ValueError, match="not finite"):  # NaN is never left out as one of the low ones
        adaptive_s_norm(scores, np.where(left == left.min(), np.nan, left), right, 3)
    with pytest.raises(ValueError, match="of 1 of 7 images are all the same"):
        z_norm(scores, np.where(np.arange(7)[:, None] == 3, 0.1, left))
    with pytest.raises(ValueError, match="finite numbers"):
        z_norm(np.where(scores == scores.max(), np.inf, scores), left)
