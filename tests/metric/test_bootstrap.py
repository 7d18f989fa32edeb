import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.stats import norm

from opensphere.metric import bootstrap
from opensphere.metric.bootstrap import HighestPairs, PairBootstrap, first_beyond, pair_counts, pair_weight, resample
from opensphere.metric.roc import Roc, d_prime, roc
from tests.metric import brute

STATISTICS = {"eer": Roc.eer, "auc": Roc.auc, "accuracy": Roc.accuracy}
FPRS = [0.05, 0.1, 0.29, 0.5, 1.0]


@st.composite
def pairs_of_people(draw):
    """Scores, labels, persons and how many people; ties or none, people who are in no pair, an impostor pair within
    a person."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    people, count = draw(st.integers(2, 7)), draw(st.integers(2, 50))
    persons = rng.integers(0, people, (count, 2))
    is_same = persons[:, 0] == persons[:, 1]
    is_same[rng.integers(0, count, 2)] = False
    persons[0], is_same[0] = (people - 1, people - 1), True
    persons[1], is_same[1] = (0, people - 1), False
    scores = (rng.integers(0, draw(st.sampled_from([1, 3, 10**6])), count) + is_same).astype(np.float32)
    return scores, is_same, persons.astype(draw(st.sampled_from([np.int16, np.uint8, np.int64]))), people


def crowd(seed=0, people=40, pairs=3000, levels=None):
    rng = np.random.default_rng(seed)
    persons = rng.integers(0, people, (pairs, 2))
    persons[::3, 1] = persons[::3, 0]
    is_same = persons[:, 0] == persons[:, 1]
    luck = rng.normal(0, 0.5, people)
    scores = luck[persons].sum(axis=1) + rng.normal(2 * is_same, 1)
    return (np.round(scores * levels) / levels if levels else scores), is_same, persons, people


def repeated(case, drawn):
    """Scores and labels of a resample, each pair written out as often as it counts, in plain loops."""
    scores, is_same, persons, _ = (part.tolist() if isinstance(part, np.ndarray) else part for part in case)
    weight = brute.pair_weights(persons, drawn.tolist())
    return brute.repeated(scores, weight), brute.repeated(is_same, weight)


def test_resamples_draw_as_many_people_as_there_are():
    counts = resample(30, 500, 7)
    assert counts.shape == (500, 30) and counts.dtype == np.int8
    assert (counts.sum(axis=1) == 30).all() and (counts >= 0).all()
    # multinomial: mean 1, variance 1 - 1/30, covariance -1/30
    many = resample(30, 20_000, 1).astype(float)
    np.testing.assert_allclose(many.mean(axis=0), 1, atol=0.04)
    np.testing.assert_allclose(np.cov(many.T), np.eye(30) - 1 / 30, atol=0.06)


def test_resamples_depend_on_their_arguments_alone():
    counts = resample(12, 9, 3)
    np.random.seed(0)
    np.testing.assert_array_equal(resample(12, 9, 3), counts)
    np.testing.assert_array_equal(resample(12, 4, 3), counts[:4])
    assert (resample(12, 9, 4) != counts).any() and (counts[0] != counts[1]).any()
    assert resample(12, 0, 3).shape == (0, 12)
    # fixed for good: results of different days are compared resample by resample
    np.testing.assert_array_equal(resample(6, 2, 0), [[2, 1, 0, 1, 1, 1], [1, 0, 0, 2, 2, 1]])


@pytest.mark.parametrize("people", [1, 2, 50])
def test_the_type_holds_products(people):
    counts = resample(people, 200, 0)
    most = int(counts.max())
    assert counts.max() * counts.max() == most**2


def test_a_count_that_needs_a_larger_type(monkeypatch):
    class Loaded:
        def __init__(self, _):
            self.rows = iter([np.arange(40), np.full(40, 3), np.arange(40)])

        def random_raw(self, size):
            return (((next(self.rows) + 0.5) / size) * 2**64).astype(np.uint64)

    monkeypatch.setattr(np.random, "PCG64", Loaded)
    counts = resample(40, 3, 0)
    assert counts.dtype == np.int16 and counts[1].tolist() == [0, 0, 0, 40] + [0] * 36
    assert (counts[[0, 2]] == 1).all()


@settings(deadline=None)
@given(pairs_of_people(), st.integers(0, 99))
def test_a_replicate_is_the_metric_of_the_repeated_pairs(case, seed):
    found = PairBootstrap(*case, 6, seed)
    replicates = found.replicates(STATISTICS)
    for row, drawn in enumerate(resample(case[3], 6, seed)):
        scores, is_same = repeated(case, drawn)
        for name in STATISTICS:
            both = len(set(is_same)) == 2
            expected = getattr(brute, name)(scores, is_same) if both else np.nan
            np.testing.assert_allclose(replicates[name][row], expected, atol=1e-12)


@settings(deadline=None, max_examples=40)
@given(pairs_of_people(), st.integers(0, 99))
def test_rates_of_replicates_by_loops_both_ways(case, seed):
    found = PairBootstrap(*case, 6, seed)
    tprs, thresholds = found.tpr_at(FPRS), found.threshold_at(FPRS)
    impostors = np.sum(~case[1])
    for column, fpr in enumerate(FPRS):
        replicates = found.replicates({"t": lambda c, x=fpr: c.tpr_at(x), "s": lambda c, x=fpr: c.threshold_at(x)})
        for row, drawn in enumerate(found.weights):
            scores, is_same = repeated(case, drawn)
            known = len(set(is_same)) == 2 and brute.most(fpr, impostors) >= 1
            expected = brute.tpr_at(scores, is_same, fpr) if known else np.nan
            np.testing.assert_allclose([tprs[row, column], replicates["t"][row]], expected, atol=1e-12)
            expected = brute.threshold_at(scores, is_same, fpr) if known else np.nan
            np.testing.assert_array_equal([thresholds[row, column], replicates["s"][row]], expected)


def test_d_prime_of_a_replicate():
    case = crowd(pairs=300)
    found = PairBootstrap(*case, 5, 0)
    replicates = found.replicates({"d": Roc.d_prime})["d"]
    for value, drawn in zip(replicates, found.weights, strict=True):
        assert value == pytest.approx(brute.d_prime(*repeated(case, drawn)))
    assert abs(np.mean(replicates) - d_prime(*case[:2])) < 0.3


@pytest.mark.parametrize("levels", [None, 5])
@pytest.mark.parametrize("chunk", [5, 64, 10**6])
def test_few_are_kept_and_nothing_changes(levels, chunk, monkeypatch):
    """The quick way, in small chunks and blocks, with as few impostors as may be, against whole curves."""
    case = crowd(pairs=1500, levels=levels)
    found = PairBootstrap(*case, 20, 0)
    fprs = [0.001, 0.01, 0.02, 0.1]
    statistics = {str(fpr): lambda c, x=fpr: c.tpr_at(x) for fpr in fprs}
    curves = found.replicates(statistics | {f"t{fpr}": lambda c, x=fpr: c.threshold_at(x) for fpr in fprs})
    monkeypatch.setattr(bootstrap, "_CHUNK", chunk)
    monkeypatch.setattr(bootstrap, "_BLOCK", 700)
    monkeypatch.setattr(bootstrap, "_FEW", 1)
    for spare in (0.2, 1.5):
        monkeypatch.setattr(bootstrap, "_SPARE", spare)
        fresh = PairBootstrap(*case, 20, 0)
        np.testing.assert_array_equal(fresh.tpr_at(fprs).T, [curves[str(fpr)] for fpr in fprs])
        np.testing.assert_array_equal(fresh.threshold_at(fprs).T, [curves[f"t{fpr}"] for fpr in fprs])
    assert len(fresh.highest(fprs).impostor) < np.sum(~case[1]) / 2


def test_a_threshold_below_what_is_kept_is_not_known():
    scores, is_same, persons, people = crowd()
    whole = PairBootstrap(scores, is_same, persons, people, 30, 0)
    total = pair_weight(pair_counts(persons, people, ~is_same), whole.weights)
    genuine, impostor = (np.flatnonzero(kind)[np.argsort(-scores[kind])] for kind in (is_same, ~is_same))
    impostor = impostor[:200]  # a tenth
    parts = (scores[genuine], persons[genuine, 0], scores[impostor], persons[impostor])
    part = HighestPairs(*parts, int(np.sum(~is_same)), whole.weights, total)
    found, known = part.tpr_at([0.01, 0.1, 0.3]), whole.tpr_at([0.01, 0.1, 0.3])
    np.testing.assert_array_equal(found[:, 0], known[:, 0])
    sure = ~np.isnan(found[:, 1])
    assert 0 < sure.sum() < 30 and np.isnan(found[:, 2]).all()
    np.testing.assert_array_equal(found[sure, 1], known[sure, 1])
    np.testing.assert_array_equal(np.isnan(part.threshold_at(0.1)[:, 0]), ~sure)


def test_kept_pairs_that_do_not_fit():
    good = {
        "genuine": np.array([3.0, 2]),
        "genuine_person": np.array([0, 1]),
        "impostor": np.array([1.0]),
        "impostor_persons": np.array([[0, 1]]),
        "impostors": 1,
        "weights": np.ones((4, 2), np.int8),
        "impostor_weight": np.ones(4, int),
    }
    assert HighestPairs(**good).tpr_at(1.0).tolist() == [[1]] * 4
    for name, value, told in (
        ("genuine", np.array([2.0, 3]), "descending"),
        ("impostor", np.array([np.nan]), "descending|numbers"),
        ("genuine_person", np.array([0]), "should have"),
        ("impostor_persons", np.array([0, 1]), "should have"),
        ("impostor_persons", np.array([[0, 2]]), "2 people are numbered from 0"),
        ("impostor_weight", np.ones(3, int), "should have"),
        ("impostors", 0, "1 impostor scores of 0 pairs"),
    ):
        if name == "impostor":
            good = good | {"impostors": 2, "impostor_persons": np.array([[0, 1], [0, 1]])}
            value = np.array([1.0, np.nan])
        with pytest.raises(ValueError, match=told):
            HighestPairs(**good | {name: value})


@settings(deadline=None)
@given(pairs_of_people(), st.integers(0, 99), st.booleans())
def test_weight_of_all_pairs_by_loops(case, seed, blocks):
    _, is_same, persons, people = case
    weights = resample(people, 5, seed)
    with pytest.MonkeyPatch.context() as patch:
        if blocks:
            patch.setattr(bootstrap, "_BLOCK", 3)
        counts = pair_counts(persons, people, ~is_same)
        found = pair_weight(counts, weights)
        everything = pair_weight(pair_counts(persons, people), weights)
    assert counts.sum() == np.sum(~is_same) and counts.shape == (people, people)
    for row, drawn in enumerate(weights.tolist()):
        each = brute.pair_weights(persons.tolist(), drawn)
        assert found[row] == sum(w for w, same in zip(each, is_same, strict=True) if not same)
        assert everything[row] == sum(each)


def test_counts_from_elsewhere():
    """Whole matrices of integers, both triangles filled, as a protocol may have them."""
    rng = np.random.default_rng(0)
    counts, weights = rng.integers(0, 9, (6, 6)), rng.integers(0, 4, (3, 6)).astype(np.int8)
    expected = [
        sum(counts[a, b] * (int(w[a]) if a == b else int(w[a]) * int(w[b])) for a in range(6) for b in range(6))
        for w in weights
    ]
    for kind in (sparse.coo_array, sparse.csr_matrix):
        np.testing.assert_array_equal(pair_weight(kind(counts), weights), expected)


@pytest.mark.parametrize("weight", [3, 100, 30_000])
def test_sums_stay_exact(weight):
    """In float32 up to 2^24, beyond in float64."""
    persons = np.tile([[0, 1], [2, 2], [1, 3]], (9000, 1))
    weights = np.array([[weight, weight - 1, 1, weight - 2], [0, 1, 0, 1]])
    for row, w in enumerate(weights):
        sums = np.cumsum([int(v) for v in brute.pair_weights(persons.tolist(), w.tolist())])
        limits = np.array([0, sums[-1] // 2, sums[20_000] - 1, sums[20_000], sums[-1] - 1, sums[-1]])
        expected = [int(np.sum(sums <= limit)) for limit in limits]
        assert first_beyond(persons, weights[row : row + 1], limits[None])[0].tolist() == expected


def test_no_resamples():
    found = PairBootstrap(*crowd(pairs=50), 0, 0)
    assert found.tpr_at([0.1, 0.2]).shape == (0, 2)
    assert found.replicates({"auc": Roc.auc})["auc"].shape == (0,)


def test_one_rate_is_a_column():
    assert PairBootstrap(*crowd(pairs=90), 4, 0).tpr_at(0.1).shape == (4, 1)


def test_pairs_that_cannot_be_resampled():
    scores, is_same, persons = np.arange(4.0), np.array([1, 0, 1, 0]), np.array([[0, 0], [0, 1], [1, 1], [1, 2]])
    PairBootstrap(scores, is_same, persons, 3, 2, 0)
    for changed, told in (
        ({"persons": persons[:3]}, r"persons of shape \(3, 2\) for 4 pairs"),
        ({"persons": persons[:, 0]}, r"persons of shape \(4,\) for 4 pairs"),
        ({"persons": persons * 1.0}, "persons of type float64"),
        ({"persons": persons - 1}, "persons -1 to 1; 3 people are numbered from 0"),
        ({"people": 2}, "persons 0 to 2; 2 people are numbered from 0"),
        ({"is_same": np.array([1, 1, 1, 0])}, "pair 1 is genuine, and its persons are 0 and 1; 1 such pairs"),
        ({"is_same": np.ones(4)}, "no impostor pairs"),
        ({"scores": np.array([0, np.nan, 1, 2])}, "1 of 4 scores are not a number"),
        ({"scores": np.zeros((2, 2))}, r"shape \(2, 2\)"),
        ({"resamples": -1}, "-1 resamples"),
        ({"seed": -1}, "seed -1"),
    ):
        given_ = {"scores": scores, "is_same": is_same, "persons": persons, "people": 3, "resamples": 2, "seed": 0}
        with pytest.raises(ValueError, match=told):
            PairBootstrap(**given_ | changed)
    with pytest.raises(ValueError, match="0 people"):
        resample(0, 1, 0)
    with pytest.raises(ValueError, match="from 0 to 1"):
        PairBootstrap(scores, is_same, persons, 3, 2, 0).tpr_at([0.5, 1.5])


@pytest.mark.slow
def test_intervals_cover_the_truth_as_often_as_they_say():
    """People who are easier or harder than others: of 200 such samples, how many intervals hold the true AUC and TPR?

    Genuine scores share a person's luck, impostor scores that of two people; intervals by pair know nothing of it.
    """
    rng = np.random.default_rng(0)
    people, own = 60, 6
    first, second = np.triu_indices(people, 1)
    persons = np.concatenate([np.repeat(np.arange(people), own)[:, None].repeat(2, 1), np.stack([first, second], 1)])
    is_same = np.arange(len(persons)) < people * own
    deviations = np.sqrt(0.8**2 + 1), np.sqrt(2 * 0.6**2 + 1)  # genuine, impostor
    truth = {
        "auc": norm.cdf(2.0 / np.hypot(*deviations)),
        "tpr": norm.sf(norm.isf(0.1) * deviations[1] - 2.0, 0, deviations[0]),
    }
    statistics = {"auc": Roc.auc, "tpr": lambda curve: curve.tpr_at(0.1)}
    covered = {(how, name): 0 for how in ("people", "pairs") for name in truth}
    for sample in range(200):
        luck, other = rng.normal(0, 0.8, people), rng.normal(0, 0.6, people)
        shared = np.where(is_same, 2.0 + luck[persons[:, 0]], other[persons].sum(axis=1))
        scores = shared + rng.normal(0, 1, len(persons))
        by_people = PairBootstrap(scores, is_same, persons, people, 200, sample).replicates(statistics)
        curves = [roc(scores, is_same, rng.multinomial(len(scores), np.full(len(scores), 1 / len(scores))))
                  for _ in range(100)]  # fmt: skip
        by_pairs = {name: [statistic(curve) for curve in curves] for name, statistic in statistics.items()}
        for how, replicates in (("people", by_people), ("pairs", by_pairs)):
            for name, value in truth.items():
                low, high = np.percentile(replicates[name], [2.5, 97.5])
                covered[how, name] += low <= value <= high
    for name in truth:
        assert 0.88 <= covered["people", name] / 200 <= 0.99, covered
        assert covered["pairs", name] / 200 < 0.75, covered
