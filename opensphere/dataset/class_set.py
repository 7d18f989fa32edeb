"""People and their images."""

import os
from collections.abc import Sequence

from opensphere.dataset.corruption import add_label_noise
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.reader import open_reader
from opensphere.error import UserError


class ClassDataset(ImageSet):
    """Images with the people they show.

    Args:
        name: for tables and file names.
        data_dir: where they are: a folder that holds one folder for each person; a RecordIO `.rec` file, or a folder
            that holds one; tar shards; or any other that `open_reader` takes. With `ann_path`, the folder that its
            paths are relative to.
        ann_path: a list of `path name` a line; None: all that data_dir holds.
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
        UserError: the data cannot be used, or noise_ratio is not in 0..1.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        ann_path: str | os.PathLike | None = None,
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        noise_ratio: float = 0.0,
        seed: int = 0,
        test_mode: bool = False,
        in_memory: bool = False,
    ):
        super().__init__(name, image_size, in_memory, crop)
        if not 0 <= noise_ratio <= 1:
            raise UserError(f"noise_ratio: {noise_ratio} is not in 0..1")
        self.test_mode = test_mode
        self.noise_ratio = noise_ratio
        self.reader = open_reader(data_dir, ann_path)
        if self.reader.labels is None:
            raise UserError(f"{self.reader.root}: it says of no image whom it shows; it is for verification")
        self.labels, self.names = self.reader.labels, self.reader.names
        if noise_ratio > 0:
            self.labels = self.labels.copy()
            add_label_noise(self.labels, len(self.names), noise_ratio, seed)

    @property
    def num_class(self) -> int:
        return len(self.names)
