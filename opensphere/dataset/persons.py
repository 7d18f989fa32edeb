"""Whom the images of pairs show, as far as a list of pairs lets it be known."""

import hashlib
import os
import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from opensphere.cores import usable_cores
from opensphere.dataset.reader.files import FileReader
from opensphere.dataset.reader.reader import Reader

_NUMBER = re.compile(r"_\d+$")
_DEEPEST = 8  # folders above an image that are looked at


def numbered(names: Iterable[Hashable]) -> np.ndarray:
    """(N,) int64: names as numbers from 0, in the order in which they first appear."""
    number: dict[Hashable, int] = {}
    return np.array([number.setdefault(name, len(number)) for name in names], np.int64)


def find_persons(reader: Reader, pairs: np.ndarray, is_same: np.ndarray) -> np.ndarray:
    """(N,) int64 from 0 without gaps: the person of each image of a reader.

    Files are taken for those of the person whom their path names, if no pair contradicts it: by the folders from the
    first one down to as many as it takes, or else by a name such as Anna_0007.jpg. Lists that were put together from
    several folders are looked at folder by folder. Where paths tell nothing, images are of one person if genuine pairs
    join them; images of the same bytes are one image. Then people may be taken for more than they are.

    Args:
        reader: of N images; all are read where paths tell nothing.
        pairs: (P, 2) int64, is_same: (P,) bool.
    """
    if not isinstance(reader, FileReader):
        return joined(pairs, is_same, identical(reader, range(len(reader))))
    paths = list(reader.paths)
    block = _blocks(paths, pairs, is_same)
    persons, open_blocks = np.full(len(paths), -1), set(block.tolist())
    for name in _namings(paths):
        label = numbered(map(name, paths))
        wrong = (label[pairs[:, 0]] == label[pairs[:, 1]]) != is_same
        fits = open_blocks - set(block[pairs[wrong]].ravel().tolist())
        known = np.isin(block, list(fits))
        persons[known] = label[known]
        open_blocks -= fits
        if not open_blocks:
            break
    unknown = np.flatnonzero(np.isin(block, list(open_blocks)))
    if len(unknown):
        image = np.arange(len(paths))
        image[unknown] = unknown[identical(reader, unknown.tolist())]
        persons[unknown] = joined(pairs, is_same, image)[unknown]
    return np.unique(np.stack([block, persons], axis=1), axis=0, return_inverse=True)[1].reshape(-1)


def joined(pairs: np.ndarray, is_same: np.ndarray, image: np.ndarray) -> np.ndarray:
    """(N,) int64 from 0 without gaps: images that genuine pairs join, directly or over others, are of one person.

    Args:
        pairs: (P, 2) int64, is_same: (P,) bool.
        image: (N,) int64, for each the first that is the same image; its own number if it is that itself.
    """
    rows = np.concatenate([pairs[is_same, 0], np.arange(len(image))])
    columns = np.concatenate([pairs[is_same, 1], image])
    graph = coo_array((np.ones(len(rows), np.int8), (rows, columns)), shape=(len(image), len(image)))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def identical(reader: Reader, indices: Sequence[int]) -> np.ndarray:
    """(n,) int64: of each of some images, the position in `indices` of the first with the same bytes."""

    def digest(index: int) -> bytes:
        return hashlib.blake2b(reader.data(index), digest_size=16).digest()

    first: dict[bytes, int] = {}
    with ThreadPoolExecutor(usable_cores()) as threads:
        found = threads.map(digest, indices)
        return np.array([first.setdefault(key, position) for position, key in enumerate(found)], np.int64)


def _blocks(paths: list[str], pairs: np.ndarray, is_same: np.ndarray) -> np.ndarray:
    """(N,) int64: which part of the list each image belongs to: images whose topmost folders are paired, together.

    All are of one part unless each holds pairs of both kinds, for only these show whether a naming is right.
    """
    top = numbered(path.partition("/")[0] if "/" in path else "" for path in paths)
    count = int(top.max(initial=-1)) + 1
    graph = coo_array((np.ones(len(pairs), np.int8), tuple(top[pairs].T)), shape=(count, count))
    parts, part = connected_components(graph, directed=False)
    block = part[top].astype(np.int64)
    kinds = np.unique(2 * block[pairs[:, 0]] + is_same)
    return block if len(kinds) == 2 * parts else np.zeros(len(paths), np.int64)


def _namings(paths: list[str]) -> list[Callable[[str], str]]:
    """What may be the name of a person in a path, the shortest first."""
    deepest = min(max((path.count("/") for path in paths), default=0), _DEEPEST)
    return [*(_Folders(depth) for depth in range(1, deepest + 1)), _without_number]


class _Folders:
    """The first folders of a path."""

    def __init__(self, depth: int):
        self.depth = depth

    def __call__(self, path: str) -> str:
        return "/".join(path.split("/")[:-1][: self.depth])


def _without_number(path: str) -> str:
    """The name of a file without its suffix and a number at the end, in its folder: Anna of Anna_0007.jpg."""
    return _NUMBER.sub("", os.path.splitext(path)[0])
