import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from opensphere.metric.roc import accuracy, auc, d_prime, eer, most_accepted, roc
from tests.metric import brute

RATES = [1e-6, 1e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.25, 0.29, 1 / 3, 0.5, 0.9, 1.0]
FUNCTIONS = {"eer": eer, "auc": auc, "accuracy": accuracy, "d_prime": d_prime}


@st.composite
def scored_pairs(draw):
    """Scores with many ties or none, float32 or float64, and both kinds of pairs."""
    count = draw(st.integers(2, 60))
    levels = draw(st.sampled_from([1, 2, 5, 1000]))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    is_same = rng.permutation(np.arange(count) < draw(st.integers(1, count - 1)))
    scores = (rng.integers(0, levels, count) + is_same * rng.integers(0, levels)) / levels - 0.5
    return scores.astype(draw(st.sampled_from([np.float32, np.float64]))), is_same


@st.composite
def weighted_pairs(draw):
    """And whole weights, some 0, of which some of either kind are not."""
    scores, is_same = draw(scored_pairs())
    weight = np.random.default_rng(draw(st.integers(0, 999))).integers(0, draw(st.sampled_from([2, 5])), len(scores))
    weight[[np.argmax(is_same), np.argmin(is_same)]] = draw(st.integers(1, 3))
    return scores, is_same, weight.astype(draw(st.sampled_from([np.int8, np.uint8, np.int64, np.float32, np.float64])))


def close_pairs(count=4000, seed=0):
    rng = np.random.default_rng(seed)
    is_same = rng.random(count) < 0.4
    return rng.normal(is_same * 1.5, 1).astype(np.float32), is_same


def same(one, other):
    """Equal numbers, or both NaN, but for the last digits."""
    np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


@settings(deadline=None)
@given(scored_pairs())
def test_points_are_those_of_counting(case):
    curve = roc(*case)
    found = np.stack([curve.thresholds, curve.false_accepts, curve.true_accepts], axis=1)
    np.testing.assert_array_equal(found, brute.points(case[0].tolist(), case[1].tolist()))
    assert curve.impostors == curve.impostor_pairs == np.sum(~case[1]) and curve.genuines == np.sum(case[1])
    assert curve.fpr[-1] == curve.tpr[-1] == 1


@settings(deadline=None)
@given(
    scored_pairs(),
    st.lists(st.sampled_from(RATES) | st.integers(0, 10**6).map(lambda n: n / 10**6), min_size=1, max_size=4),
)
def test_rates_by_loops(case, fprs):
    curve, lists = roc(*case), [part.tolist() for part in case]
    known = [fpr for fpr in fprs if not curve.too_few(fpr)]
    same(curve.tpr_at(known), [brute.tpr_at(*lists, fpr) for fpr in known])
    same(curve.threshold_at(known), [brute.threshold_at(*lists, fpr) for fpr in known])
    same(curve.fnmr_at(fprs), 1 - curve.tpr_at(fprs))
    impostors = np.sum(~case[1])
    dashes = [np.isnan(curve.tpr_at(fpr)) for fpr in fprs]
    assert dashes == [np.isnan(curve.threshold_at(fpr)) for fpr in fprs] == [bool(curve.too_few(fpr)) for fpr in fprs]
    assert dashes == [brute.most(fpr, impostors) < 1 for fpr in fprs]


@settings(deadline=None)
@given(scored_pairs())
def test_numbers_by_loops(case):
    lists = [part.tolist() for part in case]
    for name in ("eer", "auc", "accuracy"):
        same(FUNCTIONS[name](*case), getattr(brute, name)(*lists))
    same(roc(*case).correct(), [true + np.sum(~case[1]) - false for _, false, true in brute.points(*lists)])
    spread = sum(np.var(case[0][kind]) for kind in (case[1], ~case[1]))
    if spread > 1e-6:
        expected = pytest.approx(brute.d_prime(*lists), rel=1e-6, abs=1e-6)
        assert d_prime(*case) == expected and roc(*case).d_prime() == expected


