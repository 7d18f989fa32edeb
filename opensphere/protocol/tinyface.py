"""TinyFace (Cheng et al. 2018): closed-set search among distractors. All numbers are in per cent.

top-k is the share of probes that have their own person among the k best gallery entries; mAP is the mean over the
probes of the average precision with which the person's entries are found.
"""

import re
from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.metric.bootstrap import resample
from opensphere.metric.estimate import Estimate
from opensphere.metric.ranking import rank_probes, resampled_mean
from opensphere.metric.verification import unit
from opensphere.protocol.measurement import Measurement

_TOP = ["top-1", "top-5", "top-20"]
_KNOWN = {"top": _TOP, "mAP": ["mAP"]}
_COLUMN = re.compile(r"top-([1-9]\d{0,8})")


def suits(dataset: Any) -> bool:
    return hasattr(dataset, "probe_index") and hasattr(dataset, "gallery_index")


def columns(dataset: Any) -> list[str]:
    """The columns of the table: those of the set's `metrics`, or the published ones if it names none.

    Raises:
        UserError: a name is not known.
    """
    found: dict[str, None] = {}
    for name in dataset.metrics or _KNOWN:
        if name not in _KNOWN and not _COLUMN.fullmatch(name):
            raise UserError(f"{dataset.name}: metrics: {name!r} is not known; known are top, mAP, top-k")
        found.update(dict.fromkeys(_KNOWN.get(name, [name])))
    return list(found)


def measure(dataset: Any, features: np.ndarray, resamples: int = 0, seed: int = 0) -> Measurement:
    """Each column; its replicates draw the people of the probes, and the gallery stays as it is.

    Args:
        features: (N, D) of the set's images, not normalised.
        resamples: of the people; 0 for none.

    Raises:
        UserError: as `columns`.
    """
    wanted = columns(dataset)
    directions = unit(features)
    probe, gallery = dataset.probe_index, dataset.gallery_index
    people, who = np.unique(dataset.persons[probe], return_inverse=True)
    found = rank_probes(directions[probe], dataset.persons[probe], directions[gallery], dataset.persons[gallery])
    weights = resample(len(people), resamples, seed) if resamples else None
    estimates = {}
    for column in wanted:
        match = _COLUMN.fullmatch(column)
        values = found.rank <= int(match[1]) if match else found.precision
        replicates = None if weights is None else resampled_mean(values, who, weights)
        estimates[column] = Estimate(float(np.mean(values)), replicates=replicates).times(100)
    distractors = int(np.count_nonzero(dataset.persons[gallery] < 0))
    facts: dict[str, int | str] = {
        "people": len(people),
        "probes": len(probe),
        "gallery": len(gallery) - distractors,
        "distractors": distractors,
    }
    return Measurement(estimates, facts=facts)
