"""Images that are there twice: byte for byte, or as the same picture saved anew.

Pictures saved anew are sought in two steps. Looks (`scan.look_of`) that differ in few of their 64 bits make candidates,
which are found without comparing all pairs: if two looks cut into `radius + k` bands differ in at most `radius` bits, k
bands agree, so sorting by each choice of k bands brings them together (Manku, Jain & Das Sarma 2007, section 3). Then
the pictures themselves are compared.
"""

from itertools import combinations

import cv2
import numpy as np

from opensphere.dataset.reader import Reader
from opensphere.inspection.scan import SIDE, Progress, pictures

# Bits in which the looks of one picture may differ, up to so many images: the more there are, the more look alike by
# chance.
RADII = ((2_000_000, 4), (5_000_000, 3), (1 << 62, 2))
# Correlation of grey 32 x 32 pictures from which two are one. Of 1,000 faces of LFW and CFP that were saved anew both
# steps found: as JPEG of quality 50 to 90, at half or larger size, darker, or without colour all; of quality 25 99.8%;
# brighter by 15% 98.5%; under a gamma of 0.7 92.8%; with 2 of 112 pixels cut off on each side 12%. Of all pairs of
# different people in these sets only those that are one picture under two names, five, were taken for one.
SAME = 0.985
_CROWD = 8  # images of one look up to which all are compared with all
_MOST = 1 << 31  # comparisons of looks after which the search stops
_STEP = 2000  # pairs of pictures compared together


def groups_of(digest: np.ndarray) -> np.ndarray:
    """The images that have the same bytes.

    Args:
        digest: (N, 2) uint64.

    Returns:
        (N,) int64: of each image the first one that equals it, which may be itself.
    """
    order = np.lexsort((np.arange(len(digest)), digest[:, 1], digest[:, 0]))
    new = np.ones(len(digest), bool)
    new[1:] = np.any(digest[order[1:]] != digest[order[:-1]], axis=1)
    first = np.empty(len(digest), np.int64)
    first[order] = order[np.flatnonzero(new)[np.cumsum(new) - 1]]
    return first


def near(looks: np.ndarray, radius: int | None = None, most: int = _MOST) -> tuple[np.ndarray, bool]:
    """Pairs of looks that differ in at most `radius` bits.

    Where more than a few looks are equal, each of them is paired with the first and with the next one, not with all.

    Args:
        looks: (N,) uint64.
        radius: None: as `RADII` says.
        most: comparisons after which the search stops.

    Returns:
        (P, 2) int64, the smaller index first, sorted; and whether the search came to its end.
    """
    if radius is None:
        radius = next(radius for count, radius in RADII if len(looks) <= count)
    order = np.argsort(looks, kind="stable")
    values, start, count = np.unique(looks[order], return_index=True, return_counts=True)
    found = [_equal(order, start, count)]
    close, whole = _close(values, radius, most)
    left, right = close.T
    sizes = np.minimum(count, _CROWD)
    for i in range(int(sizes[left].max(initial=0))):
        for j in range(int(sizes[right].max(initial=0))):
            both = (sizes[left] > i) & (sizes[right] > j)
            found.append(np.stack([order[start[left[both]] + i], order[start[right[both]] + j]], axis=1))
    pairs = np.sort(np.concatenate(found), axis=1)
    return np.unique(pairs, axis=0), whole


def _equal(order: np.ndarray, start: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Pairs within each run of equal looks: all of them in short runs, with the first and the next in long ones."""
    found = [np.empty((0, 2), np.int64)]
    for step in range(1, _CROWD):
        runs = np.flatnonzero((count > step) & (count <= _CROWD))
        for at in range(_CROWD - step):
            some = start[runs[count[runs] > at + step]] + at
            found.append(np.stack([order[some], order[some + step]], axis=1))
    for run in np.flatnonzero(count > _CROWD):
        same = order[start[run] : start[run] + count[run]]
        found.append(np.stack([same[:-1], same[1:]], axis=1))
        found.append(np.stack([np.full(len(same) - 1, same[0]), same[1:]], axis=1))
    return np.concatenate(found)


def _close(values: np.ndarray, radius: int, most: int) -> tuple[np.ndarray, bool]:
    """Pairs of different values within `radius` bits, (P, 2), and whether all were found."""
    agree = 1  # bands that agree; enough of them that few values share a key by chance
    while agree < 3 and 64 * agree // (radius + agree) < np.log2(len(values) + 1):
        agree += 1
    bands = radius + agree
    edges = np.arange(bands + 1) * 64 // bands
    masks = [((1 << int(b)) - (1 << int(a))) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    found, compared = [np.empty((0, 2), np.int64)], 0
    for chosen in combinations(masks, agree):
        keys = values & np.uint64(sum(chosen))
        order = np.argsort(keys, kind="stable")
        keys, sorted_values = keys[order], values[order]
        alive = np.arange(len(keys) - 1)
        step = 1
        while len(alive):
            alive = alive[alive + step < len(keys)]
            alive = alive[keys[alive] == keys[alive + step]]
            compared += len(alive)
            if compared > most:
                return np.unique(np.concatenate(found), axis=0), False
            hits = alive[bits(sorted_values[alive] ^ sorted_values[alive + step]) <= radius]
            found.append(np.sort(np.stack([order[hits], order[hits + step]], axis=1), axis=1))
            step += 1
    return np.unique(np.concatenate(found), axis=0), True


def bits(values: np.ndarray) -> np.ndarray:
    """How many bits of each uint64 are set, (N,) uint64: in pairs, then fours, then bytes, which a product adds up."""
    ones, twos, fours = (np.uint64(mask) for mask in (0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F))
    values = values - (values >> np.uint64(1) & ones)
    values = (values & twos) + (values >> np.uint64(2) & twos)
    values = values + (values >> np.uint64(4)) & fours
    return values * np.uint64(0x0101010101010101) >> np.uint64(56)


def confirm(readers: tuple[Reader, Reader], pairs: np.ndarray, progress: Progress | None = None) -> np.ndarray:
    """How much the pictures of candidate pairs correlate.

    Args:
        readers: of the left and of the right image of a pair.
        pairs: (P, 2) int64, images of these.

    Returns:
        (P,) float32; at least `SAME` for one picture.
    """
    scores = np.zeros(len(pairs), np.float32)
    for start in range(0, len(pairs), _STEP):
        part = pairs[start : start + _STEP]
        sides = []
        for side in (0, 1):  # sorted pairs share images, which are decoded once
            some, back = np.unique(part[:, side], return_inverse=True)
            sides.append(_small(readers[side], some)[back.ravel()])
        scores[start : start + _STEP] = np.einsum("pd,pd->p", *sides)
        if progress is not None:
            progress(min(start + _STEP, len(pairs)), len(pairs))
    return scores


def _small(reader: Reader, indices: np.ndarray) -> np.ndarray:
    """(N, SIDE * SIDE) float32: small grey pictures, without their mean, of unit length."""
    rows = np.zeros((len(indices), SIDE * SIDE), np.float32)
    for row, image in enumerate(pictures(reader, indices)):
        if image is not None:
            small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
            rows[row] = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).ravel()
    rows -= rows.mean(axis=1, keepdims=True)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1)