@settings(deadline=None)
@given(weighted_pairs())
def test_whole_weights_are_repetitions(case):
    scores, is_same, weight = case
    weighted, plain = (
        roc(scores, is_same, weight),
        roc(scores.repeat(weight.astype(int)), is_same.repeat(weight.astype(int))),
    )
    for name in ("thresholds", "false_accepts", "true_accepts", "impostors", "genuines"):
        np.testing.assert_array_equal(getattr(weighted, name), getattr(plain, name))
    for name in ("eer", "auc", "accuracy"):
        assert getattr(weighted, name)() == getattr(plain, name)()
    spread = np.ptp(scores[is_same & (weight > 0)]) + np.ptp(scores[~is_same & (weight > 0)])
    if spread > 0.01:
        same(weighted.d_prime(), d_prime(scores, is_same, weight))
        same(weighted.d_prime(), plain.d_prime())
    assert weighted.impostor_pairs == np.sum(~is_same)
    known = [fpr for fpr in RATES if not weighted.too_few(fpr) and not plain.too_few(fpr)]
    np.testing.assert_array_equal(weighted.tpr_at(known), plain.tpr_at(known))
    np.testing.assert_array_equal(weighted.threshold_at(known), plain.threshold_at(known))
    np.testing.assert_array_equal(weighted.seed_tpr_at(RATES), plain.seed_tpr_at(RATES))


def test_weights_that_are_not_whole():
    scores, is_same = close_pairs(500)
    weight = np.random.default_rng(1).integers(0, 9, 500)
    whole, shares = roc(scores, is_same, weight), roc(scores, is_same, weight / 10)
    for name in ("eer", "auc", "accuracy", "d_prime"):
        same(getattr(shares, name)(), getattr(whole, name)())
    same(shares.tpr_at(RATES[4:]), whole.tpr_at(RATES[4:]))
    assert whole.false_accepts.dtype == np.int64 and shares.false_accepts.dtype == np.float64


def test_too_few_is_about_pairs_and_not_their_weight():
    scores, is_same = np.arange(13.0), np.arange(13) >= 10
    weight = np.where(is_same, 1, np.arange(13) % 2)
    assert roc(scores, is_same, 100 * weight).too_few(0.01) == "FPR 0.01 of 10 impostor pairs is less than one pair"
    assert roc(scores, is_same, weight).tpr_at(0.1) == 1  # less than one of five
    assert roc(scores, is_same, weight).threshold_at(0.1) == 10


def test_the_reason_of_a_dash():
    scores, is_same = np.arange(6000.0), np.arange(6000) % 2 == 0
    curve = roc(scores, is_same)
    assert curve.too_few(1e-6) == "FPR 1e-6 of 3,000 impostor pairs is less than one pair"
    assert curve.too_few(1 / 3000) == curve.too_few(1e-3) == "" and curve.too_few(1 / 3001)
    np.testing.assert_array_equal(np.isnan(curve.tpr_at([1e-4, 1e-3])), [True, False])
    assert not np.isnan(curve.seed_tpr_at([1e-6, 1e-4])).any()


@pytest.mark.parametrize(("fpr", "impostors", "count"), [
    (0.001, 3000, 3), (0.29, 100, 29), (0.07, 100, 7), (0.57, 100, 57), (1e-6, 15_638_932, 15), (1e-5, 10**9, 10**4),
    (10**-0.5, 10**6, 316_227), (1 / 3, 3, 1), (0.1 + 0.2, 10, 3), (1.0, 7, 7), (0.0, 7, 0), (0.00999, 100, 0),
])  # fmt: skip
def test_a_decimal_share_of_pairs(fpr, impostors, count):
    assert most_accepted(fpr, impostors) == count


def test_three_pairs_are_a_thousandth_of_three_thousand():
    scores = np.concatenate([np.arange(3000.0), [2996.5, 2997.5]])
    is_same = np.arange(3002) >= 3000
    np.testing.assert_array_equal(roc(scores, is_same).tpr_at([0.001, 0.000999, 4 / 3000]), [1.0, 0.5, 1.0])
    np.testing.assert_array_equal(roc(scores, is_same).threshold_at([0.001, 0.00099, 4 / 3000]), [2996.5, 2997.5, 2996])


