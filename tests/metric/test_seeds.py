"""The spread over seeds, against a random effects model that is simulated from its definition: every person has a
difficulty of its own, to which each method and each of its trainings answers in its own way, and the resamples are real
resamples of the people."""

from itertools import combinations

import numpy as np
import pytest
from scipy import stats

from opensphere.metric.bootstrap import PairBootstrap, resample
from opensphere.metric.comparison import BOOTSTRAP, FOLDS, difference, holm
from opensphere.metric.estimate import Estimate, mean
from opensphere.metric.roc import Roc, roc
from opensphere.metric.seeds import SEEDS, SEEDS_FOLDS, SEEDS_PEOPLE, over_seeds, paired

PEOPLE = 100
WEIGHTS = resample(PEOPLE, 199, 0) / PEOPLE  # (R, people)
NAN = float("nan")
# variances of the number of one training: of what people do to a method, of its seeds, of how the two meet
REGIMES = {"people": (1, 0.1, 0.1), "seeds": (0.1, 1, 0.1), "both meet": (0.1, 0.1, 1), "alike": (1, 1, 1)}


def simulate(rng, methods, seeds, variances):
    """(methods, seeds, people) numbers, whose means over the people are those of the trainings; methods are alike."""
    of_people, of_seeds, of_both = np.sqrt(variances)
    spread = np.sqrt(PEOPLE)  # of one person, so that the mean over all has the variance that is asked for
    difficulty = 3 * spread * rng.normal(size=PEOPLE) + 2 * rng.normal(size=(seeds, 1))  # shared by all methods
    answer = of_people * spread * rng.normal(size=(methods, 1, PEOPLE))
    training = of_seeds * rng.normal(size=(methods, seeds, 1)) + of_both * spread * rng.normal(
        size=(methods, seeds, PEOPLE)
    )
    return difficulty + answer + training


def measured(numbers, folds=0):
    """An estimate for each of (seeds, people)."""
    if folds:
        parts = numbers.reshape(len(numbers), folds, -1).mean(axis=2)
        return [Estimate(float(row.mean()), folds=row) for row in parts]
    return [Estimate(float(row.mean()), replicates=WEIGHTS @ row) for row in numbers]


def coverage(seeds, variances, folds=0, trials=400, truth=1.5):
    """How often the interval of a difference holds the truth: ours, that of people alone, that of seeds alone."""
    rng = np.random.default_rng(seeds)
    held = np.zeros(3)
    for _ in range(trials):
        first, second = simulate(rng, 2, seeds, variances)
        one, two = measured(first + truth, folds), measured(second, folds)
        found = paired(one, two)
        people = difference(mean(one), mean(two))
        alone = stats.ttest_rel([e.value for e in one], [e.value for e in two]).confidence_interval()
        for way, (low, high) in enumerate([(found.low, found.high), (people.low, people.high), alone]):
            held[way] += low <= truth <= high
    return held / trials


def wrong(seeds, variances, trials, methods=8):
    """How often any of all pairs of methods that are alike is said to differ."""
    rng = np.random.default_rng(seeds)
    found = 0
    for _ in range(trials):
        estimates = [measured(numbers) for numbers in simulate(rng, methods, seeds, variances)]
        found += np.nanmin(holm([paired(one, two).p for one, two in combinations(estimates, 2)])) <= 0.05
    return found / trials


def test_parts_by_their_definition():
    """The seeds' part is the error of the mean, the people's the covariance of two seeds, over all pairs of seeds."""
    rng = np.random.default_rng(0)
    replicates = rng.normal(0, 2, 50) + rng.normal(0, 1, (4, 50))
    values = np.array([4.0, 6, 5, 4.5])
    found = over_seeds([Estimate(v, replicates=row) for v, row in zip(values, replicates, strict=True)], 0.9)
    assert found.value == 4.875 and found.seeds == 4 and found.method == SEEDS_PEOPLE and not found.why
    assert found.seed_error == pytest.approx(stats.sem(values))
    together = np.mean([np.cov(one, two)[0, 1] for one, two in combinations(replicates, 2)])
    assert found.people_error == pytest.approx(np.sqrt(together))
    reach = np.hypot(stats.t.ppf(0.95, 3) * stats.sem(values), stats.t.ppf(0.95, 49) * np.sqrt(together))
    assert (found.low, found.high) == pytest.approx((4.875 - reach, 4.875 + reach))


def test_folds_by_their_definition():
    rng = np.random.default_rng(1)
    folds = rng.normal(90, 1, 10) + rng.normal(0, 0.5, (3, 10))
    found = over_seeds([Estimate(float(row.mean()), replicates=np.ones(5), folds=row) for row in folds])
    together = np.mean([np.cov(one, two)[0, 1] for one, two in combinations(folds, 2)]) / 10
    assert found.method == SEEDS_FOLDS and found.people_error == pytest.approx(np.sqrt(together))
    reach = np.hypot(stats.t.ppf(0.975, 2) * found.seed_error, stats.t.ppf(0.975, 9) * np.sqrt(together))
    assert found.high - found.value == pytest.approx(reach)


