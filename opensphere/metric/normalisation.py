"""Scores normalised by a cohort: how high a score is, measured by what strangers score with the same two images.

Some images score high with everybody, blurred ones above all. Each function takes that out with the scores of images
against a cohort, C images of people who are in no pair, and returns scores that one threshold suits better. All
deviations are those of the cohort at hand (divided by C, not C - 1).

Arguments of all: `scores` (P,) of the pairs; `left` and `right` (P, C), the scores of each pair's first and second
image against the cohort. A ValueError is raised where shapes do not fit, a score is not finite, or the cohort scores of
an image are all the same.
"""

import numpy as np


def z_norm(scores: np.ndarray, left: np.ndarray) -> np.ndarray:
    """(P,): less the mean of what the first image, the enrolled one, scores with the cohort, over the deviation.

    Li & Porter 1988.
    """
    scores = _scores(scores)
    mean, deviation = _moments(left, len(scores))
    return (scores - mean) / deviation


def t_norm(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(P,): the same with the second image, the one at test. Auckenthaler et al. 2000."""
    return z_norm(scores, right)


def s_norm(scores: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """(P,): the mean of both, which does not ask which image came first. Kenny 2010."""
    return (z_norm(scores, left) + t_norm(scores, right)) / 2


def adaptive_s_norm(scores: np.ndarray, left: np.ndarray, right: np.ndarray, top: int) -> np.ndarray:
    """(P,): `s_norm` with the `top` highest cohort scores of each image alone, those of its most similar strangers.

    AS-norm1 of Matejka et al. 2017, after Sturim & Reynolds 2005.

    Raises:
        ValueError: as all, or `top` is not in 2..C.
    """
    if not 2 <= top <= min(np.shape(left)[-1], np.shape(right)[-1]):
        raise ValueError(f"top {top} of cohorts of {np.shape(left)[-1]} and {np.shape(right)[-1]}: give 2 or more")
    return s_norm(scores, _highest(left, top), _highest(right, top))


def _highest(cohort: np.ndarray, top: int) -> np.ndarray:
    """The `top` highest of each row, in no order; NaN is among them if there is any."""
    cohort = np.asarray(cohort)
    return np.partition(cohort, cohort.shape[-1] - top, axis=-1)[..., cohort.shape[-1] - top :]


def _scores(scores: np.ndarray) -> np.ndarray:
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all():
        raise ValueError(f"scores of shape {scores.shape}: give (P,) finite numbers")
    return scores


def _moments(cohort: np.ndarray, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and deviation of each row, (P,) each."""
    cohort = np.asarray(cohort, np.float64)
    if cohort.ndim != 2 or len(cohort) != pairs or cohort.shape[1] < 2:
        raise ValueError(f"cohort scores of shape {cohort.shape} for {pairs} pairs: give (P, C), C 2 or more")
    if not np.isfinite(cohort).all():
        raise ValueError(f"{int((~np.isfinite(cohort)).sum())} of {cohort.size} cohort scores are not finite")
    same = int(np.sum(np.ptp(cohort, axis=1) == 0))
    if same:
        raise ValueError(f"the cohort scores of {same} of {pairs} images are all the same; their deviation is zero")
    return cohort.mean(axis=1), cohort.std(axis=1)
