"""Scores of pairs, and the accuracy whose threshold is chosen on other folds."""

from collections.abc import Iterator

import numpy as np

from opensphere.metric.roc import Roc, roc

_BLOCK = 1 << 18  # numbers of a block of features: 1 MiB in float32, so that it stays in the cache


def unit(features: np.ndarray) -> np.ndarray:
    """Rows divided by their length; a row of zeros stays zero, and its cosine to anything is 0."""
    length = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(length > 0, length, 1)


def cosine_scores(features: np.ndarray, pairs: np.ndarray, mean: np.ndarray | None = None) -> np.ndarray:
    """The cosine of the two features of each pair.

    Args:
        features: (N, D) float.
        pairs: (P, 2), indices of features.
        mean: (D,) subtracted from the features before they are set to unit length.

    Returns:
        (P,) of the features' type.
    """
    features = unit(features if mean is None else features - mean)
    scores = np.empty(len(pairs), features.dtype)
    step = max(1, _BLOCK // features.shape[1])
    for start in range(0, len(pairs), step):
        left, right = pairs[start : start + step].T
        np.einsum("pd,pd->p", features[left], features[right], out=scores[start : start + step])
    return scores


def centred_scores(features: np.ndarray, pairs: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """The cosines of the pairs as each fold's test sees them: after the mean feature of the other folds is subtracted.

    The mean is over the sides of the pairs, so that an image counts as often as it appears in them.

    Args:
        features: (N, D) float.
        pairs: (P, 2), indices of features.
        folds: (P,), the fold of each pair.

    Returns:
        (K, P): row k belongs to the k-th of the K folds in order of their numbers.
    """
    rows = []
    for _, held_out in _splits(folds):
        sides = np.bincount(pairs[~held_out].ravel(), minlength=len(features))
        mean = (sides @ features.astype(np.float64)) / sides.sum()
        rows.append(cosine_scores(features, pairs, mean.astype(features.dtype)))
    return np.stack(rows)


def ten_fold(scores: np.ndarray, is_same: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The accuracy on each fold with the threshold that `best_threshold` chooses on the other folds together.

    The protocol of LFW (Huang & Learned-Miller 2014), for any number K of folds.

    Args:
        scores: (P,), or (K, P) if each fold sees other scores (`centred_scores`).
        is_same: (P,) bool, or 0 and 1.
        folds: (P,), the fold of each pair; each holds as many pairs, or one more.

    Returns:
        accuracies: (K,) shares of the pairs of each fold, in order of the folds' numbers.
        thresholds: (K,); a pair is accepted when its score is above it.

    Raises:
        ValueError: a score is not finite, a label is not 0 or 1, shapes do not fit, there are fewer than two folds or
            they differ in size, or as `roc` for the pairs outside a fold.
    """
    scores, is_same = _checked(scores, is_same, folds)
    thresholds = []
    for number, held_out in _splits(folds):
        row = scores[number] if scores.ndim == 2 else scores
        thresholds.append(best_threshold(roc(row[~held_out], is_same[~held_out])))
    right = fold_decisions(scores, is_same, folds, np.array(thresholds))
    return np.array([np.mean(right[held_out]) for _, held_out in _splits(folds)]), np.array(thresholds)


def fold_decisions(scores: np.ndarray, is_same: np.ndarray, folds: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """(P,) bool: which pairs are decided rightly at the threshold of their fold, to compare two models pair by pair.

    Args:
        scores, is_same, folds: as `ten_fold`.
        thresholds: (K,), as `ten_fold` gives them.

    Raises:
        ValueError: as `ten_fold`, or there is not one threshold a fold.
    """
    scores, is_same = _checked(scores, is_same, folds)
    right = np.empty(len(is_same), bool)
    for (number, held_out), threshold in zip(_splits(folds), thresholds, strict=True):
        row = scores[number] if scores.ndim == 2 else scores
        right[held_out] = (row[held_out] > threshold) == is_same[held_out]
    return right


def best_threshold(curve: Roc) -> float:
    """The threshold that decides most pairs rightly when a pair is accepted above it.

    Candidates are the midpoints between successive distinct scores, and the two ends, minus and plus infinity, which
    accept all pairs or none. Among equally good ones the highest is taken, the one with the fewest false accepts.
    """
    best = int(np.argmax(curve.correct()))  # the first, so the highest
    above = float(curve.thresholds[best])
    below = float(curve.thresholds[best + 1]) if best + 1 < len(curve.thresholds) else -np.inf
    middle = above / 2 + below / 2
    return below if middle == above < np.inf else middle  # between neighbouring numbers the middle may round up


def _checked(scores: np.ndarray, is_same: np.ndarray, folds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and labels as bool. Raises ValueError if the three do not fit or hold what they should not."""
    scores, labels = np.asarray(scores), np.asarray(is_same)
    if scores.ndim not in (1, 2) or labels.ndim != 1 or not scores.shape[-1:] == labels.shape == np.shape(folds):
        shapes = f"scores of shape {scores.shape}, labels of {labels.shape}, folds of {np.shape(folds)}"
        raise ValueError(f"{shapes}; they should be (P,) or (K, P), (P,) and (P,)")
    if scores.ndim == 2 and len(scores) != (count := len(np.unique(folds))):
        raise ValueError(f"{len(scores)} rows of scores for {count} folds")
    if not np.isfinite(scores).all():
        raise ValueError(f"{int((~np.isfinite(scores)).sum())} of {scores.size} scores are not finite")
    if labels.dtype != bool and not np.isin(labels, (0, 1)).all():
        wrong = labels[~np.isin(labels, (0, 1))]
        raise ValueError(f"{len(wrong)} of {len(labels)} labels are neither 0 nor 1, the first is {wrong[0]}")
    return scores, labels.astype(bool)


def _splits(folds: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """The position of each fold, and (P,) bool which pairs are in it.

    Raises:
        ValueError: there are fewer than two, or they differ by more than the one pair that does not divide.
    """
    numbers, sizes = np.unique(folds, return_counts=True)
    if len(numbers) < 2:
        raise ValueError(f"{len(numbers)} fold{'s' * (not len(numbers))}; two or more are needed")
    if sizes.max() - sizes.min() > 1:
        told = ", ".join(map(str, sizes[:20])) + (", ..." if len(sizes) > 20 else "")
        raise ValueError(f"the folds hold {told} pairs; they should be of equal size, or one apart")
    for position, number in enumerate(numbers):
        yield position, folds == number
