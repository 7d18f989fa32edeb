"""A line of pixels brought to another length, as a matrix: the five ways that OpenCV's `resize` knows.

Except for "area", none smooths before it shrinks: what lies between the places looked up is lost, as in OpenCV.
"""

from functools import lru_cache

import numpy as np

FILTERS = ("nearest", "linear", "area", "cubic", "lanczos")
_TAPS = {"linear": np.arange(2), "cubic": np.arange(-1, 3), "lanczos": np.arange(-3, 5)}  # pixels around a place
_CUBIC = -0.75  # the parameter of cubic convolution (Keys 1981) in OpenCV; Keys has -0.5


def there_and_back(size: int, small: int, shrink: str, enlarge: str, bits: int) -> np.ndarray:
    """(size, size) float64: what becomes of a line of pixels that is brought to the length `small` and back again.

    Args:
        shrink, enlarge: names of FILTERS.
        bits: the numbers are multiples of 2^-bits, and the rows add up to 1 all the same.
    """
    # Products of short numbers are exact, so this is the same matrix on every machine.
    enlarged, shrunk = (
        kept.astype(np.float64) for kept in (_weights(enlarge, small, size), _weights(shrink, size, small))
    )
    return _shortened(enlarged @ shrunk, bits)


def _shortened(matrix: np.ndarray, bits: int) -> np.ndarray:
    """Rounded along each row so that what one pixel loses its neighbour gains: the sum stays."""
    return np.diff(np.rint(matrix.cumsum(axis=1) * 2.0**bits), axis=1, prepend=0) * 2.0**-bits


@lru_cache(maxsize=2048)
def _weights(kind: str, size: int, wanted: int) -> np.ndarray:
    return _shortened(weights(kind, size, wanted), 20).astype(np.float32)  # which holds 20 bits without loss


def weights(kind: str, size: int, wanted: int) -> np.ndarray:
    """(wanted, size) float64: the share of each pixel of a line of `size` in each of the `wanted` pixels.

    Beyond its ends a line repeats its last pixel.
    """
    step = size / wanted
    start, pixel = np.arange(wanted)[:, None] * step, np.arange(size)
    if kind == "area":  # by how much each pixel of the line lies under one of the result
        return (np.minimum(start + step, pixel + 1) - np.maximum(start, pixel)).clip(0) / step
    if kind == "nearest":
        return (np.arange(wanted)[:, None] * size // wanted == pixel).astype(np.float64)
    place = start + step / 2 - 0.5
    taps = np.floor(place) + _TAPS[kind]
    share = _kernel(kind, taps - place)
    share /= share.sum(axis=1, keepdims=True)  # of Lanczos, whose weights add up to 1 almost
    matrix = np.zeros((wanted, size))
    np.add.at(matrix, (np.arange(wanted)[:, None], taps.clip(0, size - 1).astype(np.int64)), share)
    return matrix


def _kernel(kind: str, distance: np.ndarray) -> np.ndarray:
    """The weight of a pixel at this distance from the place looked up."""
    far = np.abs(distance)
    if kind == "linear":
        return 1 - far
    if kind == "lanczos":
        return np.sinc(distance) * np.sinc(distance / 4)
    near = ((_CUBIC + 2) * far - (_CUBIC + 3)) * far**2 + 1
    return np.where(far <= 1, near, _CUBIC * (((far - 5) * far + 8) * far - 4))