def test_p_is_where_the_interval_meets_zero():
    rng = np.random.default_rng(2)
    for shift in (0.3, 2, 8):
        one, two = (measured(numbers) for numbers in simulate(rng, 2, 4, (1, 1, 1)))
        one = [Estimate(e.value + shift, replicates=e.replicates + shift) for e in one]
        found = paired(one, two)
        there = paired(one, two, 1 - found.p)
        assert min(abs(there.low), abs(there.high)) < 1e-6 and 0 < found.p < 1
        back = paired(two, one)
        assert (back.value, back.low, back.p) == pytest.approx((-found.value, -found.high, found.p))


def test_the_people_are_counted_once():
    """Where seeds and people only meet, by chance of their own, two seeds share nothing and the people add little."""
    rng = np.random.default_rng(3)
    found = [over_seeds(measured(np.sqrt(PEOPLE) * rng.normal(size=(5, PEOPLE)))) for _ in range(300)]
    assert np.mean([spread.seed_error**2 for spread in found]) == pytest.approx(1 / 5, rel=0.15)
    assert np.mean([spread.people_error**2 for spread in found]) < 0.03
    # where nothing but people counts, more seeds are of no help
    alike = measured(np.sqrt(PEOPLE) * rng.normal(size=PEOPLE) + rng.normal(size=(5, 1)))
    assert over_seeds(alike).people_error == pytest.approx(alike[0].error)


def test_what_methods_share_falls_out():
    rng = np.random.default_rng(4)
    one, two = simulate(rng, 2, 5, (0.1, 0.1, 0))
    apart = paired(measured(one), measured(two))
    assert apart.high - apart.low < 0.4 * (over_seeds(measured(one)).high - over_seeds(measured(one)).low)
    assert apart.value == pytest.approx(one.mean() - two.mean())


def test_seeds_alone_against_scipy():
    one, two = [91.0, 93, 92.5, 90], [90.5, 91, 92, 89.8]
    found = paired([Estimate(v) for v in one], [Estimate(v, replicates=np.ones(9)) for v in two])
    expected = stats.ttest_rel(one, two)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    assert found.p == pytest.approx(expected.pvalue) and found.method == SEEDS and np.isnan(found.people_error)


def test_one_seed_is_the_comparison_of_two_models():
    rng = np.random.default_rng(5)
    (one,), (two,) = (measured(numbers) for numbers in simulate(rng, 2, 1, (1, 1, 1)))
    found, expected = paired([one], [two]), difference(one, two)
    assert (found.value, found.low, found.high, found.p) == (expected.value, expected.low, expected.high, expected.p)
    assert found.method.startswith(BOOTSTRAP) and "one seed" in found.method and np.isnan(found.seed_error)
    assert found.people_error == pytest.approx(np.std(one.replicates - two.replicates, ddof=1))
    alone = over_seeds([one])
    assert (alone.low, alone.high) == one.interval() and alone.people_error == pytest.approx(one.error)
    folds = paired(measured(rng.normal(size=(1, 20)), 10), measured(rng.normal(size=(1, 20)), 10))
    assert folds.method.startswith(FOLDS) and folds.low < folds.value < folds.high
    bare = over_seeds([Estimate(3.0)])
    assert bare.value == 3 and np.isnan([bare.low, bare.high, bare.p]).all() and "one seed" in bare.why


@pytest.mark.parametrize("seeds", [1, 2, 5])
@pytest.mark.parametrize("folds", [0, 10])
def test_a_method_with_itself(seeds, folds):
    (numbers,) = simulate(np.random.default_rng(6), 1, seeds, (1, 1, 1))
    found = paired(measured(numbers, folds), measured(numbers, folds))
    assert (found.value, found.low, found.high, found.p) == (0, 0, 0, 1) and not found.why


def test_seeds_that_agree_exactly_prove_nothing():
    # 0.1 is added in floating point: the differences agree but for rounding
    two = [Estimate(v, replicates=v + np.arange(9.0)) for v in (90.3, 91.7, 93.1)]
    one = [Estimate(e.value + 0.1, replicates=e.replicates + 0.1) for e in two]
    for found in (paired(one, two), paired([Estimate(e.value) for e in one], two), paired(one[:1], two[:1])):
        assert found.value == pytest.approx(0.1) and found.why and not found.method
        assert np.isnan([found.low, found.high, found.p]).all()
    perfect = over_seeds([Estimate(100.0, replicates=np.full(9, 100.0))] * 2)
    assert perfect.value == 100 and np.isnan(perfect.low) and "all 2 seeds agree" in perfect.why
    # no difference is a different thing: there is none to be proved
    varied = paired(
        [Estimate(1.0, replicates=np.arange(9.0))] * 2, [Estimate(1.0, replicates=np.arange(9.0)[::-1])] * 2
    )
    assert varied.p == 1 and varied.low < 0 < varied.high


