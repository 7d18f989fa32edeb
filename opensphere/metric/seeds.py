"""Several trainings on one set of people: how sure their mean is, and the difference of two methods.

Another seed would give another number, and other people too. The number of seed s is taken to be

    d_s = truth + A(people) + B_s + C_s(people),

with A what the people do to all seeds alike, B_s the luck of a training, C_s how the two meet. The mean of S seeds has
the variance var A + (var B + var C) / S, and both of its parts can be estimated:

- The variance of the d_s over the seeds, divided by S: (var B + var C) / S, with S - 1 degrees of freedom.
- The covariance of two seeds over the resamples of the people, the mean over all pairs of seeds: var A alone, for A is
  all that two seeds have in common, so that nothing is counted twice. With V the variance of a seed over the resamples
  (the mean over the seeds) and M that of the mean over the seeds, it is (S M - V) / (S - 1). Below zero it is taken for
  zero. Where d_s is the mean of K folds, the folds stand for the resamples, and the same is divided by K.

The seeds' part is known from few numbers, the people's from many, so that their sum has no t distribution of its own.
Each part is widened by its own quantile. The mean is uncertain by

    sqrt(t^2 * (part of the seeds) + t'^2 * (part of the people)),

t and t' being Student's with S - 1 and with R - 1 (or K - 1) degrees of freedom (Banerjee 1960). This covers the truth
at least as often as it says, at any confidence, where errors are normal and the two parts are estimated independently:
the chance of it is a concave function of the two estimates. It is exact where one part is alone. Degrees of freedom of
the sum (Satterthwaite 1946) make shorter intervals, but they fail at the small p that Holm's correction asks for.
Percentiles are no way here: a few seeds have none, and those of the resamples know nothing of the seeds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from opensphere.metric.comparison import BOOTSTRAP, FOLDS, difference
from opensphere.metric.estimate import CONFIDENCE, Estimate

SEEDS = "t over seeds"
SEEDS_FOLDS, SEEDS_PEOPLE = f"{SEEDS} and folds", f"{SEEDS} and bootstrap over people"
_ONE = "; one seed, nothing is known of others"
_ALIKE = 1e-9  # of a number: what is nearer to it is the same, but for rounding
_LEAST = 1e-100  # no p is below


@dataclass(frozen=True)
class Spread:
    """The mean over seeds, and how far it may be from that of all seeds and all people.

    Attributes:
        value: the mean over the seeds; NaN where it cannot be said, `why` then tells the reason.
        low, high: ends of the interval; NaN where there is none, `why` then tells the reason.
        p: two-sided, of "the mean is 0", which is a question for differences only; NaN where there is no interval, and
            for the mean of one seed.
        seed_error: the standard error that the seeds make; NaN with one seed.
        people_error: the standard error that the people make, beyond what the seeds' holds; NaN where neither
            folds nor resamples are known.
        seeds: how many there are.
        method: how interval and p were found; empty where they were not.
        why: the reason then.
    """

    value: float
    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    seed_error: float = float("nan")
    people_error: float = float("nan")
    seeds: int = 0
    method: str = ""
    why: str = ""


@dataclass(frozen=True)
class _People:
    """What is known of the people's part.

    Attributes:
        variance: of the mean over the seeds, by the people alone.
        degrees: of freedom.
        of_folds: whether folds tell it, not resamples.
    """

    variance: float
    degrees: int
    of_folds: bool


def over_seeds(estimates: Sequence[Estimate], confidence: float = CONFIDENCE) -> Spread:
    """The mean of one metric on one set, over trainings that differ in their seed alone.

    The people's part is taken from folds where all seeds have them, else from the resamples that all can say something
    of. Without either, the interval is for other seeds and these very people. With one seed it is that of the estimate:
    for other people and this very training.

    Args:
        estimates: one a seed.
        confidence: of the interval.

    Raises:
        ValueError: there are none, or they have not as many folds, or resamples.
    """
    values, why = _values(estimates)
    if why:
        return Spread(float("nan"), seeds=len(estimates), why=why)
    people = _people(*_tables(estimates))
    if len(estimates) == 1:
        low, high = estimates[0].interval(confidence)
        return _of_one_seed(float(values[0]), low, high, float("nan"), people)
    return _spread(values, people, confidence)


def paired(first: Sequence[Estimate], second: Sequence[Estimate], confidence: float = CONFIDENCE) -> Spread:
    """The mean over seeds of the first method less the second, which share seed by seed what chance they can.

    The differences are taken seed by seed, resample by resample and fold by fold; then as `over_seeds`. With one seed
    it is `comparison.difference`. Correct p of several comparisons by `comparison.holm`.

    Args:
        first, second: of each method one estimate a seed, the seeds in the same order.
        confidence: of the interval.

    Raises:
        ValueError: there are none, or the two have not as many seeds, folds, or resamples.
    """
    seeds = len(first)
    if seeds != len(second):
        raise ValueError(f"{seeds} and {len(second)} seeds: the two are compared seed by seed")
    both = [*first, *second]
    values, why = _values(both)
    if why:
        return Spread(float("nan"), seeds=seeds, why=why)
    people = _people(*(None if table is None else table[:seeds] - table[seeds:] for table in _tables(both)))
    if seeds == 1:
        found = difference(first[0], second[0], confidence)
        return _of_one_seed(found.value, found.low, found.high, found.p, people)
    return _spread(values[:seeds] - values[seeds:], people, confidence)


def _values(estimates: Sequence[Estimate]) -> tuple[np.ndarray, str]:
    """(N,) the values, and why one of them is not known; empty where all are."""
    if not estimates:
        raise ValueError("there are no estimates of any seed")
    values = np.array([estimate.value for estimate in estimates], np.float64)
    unknown = np.flatnonzero(~np.isfinite(values))
    return values, (estimates[unknown[0]].why or "a value is not known") if len(unknown) else ""


def _tables(estimates: Sequence[Estimate]) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The folds (N, K) and the resamples (N, R)."""
    return _table([e.folds for e in estimates], "folds"), _table([e.replicates for e in estimates], "resamples")


