"""The nearest gallery entries of probes: exactly, or roughly and sooner through an index of faiss.

Near is what has a high product of features: the cosine, for features of unit length.
"""

from importlib import import_module
from typing import Any

import numpy as np

_ROWS, _COLUMNS = 2048, 8192  # scores held at once: 64 MiB in float32
_FIRST = 512  # columns that are partitioned
_LINKS = 32  # of an entry in a graph of HNSW
_BUILD = 128  # candidates when a graph is built


def nearest(probe: np.ndarray, gallery: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k entries with the highest scores of each probe, by looking at all.

    Args:
        probe: (P, D), gallery: (G, D): features.
        k: from 1 to G.

    Returns:
        (P, k) int64 entries, the best first, and (P, k) their scores.

    Raises:
        ValueError: k is not from 1 to G, or a score is not a number.
    """
    _check(k, len(gallery))
    kind = np.result_type(probe, gallery)
    entries, scores = np.empty((len(probe), k), np.int64), np.empty((len(probe), k), kind)
    for top in range(0, len(probe), _ROWS):
        rows = probe[top : top + _ROWS]
        best, place = np.empty((len(rows), 0), kind), np.empty((len(rows), 0), np.int64)
        for left in range(0, len(gallery), _COLUMNS):
            block = rows @ gallery[left : left + _COLUMNS].T
            if np.isnan(block.max()):
                raise ValueError("scores are not numbers; check the features")
            # the first few are partitioned, which is slow; of the others only those above the k-th are looked at
            cuts = [0, max(_FIRST, 2 * k)] if left == 0 else [0]
            for start, stop in zip(cuts, [*cuts[1:], None], strict=True):
                part = block[:, start:stop]
                higher, columns = _higher(part, best.min(axis=1)) if best.shape[1] == k else _highest(part, k)
                best = np.concatenate([best, higher], axis=1)
                place = np.concatenate([place, columns + left + start], axis=1)
                if best.shape[1] > k:
                    best, kept = _highest(best, k)
                    place = np.take_along_axis(place, kept, axis=1)
        down = np.argsort(-best, axis=1, kind="stable")
        entries[top : top + _ROWS] = np.take_along_axis(place, down, axis=1)
        scores[top : top + _ROWS] = np.take_along_axis(best, down, axis=1)
    return entries, scores


class RoughIndex:
    """An index of faiss over a gallery (`index_roughly`)."""

    def __init__(self, index: Any, kind: str, size: int):
        self._index, self._kind, self._size = index, kind, size

    def search(self, probe: np.ndarray, k: int, effort: int) -> tuple[np.ndarray, np.ndarray]:
        """As `nearest`; what it misses depends on `effort`: the cells that are looked through (ivf), or the candidates
        that are followed (hnsw). An entry is -1 where fewer than k were met.

        Raises:
            ValueError: k is not from 1 to G, or effort is below 1.
        """
        _check(k, self._size)
        if effort < 1:
            raise ValueError(f"effort {effort} is not above 0")
        if self._kind == "ivf":
            self._index.nprobe = effort
        else:
            self._index.hnsw.efSearch = max(effort, k)
        scores, entries = self._index.search(np.ascontiguousarray(probe, np.float32), k)
        return entries, scores


def index_roughly(gallery: np.ndarray, kind: str = "ivf", cells: int | None = None) -> RoughIndex:
    """Build an index of faiss (Douze et al. 2024). `recall` tells what it misses.

    Args:
        gallery: (G, D) features, kept as float32.
        kind: "ivf", entries in cells about centres of k-means, or "hnsw", a graph of neighbours (Malkov & Yashunin
            2018), slower to build and quicker to search.
        cells: of "ivf"; four times the root of G if not given.

    Raises:
        ValueError: the kind is not known, or faiss is not installed.
    """
    if kind not in ("ivf", "hnsw"):
        raise ValueError(f"index {kind!r} is not known; known are ivf, hnsw")
    try:
        faiss = import_module("faiss")
    except ImportError:
        raise ValueError("rough search needs faiss, which is not installed: pip install faiss-cpu") from None
    gallery = np.ascontiguousarray(gallery, np.float32)
    size, width = gallery.shape
    if kind == "hnsw":
        index = faiss.IndexHNSWFlat(width, _LINKS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _BUILD
    else:
        cells = min(size, cells or 4 * int(size**0.5))
        index = faiss.index_factory(width, f"IVF{cells},Flat", faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1  # few points are no reason for a warning
        index.train(gallery)
    index.add(gallery)
    return RoughIndex(index, kind, size)


def recall(found: np.ndarray, exact: np.ndarray, k: int) -> float:
    """The share of the exact k nearest entries that are among the k that were found. Both: (P, at least k)."""
    return float(np.mean([len(np.intersect1d(a, b)) for a, b in zip(found[:, :k], exact[:, :k], strict=True)]) / k)


def _highest(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k highest scores of each row, or all, and their columns."""
    if scores.shape[1] <= k:
        return scores, np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    columns = np.argpartition(scores, -k, axis=1)[:, -k:]
    return np.take_along_axis(scores, columns, axis=1), columns


def _higher(scores: np.ndarray, floor: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The scores of each row above its floor, filled up with minus infinity, and their columns."""
    row, column = np.nonzero(scores > floor[:, None])
    count = np.bincount(row, minlength=len(scores))
    within = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
    higher = np.full((len(scores), int(count.max())), -np.inf, scores.dtype)
    columns = np.zeros(higher.shape, np.int64)
    higher[row, within], columns[row, within] = scores[row, column], column
    return higher, columns


def _check(k: int, size: int) -> None:
    if not 1 <= k <= size:
        raise ValueError(f"k {k} is not from 1 to {size}, the size of the gallery")
