"""Random numbers that are a hash: what is drawn for an image depends on (seed, epoch, index) and the question alone."""

from functools import lru_cache

import numpy as np

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
# One stream of random numbers for each question, so that switching one thing on changes nothing else.
# The order is part of what a seed means: append, never insert.
_STREAMS = (
    "mirror", "shift_x", "shift_y", "scale", "rotate", "brightness", "contrast", "saturation", "grey",
    "blur", "blur_sigma", "low_resolution", "factor", "erase", "erase_area", "erase_ratio", "erase_x", "erase_y",
    "geometry", "crop", "crop_area", "crop_ratio", "crop_x", "crop_y", "colour", "gamma",
    "shrink_filter", "enlarge_filter", "jpeg", "jpeg_quality",
)  # fmt: skip
_TRY = 1 << 48  # from one try at an image to the next; sets are smaller


class Draw:
    """The random numbers of a batch's images, always made on the CPU: any device sees the same.

    Attributes:
        index: (B,) each image's index in its set.
    """

    def __init__(self, seed: int, epoch: int, index: np.ndarray):
        self.seed, self.epoch, self.index = seed, epoch, index

    def __call__(self, stream: str) -> np.ndarray:
        """(B,) float64 in [0, 1): the answers to a question."""
        return uniform(self.seed, self.epoch, self.index, stream)

    def signed(self, stream: str) -> np.ndarray:
        """(B,) float64 in [-1, 1)."""
        return 2 * self(stream) - 1

    def between(self, stream: str, bounds: tuple[float, float]) -> np.ndarray:
        """(B,) float64 from the first bound to the second."""
        least, most = bounds
        return least + (most - least) * self(stream)

    def tries(self, stream: str, count: int) -> np.ndarray:
        """(B, count) float64 in [0, 1): several independent answers; the first is `draw(stream)`."""
        numbers = np.asarray(self.index)[:, None] + _TRY * np.arange(count)
        return uniform(self.seed, self.epoch, numbers, stream)

    def rows(self, stream: str, probability: float) -> np.ndarray:
        """The positions in the batch of the images that something happens to."""
        return np.flatnonzero(self(stream) < probability)

    def of(self, rows: np.ndarray) -> "Draw":
        """The draw for the images at these positions of the batch alone."""
        return Draw(self.seed, self.epoch, np.asarray(self.index)[rows])


def uniform(seed: int, epoch: int, index: np.ndarray, stream: str) -> np.ndarray:
    """float64 of index's shape, uniform in [0, 1): random numbers that are a hash of (seed, epoch, index, stream).

    The output function of SplitMix64 (Steele, Lea and Flood 2014) on a counter, keyed by the other three.
    """
    counter = np.asarray(index).astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(_key(seed, epoch, stream))
    return (mix(counter) >> np.uint64(11)) * 2.0**-53


@lru_cache(maxsize=1024)
def _key(seed: int, epoch: int, stream: str) -> int:
    key = 0
    for word in (seed, epoch, _STREAMS.index(stream)):
        key = int(mix(np.array([(key + word + _GOLDEN) & _WORD], np.uint64))[0])
    return key


def mix(x: np.ndarray) -> np.ndarray:
    """SplitMix64's output function, of any shape, uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
