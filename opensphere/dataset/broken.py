"""Images that cannot be read, in the middle of a training."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np

from opensphere.error import UserError


class Broken:
    """Reads a set; in the place of an image that cannot be read it gives another one of the same person.

    That is the next of the person's images, in the order of the set, that can be read; if there is none, the next image
    of anybody, with the label that goes with it. So what is trained on is a function of the data alone. May be used by
    several threads.

    Args:
        dataset: has `labels`.
        most: the share of the set's images that may be broken; the first beyond it ends the training.

    Attributes:
        found: the images that could not be read.
        news: what has not been told yet, a line for each of them; whoever tells them takes them out.

    Raises:
        UserError: `most` is not in 0..1.
    """

    def __init__(self, dataset: Any, most: float = 0.01):
        if isinstance(most, bool) or not isinstance(most, int | float) or not 0 <= most <= 1:
            raise UserError(f"max_broken: {most!r} is not a share in 0..1")
        self.dataset, self.most = dataset, most
        self.found: set[int] = set()
        self.news: list[str] = []
        self._instead: dict[int, int] = {}  # of each broken image that was asked for, the one that takes its place
        self._lock = threading.Lock()

    def read(self, index: int) -> tuple[np.ndarray, int]:
        """An image that can be read, (H, W, 3) uint8, and its index.

        Raises:
            UserError: more images than allowed are broken.
        """
        index = self._instead.get(index, index)
        try:
            return self.dataset.image(index), index
        except UserError as error:
            with self._lock:
                return self._replace(index, error)

    def _replace(self, index: int, error: UserError) -> tuple[np.ndarray, int]:
        if index in self._instead:  # another thread was first
            index = self._instead[index]
            return self.dataset.image(index), index
        self._note(index, error)
        for other in self._others(index):
            if other in self.found:
                continue
            try:
                image = self.dataset.image(other)
            except UserError as another:
                self._note(other, another)
                continue
            self._instead[index] = other
            self.news.append(f"{self.dataset.path(other)} takes the place of {self.dataset.path(index)}")
            return image, other
        raise UserError(f"{error}; nor can any other image of the set be read")

    def _note(self, index: int, error: UserError) -> None:
        """Take note of a broken image. Raises UserError where that is one too many."""
        if index in self.found:
            return
        bound = int(self.most * len(self.dataset))
        if not bound:
            raise error
        if len(self.found) == bound:
            raise UserError(
                f"{error}; with it {bound + 1:,} of {len(self.dataset):,} images cannot be read, more than max_broken: "
                f"{self.most:g}: mend the data (opensphere data check finds all of them), or raise it"
            )
        self.found.add(index)
        self.news.append(str(error))

    def _others(self, index: int) -> Iterator[int]:
        """The person's further images in order, beginning behind this one, then those of others."""
        own = np.flatnonzero(self.dataset.labels == self.dataset.labels[index])
        yield from np.roll(own, -1 - int(np.searchsorted(own, index)))[:-1].tolist()
        yield from range(index + 1, len(self.dataset))
        yield from range(index)
