"""Images alone, to take features of with `engine.extract`; there is nothing to learn or to verify on them."""

import os
from collections.abc import Sequence

import numpy as np

from opensphere.dataset.annotation import ImageFiles, Lines, Texts, find_images
from opensphere.dataset.image_set import ImageSet, check_folder
from opensphere.error import UserError


class ItemDataset(ImageSet):
    """Images in the order of a list, whose lines begin with a path; or, without a list, all images below a folder.

    Args:
        name: for tables and file names.
        data_dir: the folder that paths are relative to.
        ann_path: the list, of which the first field of each line is read; None: all images below data_dir, sorted.
            In a line without a TAB the first field ends at the first space.
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        test_mode: images are given as they are; kept for configs that say so.

    Raises:
        UserError: the list or the folder cannot be used, holds no images, or the first image does not exist.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        ann_path: str | os.PathLike | None = None,
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        test_mode: bool = True,
    ):
        super().__init__(name, image_size)
        self.test_mode = test_mode
        paths = Texts()
        if ann_path is None:
            for path in find_images(check_folder(data_dir)):
                paths.add(os.fsencode(path))
            if not len(paths):
                raise UserError(f"{os.fspath(data_dir)}: no images found; set data_dir to a folder that holds some")
            self.files = ImageFiles(data_dir, paths, crop=crop)
        else:
            lines = Lines(ann_path, ("path",), more=True)
            for fields in lines:
                paths.add(fields[0])
            self.files = ImageFiles(data_dir, paths, lines, crop=crop)
            self.files.check_first()

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> str:
        """The path of image `index` as the list has it, or relative to data_dir."""
        return self.files.paths[index]

    def read(self, index: int) -> np.ndarray:
        return self.files.read(index, self.image_size)
