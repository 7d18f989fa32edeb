"""At which places a gallery brings up the entries of a probe's person. All rates are shares."""

from dataclasses import dataclass

import numpy as np

_HELD = 1 << 23  # scores held at once: 32 MiB in float32


@dataclass(frozen=True, eq=False)
class Ranking:
    """How a gallery answers probes whose people it holds.

    An entry of somebody else that scores as high as an own one stands before it: features that are all alike find
    nobody.

    Attributes:
        rank: (P,) int64, one more than the number of others' entries before the best one of the own person.
        precision: (P,), the average precision over the own entries, each one's being the mean of the precision with it
            and that before it: the area under the precision-recall curve on straight lines (Philbin et al. 2007), as
            TinyFace's evaluation has it.
    """

    rank: np.ndarray
    precision: np.ndarray


def rank_probes(
    probe: np.ndarray, probe_person: np.ndarray, gallery: np.ndarray, gallery_person: np.ndarray
) -> Ranking:
    """Search for each probe in a gallery. A score is the product of two features.

    Args:
        probe: (P, D), gallery: (G, D): features, of unit length for cosines.
        probe_person: (P,), gallery_person: (G,): whom each shows.

    Raises:
        ValueError: there are no probes, one shows nobody of the gallery, or a score is not a number.
    """
    missing = np.count_nonzero(~np.isin(probe_person, gallery_person))
    if missing or not len(probe):
        what = f"{missing} of {len(probe)} probes show people who are not in the gallery"
        raise ValueError(what if missing else "there are no probes")
    rank, precision = np.empty(len(probe), np.int64), np.empty(len(probe))
    by_person = np.argsort(gallery_person, kind="stable")
    first = np.searchsorted(gallery_person, probe_person, "left", sorter=by_person)
    last = np.searchsorted(gallery_person, probe_person, "right", sorter=by_person)
    step = max(1, _HELD // len(gallery))
    for start in range(0, len(probe), step):
        scores = probe[start : start + step] @ gallery.T
        if np.isnan(scores).any():
            raise ValueError("scores are not numbers; check the features")
        for index, row in enumerate(scores, start):
            entries = by_person[first[index] : last[index]]
            own = np.sort(row[entries])[::-1]
            row[entries] = -np.inf
            before = np.array([np.count_nonzero(row >= one) for one in own])
            rank[index] = before[0] + 1
            precision[index] = _average_precision(before)
    return Ranking(rank, precision)


def _average_precision(before: np.ndarray) -> float:
    """Of the own entries in order, with the number of others before each."""
    found = np.arange(1, len(before) + 1)
    place = before + found
    earlier = np.where(place > 1, (found - 1) / np.maximum(place - 1, 1), 1)
    return float(np.mean((found / place + earlier) / 2))


def resampled_mean(values: np.ndarray, persons: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The mean of values on each of R resamples of the people: a value counts as often as its person was drawn.

    Args:
        values: (P,), persons: (P,) int from 0, whose each is.
        weights: (R, people) whole numbers.

    Returns:
        (R,), NaN for a resample without any of the people.
    """
    people = weights.shape[1]
    total = weights @ np.bincount(persons, minlength=people)
    sums = weights @ np.bincount(persons, values, minlength=people)
    return np.where(total > 0, sums / np.maximum(total, 1), np.nan)
