"""The receiver operating characteristic of scores, and the numbers that are read from it.

A pair is accepted when its score reaches a threshold. FPR, the share of impostor pairs that are accepted, is also
called FAR or FMR; TPR, the share of genuine pairs that are accepted, is also called TAR or 1 - FNMR. All are shares,
not per cent.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Roc:
    """What each threshold accepts. The K points start with a threshold that accepts nothing; then each distinct score,
    from the highest to the lowest, is one. Scores that tie are accepted together.

    Attributes:
        thresholds: (K,) float64, descending; the first is infinite.
        false_accepts: (K,) int64, impostor pairs whose score is at least the threshold.
        true_accepts: (K,) int64, genuine pairs likewise.
    """

    thresholds: np.ndarray
    false_accepts: np.ndarray
    true_accepts: np.ndarray

    @property
    def impostors(self) -> int:
        return int(self.false_accepts[-1])

    @property
    def genuines(self) -> int:
        return int(self.true_accepts[-1])

    @property
    def fpr(self) -> np.ndarray:
        return self.false_accepts / self.impostors

    @property
    def tpr(self) -> np.ndarray:
        return self.true_accepts / self.genuines

    def tpr_at(self, fprs: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """The TPR at each FPR, on straight lines between the points; where the curve is vertical, its upper end."""
        return np.interp(fprs, self.fpr, self.tpr)

    def correct(self) -> np.ndarray:
        """(K,) int64: how many pairs each threshold decides rightly."""
        return self.true_accepts + (self.impostors - self.false_accepts)

    def eer(self) -> float:
        """The rate at which FPR = 1 - TPR, on straight lines between the points."""
        # in whole numbers, times genuines and impostors: negative before the crossing, and always rising
        gap = self.false_accepts * self.genuines + self.true_accepts * self.impostors - self.genuines * self.impostors
        after = int(np.searchsorted(gap, 0))
        before = after - 1  # exists: the first gap is negative, the last positive
        share = gap[before] / (gap[before] - gap[after])
        low, high = self.false_accepts[before], self.false_accepts[after]
        return float((low + share * (high - low)) / self.impostors)

    def auc(self) -> float:
        """The area under the curve: the chance that a genuine score exceeds an impostor's, a tie counting half."""
        width = np.diff(self.false_accepts)
        double_height = self.true_accepts[1:] + self.true_accepts[:-1]
        return int(width @ double_height) / (2 * self.impostors * self.genuines)


def roc(scores: np.ndarray, is_same: np.ndarray) -> Roc:
    """The ROC of P pairs, in the time of one sort.

    Args:
        scores: (P,), higher for pairs that look more alike.
        is_same: (P,) bool, genuine or impostor.

    Raises:
        ValueError: a score is not a number, lengths differ, or there are no genuine or no impostor pairs.
    """
    scores, is_same = np.asarray(scores), np.asarray(is_same, bool)
    if scores.ndim != 1 or scores.shape != is_same.shape:
        raise ValueError(f"scores of shape {scores.shape} for is_same of shape {is_same.shape}; both should be (P,)")
    genuine = np.sort(scores[is_same])
    if len(genuine) in (0, len(scores)):
        kind = "impostor" if len(genuine) else "genuine"
        raise ValueError(f"there are no {kind} pairs among {len(scores)}; a ROC needs both kinds")
    ordered = np.sort(scores)[::-1]
    if np.isnan(ordered[0]):  # NaN is sorted above every number
        raise ValueError(f"{int(np.isnan(scores).sum())} of {len(scores)} scores are not a number")
    last = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True))  # of each run of equal scores
    thresholds = ordered[last]
    accepts = last + 1
    true_accepts = len(genuine) - np.searchsorted(genuine, thresholds)
    return Roc(
        np.concatenate([[np.inf], thresholds]),
        np.concatenate([[0], accepts - true_accepts]),
        np.concatenate([[0], true_accepts]),
    )


def tpr_at_fpr(scores: np.ndarray, is_same: np.ndarray, fprs: float | Sequence[float] | np.ndarray) -> np.ndarray:
    """The TPR at each FPR by linear interpolation on the ROC, as OpenSphere reads it.

    Without ties this is a step: the share of genuine scores above the impostor score number floor(FPR x impostors) + 1
    from the top. An FPR below 1 / impostors is read in the same way, although no threshold has been seen to reach it.
    Arguments and errors as `roc`.
    """
    return roc(scores, is_same).tpr_at(fprs)


def eer(scores: np.ndarray, is_same: np.ndarray) -> float:
    """The equal error rate (`Roc.eer`). Arguments and errors as `roc`."""
    return roc(scores, is_same).eer()


def auc(scores: np.ndarray, is_same: np.ndarray) -> float:
    """The area under the ROC (`Roc.auc`). Arguments and errors as `roc`."""
    return roc(scores, is_same).auc()


def accuracy(scores: np.ndarray, is_same: np.ndarray) -> float:
    """The share of pairs that the best of all thresholds decides rightly, chosen on these very pairs: OpenSphere's ACC.

    Arguments and errors as `roc`.
    """
    return int(roc(scores, is_same).correct().max()) / len(scores)
