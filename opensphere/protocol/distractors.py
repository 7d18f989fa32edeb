"""People among more and more distractors, after MegaFace (Kemelmacher-Shlizerman et al. 2016).

All numbers are in per cent. top-1@N is the share of searches that find the person's one gallery entry before all of N
distractors: each image of a person in turn is the entry, and each other one is searched for. TPR@FPR=x is the share of
the pairs of a person's images that are accepted when a share x of all pairs of a person's image and a distractor is.
"""

from typing import Any

import numpy as np

from opensphere.metric.bootstrap import resample
from opensphere.metric.distractors import AmongDistractors, search_among
from opensphere.metric.estimate import Estimate
from opensphere.metric.ranking import resampled_mean
from opensphere.metric.roc import most_accepted
from opensphere.metric.verification import unit
from opensphere.protocol.columns import expand, rate
from opensphere.protocol.measurement import Measurement

_TOP = "top-1@"
_MARGIN = 4  # how many times as many impostor pairs are kept for resamples, which may need more of them


def suits(dataset: Any) -> bool:
    return hasattr(dataset, "distractors") and hasattr(dataset, "sizes")


def columns(dataset: Any) -> list[str]:
    """The columns of the table: those of the set's `metrics`, or of all sizes and the published rate if it names none.

    Raises:
        UserError: a name is not known.
    """
    tops = [f"{_TOP}{size}" for size in dataset.sizes]
    known = {"top-1": tops, **{top: [top] for top in tops}, "TPR@FPR": ["TPR@FPR=1e-6"]}
    return expand(dataset.metrics or ["top-1", "TPR@FPR"], known, dataset.name)


def measure(dataset: Any, features: np.ndarray, resamples: int = 0, seed: int = 0) -> Measurement:
    """Each column; its replicates draw the people, and the distractors stay as they are.

    Args:
        features: (N, D) of the set's images, not normalised.
        resamples: of the people; 0 for none.

    Raises:
        UserError: as `columns`.
    """
    wanted = columns(dataset)
    persons = dataset.persons[dataset.probes]
    probes, distractors = unit(features[dataset.probes]), unit(features[dataset.distractors])
    impostors = len(probes) * len(distractors)
    fprs = [rate(column) for column in wanted if not column.startswith(_TOP)]
    kept = max((int(most_accepted(fpr, impostors)) + 1 for fpr in fprs), default=0) * (_MARGIN if resamples else 1)
    found = search_among(probes, persons, distractors, dataset.sizes, min(impostors, kept))
    weights = resample(int(persons.max()) + 1, resamples, seed) if resamples else None
    estimates = {}
    for column in wanted:
        if column.startswith(_TOP):
            estimate = _top(found, dataset.sizes.index(int(column.removeprefix(_TOP))), persons, weights)
        else:
            estimate = _tpr(found, rate(column), persons, len(distractors), weights)
        estimates[column] = estimate.times(100)
    facts: dict[str, int | str] = {
        "people": len(np.unique(persons)),
        "probes": len(probes),
        "distractors": len(distractors),
        "genuine pairs": len(found.pairs),
        "impostor pairs": impostors,
    }
    return Measurement(estimates, facts=facts)


def _top(found: AmongDistractors, number: int, persons: np.ndarray, weights: np.ndarray | None) -> Estimate:
    share = found.found(number) / 2  # of the two searches that a pair stands for
    replicates = None if weights is None else resampled_mean(share, persons[found.pairs[:, 0]], weights)
    return Estimate(float(np.mean(share)), replicates=replicates)


def _tpr(
    found: AmongDistractors, fpr: float, persons: np.ndarray, distractors: int, weights: np.ndarray | None
) -> Estimate:
    replicates = None
    if weights is not None:
        impostors = weights.astype(np.int64) @ np.bincount(persons, minlength=weights.shape[1]) * distractors
        replicates = found.attempts.resampled_tpr_at(fpr, weights, impostors)
    return Estimate(found.attempts.tpr_at(fpr), found.attempts.too_few(fpr), replicates)
