"""The receiver operating characteristic of scores, and the numbers that are read from it.

A pair is accepted when its score reaches a threshold. FPR, the share of impostor pairs that are accepted, is also
called FAR or FMR; TPR, the share of genuine pairs that are accepted, is also called TAR or 1 - FNMR. All are shares,
not per cent.

Pairs may have weights: a pair of weight 3 counts as three pairs, and shares are shares of the weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special

Rates = float | Sequence[float] | np.ndarray
_EXACT = 2**62  # whole numbers up to here are summed without overflow
_ROUNDING = 1 + 1e-12  # 0.29 x 100 pairs are 29 pairs, not 28.999999999999996


@dataclass(frozen=True, eq=False)
class Roc:
    """What each threshold accepts. The K points start with a threshold that accepts nothing; then each distinct score,
    from the highest to the lowest, is one. Scores that tie are accepted together.

    Attributes:
        thresholds: (K,) float64, descending; the first is infinite.
        false_accepts: (K,) int64, impostor pairs whose score is at least the threshold; with weights, their weight, in
            float64 if it is not whole.
        true_accepts: (K,) likewise of genuine pairs.
        impostors, genuines: how many there are, or their weight.
        impostor_pairs: how many there are, whatever their weight.
        reach: up to which FPR the curve is known. Below 1 the points end with the first whose FPR is higher.
    """

    thresholds: np.ndarray
    false_accepts: np.ndarray
    true_accepts: np.ndarray
    impostors: float
    genuines: float
    impostor_pairs: int
    reach: float = 1.0

    @property
    def fpr(self) -> np.ndarray:
        return self.false_accepts / self.impostors

    @property
    def tpr(self) -> np.ndarray:
        return self.true_accepts / self.genuines

    def too_few(self, fpr: float) -> str:
        """Why nothing can be said about an FPR: it is less than one impostor pair. Empty if something can.

        Pairs are counted here, not their weight: what cannot be said of a sample, its resamples do not say either.
        """
        if most_accepted(fpr, self.impostor_pairs) >= 1:
            return ""
        told = f"{fpr:g}".replace("e-0", "e-")
        return f"FPR {told} of {self.impostor_pairs:,} impostor pairs is less than one pair"

    def tpr_at(self, fprs: Rates) -> np.ndarray:
        """The largest TPR of all thresholds whose FPR is at most each of `fprs`; NaN where `too_few`.

        Raises:
            ValueError: an FPR is not in 0..1, or beyond the reach.
        """
        return self._read(self.true_accepts, fprs) / self.genuines

    def fnmr_at(self, fmrs: Rates) -> np.ndarray:
        """1 - TPR, the share of genuine pairs that are missed, as `tpr_at`."""
        return (self.genuines - self._read(self.true_accepts, fmrs)) / self.genuines

    def threshold_at(self, fprs: Rates) -> np.ndarray:
        """The lowest score that, as a threshold, keeps the FPR to each of `fprs`; NaN where `too_few`, infinite where
        already the highest score accepts too many impostors. Raises as `tpr_at`."""
        return self._read(self.thresholds, fprs)

    def seed_tpr_at(self, fprs: Rates) -> np.ndarray:
        """The TPR at each FPR as OpenSphere reads it: on straight lines between the points; where the curve is
        vertical, its upper end.

        Without ties this is a step: the share of genuine scores above the impostor score number floor(FPR x impostors)
        + 1 from the top. With ties it may promise more than any threshold keeps; and an FPR of less than one impostor
        pair is read in the same way, although no threshold has been seen to reach it.

        Raises:
            ValueError: as `tpr_at`.
        """
        return np.interp(self._checked(fprs), self.fpr, self.tpr)

    def correct(self) -> np.ndarray:
        """(K,): how many pairs, or which weight, each threshold decides rightly.

        Raises:
            ValueError: the curve does not reach far enough.
        """
        self._require_all("the best threshold")
        return self.true_accepts + (self.impostors - self.false_accepts)

    def accuracy(self) -> float:
        """The share of pairs that the best of all thresholds decides rightly, chosen on these very pairs: OpenSphere's
        ACC. Raises as `correct`."""
        return float(self.correct().max() / (self.impostors + self.genuines))

    def eer(self) -> float:
        """The rate at which FPR = 1 - TPR, on straight lines between the points. Raises as `correct`."""
        false_accepts, true_accepts = self._exact()
        # times genuines and impostors: negative before the crossing, and always rising
        gap = false_accepts * self.genuines + true_accepts * self.impostors - self.genuines * self.impostors
        after = int(np.searchsorted(gap, 0))
        if after == len(gap):
            self._require_all("the EER")
        before = after - 1  # exists: the first gap is negative
        share = gap[before] / (gap[before] - gap[after])
        low, high = self.false_accepts[before], self.false_accepts[after]
        return float((low + share * (high - low)) / self.impostors)

    def auc(self) -> float:
        """The area under the curve: the chance that a genuine score exceeds an impostor's, a tie counting half.
        Raises as `correct`."""
        self._require_all("the AUC")
        false_accepts, true_accepts = self._exact()
        area = np.diff(false_accepts) @ (true_accepts[1:] + true_accepts[:-1])  # doubled
        return float(area / (2 * self.impostors * self.genuines))

    def d_prime(self) -> float:
        """As the function `d_prime`. Raises as `correct`."""
        self._require_all("d'")
        scores = self.thresholds[1:]
        return _d_prime(_moments(scores, np.diff(self.true_accepts)), _moments(scores, np.diff(self.false_accepts)))

    def det(self, probit: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """The detection error trade-off (Martin et al. 1997): (K,) FMR and (K,) FNMR of the points.

        `probit`: both as normal deviates, on whose axes normal scores make a straight line; rates 0 and 1 are infinite.
        """
        fmr, fnmr = self.fpr, (self.genuines - self.true_accepts) / self.genuines
        return (special.ndtri(fmr), special.ndtri(fnmr)) if probit else (fmr, fnmr)

    def points(self, count: int) -> np.ndarray:
        """At most `count` of the K points, two or more, to draw the curve with: their indices, ascending.

        They lie evenly along FPR, along its logarithm and along TPR, and always include the first and the last.
        """
        size = len(self.thresholds)
        if count >= size:
            return np.arange(size)
        each = (count - 2) // 3 + 2  # the ends are shared
        low, high = self.false_accepts[self.false_accepts > 0][:1], self.false_accepts[-1]
        wanted = [
            np.searchsorted(self.false_accepts, np.linspace(0, high, each), side="right") - 1,
            np.searchsorted(self.true_accepts, np.linspace(0, self.true_accepts[-1], each)),
            np.searchsorted(self.false_accepts, np.geomspace(low[0], high, each) if len(low) else [0]) - 1,
        ]
        inner = np.unique(np.concatenate(wanted))
        inner = inner[(inner > 0) & (inner < size - 1)]
        inner = inner[np.linspace(0, len(inner) - 1, min(len(inner), count - 2)).astype(int)]
        return np.concatenate([[0], inner, [size - 1]])

    def _read(self, values: np.ndarray, fprs: Rates) -> np.ndarray:
        """The value of the last point whose FPR is at most each of `fprs`; NaN where there are too few impostors."""
        fprs = self._checked(fprs)
        last = np.searchsorted(self.false_accepts, fprs * self.impostors * _ROUNDING, side="right") - 1
        return np.where(most_accepted(fprs, self.impostor_pairs) >= 1, values[last].astype(np.float64), np.nan)[()]

    def _checked(self, fprs: Rates) -> np.ndarray:
        fprs = np.asarray(fprs, np.float64)
        if not np.all((fprs >= 0) & (fprs <= 1)):
            raise ValueError(f"an FPR of {fprs[~((fprs >= 0) & (fprs <= 1))].flat[0]:g}; it is a share, from 0 to 1")
        if np.any(fprs > self.reach * _ROUNDING):
            raise ValueError(f"FPR {fprs.max():g} lies beyond {self.reach:g}, up to which this curve is known")
        return fprs

    def _require_all(self, what: str) -> None:
        if self.reach < 1:
            raise ValueError(f"{what} needs the whole curve, and this one is known up to FPR {self.reach:g} only")

    def _exact(self) -> tuple[np.ndarray, np.ndarray]:
        """The counts, as float64 where products of whole numbers would overflow."""
        if self.impostors * self.genuines < _EXACT / 2:
            return self.false_accepts, self.true_accepts
        return self.false_accepts.astype(np.float64), self.true_accepts.astype(np.float64)


def most_accepted(fprs: np.ndarray | float, impostors: np.ndarray | float) -> np.ndarray:
    """The largest whole number of impostors whose share is at most `fprs`, where a share is a decimal such as 0.29
    that has no exact float."""
    return np.floor(np.asarray(fprs) * impostors * _ROUNDING).astype(np.int64)


def roc(scores: np.ndarray, is_same: np.ndarray, weight: np.ndarray | None = None, reach: float = 1.0) -> Roc:
    """The ROC of P pairs, in the time of one sort; much less if only low FPRs are wanted.

    Args:
        scores: (P,), higher for pairs that look more alike.
        is_same: (P,) bool or 0 and 1, genuine or impostor.
        weight: (P,) not negative; whole numbers are summed exactly. None: each pair counts once.
        reach: up to which FPR the curve is to be known.

    Raises:
        ValueError: a score is not a number, a label is not 0 or 1, a weight is negative or not finite, shapes do not
            fit, `reach` is not above 0 and at most 1, or there are no genuine or no impostor pairs of any weight.
    """
    if not 0 < reach <= 1:
        raise ValueError(f"reach {reach}: give an FPR above 0 and at most 1")
    scores, is_same = check_pairs(scores, is_same)
    if weight is not None:
        weight = _check_weight(weight, is_same)
        order = np.argsort(scores, kind="stable")[::-1]
        whole = sorted_roc(scores[order], is_same[order], weight[order], int(np.count_nonzero(~is_same)))
        return _cut(whole, reach)
    impostor, genuine = scores[~is_same], np.sort(scores[is_same])
    count, candidates = len(impostor), scores
    most = int(most_accepted(reach, count))
    if most < count:
        # the first impostor beyond the reach: it and what ties with it end the curve
        limit = np.partition(impostor, count - 1 - most)[count - 1 - most]
        candidates = np.concatenate([impostor[impostor >= limit], genuine[genuine >= limit]])
    del impostor
    ordered = np.sort(candidates)[::-1]
    last = np.flatnonzero(_ends(ordered))
    thresholds = ordered[last]
    true_accepts = len(genuine) - np.searchsorted(genuine, thresholds)
    return Roc(
        np.concatenate([[np.inf], thresholds]),
        np.concatenate([[0], last + 1 - true_accepts]),
        np.concatenate([[0], true_accepts]),
        count,
        len(genuine),
        count,
        reach,
    )


def sorted_roc(scores: np.ndarray, is_same: np.ndarray, weight: np.ndarray, impostor_pairs: int) -> Roc:
    """`roc` of pairs that are known to be in order, the highest score first, and sound; to be called many times.

    Args:
        scores, is_same, weight: (P,); pairs without weight may be left out.
        impostor_pairs: with those without weight.

    Raises:
        ValueError: no genuine or no impostor pair has a weight.
    """
    drawn = np.flatnonzero(weight)
    scores, is_same, weight = scores[drawn], is_same[drawn], weight[drawn]
    kind = np.dtype(np.float64 if weight.dtype.kind == "f" else np.int64)
    ends = _ends(scores)
    true_accepts = np.cumsum(weight * is_same, dtype=kind)
    false_accepts = np.cumsum(weight * ~is_same, dtype=kind)
    if not ends.all():
        scores, false_accepts, true_accepts = scores[ends], false_accepts[ends], true_accepts[ends]
    for what, sums in (("genuine", true_accepts), ("impostor", false_accepts)):
        if not len(sums) or not sums[-1]:
            raise ValueError(f"there are no {what} pairs of any weight; a ROC needs both kinds")
    return Roc(
        np.concatenate([[np.inf], scores]),
        np.concatenate([np.zeros(1, kind), false_accepts]),
        np.concatenate([np.zeros(1, kind), true_accepts]),
        false_accepts[-1].item(),
        true_accepts[-1].item(),
        impostor_pairs,
    )


def check_pairs(scores: np.ndarray, is_same: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores as they are, and labels as bool. Raises ValueError as `roc`."""
    scores, labels = np.asarray(scores), np.asarray(is_same)
    if scores.ndim != 1 or scores.shape != labels.shape:
        raise ValueError(f"scores of shape {scores.shape} for is_same of shape {labels.shape}; both should be (P,)")
    if labels.dtype != bool and len(labels):
        wrong = labels[~np.isin(labels, (0, 1))]
        if len(wrong):
            raise ValueError(f"{len(wrong)} of {len(labels)} labels are neither 0 nor 1, the first is {wrong[0]}")
    labels = labels.astype(bool, copy=False)
    if scores.dtype.kind not in "biuf":
        raise ValueError(f"scores of type {scores.dtype}; they should be real numbers")
    genuines = int(np.count_nonzero(labels))
    if genuines in (0, len(labels)):
        kind = "impostor" if genuines else "genuine"
        raise ValueError(f"there are no {kind} pairs among {len(labels)}; a ROC needs both kinds")
    if np.isnan(scores.min()):  # it is NaN if any score is
        raise ValueError(f"{int(np.isnan(scores).sum())} of {len(scores)} scores are not a number")
    return scores, labels


