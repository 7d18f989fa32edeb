"""Paired comparison: whether two models differ on the same pairs by more than chance would make them.

Models that are measured on one set share its luck: its easy people, its hard pairs. So they are compared resample by
resample, fold by fold and pair by pair, which tells far smaller differences apart than two intervals side by side do.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from scipy import stats

from opensphere.metric.estimate import CONFIDENCE, Estimate

LEVEL = 0.05  # at which a corrected p is called more than chance
BOOTSTRAP, FOLDS, EXACT = "bootstrap over people", "paired t over folds", "exact McNemar"


@dataclass(frozen=True)
class Difference:
    """How far a first model is above a second one.

    Attributes:
        value: the first less the second, in their unit.
        low, high: ends of the interval; NaN where there is none.
        p: two-sided, of "no difference"; NaN where there is none.
        method: how interval and p were found; empty where they were not.
        why: the reason then.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    method: str = ""
    why: str = ""


class Decisions(NamedTuple):
    """What McNemar's test found: the pairs that only one of two models decides rightly, and p, two-sided."""

    only_first: int
    only_second: int
    p: float


def difference(first: Estimate, second: Estimate, confidence: float = CONFIDENCE) -> Difference:
    """The first estimate less the second, of one metric on one set.

    Over K folds, where both have them: Student's t of the fold-wise differences, interval and p. Thresholds of folds
    are chosen on parts that overlap, so that this p may be somewhat too small (Bengio & Grandvalet 2004).

    Else over R resamples of the people, the same ones for both: the interval is made of percentiles of the differences,
    and p = 2 (1 + min(number <= 0, number >= 0)) / (R + 1), at most 1: twice the share of resamples on the other side
    of zero, the sample itself counted among them (Davison & Hinkley 1997), so that it is never 0. Resamples that
    cannot say for one of the two are left out.

    Raises:
        ValueError: the two have not as many folds, or resamples.
    """
    value = first.value - second.value
    for estimate in (first, second):
        if np.isnan(estimate.value):
            return Difference(float("nan"), why=estimate.why or "a value is not known")
    if first.folds is not None and second.folds is not None:
        return _over_folds(value, *_aligned(first.folds, second.folds, "folds"), confidence)
    if first.replicates is None or second.replicates is None:
        return Difference(value, why="there are no folds and no resamples of both")
    return _over_resamples(value, *_aligned(first.replicates, second.replicates, "resamples"), confidence)


def _aligned(first: np.ndarray, second: np.ndarray, what: str) -> tuple[np.ndarray, np.ndarray]:
    if len(first) != len(second):
        raise ValueError(f"{len(first)} and {len(second)} {what}: the two were not measured on the same ones")
    return np.asarray(first, np.float64), np.asarray(second, np.float64)


def _over_folds(value: float, first: np.ndarray, second: np.ndarray, confidence: float) -> Difference:
    apart = first - second
    if not apart.any():
        return Difference(value, value, value, 1.0, FOLDS)
    free = len(apart) - 1
    error = float(np.std(apart, ddof=1) / np.sqrt(len(apart)))
    reach = float(stats.t.ppf((1 + confidence) / 2, free)) * error
    p = float(2 * stats.t.sf(abs(np.mean(apart)) / error, free)) if error > 0 else 0.0
    return Difference(value, value - reach, value + reach, p, FOLDS)


def _over_resamples(value: float, first: np.ndarray, second: np.ndarray, confidence: float) -> Difference:
    apart = first - second
    apart = apart[~np.isnan(apart)]
    if len(apart) < 2:
        return Difference(value, why="the resamples cannot say")
    low, high = np.percentile(apart, [50 * (1 - confidence), 50 * (1 + confidence)])
    other_side = min(int(np.sum(apart <= 0)), int(np.sum(apart >= 0)))
    return Difference(value, float(low), float(high), min(1.0, 2 * (1 + other_side) / (len(apart) + 1)), BOOTSTRAP)


def mcnemar(first: np.ndarray, second: np.ndarray) -> Decisions:
    """Whether two models decide as many of the same pairs rightly: McNemar (1947), the exact binomial test.

    Only pairs on which they part say anything; without a difference each falls to either side like a coin. The test
    takes pairs for independent, which those that share people are not quite.

    Args:
        first, second: (P,) bool, the pairs that each decides rightly.

    Raises:
        ValueError: they are not of one length.
    """
    first, second = np.asarray(first, bool), np.asarray(second, bool)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"decisions of shape {first.shape} and {second.shape}; both should be (P,)")
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(second & ~first))
    apart = only_first + only_second
    p = float(stats.binomtest(only_first, apart, 0.5).pvalue) if apart else 1.0
    return Decisions(only_first, only_second, p)


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """p corrected for the number of tests (Holm 1979): below a level, they are wrong anywhere at most that often.

    The k-th smallest of n is multiplied by n - k + 1, and none stays below a smaller one's.

    Args:
        p_values: (n,); NaN is no test, stays NaN and is not counted.

    Returns:
        (n,) float64, at most 1.
    """
    given = np.asarray(p_values, np.float64)
    tests = np.flatnonzero(~np.isnan(given))
    order = tests[np.argsort(given[tests], kind="stable")]
    adjusted = np.full(len(given), np.nan)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(given[order] * np.arange(len(order), 0, -1)))
    return adjusted


Rows = list[dict[str, Any]]


def compare(
    names: Sequence[str],
    estimates: Sequence[Mapping[str, Estimate]],
    correct: Sequence[np.ndarray | None] = (),
) -> dict[str, Rows]:
    """Every pair of models on one set, as rows of tables.

    Args:
        names: of the models.
        estimates: of each, by column; columns that not all have are left out.
        correct: of each, (P,) bool, the pairs that it decides rightly; None or nothing where there are no decisions.

    Returns:
        "differences", a row for each column and pair of models, and "decisions", a row for each pair of models whose
        decisions are known. Both have "p" and "p (Holm)", which is corrected over all pairs of models: of that column,
        and of McNemar's test. What is not known is NaN.

    Raises:
        ValueError: the lengths differ, or models were not measured on the same folds, resamples or pairs.
    """
    if len(names) != len(estimates) or len(correct) not in (0, len(names)):
        raise ValueError(f"{len(names)} names for {len(estimates)} rows of estimates and {len(correct)} of decisions")
    shared = [column for column in (estimates[0] if estimates else {}) if all(column in row for row in estimates)]
    differences: Rows = []
    for column in shared:
        found = []
        for (one, other), heads in _pairs(names):
            apart = difference(estimates[one][column], estimates[other][column])
            found.append({**heads, "column": column, "difference": apart.value, "low": apart.low, "high": apart.high})
            found[-1] |= {"p": apart.p, "p (Holm)": float("nan"), "method": apart.method, "why": apart.why}
        differences += _corrected(found)
    decisions: Rows = []
    for (one, other), heads in _pairs(names) if correct else ():
        first, second = correct[one], correct[other]
        if first is not None and second is not None:
            seen = mcnemar(first, second)
            counts = {"only the first right": seen.only_first, "only the second right": seen.only_second}
            decisions.append({**heads, **counts, "p": seen.p, "p (Holm)": float("nan"), "method": EXACT})
    return {"differences": differences, "decisions": _corrected(decisions)}


def _pairs(names: Sequence[str]) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
    for one, other in combinations(range(len(names)), 2):
        yield (one, other), {"first": names[one], "second": names[other]}


def _corrected(rows: Rows) -> Rows:
    for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p (Holm)"] = float(p)
    return rows