def _table(rows: Sequence[np.ndarray | None], what: str) -> np.ndarray | None:
    """(N, R), of each estimate a row; None where one has none."""
    known = [row for row in rows if row is not None]
    lengths = sorted({len(row) for row in known})
    if len(lengths) > 1:
        raise ValueError(f"{lengths[0]} and {lengths[-1]} {what}: not all were measured on the same ones")
    return np.stack(known).astype(np.float64) if len(known) == len(rows) else None


def _people(folds: np.ndarray | None, resamples: np.ndarray | None) -> _People | None:
    """The people's part; None where it is not known.

    Args:
        folds: (S, K).
        resamples: (S, R); one that cannot say for a seed is left out for all.
    """
    if folds is not None:
        number = folds.shape[1]
        return _People(_common_variance(folds) / number, number - 1, True) if number > 1 else None
    if resamples is None:
        return None
    known = resamples[:, np.isfinite(resamples).all(axis=0)]
    return _People(_common_variance(known), known.shape[1] - 1, False) if known.shape[1] > 1 else None


def _common_variance(rows: np.ndarray) -> float:
    """The covariance of two rows, the mean over all pairs of rows; of one row, its variance."""
    seeds = len(rows)
    of_mean = float(np.var(rows.mean(axis=0), ddof=1))
    if seeds == 1:
        return of_mean
    of_one = float(np.var(rows, axis=1, ddof=1).mean())
    return max(0.0, (seeds * of_mean - of_one) / (seeds - 1))


def _of_one_seed(value: float, low: float, high: float, p: float, people: _People | None) -> Spread:
    if people is None:
        return Spread(value, seeds=1, why="one seed, and neither folds nor resamples of the people")
    error = float(np.sqrt(people.variance))
    if value and error <= _ALIKE * abs(value):
        return Spread(value, people_error=error, seeds=1, why="one seed, and the people make no difference to it")
    method = (FOLDS if people.of_folds else BOOTSTRAP) + _ONE
    return Spread(value, low, high, p, people_error=error, seeds=1, method=method)


def _spread(values: np.ndarray, people: _People | None, confidence: float) -> Spread:
    """Of (S,) values, S > 1."""
    seeds, value = len(values), float(values.mean())
    of_seeds = float(np.var(values, ddof=1)) / seeds
    seed_error = float(np.sqrt(of_seeds))
    people_error = float("nan") if people is None else float(np.sqrt(people.variance))
    if value and float(np.ptp(values)) <= _ALIKE * abs(value):
        # a coincidence of few or coarse numbers: no reason to think that all other seeds agree
        why = f"all {seeds} seeds agree exactly, which tells nothing of others"
        return Spread(value, seed_error=seed_error, people_error=people_error, seeds=seeds, why=why)
    parts = [(of_seeds, seeds - 1)] + ([(people.variance, people.degrees)] if people else [])
    reach, p = _reach(1 - confidence, parts), _p(abs(value), parts)
    method = SEEDS if people is None else SEEDS_FOLDS if people.of_folds else SEEDS_PEOPLE
    return Spread(value, value - reach, value + reach, p, seed_error, people_error, seeds, method)


def _reach(level: float, parts: Sequence[tuple[float, int]]) -> float:
    """How far the mean may be from the truth, but for a chance of `level`.

    Args:
        level: two-sided.
        parts: variances and their degrees of freedom.
    """
    return float(np.sqrt(sum(special.stdtrit(degrees, level / 2) ** 2 * variance for variance, degrees in parts)))


def _p(distance: float, parts: Sequence[tuple[float, int]]) -> float:
    """The level whose reach is the distance of the mean from 0."""
    if distance == 0:
        return 1.0
    if _reach(_LEAST, parts) <= distance:
        return _LEAST
    return float(np.exp(optimize.brentq(lambda log: _reach(np.exp(log), parts) - distance, np.log(_LEAST), 0)))
