"""All pairs of a set's images: tens of millions, scored in blocks, of which only those are kept that rates rest on."""

from dataclasses import dataclass

import numpy as np

from opensphere.metric.attempts import Attempts

_ROWS, _COLUMNS = 1024, 4096  # scores held at once: 16 MiB in float32


@dataclass(frozen=True, eq=False)
class AllPairs:
    """The pairs of two different images of a set: all genuine ones, and the impostors with the highest scores.

    Attributes:
        persons: (N,) int64 from 0, whom each image shows.
        genuine: (A, 2) int32, images; genuine_scores: (A,), descending.
        impostor: (K, 2) int32, images; impostor_scores: (K,), descending. No impostor pair that is not kept scores
            higher than the last.
    """

    persons: np.ndarray
    genuine: np.ndarray
    genuine_scores: np.ndarray
    impostor: np.ndarray
    impostor_scores: np.ndarray

    def within(self, members: np.ndarray) -> Attempts:
        """The pairs of some images, (N,) bool. As many impostors of theirs are kept as are among the K."""
        genuine = members[self.genuine].all(axis=1)
        impostor = members[self.impostor].all(axis=1)
        images = int(np.count_nonzero(members))
        return Attempts(
            self.genuine_scores[genuine],
            self.persons[self.genuine[genuine, 0]],
            self.impostor_scores[impostor],
            self.persons[self.impostor[impostor]],
            images * (images - 1) // 2 - int(np.count_nonzero(genuine)),
        )


def score_all_pairs(features: np.ndarray, persons: np.ndarray, most_impostors: int) -> AllPairs:
    """Score each pair of two different images by the product of their features.

    The memory beside the features is that of a block of scores, the genuine pairs, and a few times the impostors that
    are kept, whatever the number of images.

    Args:
        features: (N, D) float, of unit length for cosines.
        persons: (N,) int from 0.
        most_impostors: how many impostor pairs to keep.

    Raises:
        ValueError: a feature is not finite, or lengths differ.
    """
    if len(features) != len(persons):
        raise ValueError(f"{len(features)} features for {len(persons)} images")
    if not np.isfinite(features).all():
        raise ValueError("features are not finite")
    order = np.argsort(persons, kind="stable")  # a person's images side by side: few blocks hold genuine pairs
    features, ordered = features[order], persons[order]
    genuine, impostor = Highest(None), Highest(most_impostors)
    for top in range(0, len(order), _ROWS):
        bottom = min(top + _ROWS, len(order))
        for left in range(top, len(order), _COLUMNS):
            right = min(left + _COLUMNS, len(order))
            scores = features[top:bottom] @ features[left:right].T
            if left < bottom or ordered[bottom - 1] >= ordered[left]:
                upper = np.arange(top, bottom)[:, None] < np.arange(left, right)
                own = ordered[top:bottom, None] == ordered[left:right]
                genuine.add(np.where(own & upper, scores, -np.inf), top, left)
                scores[own | ~upper] = -np.inf
            impostor.add(scores, top, left)
    (genuine_pairs, genuine_scores), (impostor_pairs, impostor_scores) = genuine.sorted(), impostor.sorted()
    return AllPairs(
        np.asarray(persons, np.int64),
        order[genuine_pairs].astype(np.int32),
        genuine_scores,
        order[impostor_pairs].astype(np.int32),
        impostor_scores,
    )


def impostor_weight(persons: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(R,) int64: in resamples with `weights` (R, people), the weight of all impostor pairs of images of `persons`."""
    drawn = weights.astype(np.int64) * np.bincount(persons, minlength=weights.shape[1])
    return (drawn.sum(axis=1) ** 2 - (drawn**2).sum(axis=1)) // 2


class Highest:
    """The highest scores of blocks that come one after another, with their places: `most` of them, or all if None."""

    def __init__(self, most: int | None):
        self._most = most
        self._floor = -np.inf
        self._scores: list[np.ndarray] = []
        self._places: list[np.ndarray] = []
        self._count = 0

    def add(self, scores: np.ndarray, top: int, left: int) -> None:
        """A block whose first score has the place (top, left); minus infinity marks what is none."""
        if self._most == 0:
            return
        row, column = np.divmod(np.flatnonzero(scores > self._floor), scores.shape[1])
        self._scores.append(scores[row, column])
        self._places.append(np.stack([row + top, column + left], axis=1).astype(np.int32))
        self._count += len(row)
        if self._most is not None and self._count > 2 * self._most:
            self._cut()

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        """(K, 2) int32 places and (K,) scores, the highest first."""
        if not self._scores:
            return np.empty((0, 2), np.int32), np.empty(0)
        self._cut()
        down = np.argsort(-self._scores[0], kind="stable")
        return self._places[0][down], self._scores[0][down]

    def _cut(self) -> None:
        scores, places = np.concatenate(self._scores), np.concatenate(self._places)
        if self._most is not None and len(scores) > self._most:
            kept = np.argpartition(scores, len(scores) - self._most)[len(scores) - self._most :]
            scores, places = scores[kept], places[kept]
            self._floor = scores.min()
        self._scores, self._places, self._count = [scores], [places], len(scores)