def _check_weight(weight: np.ndarray, is_same: np.ndarray) -> np.ndarray:
    weight = np.asarray(weight)
    if weight.shape != is_same.shape:
        raise ValueError(f"weights of shape {weight.shape} for {len(is_same)} pairs")
    if weight.dtype.kind not in "biuf":
        raise ValueError(f"weights of type {weight.dtype}; they should be real numbers")
    wrong = int(np.count_nonzero(~(np.isfinite(weight) & (weight >= 0))))
    if wrong:
        raise ValueError(f"{wrong} of {len(weight)} weights are negative or not finite")
    return weight


def _ends(ordered: np.ndarray) -> np.ndarray:
    """(P,) bool: the last of each run of equal scores."""
    ends = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=ends[:-1])
    return ends


def _cut(whole: Roc, reach: float) -> Roc:
    """A curve without the points that low FPRs do not need."""
    if reach == 1:
        return whole
    stop = np.searchsorted(whole.false_accepts, reach * whole.impostors * _ROUNDING, side="right") + 1
    thresholds, false_accepts, true_accepts = (
        values[:stop].copy() for values in (whole.thresholds, whole.false_accepts, whole.true_accepts)
    )
    return replace(whole, thresholds=thresholds, false_accepts=false_accepts, true_accepts=true_accepts, reach=reach)


