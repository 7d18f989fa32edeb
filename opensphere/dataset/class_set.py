"""People and their images from a list."""

import os
import random
from array import array
from collections.abc import Sequence

import numpy as np

from opensphere.dataset.annotation import ImageFiles, Lines, Texts
from opensphere.dataset.image_set import ImageSet
from opensphere.error import UserError


class ClassDataset(ImageSet):
    """Images with the people they show, from a list of `path name` a line.

    Args:
        name: for tables and file names.
        data_dir: the folder that paths are relative to.
        ann_path: the list.
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        noise_ratio: share of items whose label is replaced by one drawn from all classes (which may be the same).
        seed: of that noise.
        test_mode: the set is not for training: images are given as they are, without augmentation.
        in_memory: decode each image once, at the start, and keep it (height x width x 3 bytes each).

    Attributes:
        labels: (N,) int64, the position of each image's name in `names`.
        names: the people, sorted, each once.

    Raises:
        UserError: the list or the folder cannot be used, the first image does not exist, or noise_ratio is not in 0..1.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        ann_path: str | os.PathLike,
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        noise_ratio: float = 0.0,
        seed: int = 0,
        test_mode: bool = False,
        in_memory: bool = False,
    ):
        super().__init__(name, image_size, in_memory)
        if not 0 <= noise_ratio <= 1:
            raise UserError(f"noise_ratio: {noise_ratio} is not in 0..1")
        self.test_mode = test_mode
        self.noise_ratio = noise_ratio
        lines = Lines(ann_path, ("path", "name"))
        paths = Texts()
        order: dict[bytes, int] = {}  # people in the order in which they appear
        appeared = array("q")
        for path, person in lines:
            paths.add(path)
            appeared.append(order.setdefault(person, len(order)))
        self.files = ImageFiles(data_dir, paths, lines, crop=crop)
        self.files.check_first()
        people = sorted(order)  # bytes of UTF-8 sort as their characters do
        self.names = [person.decode("utf-8") for person in people]
        rank = np.empty(len(people), np.int64)
        rank[[order[person] for person in people]] = np.arange(len(people))
        self.labels = rank[np.frombuffer(appeared, np.int64)]
        if noise_ratio > 0:
            add_label_noise(self.labels, len(people), noise_ratio, seed)

    @property
    def num_class(self) -> int:
        return len(self.names)

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> str:
        """The path of image `index` as the list has it."""
        return self.files.paths[index]

    def read(self, index: int) -> np.ndarray:
        return self.files.read(index, self.image_size)


def add_label_noise(labels: np.ndarray, num_class: int, noise_ratio: float, seed: int) -> None:
    """Replace labels in place, each with probability `noise_ratio`, by one drawn uniformly from all classes.

    The published noisy set of the SphereFace2 paper (Wen et al. 2022, section 3.3) is made this way, draw for draw.
    """
    generator = random.Random(seed)
    classes = range(num_class)
    for item in range(len(labels)):
        if generator.random() <= noise_ratio:
            labels[item] = generator.choice(classes)
