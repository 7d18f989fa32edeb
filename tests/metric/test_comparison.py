import json
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from opensphere.metric.comparison import BOOTSTRAP, FOLDS, compare, difference, holm, mcnemar
from opensphere.metric.estimate import Estimate


def over_folds(values):
    return Estimate(float(np.mean(values)), folds=np.array(values, float))


def test_folds_against_scipy():
    rng = np.random.default_rng(0)
    one, two = rng.normal(98, 1, 10), rng.normal(97.5, 1, 10)
    found = difference(over_folds(one), over_folds(two))
    expected = stats.ttest_rel(one, two)
    low, high = expected.confidence_interval(0.95)
    assert found.value == pytest.approx(np.mean(one) - np.mean(two))
    assert (found.low, found.high, found.p) == pytest.approx((low, high, expected.pvalue))
    assert found.method == FOLDS and not found.why


def test_folds_that_all_agree_or_all_differ_alike():
    values = [0.5, 0.75, 1.0]
    assert difference(over_folds(values), over_folds(values)).p == 1
    shifted = difference(over_folds(values), over_folds([v - 0.25 for v in values]))
    assert (shifted.low, shifted.high, shifted.p) == (0.25, 0.25, 0)


def test_resamples_by_counting():
    # 9 resamples: two differences below zero, one of zero, six above
    apart = np.array([3.0, -1, 2, 0, 4, -2, 1, 5, 6])
    second = np.linspace(50, 60, 9)
    found = difference(Estimate(71.0, replicates=second + apart), Estimate(69.0, replicates=second))
    assert found.value == 2 and found.method == BOOTSTRAP
    assert found.p == pytest.approx(2 * (1 + 3) / 10)
    # the 2.5th and 97.5th percentile of nine sorted numbers lie 0.2 steps from the ends
    assert (found.low, found.high) == pytest.approx((-2 + 0.2 * 1, 6 - 0.2 * 1))
    back = difference(Estimate(69.0, replicates=second), Estimate(71.0, replicates=second + apart))
    assert (back.value, back.low, back.high, back.p) == pytest.approx((-2, -found.high, -found.low, found.p))


def test_p_of_resamples_is_never_zero_nor_above_one():
    same = Estimate(1.0, replicates=np.ones(99))
    assert difference(same, same).p == 1
    assert difference(Estimate(2.0, replicates=np.full(99, 2.0)), same).p == pytest.approx(2 / 100)


def test_p_of_resamples_is_about_uniform_where_nothing_differs():
    """The mean of n numbers around 0, bootstrapped: a true null hypothesis is rejected about as often as it should."""
    rng = np.random.default_rng(1)
    rejected = 0
    for _ in range(200):
        numbers = rng.normal(0, 1, 40)
        means = (rng.multinomial(40, np.full(40, 1 / 40), 99) @ numbers) / 40
        zero = Estimate(0.0, replicates=np.zeros(99))
        rejected += difference(Estimate(float(numbers.mean()), replicates=means), zero).p <= 0.1
    assert 0.05 < rejected / 200 < 0.16


def test_resamples_that_cannot_say_are_left_out():
    one = Estimate(2.0, replicates=np.array([np.nan, 3, 1, 2]))
    two = Estimate(1.0, replicates=np.array([1, np.nan, 0.5, 0.5]))
    found = difference(one, two)
    assert found.p == pytest.approx(2 / 3) and 0.5 < found.low < found.high < 1.5
    alone = difference(one, Estimate(1.0, replicates=np.array([1, np.nan, np.nan, 1])))
    assert alone.value == 1 and np.isnan([alone.low, alone.high, alone.p]).all() and alone.why


def test_what_cannot_be_said_has_a_reason():
    known, unknown = Estimate(1.0, replicates=np.ones(3)), Estimate(float("nan"), "3 pairs are too few")
    for pair in ((known, unknown), (unknown, known)):
        found = difference(*pair)
        assert np.isnan([found.value, found.low, found.high, found.p]).all()
        assert found.why == "3 pairs are too few" and not found.method
    bare = difference(Estimate(3.0), known)
    assert bare.value == 2 and np.isnan(bare.p) and "no folds and no resamples" in bare.why
    with pytest.raises(ValueError, match="3 and 4 resamples"):
        difference(known, Estimate(1.0, replicates=np.ones(4)))
    with pytest.raises(ValueError, match="2 and 3 folds"):
        difference(over_folds([1, 2]), over_folds([1, 2, 3]))


