"""Genuine and impostor attempts, of which only the highest impostors are kept, as many as low rates rest on.

An attempt, a comparison or a search, is accepted when its score reaches a threshold, and those whose scores tie are
accepted together. All rates are shares, not per cent. FPR is also called FAR, or FPIR where the attempts are searches.
"""

from dataclasses import dataclass

import numpy as np

from opensphere.metric.bootstrap import first_beyond
from opensphere.metric.roc import most_accepted

_HELD = 1 << 22  # weights held at once, of several resamples


@dataclass(frozen=True, eq=False)
class Attempts:
    """What rates of acceptance are read from.

    Attributes:
        genuine: (A,) scores, descending; minus infinity for what no threshold accepts.
        genuine_person: (A,) int from 0, whose each is.
        impostor: (K,) scores, descending: the highest.
        impostor_persons: (K, 1) or (K, 2) int from 0, the people who take part in each.
        impostors: how many there are, kept or not.
    """

    genuine: np.ndarray
    genuine_person: np.ndarray
    impostor: np.ndarray
    impostor_persons: np.ndarray
    impostors: int

    def reaches(self, fpr: float) -> bool:
        """Whether enough impostors are kept for `tpr_at`."""
        return len(self.impostor) >= min(int(most_accepted(fpr, self.impostors)) + 1, self.impostors)

    def too_few(self, fpr: float) -> str:
        """Why there is no TPR at an FPR; empty if there is one."""
        if not len(self.genuine):
            return "there are no genuine attempts"
        if most_accepted(fpr, self.impostors) < 1:
            told = f"{fpr:g}".replace("e-0", "e-")
            return f"FPR {told} of {self.impostors:,} impostor attempts is less than one"
        return ""

    def tpr_at(self, fpr: float) -> float:
        """The largest share of the genuine that a threshold accepts while the share of impostors is at most `fpr`.

        NaN where there is none (`too_few`).

        Raises:
            ValueError: too few impostors are kept (`reaches`).
        """
        if self.too_few(fpr):
            return float("nan")
        if not self.reaches(fpr):
            raise ValueError(f"FPR {fpr} needs more than the {len(self.impostor)} impostors that are kept")
        accepted = int(most_accepted(fpr, self.impostors))
        # a threshold at this score or lower would accept one impostor more
        limit = self.impostor[accepted] if accepted < self.impostors else -np.inf
        return float(np.mean(self.genuine > limit))

    def resampled_tpr_at(self, fpr: float, weights: np.ndarray, impostors: np.ndarray) -> np.ndarray:
        """`tpr_at` on each of R resamples of the people: an attempt counts as often as the product of its people's
        weights says.

        Args:
            weights: (R, people) whole numbers, how often each person was drawn.
            impostors: (R,) whole numbers, the weight of all impostors in each resample, kept or not.

        Returns:
            (R,), NaN where a resample cannot say: it has nothing genuine or no impostors, or its threshold lies below
            the impostors that are kept; NaN everywhere if `too_few`.
        """
        if self.too_few(fpr):
            return np.full(len(weights), np.nan)
        whole = len(self.impostor) == self.impostors
        limits = np.append(self.impostor.astype(np.float64), -np.inf if whole else np.nan)
        persons = np.broadcast_to(self.impostor_persons, (len(self.impostor), 2))  # one person twice counts once
        limit = limits[first_beyond(persons, weights, most_accepted(fpr, impostors)[:, None])[:, 0]]
        limit[impostors == 0] = np.nan
        above = np.searchsorted(-self.genuine, -np.nan_to_num(limit, nan=np.inf))  # how many are higher
        share = _weight_of_first(self.genuine_person, above, weights)
        total = weights @ np.bincount(self.genuine_person, minlength=weights.shape[1])
        return np.where(np.isnan(limit) | (total == 0), np.nan, share / np.maximum(total, 1))


def _weight_of_first(who: np.ndarray, counts: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,): in resample r, the weight of the first `counts[r]` attempts, whose persons are `who`."""
    shared, last = int(counts.min()), int(counts.max())
    sums = weights @ np.bincount(who[:shared], minlength=weights.shape[1])
    rest = who[shared:last]
    step = max(1, _HELD // max(1, len(rest)))
    for start in range(0, len(weights), step):
        rows = np.cumsum(weights[start : start + step][:, rest], axis=1, dtype=np.int64)
        rows = np.pad(rows, ((0, 0), (1, 0)))
        sums[start : start + step] += rows[np.arange(len(rows)), counts[start : start + step] - shared]
    return sums
