"""People and their images from folders alone."""

import os
from array import array
from collections.abc import Sequence

import numpy as np

from opensphere.dataset.annotation import ImageFiles, Texts, find_images
from opensphere.dataset.image_set import ImageSet, check_folder
from opensphere.error import UserError


class FolderDataset(ImageSet):
    """A folder that holds one folder for each person; below it, images may lie at any depth.

    The person is the first folder below `data_dir`: sessions, poses or films are folders within a person. Files and
    folders whose names begin with a dot, files that are no images, people without images, and images that lie in
    `data_dir` itself are passed over.

    Args:
        name: for tables and file names.
        data_dir: the folder.
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        test_mode: the set is not for training: images are given as they are, without augmentation.
        in_memory: decode each image once, at the start, and keep it (height x width x 3 bytes each).

    Attributes:
        labels: (N,) int64, the position of each image's person in `names`.
        names: the people, sorted, each once.

    Raises:
        UserError: there is no such folder, or it does not hold folders of people.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        test_mode: bool = False,
        in_memory: bool = False,
    ):
        super().__init__(name, image_size, in_memory)
        self.test_mode = test_mode
        paths = Texts()
        self.names: list[str] = []
        labels = array("q")
        stray = 0
        for path in find_images(check_folder(data_dir)):  # sorted by person
            person, slash, _ = path.partition("/")
            if not slash:
                stray += 1
                continue
            if not self.names or self.names[-1] != person:
                self.names.append(person)
            paths.add(os.fsencode(path))
            labels.append(len(self.names) - 1)
        self.labels = np.array(labels, np.int64)
        self.files = ImageFiles(data_dir, paths, crop=crop)
        self._check_shape(stray)

    def _check_shape(self, stray: int) -> None:
        folder = self.files.data_dir
        if stray and not len(self):
            raise UserError(
                f"{folder}: its {stray} images lie in it directly; put each person's images in a folder of their own"
            )
        if not len(self):
            raise UserError(f"{folder}: no images found; it should hold a folder of images for each person")
        if len(self.names) == 1 and any("/" in path.partition("/")[2] for path in self.files.paths):
            raise UserError(
                f"{folder}: it holds one folder only, {self.names[0]!r}; if the people are in there, "
                f"set data_dir to {os.path.join(folder, self.names[0])}"
            )

    @property
    def num_class(self) -> int:
        return len(self.names)

    def __len__(self) -> int:
        return len(self.labels)

    def path(self, index: int) -> str:
        """The path of image `index` relative to data_dir, with "/"."""
        return self.files.paths[index]

    def read(self, index: int) -> np.ndarray:
        return self.files.read(index, self.image_size)