def d_prime(scores: np.ndarray, is_same: np.ndarray, weight: np.ndarray | None = None) -> float:
    """How far apart genuine and impostor scores are: the difference of their means by the root of their mean variance.

    Variances divide by the number of pairs. Infinite where all genuine scores are one number and all impostor scores
    another; NaN where they are the same, or a score is infinite. Arguments and errors as `roc`.
    """
    scores, is_same = check_pairs(scores, is_same)
    weight = None if weight is None else _check_weight(weight, is_same)
    sides = []
    for kind, chosen in (("genuine", is_same), ("impostor", ~is_same)):
        part = None if weight is None else weight[chosen]
        if part is not None and not part.any():
            raise ValueError(f"there are no {kind} pairs of any weight; d' needs both kinds")
        sides.append(_moments(scores[chosen], part))
    return _d_prime(*sides)


def _moments(scores: np.ndarray, weight: np.ndarray | None) -> tuple[float, float]:
    """Mean and variance."""
    with np.errstate(invalid="ignore"):
        if weight is None:
            return float(np.mean(scores, dtype=np.float64)), float(np.var(scores, dtype=np.float64))
        scores, weight = scores.astype(np.float64), weight.astype(np.float64)
        weight /= weight.sum()
        mean = weight @ scores
        return float(mean), float(weight @ (scores - mean) ** 2)


def _d_prime(genuine: tuple[float, float], impostor: tuple[float, float]) -> float:
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.float64(genuine[0] - impostor[0]) / np.sqrt((genuine[1] + impostor[1]) / 2))


def eer(scores: np.ndarray, is_same: np.ndarray) -> float:
    """The equal error rate (`Roc.eer`). Arguments and errors as `roc`."""
    return roc(scores, is_same).eer()


def auc(scores: np.ndarray, is_same: np.ndarray) -> float:
    """The area under the ROC (`Roc.auc`). Arguments and errors as `roc`."""
    return roc(scores, is_same).auc()


def accuracy(scores: np.ndarray, is_same: np.ndarray) -> float:
    """The share of pairs that the best of all thresholds decides rightly (`Roc.accuracy`). Arguments and errors as
    `roc`."""
    return roc(scores, is_same).accuracy()
