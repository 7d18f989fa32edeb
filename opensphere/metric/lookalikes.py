"""Which people look most alike to a model: pairs of two people, each named once, by their images that score highest."""

import numpy as np

MOST = 12
_ROWS, _COLUMNS = 1024, 4096  # scores held at once: 16 MiB in float32

Found = tuple[np.ndarray, np.ndarray]


def among_all(features: np.ndarray, persons: np.ndarray, most: int = MOST) -> Found:
    """All images against one another, block by block, in little more than the time of the products.

    Args:
        features: (N, D) float, of unit length for cosines.
        persons: (N,) int, whom each image shows; negative where that is not known, and the image is left out.
        most: how many pairs of people to name, at most.

    Returns:
        (L, 2) int64 images, and (L,) float64 scores, the highest first.

    Raises:
        ValueError: there is not one feature an image.
    """
    if len(features) != len(persons):
        raise ValueError(f"{len(features)} features for {len(persons)} images")
    order = np.argsort(persons, kind="stable")  # a person's images side by side: few blocks hold pairs of one person
    order = order[persons[order] >= 0]
    features, people = features[order], persons[order]
    pairs, kept, floor = np.empty((0, 2), np.int64), np.empty(0), -np.inf
    for top in range(0, len(order), _ROWS):
        bottom = min(top + _ROWS, len(order))
        for left in range(top, len(order), _COLUMNS):
            right = min(left + _COLUMNS, len(order))
            scores = features[top:bottom] @ features[left:right].T
            if people[bottom - 1] >= people[left]:  # other people come later in order, so that each pair comes once
                scores[people[top:bottom, None] >= people[left:right]] = -np.inf
            row, column = np.divmod(np.flatnonzero(scores > floor), right - left)
            if len(row):
                pairs = np.concatenate([pairs, np.stack([row + top, column + left], axis=1)])
                kept = np.concatenate([kept, scores[row, column]])
                pairs, kept = _distinct(kept, pairs, people, most)
                floor = kept[-1] if len(kept) == most else -np.inf
    return order[pairs], kept


def among_listed(
    scores: np.ndarray, is_same: np.ndarray, pairs: np.ndarray, persons: np.ndarray, most: int = MOST
) -> Found:
    """The impostor pairs of a list alone, in the time of a partition.

    Args:
        scores: (P,), higher for pairs that look more alike.
        is_same: (P,) bool.
        pairs: (P, 2) int, images.
        persons, most: as `among_all`.

    Returns:
        As `among_all`.
    """
    rows = np.flatnonzero(~np.asarray(is_same, bool))
    return _distinct(scores[rows], pairs, persons, most, rows)


def _distinct(
    scores: np.ndarray, pairs: np.ndarray, persons: np.ndarray, most: int, rows: np.ndarray | None = None
) -> Found:
    """The pairs of highest score, one for each two people. `rows`: of `pairs`, (P,); None: as they are."""
    count = 8 * most
    while True:  # with more of the highest, until enough people are among them
        if count < len(scores):
            top = np.argpartition(scores, len(scores) - count)[len(scores) - count :]
        else:
            top = np.arange(len(scores))
        top = top[np.lexsort((top, -scores[top]))]
        images = pairs[top if rows is None else rows[top]]
        people = np.sort(persons[images], axis=1)
        _, first = np.unique(people, axis=0, return_index=True)
        known = (people[first, 0] >= 0) & (people[first, 0] != people[first, 1])
        kept = np.sort(first[known])[:most]
        if len(kept) == most or count >= len(scores):
            return images[kept].astype(np.int64), scores[top[kept]].astype(np.float64)
        count *= 8
