"""What a protocol finds out about the features of a set."""

from dataclasses import dataclass, field

import numpy as np

from opensphere.metric.estimate import Estimate


@dataclass(frozen=True, eq=False)
class Measurement:
    """The row of a table, with its uncertainty.

    Attributes:
        estimates: by column, in the table's units: per cent, but for thresholds and d-prime.
        correct: (P,) bool, which pairs were decided rightly, for paired tests between models: on sets with folds with
            the threshold of the other folds, else with the best threshold; None where no pairs are decided.
        facts: what the numbers rest on, such as {"genuine pairs": 3000, "impostor pairs": 3000, "people": 4281}.
    """

    estimates: dict[str, Estimate]
    correct: np.ndarray | None = None
    facts: dict[str, int | str] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        """The values alone, by column."""
        return {column: estimate.value for column, estimate in self.estimates.items()}