@pytest.mark.parametrize("only_first, only_second", [(0, 0), (5, 0), (1, 8), (6, 6), (13, 20)])
def test_mcnemar_by_adding_up_the_binomial(only_first, only_second):
    first = np.array([True] * only_first + [False] * only_second + [True, False])
    second = np.array([False] * only_first + [True] * only_second + [True, False])
    number = only_first + only_second
    tail = sum(comb(number, k) for k in range(min(only_first, only_second) + 1)) / 2**number
    found = mcnemar(first, second)
    assert found[:2] == (only_first, only_second)
    assert found.p == pytest.approx(min(1, 2 * tail))
    assert mcnemar(second, first) == (only_second, only_first, found.p)


def test_mcnemar_wants_the_same_pairs():
    with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
        mcnemar(np.ones(3, bool), np.ones(4, bool))


def slow_holm(p_values):
    """A hypothesis is rejected at a level if it and all before it stay below level / (number left): the least such."""
    adjusted = []
    for own in p_values:
        least = 0.0
        for rank, p in enumerate(sorted(p_values)):
            if p <= own:
                least = max(least, p * (len(p_values) - rank))
        adjusted.append(min(1.0, least))
    return adjusted


@settings(deadline=None)
@given(st.lists(st.one_of(st.floats(0, 1), st.sampled_from([0.0, 0.01, 0.02, 1.0])), max_size=8))
def test_holm_by_its_definition(p_values):
    adjusted = holm(p_values)
    np.testing.assert_allclose(adjusted, slow_holm(p_values), rtol=1e-12)
    with_gaps = holm([np.nan, *p_values, np.nan])
    assert np.isnan(with_gaps[[0, -1]]).all()
    np.testing.assert_array_equal(with_gaps[1:-1], adjusted)


def test_holm_of_a_known_example():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


def test_every_pair_of_models_is_a_row():
    rng = np.random.default_rng(2)
    noise = rng.normal(0, 0.1, 499)
    rows = [
        {"ACC10": over_folds(rng.normal(level, 0.5, 10)), "EER": Estimate(level, replicates=level + noise), "own": None}
        for level in (90, 91, 92)
    ]
    del rows[1]["own"]
    rows[2]["EER"] = Estimate(float("nan"), "too few")
    right = [rng.random(200) < level for level in (0.6, 0.9, 0.95)]
    found = compare(["A", "B", "C"], rows, right)
    heads = [(row["first"], row["second"], row["column"]) for row in found["differences"]]
    pairs = [("A", "B"), ("A", "C"), ("B", "C")]
    assert heads == [(*pair, column) for column in ("ACC10", "EER") for pair in pairs]
    accuracy, eer = found["differences"][:3], found["differences"][3:]
    np.testing.assert_allclose([row["p (Holm)"] for row in accuracy], holm([row["p"] for row in accuracy]))
    assert accuracy[0]["p"] < accuracy[0]["p (Holm)"]  # three tests
    assert eer[0]["difference"] == -1 and eer[0]["p (Holm)"] == eer[0]["p"]  # one test: the others are not known
    assert [row["why"] for row in eer] == ["", "too few", "too few"] and np.isnan(eer[1]["p (Holm)"])
    assert [(row["first"], row["second"]) for row in found["decisions"]] == pairs
    assert found["decisions"][0]["only the first right"] == int(np.sum(right[0] & ~right[1]))
    assert found["decisions"][0]["p"] == mcnemar(right[0], right[1]).p
    json.dumps(found)


def test_decisions_where_they_are_known():
    rows = [{"ACC": Estimate(1.0)}] * 3
    right = [np.array([True, False]), None, np.array([True, True])]
    assert compare(["A", "B", "C"], rows)["decisions"] == []
    (only,) = compare(["A", "B", "C"], rows, right)["decisions"]
    assert (only["first"], only["second"], only["only the second right"]) == ("A", "C", 1)
    assert compare(["A"], rows[:1]) == {"differences": [], "decisions": []}
    with pytest.raises(ValueError, match="2 names for 3 rows"):
        compare(["A", "B"], rows)
