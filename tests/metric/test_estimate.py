import math
import warnings

import numpy as np
import pytest
from scipy import stats

from opensphere.metric.estimate import Estimate, mean

FOLDS = np.array([0.9, 0.92, 0.95, 0.91])


def both_nan(pair):
    return len(pair) == 2 and all(math.isnan(end) for end in pair)


def test_folds_have_students_interval():
    found = Estimate(0.92, folds=FOLDS)
    assert found.error == pytest.approx(stats.sem(FOLDS))
    for confidence in (0.5, 0.95):
        expected = stats.t.interval(confidence, 3, loc=0.92, scale=stats.sem(FOLDS))
        assert found.interval(confidence) == pytest.approx(expected)
    # ten folds: 2.262 standard errors, as tables have it
    ten = Estimate(0.5, folds=np.linspace(0.4, 0.6, 10))
    assert ten.interval()[1] - 0.5 == pytest.approx(2.262 * ten.error, rel=1e-3)


def test_folds_count_more_than_replicates():
    assert Estimate(0.92, replicates=np.array([0.0, 1]), folds=FOLDS).error == Estimate(0.92, folds=FOLDS).error


def test_replicates_have_percentiles():
    replicates = np.random.default_rng(0).permutation(np.arange(101.0))
    found = Estimate(60.0, replicates=replicates)
    assert found.interval(0.9) == pytest.approx((5, 95)) and found.interval() == pytest.approx((2.5, 97.5))
    assert found.error == pytest.approx(math.sqrt(sum((k - 50) ** 2 for k in range(101)) / 100))


def test_replicates_that_cannot_say_are_left_out():
    some = Estimate(2.0, replicates=np.array([np.nan, 1, 3, np.nan]))
    assert some.interval(0.5) == Estimate(2.0, replicates=np.array([1.0, 3])).interval(0.5) == (1.5, 2.5)
    assert some.error == pytest.approx(math.sqrt(2))


@pytest.mark.parametrize("replicates", [None, np.empty(0), np.array([1.0]), np.full(3, np.nan), np.array([np.nan, 2])])
def test_too_little_for_an_interval(replicates):
    found = Estimate(1.0, replicates=replicates)
    assert math.isnan(found.error) and both_nan(found.interval())


def test_what_has_no_value_has_no_interval():
    found = Estimate(math.nan, "too few", np.arange(9.0))
    assert both_nan(found.interval())
    assert both_nan(Estimate(math.nan, "too few", folds=FOLDS).interval())


def test_one_fold_says_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = Estimate(0.9, folds=np.array([0.9]))
        assert math.isnan(found.error) and both_nan(found.interval())


def test_in_per_cent():
    found = Estimate(0.92, "why", np.array([0.9, np.nan]), FOLDS).times(100)
    assert (found.value, found.why) == (92, "why")
    np.testing.assert_allclose(found.replicates, [90, np.nan])
    np.testing.assert_allclose(found.folds, 100 * FOLDS)
    assert found.interval() == pytest.approx([100 * end for end in Estimate(0.92, folds=FOLDS).interval()])
    plain = Estimate(0.5).times(100)
    assert plain.replicates is None and plain.folds is None


def test_mean_goes_resample_by_resample():
    first = Estimate(1.0, replicates=np.array([0.0, 1, 2, np.nan]), folds=np.array([1.0, 3]))
    second = Estimate(2.0, replicates=np.array([2.0, 1, 6, 4]), folds=np.array([5.0, 5]))
    found = mean([first, second])
    assert (found.value, found.why) == (1.5, "")
    np.testing.assert_array_equal(found.replicates, [1, 1, 4, np.nan])
    np.testing.assert_array_equal(found.folds, [3, 4])
    # what cancels out in every resample leaves no error
    opposite = mean([Estimate(1.0, replicates=np.arange(5.0)), Estimate(1.0, replicates=-np.arange(5.0))])
    assert opposite.error == 0


def test_mean_of_what_is_not_known():
    found = mean([Estimate(1.0, replicates=np.ones(2)), Estimate(math.nan, "too few"), Estimate(math.nan, "none")])
    assert math.isnan(found.value) and found.why == "too few" and found.replicates is None and found.folds is None


def test_means_that_cannot_be_made():
    with pytest.raises(ValueError, match="no estimates"):
        mean([])
    with pytest.raises(ValueError, match="shape"):
        mean([Estimate(1.0, replicates=np.ones(2)), Estimate(1.0, replicates=np.ones(3))])


def test_the_error_of_known_folds():
    folds = np.array([1.0, 2, 3, 4])
    assert Estimate(2.5, folds=folds).error == pytest.approx((5 / 3) ** 0.5 / 2)
    assert mean([Estimate(2.5, folds=folds)]).value == 2.5
