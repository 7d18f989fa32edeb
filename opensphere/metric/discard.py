"""Error versus discard: what a quality measure is worth, by the errors that vanish with the worst images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from opensphere.metric.roc import roc


@dataclass(frozen=True, eq=False)
class DiscardCurve:
    """The false non-match rate of the genuine pairs that remain when those of lowest quality are discarded.

    Attributes:
        fnmr: (G,) after 0, 1, ... G - 1 of the G genuine pairs are discarded.
    """

    fnmr: np.ndarray

    def at(self, shares: float | Sequence[float] | np.ndarray) -> np.ndarray:
        """The FNMR when a share of the pairs is discarded, rounded down to whole pairs.

        Raises:
            ValueError: a share is not in 0..1, without 1: some pairs must remain.
        """
        shares = np.asarray(shares, np.float64)
        if not np.all((shares >= 0) & (shares < 1)):
            raise ValueError(f"shares {shares}: discard 0 or more and less than all")
        return self.fnmr[np.floor(np.round(shares * len(self.fnmr), 9)).astype(int)]  # 0.29 x 100 are 29 pairs

    def area(self, most: float = 1.0) -> float:
        """The area under the curve from 0 to a share `most` of discarded pairs; the curve is a step for each pair.

        Small is good. A small `most`, such as 0.2, keeps to what may happen: nobody discards half of the faces.

        Raises:
            ValueError: `most` is not above 0 and at most 1.
        """
        if not 0 < most <= 1:
            raise ValueError(f"most {most}: give a share above 0 and at most 1")
        widths = np.clip(most * len(self.fnmr) - np.arange(len(self.fnmr)), 0, 1)
        return float(self.fnmr @ widths / len(self.fnmr))


def discard(scores: np.ndarray, is_same: np.ndarray, quality: np.ndarray, threshold: float) -> DiscardCurve:
    """The curve of Grother & Tabassi (2007) at one threshold; a pair is as good as the worse of its images.

    Where pairs are of equal quality, the curve is the mean over all orders in which they may be discarded.

    Args:
        scores: (P,), higher for pairs that look more alike; a genuine pair below the threshold is an error.
        is_same: (P,) bool; impostor pairs are left alone.
        quality: (P, 2) of the two images of each pair, higher is better.
        threshold: fixed, whatever is discarded.

    Raises:
        ValueError: shapes do not fit, there are no genuine pairs, or something is not a number.
    """
    scores, is_same, quality = np.asarray(scores), np.asarray(is_same, bool), np.asarray(quality)
    if scores.ndim != 1 or is_same.shape != scores.shape or quality.shape != (*scores.shape, 2):
        shapes = f"scores of shape {scores.shape}, is_same of {is_same.shape}, quality of {quality.shape}"
        raise ValueError(f"{shapes}; they should be (P,), (P,) and (P, 2)")
    if not is_same.any():
        raise ValueError(f"there are no genuine pairs among {len(scores)}")
    if np.isnan(scores).any() or np.isnan(quality).any() or np.isnan(threshold):
        raise ValueError("a score, a quality or the threshold is not a number")
    worse = quality[is_same].min(axis=1)
    order = np.argsort(worse, kind="stable")
    worse, missed = worse[order], scores[is_same][order] < threshold
    last = np.flatnonzero(np.append(worse[1:] != worse[:-1], True))  # of each run of equal quality
    gone = np.arange(len(missed))
    errors_gone = np.interp(gone, np.append(0, last + 1), np.append(0, np.cumsum(missed)[last]))
    return DiscardCurve((missed.sum() - errors_gone) / (len(missed) - gone))


def discard_at(scores: np.ndarray, is_same: np.ndarray, quality: np.ndarray, fmr: float) -> DiscardCurve:
    """`discard` at the threshold whose false match rate is `fmr` before anything is discarded.

    Raises:
        ValueError: as `discard` and `roc`, or there are too few impostor pairs for such a rate.
    """
    curve = roc(scores, is_same)
    if why := curve.too_few(fmr):
        raise ValueError(why)
    return discard(scores, is_same, quality, float(curve.threshold_at(fmr)))
