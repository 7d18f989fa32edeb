"""What a page draws of pairs too many to sort: they are counted block by block as their scores come.

Scores are cosines. Each is rounded down to a fifty-thousandth; at thresholds that are such numbers all counts are those
of the pairs themselves.
"""

from collections.abc import Sequence

import numpy as np

from opensphere.metric import evidence
from opensphere.metric.all_pairs import Highest
from opensphere.metric.evidence import HARDEST, Arrays
from opensphere.metric.roc import Roc, sorted_roc

_UNIT = 50_000  # steps from one whole number to the next
_GRID = np.arange(-_UNIT, _UNIT + 1) / _UNIT
_ROWS, _COLUMNS = 1024, 4096  # scores held at once: 16 MiB in float32


class Tally:
    """Counts of genuine and impostor scores, and the places of the hardest pairs. `hardest`: how many of each kind."""

    def __init__(self, hardest: int = HARDEST):
        self._counts = {True: np.zeros(len(_GRID), np.int64), False: np.zeros(len(_GRID), np.int64)}
        self._hardest = {True: Highest(hardest), False: Highest(hardest)}

    def add(self, scores: np.ndarray, same: bool, top: int, left: int, weight: np.ndarray | None = None) -> None:
        """Take in a block of pairs of one kind.

        Args:
            scores: (B, C), the first at the place (top, left).
            same: whether they are genuine.
            weight: (B, C), how often each pair counts, 0 for what is none; None: once.
        """
        steps = np.clip((scores + 1) * _UNIT, 0, len(_GRID) - 1).astype(np.intp).ravel()
        counted = np.bincount(steps, None if weight is None else weight.ravel(), len(_GRID))
        self._counts[same] += counted.astype(np.int64)
        keys = -scores if same else scores
        self._hardest[same].add(keys if weight is None else np.where(weight > 0, keys, -np.inf), top, left)

    def curve(self) -> Roc:
        """The ROC. Raises ValueError where there are no genuine or no impostor pairs."""
        weight = np.stack([self._counts[False], self._counts[True]], axis=1)[::-1].ravel()
        is_same = np.tile([False, True], len(_GRID))
        return sorted_roc(np.repeat(_GRID[::-1], 2), is_same, weight, int(self._counts[False].sum()))

    def hardest(self, same: bool) -> tuple[np.ndarray, np.ndarray]:
        """(k, 2) places of the hardest pairs of a kind, hardest first, and (k,) their scores."""
        places, keys = self._hardest[same].sorted()
        return places, (-keys if same else keys).astype(np.float64)


def of_trials(features: np.ndarray, persons: np.ndarray, trials: Sequence[np.ndarray]) -> Arrays:
    """The first block of `evidence`, of all pairs of each trial's images: a pair counts in each trial that holds it.

    Args:
        features: (N, D) float of unit length.
        persons: (N,) int, whom each image shows.
        trials: of each, the images.

    Raises:
        ValueError: there are no genuine or no impostor pairs.
    """
    member = np.zeros((len(features), len(trials)), np.float32)
    for number, trial in enumerate(trials):
        member[trial, number] = 1
    order = np.argsort(persons, kind="stable")  # a person's images side by side: few blocks hold genuine pairs
    order = order[member[order].any(axis=1)]
    features, persons, member = features[order], persons[order], member[order]
    tally = Tally()
    for top in range(0, len(order), _ROWS):
        rows = slice(top, min(top + _ROWS, len(order)))
        for left in range(top, len(order), _COLUMNS):
            columns = slice(left, min(left + _COLUMNS, len(order)))
            scores = features[rows] @ features[columns].T
            weight = member[rows] @ member[columns].T
            if left < rows.stop or persons[rows.stop - 1] >= persons[left]:
                weight[np.arange(len(order))[rows, None] >= np.arange(len(order))[columns]] = 0
                own = persons[rows, None] == persons[columns]
                tally.add(scores, True, top, left, np.where(own, weight, 0))
                weight[own] = 0
            tally.add(scores, False, top, left, weight)
    return _arrays(tally, (order, order), (order, order))


def of_strangers(features: np.ndarray, persons: np.ndarray, probes: np.ndarray, strangers: np.ndarray) -> Arrays:
    """The same of the pairs of a person's probes, and of all pairs of a probe and a stranger.

    Args:
        features: (N, D) float of unit length.
        persons: (N,) int, whom each image shows.
        probes: (P,), strangers: (M,): images.

    Raises:
        ValueError: nobody has two probes, or there are no strangers.
    """
    tally = Tally()
    probes = probes[np.argsort(persons[probes], kind="stable")]
    who = persons[probes]
    for top in range(0, len(probes), _ROWS):
        rows = features[probes[top : top + _ROWS]]
        for left in range(0, len(strangers), _COLUMNS):
            tally.add(rows @ features[strangers[left : left + _COLUMNS]].T, False, top, left)
        last = int(np.searchsorted(who, who[min(top + _ROWS, len(who)) - 1], side="right"))
        own = (who[top : top + _ROWS, None] == who[top:last]) & ~np.tri(len(rows), last - top, dtype=bool)
        tally.add(rows @ features[probes[top:last]].T, True, top, top, own)
    return _arrays(tally, (probes, probes), (probes, strangers))


def _arrays(tally: Tally, genuine: tuple[np.ndarray, np.ndarray], impostor: tuple[np.ndarray, np.ndarray]) -> Arrays:
    """Of the curve, and the hardest pairs by the names of their sides."""
    found = evidence.of_curve(tally.curve())
    for kind, names in (("genuine", genuine), ("impostor", impostor)):
        places, scores = tally.hardest(kind == "genuine")
        found[f"hard_{kind}"] = np.stack([side[place] for side, place in zip(names, places.T, strict=True)], axis=1)
        found[f"hard_{kind}_scores"] = scores
    return found