def test_ties_are_accepted_together():
    scores = np.array([3, 2, 2, 2, 1, 1], float)
    is_same = np.array([1, 1, 0, 0, 0, 0], bool)
    curve = roc(scores, is_same)
    np.testing.assert_array_equal(curve.tpr_at([0.25, 0.49, 0.5]), [0.5, 0.5, 1.0])
    np.testing.assert_array_equal(curve.threshold_at([0.25, 0.5, 1.0]), [3, 2, 1])
    # OpenSphere's reading is on the diagonal: the tie at 2 leads from (0, 1/2) to (1/2, 1)
    same(curve.seed_tpr_at([0.0, 0.125, 0.25, 0.5]), [0.5, 0.625, 0.75, 1.0])
    assert roc(-scores, is_same).threshold_at(0.25) == np.inf


@settings(deadline=None)
@given(scored_pairs())
def test_the_seeds_reading_is_interpolated_on_scikit_learns_curve(case):
    fpr, tpr, _ = roc_curve(case[1], case[0])
    np.testing.assert_allclose(roc(*case).seed_tpr_at(RATES), np.interp(RATES, fpr, tpr), rtol=0, atol=1e-9)
    assert auc(*case) == pytest.approx(roc_auc_score(case[1], case[0]), abs=1e-12)


def test_the_seeds_reading_without_ties_to_the_last_digit():
    scores, is_same = close_pairs()
    fpr, tpr, _ = roc_curve(is_same, scores)
    assert len(set(scores.tolist())) == len(scores)
    np.testing.assert_array_equal(roc(scores, is_same).seed_tpr_at(RATES), np.interp(RATES, fpr, tpr))
    genuine, impostor = scores[is_same], np.sort(scores[~is_same])[::-1]
    for rate in RATES[:-1]:
        assert roc(scores, is_same).seed_tpr_at(rate) == np.mean(genuine > impostor[int(rate * len(impostor))])


@settings(deadline=None)
@given(weighted_pairs(), st.sampled_from([1e-6, 0.01, 0.1, 0.29, 0.5, 0.999]), st.booleans())
def test_a_curve_that_ends_early_reads_the_same(case, reach, with_weights):
    scores, is_same, weight = case
    weight = weight if with_weights else None
    whole, part = roc(scores, is_same, weight), roc(scores, is_same, weight, reach)
    size = len(part.thresholds)
    for name in ("thresholds", "false_accepts", "true_accepts"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[:size])
    assert (part.fpr[:-1] <= reach * (1 + 1e-9)).all() and (size == len(whole.thresholds) or part.fpr[-1] > reach)
    rates = [rate for rate in (*RATES, reach) if rate <= reach]
    for name in ("tpr_at", "fnmr_at", "threshold_at", "seed_tpr_at"):
        np.testing.assert_array_equal(getattr(part, name)(rates), getattr(whole, name)(rates))
        with pytest.raises(ValueError, match="lies beyond"):
            getattr(part, name)([reach, 1.0])


def test_a_curve_that_ends_early_has_no_area():
    scores, is_same = close_pairs(1000)
    whole, part = roc(scores, is_same), roc(scores, is_same, reach=0.1)
    assert len(part.thresholds) < len(whole.thresholds) / 2
    for name in ("auc", "accuracy", "correct", "d_prime", "eer"):
        with pytest.raises(ValueError, match="known up to FPR 0.1 only"):
            getattr(part, name)()
    assert roc(scores, is_same, reach=0.5).eer() == whole.eer()
    for reach in (0, -1, 1.1, np.nan):
        with pytest.raises(ValueError, match="reach"):
            roc(scores, is_same, reach=reach)


