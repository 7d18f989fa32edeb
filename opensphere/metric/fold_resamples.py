"""The ten-fold accuracy of resamples of the people."""

from collections.abc import Iterator

import numpy as np

_BLOCK = 1 << 20  # weights held at once: a few MiB


def resampled_ten_fold(
    scores: np.ndarray, is_same: np.ndarray, folds: np.ndarray, persons: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The mean over the folds of `ten_fold`, where each pair counts as often as its people were drawn.

    A pair of one person counts as often as the person was drawn, a pair of two as often as the product of both says.
    The candidates for the thresholds stay those of the sample: midpoints between successive scores of the other folds,
    drawn or not, and the two ends; among equally good ones, the highest.

    Args:
        scores: (P,).
        is_same: (P,) bool.
        folds: (P,), the fold of each pair.
        persons: (P, 2) int from 0, the persons of the two images of each pair.
        weights: (R, people) whole numbers, how often each person was drawn (`resample`).

    Returns:
        (R,) shares, NaN for a resample without pairs in a fold, or without both kinds outside one.
    """
    order = np.argsort(-scores, kind="stable")
    scores, is_same, folds = scores[order].astype(np.float64), is_same[order], folds[order]
    one, other = persons[order].T
    splits = [_Split.of(scores, folds == fold) for fold in np.unique(folds)]
    found = np.empty(len(weights))
    for rows in _blocks(len(weights), len(scores)):
        drawn = weights[rows].astype(np.int64)
        pair = drawn[:, one]
        pair[:, one != other] *= drawn[:, other[one != other]]
        accuracies = [split.accuracy(pair, is_same) for split in splits]
        found[rows] = np.mean(accuracies, axis=0)
    return found


class _Split:
    """One fold against the others. Pairs are in order of their scores, the highest first.

    Attributes:
        held_out: (P,) bool.
        ends: (K,) how many pairs outside the fold each of the K candidates for the threshold accepts.
        accepted: (K,) how many of the fold.
    """

    def __init__(self, held_out: np.ndarray, ends: np.ndarray, accepted: np.ndarray):
        self.held_out = held_out
        self.ends = ends
        self.accepted = accepted

    @classmethod
    def of(cls, scores: np.ndarray, held_out: np.ndarray) -> "_Split":
        known, own = scores[~held_out], scores[held_out]
        ends = np.flatnonzero(np.append(known[1:] != known[:-1], True)) + 1
        values = known[ends - 1]  # the distinct scores
        middle = values[:-1] / 2 + values[1:] / 2
        middle = np.where(middle == values[:-1], values[1:], middle)  # as `best_threshold` between neighbouring numbers
        thresholds = np.concatenate([[np.inf], middle, [-np.inf]])
        return cls(held_out, np.append(0, ends), np.searchsorted(-own, -thresholds))

    def accuracy(self, weight: np.ndarray, is_same: np.ndarray) -> np.ndarray:
        """(R,) of the fold, for weights (R, P) of the pairs."""
        outside, own = self.ends[-1], ~is_same[self.held_out]
        known, fold = weight[:, ~self.held_out], weight[:, self.held_out]
        genuine = is_same[~self.held_out]
        gain = np.zeros((len(weight), outside + 1), np.int64)  # of accepting so many, over accepting none
        np.cumsum(np.where(genuine, known, -known), axis=1, out=gain[:, 1:])
        best = self.accepted[np.argmax(gain[:, self.ends], axis=1)]
        sums = np.zeros((len(weight), fold.shape[1] + 1), np.int64)
        np.cumsum(np.where(own, -fold, fold), axis=1, out=sums[:, 1:])
        total = fold.sum(axis=1)
        right = sums[np.arange(len(weight)), best] + fold[:, own].sum(axis=1)
        sure = (total > 0) & known[:, genuine].any(axis=1) & known[:, ~genuine].any(axis=1)
        return np.where(sure, right / np.maximum(total, 1), np.nan)


def _blocks(resamples: int, pairs: int) -> Iterator[slice]:
    step = max(1, _BLOCK // pairs)
    for start in range(0, resamples, step):
        yield slice(start, start + step)