def test_resamples_that_cannot_say_are_left_out_for_all():
    rng = np.random.default_rng(7)
    whole = rng.normal(size=(3, 40))
    values = [1.0, 2, 4]
    gaps = whole.copy()
    gaps[0, 3] = gaps[2, 8] = gaps[2, 3] = NAN
    found = over_seeds([Estimate(v, replicates=row) for v, row in zip(values, gaps, strict=True)])
    known = np.delete(whole, [3, 8], axis=1)
    assert found == over_seeds([Estimate(v, replicates=row) for v, row in zip(values, known, strict=True)])
    none = over_seeds([Estimate(v, replicates=np.array([NAN, NAN, v])) for v in values])
    assert none.method == SEEDS and none.p == pytest.approx(stats.ttest_1samp(values, 0).pvalue)


def test_what_cannot_be_said_has_a_reason():
    known, unknown = [Estimate(1.0), Estimate(2.0)], [Estimate(3.0), Estimate(NAN, "3 pairs are too few")]
    for found in (paired(known, unknown), paired(unknown, known), over_seeds(unknown), paired(known[:1], unknown[1:])):
        assert np.isnan([found.value, found.low, found.high, found.p]).all() and found.why == "3 pairs are too few"
    assert over_seeds([Estimate(NAN)]).why


def test_what_does_not_fit():
    one = [Estimate(v, replicates=np.arange(4.0)) for v in (1.0, 2)]
    with pytest.raises(ValueError, match="no estimates"):
        over_seeds([])
    with pytest.raises(ValueError, match="2 and 1 seeds"):
        paired(one, one[:1])
    with pytest.raises(ValueError, match="1 and 4 resamples"):
        paired(one, [Estimate(v, replicates=np.ones(1)) for v in (1.0, 2)])
    with pytest.raises(ValueError, match="2 and 3 folds"):
        over_seeds([Estimate(1.0, folds=np.arange(2.0)), Estimate(1.0, folds=np.arange(3.0))])


def test_either_way_alone_is_too_sure():
    ours, people, seeds = coverage(5, REGIMES["seeds"])
    assert ours > 0.93 and people < 0.85
    ours, people, seeds = coverage(5, REGIMES["people"])
    assert ours > 0.93 and seeds < 0.65


@pytest.mark.slow
@pytest.mark.parametrize("folds", [0, 10])
@pytest.mark.parametrize("regime", REGIMES)
def test_intervals_hold_the_truth(regime, folds):
    held = [coverage(seeds, REGIMES[regime], folds)[0] for seeds in (2, 3, 5, 10)]
    assert min(held) > 0.925 and max(held[1:]) <= 0.99  # of 400 each; two seeds make them wide


@pytest.mark.slow
@pytest.mark.parametrize("regime", REGIMES)
def test_methods_that_are_alike_are_seldom_told_apart(regime):
    for seeds in (2, 3, 5):
        assert wrong(seeds, REGIMES[regime], 60) <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / 60)


def scores_of(rng, people, methods, seeds):
    """Scores (methods, seeds, pairs), their kinds and persons: a person's images are alike, and like another's, by what
    it is and by what each method and training makes of it."""
    persons = np.array([(i, i) for i in range(people) for _ in range(2)] + list(combinations(range(people), 2)))
    same = persons[:, 0] == persons[:, 1]
    shape = {"people": (1, 1), "methods": (methods, 1), "trainings": (methods, seeds)}
    looks = sum(0.5 * rng.normal(size=(*size, people, 2)) for size in shape.values())  # as itself, as others
    of_pair = np.where(same, looks[..., persons[:, 0], 0], looks[..., persons, 1].sum(axis=-1) / 2)
    luck = 0.2 * rng.normal(size=(methods, seeds, 1))
    return of_pair + (1 + luck) * same + 0.5 * rng.normal(size=(methods, seeds, len(same))), same, persons


@pytest.mark.slow
def test_intervals_of_a_roc_hold_the_truth():
    """Two methods that are alike, measured as the package measures: the area under a ROC, resampled by identity."""
    rng = np.random.default_rng(8)
    held, trials = 0, 100
    for _ in range(trials):
        scores, same, persons = scores_of(rng, 20, 2, 3)
        estimates = []
        for row in scores.reshape(6, -1):
            resamples = PairBootstrap(row, same, persons, 20, 60, 0).replicates({"AUC": Roc.auc})["AUC"]
            estimates.append(Estimate(roc(row, same).auc(), replicates=resamples))
        found = paired(estimates[:3], estimates[3:])
        held += found.low <= 0 <= found.high
    assert 0.9 <= held / trials