@settings(deadline=None)
@given(scored_pairs())
def test_eer_is_a_root_on_scikit_learns_curve(case):
    fpr, tpr, _ = roc_curve(case[1], case[0], drop_intermediate=False)
    along = np.arange(len(fpr))  # both errors as functions of the way along the curve

    def gap(place):
        return np.interp(place, along, fpr) - (1 - np.interp(place, along, tpr))

    assert eer(*case) == pytest.approx(np.interp(brentq(gap, 0, len(fpr) - 1, xtol=1e-13), along, fpr), abs=1e-9)


def test_eer_of_known_curves():
    assert eer(np.array([0.9, 0.8, 0.2, 0.1]), np.array([True, True, False, False])) == 0
    assert eer(np.array([0.1, 0.2, 0.8, 0.9]), np.array([True, True, False, False])) == 1
    assert eer(np.array([4, 3, 2, 1]), np.array([True, False, True, False])) == 0.5
    assert eer(np.array([5, 4, 3, 2, 1]), np.array([True, True, False, True, False])) == pytest.approx(1 / 3)


def test_numbers_too_large_for_whole_products():
    scores, is_same = close_pairs(500)
    weight = np.random.default_rng(0).integers(1, 9, 500)
    small, large = roc(scores, is_same, weight), roc(scores, is_same, weight * 10**9)
    for name in ("eer", "auc", "accuracy"):
        same(getattr(large, name)(), getattr(small, name)())


def test_normal_scores_have_normal_numbers():
    """Genuine scores around 2, impostors around 0, both with deviation 1: the theory of signal detection."""
    middles = norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    scores, is_same = np.concatenate([middles + 2, middles]), np.arange(40_000) < 20_000
    assert d_prime(scores, is_same) == pytest.approx(2, abs=1e-3)
    assert auc(scores, is_same) == pytest.approx(norm.cdf(np.sqrt(2)), abs=1e-4)
    assert eer(scores, is_same) == pytest.approx(norm.cdf(-1), abs=1e-4)
    curve = roc(scores, is_same)
    np.testing.assert_allclose(curve.tpr_at([0.01, 0.1]), norm.sf(norm.isf([0.01, 0.1]) - 2), atol=1e-3)
    fmr, fnmr = curve.det(probit=True)
    inside = (curve.fpr > 0.001) & (curve.fpr < 0.9) & (curve.tpr < 0.999)
    np.testing.assert_allclose(fmr[inside] + fnmr[inside], -2, atol=0.02)  # a straight line
    assert np.isneginf(fmr[0]) and np.isposinf(fnmr[0])


def test_det_is_both_errors():
    curve = roc(*close_pairs(50))
    fmr, fnmr = curve.det()
    same(fmr, curve.fpr)
    same(fnmr, 1 - curve.tpr)
    for plain, deviate in zip(curve.det(), curve.det(probit=True), strict=True):
        same(norm.cdf(deviate), plain)


@pytest.mark.parametrize("count", [2, 3, 10, 300, 10**6])
@pytest.mark.parametrize("levels", [2, 10, 10**6])
def test_few_points_for_a_figure(count, levels):
    scores, is_same = close_pairs(20_000)
    curve = roc(np.round(scores * levels), is_same)
    chosen = curve.points(count)
    assert len(chosen) <= count and chosen[0] == 0 and chosen[-1] == len(curve.thresholds) - 1
    assert (np.diff(chosen) > 0).all()
    if count == 300 and levels == 10**6:
        assert np.diff(curve.fpr[chosen]).max() < 0.02 and np.diff(curve.tpr[chosen]).max() < 0.02
        low = curve.fpr[chosen][curve.fpr[chosen] > 0]
        assert low[0] == 1 / curve.impostors and (low[1:] / low[:-1]).max() <= 2


def test_constant_scores_tell_nothing():
    scores, is_same = np.full(8, 0.3, np.float32), np.arange(8) < 4
    curve = roc(scores, is_same)
    assert curve.auc() == curve.eer() == curve.accuracy() == 0.5
    same(curve.seed_tpr_at([0.001, 0.5]), [0.001, 0.5])
    np.testing.assert_array_equal(curve.tpr_at([0.25, 0.99, 1.0]), [0, 0, 1])
    np.testing.assert_array_equal(curve.threshold_at([0.25, 1.0]), [np.inf, np.float32(0.3)])
    assert np.isnan(d_prime(scores, is_same))
    assert d_prime(is_same, is_same) == np.inf and d_prime(~is_same, is_same) == -np.inf


