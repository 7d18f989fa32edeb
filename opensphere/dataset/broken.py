"""Images that cannot be read, in the middle of a training."""

import threading
from typing import Any

import numpy as np

from opensphere.error import UserError

_TRIES = 100  # images looked at to find one that can be read


class Broken:
    """Reads a set; in the place of an image that cannot be read it gives another one of the same person.

    That is the next of the person's images, in the order of the set, that can be read; if there is none, the next image
    of anybody, with the label that goes with it. So what is trained on is a function of the data alone. May be used by
    several threads.

    Args:
        dataset: has `labels`.
        most: the share of the set's images that may be broken; the first beyond it ends the training.

    Attributes:
        news: what has not been told yet, a line for each broken image; whoever tells them takes them out.

    Raises:
        UserError: `most` is not in 0..1.
    """

    def __init__(self, dataset: Any, most: float = 0.01):
        if isinstance(most, bool) or not isinstance(most, int | float) or not 0 <= most <= 1:
            raise UserError(f"max_broken: {most!r} is not a share in 0..1")
        self.dataset, self.most = dataset, most
        self.news: list[str] = []
        self._instead: dict[int, int] = {}  # of each broken image, the one that takes its place
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """How many images were found broken."""
        return len(self._instead)

    def read(self, index: int) -> tuple[np.ndarray, int]:
        """An image that can be read, (H, W, 3) uint8, and its index.

        Raises:
            UserError: more images than allowed are broken.
        """
        index = self._instead.get(index, index)
        try:
            return self.dataset[index][0].numpy(), index
        except UserError as error:
            with self._lock:
                return self._replace(index, error)

    def _replace(self, index: int, error: UserError) -> tuple[np.ndarray, int]:
        if index in self._instead:  # another thread was first
            index = self._instead[index]
            return self.dataset[index][0].numpy(), index
        bound = int(self.most * len(self.dataset))
        failed = [(index, error)]
        for other in self._others(index):
            if len(self) + len(failed) > bound:
                break
            if other in self._instead:
                continue
            try:
                image = self.dataset[other][0].numpy()
            except UserError as another:
                failed.append((other, another))
                continue
            for number, reason in failed:
                self._instead[number] = other
                self.news.append(f"{reason}; {self.dataset.path(other)} takes its place")
            return image, other
        if not bound:
            raise error
        raise UserError(
            f"{error}; with it {len(self) + len(failed):,} of {len(self.dataset):,} images cannot be read, more than "
            f"max_broken: {self.most:g}: mend the data (opensphere data check finds all of them), or raise it"
        )

    def _others(self, index: int) -> list[int]:
        """The person's further images in order, beginning behind this one, then those of others."""
        own = np.flatnonzero(self.dataset.labels == self.dataset.labels[index])
        own = np.roll(own, -1 - int(np.searchsorted(own, index)))[:-1]
        rest = (index + 1 + np.arange(min(_TRIES, len(self.dataset) - 1))) % len(self.dataset)
        return list(dict.fromkeys([*own[:_TRIES].tolist(), *rest.tolist()]))
