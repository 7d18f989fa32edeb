"""Images alone, to take features of with `engine.extract`; there is nothing to learn or to verify on them."""

import os
from collections.abc import Sequence

from opensphere.dataset.annotation import Lines, Texts
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.reader import FileReader, open_reader


class ItemDataset(ImageSet):
    """Images in the order of a list, whose lines begin with a path; or, without a list, all images below a folder.

    Args:
        name: for tables and file names.
        data_dir: the folder that paths are relative to; without a list, that or another place that `open_reader` takes.
        ann_path: the list, of which the first field of each line is read; None: all images of data_dir. In a line
            without a TAB the first field ends at the first space.
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
        super().__init__(name, image_size, crop=crop)
        self.test_mode = test_mode
        if ann_path is not None:
            paths, lines = Texts(), Lines(ann_path, ("path",), more=True)
            for fields in lines:
                paths.add(fields[0])
            self.reader = FileReader(data_dir, paths, lines)
            self.reader.check_first()
        else:
            self.reader = open_reader(data_dir, people=False)
