"""Some of the images of a set, which keeps them."""

from typing import Any

import numpy as np
from torch import Tensor

from opensphere.dataset.image_set import ImageSet, Progress


class View(ImageSet):
    """Some of the images of a set, which keeps them.

    Attributes:
        dataset: the set.
        indices: (N,) int64, which of its images.
    """

    indices: np.ndarray

    def __init__(self, dataset: Any, name: str | None = None):
        super().__init__(dataset.name if name is None else name, dataset.image_size, dataset.in_memory)
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.indices)

    def path(self, index: int) -> str:
        return self.dataset.path(int(self.indices[index]))

    def read(self, index: int) -> np.ndarray:
        return self.dataset.read(int(self.indices[index]))

    def load(self, progress: Progress | None = None) -> Tensor:
        """All images of the set that keeps them, not of the view alone."""
        return self.dataset.load(progress)

    def image(self, index: int) -> np.ndarray:
        return self.dataset.image(int(self.indices[index]))

    def keys(self, indices: np.ndarray | None = None) -> np.ndarray | None:
        return self.dataset.keys(self.indices if indices is None else self.indices[indices])


class Subset(View):
    """Some images of a set of people, with labels from 0 without gaps.

    Args:
        dataset: has `labels` and `names`.
        indices: (N,) int64, which of its images.
        labels: (N,) int64, the person that each one is to have, by their label in `dataset`; None: the one it has.

    Attributes:
        labels: (N,) int64, positions in `names`.
        names: the people that occur, in the order that they have in `dataset`.
        people: (C,) int64, the label that each of them has in the set at the bottom, of which others are views.
    """

    def __init__(self, dataset: Any, indices: np.ndarray, labels: np.ndarray | None = None):
        super().__init__(dataset)
        self.indices = indices
        kept, self.labels = np.unique(dataset.labels[indices] if labels is None else labels, return_inverse=True)
        self.names = [dataset.names[label] for label in kept]
        self.people: np.ndarray = dataset.people[kept] if isinstance(dataset, Subset) else kept

    @property
    def num_class(self) -> int:
        return len(self.names)

    @classmethod
    def of_people(cls, dataset: Any, people: np.ndarray) -> "Subset":
        """All images of some people, by their labels in `dataset`."""
        return cls(dataset, np.flatnonzero(np.isin(dataset.labels, people)))