def test_infinite_scores_tie():
    scores, is_same = np.array([np.inf, np.inf, 0.0, -np.inf]), np.array([True, False, True, False])
    assert auc(scores, is_same) == pytest.approx(2.5 / 4)
    assert np.isnan(d_prime(scores, is_same))


def test_nothing_is_changed():
    scores, is_same = close_pairs(100)
    weight = np.arange(100)
    kept = scores.copy(), is_same.copy(), weight.copy()
    roc(scores, is_same, weight, 0.5), roc(scores, is_same, reach=0.1), d_prime(scores, is_same, weight)
    for one, other in zip(kept, (scores, is_same, weight), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("metric", [roc, *FUNCTIONS.values(), lambda s, y: roc(s, y, reach=0.1)])
def test_what_has_no_curve_is_refused(metric):
    with pytest.raises(ValueError, match="no impostor pairs among 3"):
        metric(np.arange(3.0), np.ones(3, bool))
    with pytest.raises(ValueError, match="no genuine pairs among 1"):
        metric(np.arange(1.0), np.zeros(1, bool))
    with pytest.raises(ValueError, match="no genuine pairs among 0"):
        metric(np.zeros(0), np.zeros(0, bool))
    with pytest.raises(ValueError, match="2 of 4 scores are not a number"):
        metric(np.array([np.nan, 0.1, np.nan, 0.3]), np.array([True, False, False, True]))
    with pytest.raises(ValueError, match=r"shape \(3,\) for is_same of shape \(4,\)"):
        metric(np.arange(3.0), np.ones(4, bool))
    with pytest.raises(ValueError, match=r"shape \(2, 2\) for"):
        metric(np.zeros((2, 2)), np.ones((2, 2), bool))
    with pytest.raises(ValueError, match="2 of 3 labels are neither 0 nor 1, the first is 2"):
        metric(np.arange(3.0), np.array([1, 2, -1]))
    with pytest.raises(ValueError, match="1 of 3 labels are neither 0 nor 1, the first is nan"):
        metric(np.arange(3.0), np.array([1, np.nan, 0]))
    with pytest.raises(ValueError, match="scores of type complex128"):
        metric(np.array([1j, 2, 3]), np.array([1, 1, 0]))


@pytest.mark.parametrize("metric", [roc, d_prime])
def test_weights_that_cannot_be_used(metric):
    scores, is_same = np.arange(3.0), np.array([1, 1, 0])
    with pytest.raises(ValueError, match=r"weights of shape \(2,\) for 3 pairs"):
        metric(scores, is_same, np.ones(2))
    with pytest.raises(ValueError, match="2 of 3 weights are negative or not finite"):
        metric(scores, is_same, np.array([-1, np.inf, 1]))
    with pytest.raises(ValueError, match="weights of type"):
        metric(scores, is_same, np.array(["1", "2", "3"]))
    with pytest.raises(ValueError, match="no impostor pairs of any weight"):
        metric(scores, is_same, np.array([1, 1, 0]))
    with pytest.raises(ValueError, match="no genuine pairs of any weight"):
        metric(scores, is_same, np.array([0, 0, 1]))


@pytest.mark.parametrize("fpr", [-0.1, 1.1, np.nan, [0.5, np.inf]])
def test_rates_that_are_no_shares(fpr):
    for name in ("tpr_at", "seed_tpr_at", "threshold_at", "fnmr_at"):
        with pytest.raises(ValueError, match="from 0 to 1"):
            getattr(roc(np.arange(4.0), np.array([1, 0, 1, 0])), name)(fpr)


def test_labels_may_be_numbers():
    scores, is_same = close_pairs(60)
    for kind in (np.int8, np.float32):
        assert auc(scores, is_same.astype(kind)) == auc(scores, is_same)
    assert auc(scores.tolist(), is_same.tolist()) == auc(scores, is_same)
