"""How classes spread over the unit sphere: their hyperspherical energy, and the angle to the nearest other class."""

from dataclasses import dataclass

import numpy as np

from opensphere.metric.verification import unit

MOST = 4000  # centres that are compared; more would cost seconds a validation
_ROWS = 512  # of cosines held at once: 8 MB of float32 against 4,000 centres
_MARGIN = 1e-5  # of cosines to -1 and 1, as `sphere.angle` keeps it


@dataclass(frozen=True)
class Spread:
    """How far classes lie from one another.

    Attributes:
        energy: the mean of angle^-2, angles in radians, over the pairs of centres of two classes.
        nearest: the mean over classes of the angle to the nearest centre of another class, in degrees.
    """

    energy: float
    nearest: float


def draw(num_class: int, centers: int = 1, most: int = MOST, seed: int = 0) -> np.ndarray:
    """Which classes to compare: all, or as many as have `most` centres, the same for every loss, seed and update.

    Among a share of the classes the nearest one is farther than among all: numbers of different shares do not compare.

    Args:
        num_class: C.
        centers: K, centres of a class.

    Returns:
        Positions of classes, int64, ascending; two at least where there are as many.
    """
    count = max(2, most // centers)
    if num_class <= count:
        return np.arange(num_class)
    return np.sort(np.random.default_rng(seed).choice(num_class, count, replace=False))


def spread(points: np.ndarray, centers: int = 1) -> Spread:
    """Hyperspherical energy (Liu et al. 2018, MHE; arc distance, s = 2) and nearest angles, a block of rows at a time.

    Args:
        points: (C * K, D) centres of C classes, those of a class next to one another, of any length.
        centers: K.

    Raises:
        ValueError: there are fewer than two classes, or the centres of the last one are not all there.
    """
    if len(points) % centers or len(points) < 2 * centers:
        raise ValueError(f"{len(points)} centres, {centers} a class, are not those of two classes or more")
    directions = unit(points)
    closest = np.full(len(points), -np.inf)  # cosine to the closest centre of another class
    total = 0.0
    rows = max(1, _ROWS // centers) * centers  # of whole classes
    for top in range(0, len(points), rows):
        block = directions[top : top + rows]
        cos = block @ directions[top:].T  # to those from here on: each pair comes once
        label = np.arange(len(block)) // centers
        own = label[:, None] >= label
        square = cos[:, : len(block)]
        square[own] = -np.inf
        closest[top : top + rows] = np.maximum(closest[top : top + rows], cos.max(axis=1))
        closest[top:] = np.maximum(closest[top:], cos.max(axis=0))
        np.clip(cos, _MARGIN - 1, 1 - _MARGIN, out=cos)
        np.square(np.arccos(cos, out=cos), out=cos)
        square[own] = np.inf  # their term is 0
        total += float(np.reciprocal(cos, out=cos).sum(dtype=np.float64))
    classes = len(points) // centers
    pairs = centers**2 * classes * (classes - 1) // 2
    angles = np.arccos(np.clip(closest.reshape(classes, centers).max(axis=1), -1, 1))
    return Spread(total / pairs, float(np.rad2deg(angles).mean()))
