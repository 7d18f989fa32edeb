"""The scores of all probes with all of a gallery: one product that serves pairs, 1:1, and search, 1:N."""

from collections.abc import Callable, Iterator

import numpy as np

_BYTES = 1 << 29  # of a product held at once
_PAIRS = 1 << 18  # looked up at once
_BLOCK = 1 << 18  # numbers of a block of features: 1 MiB in float32, so that it stays in the cache
_DENSE = 64  # a product is quicker than pair by pair if it holds at most so many scores a pair


def grid_scores(
    features: np.ndarray,
    pairs: np.ndarray,
    probe: np.ndarray,
    gallery: np.ndarray,
    see: Callable[[np.ndarray, int], None] | None = None,
) -> np.ndarray:
    """The scores of pairs, products of two features, taken from one product of probes and gallery where they lie in it.

    Where the whole product would take too much memory, it is made in blocks of probes. Pairs may come in any order,
    either side first; those that are no pair of a probe and a gallery entry are scored one by one.

    Args:
        features: (N, D) float, of unit length for cosines.
        pairs: (P, 2) int, indices of features.
        probe: (R,), gallery: (C,): indices of features.
        see: is given each block of the product, (B, C) scores, and the position of its first probe.

    Returns:
        (P,) of the features' type.
    """
    if not len(probe) or not len(gallery):
        return dots(features, pairs)
    scores = np.empty(len(pairs), features.dtype)
    cells = _Cells(len(features), probe, gallery)
    across = features[gallery].T
    step = max(1, _BYTES // (len(gallery) * features.itemsize))
    blocks = -(-len(probe) // step)
    groups = cells.grouped(pairs, step, blocks) if blocks > 1 else None
    outside = [] if groups is None else [groups[-1]]
    for block in range(blocks):
        top = block * step
        product = features[probe[top : top + step]] @ across
        for part, cell in cells.look_up(pairs, None if groups is None else groups[block]):
            cell -= top * cells.width
            if isinstance(part, slice) and cell.min() < 0:
                outside.append(part.start + np.flatnonzero(cell < 0))
                cell = np.maximum(cell, 0)  # what is read there is replaced below
            scores[part] = np.take(product, cell)
        if see is not None:
            see(product, top)
    rest = np.concatenate(outside) if outside else np.empty(0, np.int64)
    scores[rest] = dots(features, pairs[rest])
    return scores


def pair_scores(features: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The scores of pairs where no probes and gallery are known: from one product if they are dense in it.

    Arguments and result as `grid_scores`.
    """
    left, right = (np.flatnonzero(np.bincount(side, minlength=len(features))) for side in pairs.T)
    if len(left) * len(right) <= _DENSE * len(pairs):
        return grid_scores(features, pairs, left, right)
    return dots(features, pairs)


def dots(features: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """(P,): the products of the features of each pair, one by one."""
    scores = np.empty(len(pairs), features.dtype)
    step = max(1, _BLOCK // max(1, features.shape[1]))
    for start in range(0, len(pairs), step):
        left, right = pairs[start : start + step].T
        np.einsum("pd,pd->p", features[left], features[right], out=scores[start : start + step])
    return scores


class _Cells:
    """Where in a product of probes and gallery a pair lies: row times width plus column; negative outside."""

    def __init__(self, size: int, probe: np.ndarray, gallery: np.ndarray):
        self.width = len(gallery)
        kind = np.int32 if 4 * len(probe) * len(gallery) < np.iinfo(np.int32).max else np.int64
        outside = -2 * max(1, len(probe)) * max(1, len(gallery))  # a sum with it is negative
        self._row = np.full(size, outside // 2, kind)
        self._column = np.full(size, outside // 2, kind)
        self._row[probe] = np.arange(len(probe)) * len(gallery)
        self._column[gallery] = np.arange(len(gallery))

    def look_up(self, pairs: np.ndarray, members: np.ndarray | None) -> Iterator[tuple[slice | np.ndarray, np.ndarray]]:
        """Parts of the pairs, or of the `members` among them, and the cells of each."""
        for start in range(0, len(pairs) if members is None else len(members), _PAIRS):
            part = slice(start, start + _PAIRS) if members is None else members[start : start + _PAIRS]
            yield part, self._cells(pairs[part])

    def grouped(self, pairs: np.ndarray, step: int, blocks: int) -> list[np.ndarray]:
        """The pairs of each block of `step` probes, and last those outside."""
        block = np.empty(len(pairs), np.int16 if blocks < 1 << 15 else np.int32)
        for part, cell in self.look_up(pairs, None):
            block[part] = np.where(cell < 0, blocks, cell // (step * self.width))
        order = np.argsort(block, kind="stable")
        return np.split(order, np.cumsum(np.bincount(block, minlength=blocks + 1))[:-1])

    def _cells(self, pairs: np.ndarray) -> np.ndarray:
        left, right = pairs.T
        cell = self._column[left] + self._row[right]  # the lists of IJB name the gallery first
        if cell.min(initial=0) < 0:
            cell = np.maximum(cell, self._row[left] + self._column[right])
        return cell
