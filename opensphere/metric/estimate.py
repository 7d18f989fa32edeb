"""A number with what is known of its uncertainty."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

CONFIDENCE = 0.95


@dataclass(frozen=True, eq=False)
class Estimate:
    """A metric's value and how far it may be from the truth.

    Attributes:
        value: NaN where it cannot be said; `why` then tells the reason.
        why: a short reason, empty where there is a value.
        replicates: (R,) the values on R resamples of the people, the same resamples for every model that is measured
            on one set, so that two models can be compared resample by resample; None where there are none.
        folds: (K,) the values on K folds whose mean `value` is; None where it is no such mean.
    """

    value: float
    why: str = ""
    replicates: np.ndarray | None = None
    folds: np.ndarray | None = None

    @property
    def error(self) -> float:
        """The standard error: of the mean over the folds, else the deviation of the replicates; NaN with neither."""
        known = self._known() if self.folds is None else self.folds
        if len(known) < 2:
            return float("nan")
        deviation = float(np.std(known, ddof=1))
        return deviation if self.folds is None else deviation / float(np.sqrt(len(known)))

    def interval(self, confidence: float = CONFIDENCE) -> tuple[float, float]:
        """Its lower and upper end: Student's t over the folds, else percentiles of the replicates; NaN with neither."""
        if self.folds is not None:
            reach = float(stats.t.ppf((1 + confidence) / 2, len(self.folds) - 1)) * self.error
            return self.value - reach, self.value + reach
        known = self._known()
        if np.isnan(self.value) or len(known) < 2:
            return float("nan"), float("nan")
        low, high = np.percentile(known, [50 * (1 - confidence), 50 * (1 + confidence)])
        return float(low), float(high)

    def times(self, factor: float) -> "Estimate":
        """The same in another unit: 100 for per cent."""
        scaled = [None if values is None else factor * values for values in (self.replicates, self.folds)]
        return Estimate(factor * self.value, self.why, *scaled)

    def _known(self) -> np.ndarray:
        if self.replicates is None:
            return np.empty(0)
        return self.replicates[~np.isnan(self.replicates)]


def mean(estimates: Sequence[Estimate]) -> Estimate:
    """The mean of estimates of one quantity, replicate by replicate and fold by fold: checkpoints of one run, say.

    Where one of them cannot be said, the mean cannot, for the same reason.

    Raises:
        ValueError: there are none, or they have not as many replicates, or folds.
    """
    if not estimates:
        raise ValueError("there are no estimates to take the mean of")
    why = next((estimate.why for estimate in estimates if estimate.why), "")
    parts = []
    for rows in ([e.replicates for e in estimates], [e.folds for e in estimates]):
        parts.append(None if any(row is None for row in rows) else np.mean(np.stack(rows), axis=0))  # type: ignore[arg-type]
    return Estimate(float(np.mean([estimate.value for estimate in estimates])), why, *parts)
