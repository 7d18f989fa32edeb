"""Probes among more and more distractors, strangers of whom nothing is known. All rates are shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from opensphere.metric.all_pairs import Highest, score_all_pairs
from opensphere.metric.attempts import Attempts

_ROWS, _COLUMNS = 1024, 4096  # scores held at once: 16 MiB in float32


@dataclass(frozen=True, eq=False)
class AmongDistractors:
    """What became of each pair of one person's images among distractors.

    Attributes:
        pairs: (A, 2) int64, probes of one person, and pair_scores: (A,), descending.
        best: (S, P), the highest score of each probe with the distractors of each size.
        attempts: the pairs, and the highest scores of a probe with any distractor.
    """

    pairs: np.ndarray
    pair_scores: np.ndarray
    best: np.ndarray
    attempts: Attempts

    def found(self, number: int) -> np.ndarray:
        """(A,) 0, 1 or 2: how many of a pair's two images find the other one before all distractors of a size.

        A distractor with the same score counts as standing before. `number`: of the size, from 0.
        """
        return np.sum(self.pair_scores[:, None] > self.best[number, self.pairs], axis=1)


def search_among(
    probes: np.ndarray, persons: np.ndarray, distractors: np.ndarray, sizes: Sequence[int], most_impostors: int
) -> AmongDistractors:
    """MegaFace's protocol (Kemelmacher-Shlizerman et al. 2016): for each person, each image in turn is the one gallery
    entry beside the distractors, and the person's other images are searched for.

    Args:
        probes: (P, D) features of people, of unit length for cosines.
        persons: (P,) int from 0.
        distractors: (M, D) features.
        sizes: ascending: the first so many distractors are searched, at most all M.
        most_impostors: how many scores of probes with distractors to keep.

    Raises:
        ValueError: a feature is not finite, or sizes are not ascending from 1 to at most M.
    """
    steps = np.diff([0, *sizes])
    if not len(sizes) or steps.min() < 1 or sizes[-1] > len(distractors):
        raise ValueError(f"sizes {list(sizes)} do not ascend from 1 to at most {len(distractors)}")
    if not np.isfinite(distractors).all():
        raise ValueError("features are not finite")
    pairs = score_all_pairs(probes, persons, 0)
    best = np.full((len(sizes), len(probes)), -np.inf, np.result_type(probes, distractors))
    highest = Highest(most_impostors)
    for top in range(0, len(probes), _ROWS):
        rows = slice(top, top + _ROWS)
        for size, (start, stop) in enumerate(zip([0, *sizes], [*sizes, len(distractors)], strict=True)):
            for left in range(start, stop, _COLUMNS):
                scores = probes[rows] @ distractors[left : min(left + _COLUMNS, stop)].T
                if size < len(sizes):
                    np.maximum(best[size, rows], scores.max(axis=1), out=best[size, rows])
                highest.add(scores, top, left)
    places, kept = highest.sorted()
    attempts = Attempts(
        pairs.genuine_scores,
        persons[pairs.genuine[:, 0]],
        kept,
        persons[places[:, 0], None],
        len(probes) * len(distractors),
    )
    return AmongDistractors(pairs.genuine, pairs.genuine_scores, np.maximum.accumulate(best), attempts)
