"""Pairs of images: the same person or two?"""

import os
from array import array
from collections.abc import Sequence

import numpy as np

from opensphere.dataset.annotation import ImageFiles, Lines, Texts
from opensphere.dataset.image_set import ImageSet, parse_metrics
from opensphere.error import UserError


class PairDataset(ImageSet):
    """Pairs of images from a list of `label path path` a line; label 1: the same person, 0: two people.

    The set's images are the unique ones of the list, in the order in which they first appear.

    Args:
        name: for tables and file names.
        data_dir: the folder that paths are relative to.
        ann_path: the list.
        metrics: names of what to report; all that the set allows if not given.
        folds: a number of folds of successive pairs; None for no folds; "auto" for ten folds if the list looks made
            for them (see `find_folds`).
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        test_mode: images are given as they are; kept for configs that say so.
        in_memory: decode each image once, at the start, and keep it (height x width x 3 bytes each).

    Attributes:
        pairs: (P, 2) int64, indices of the set's images.
        is_same: (P,) bool.
        folds: (P,) int64 from 0, or None.

    Raises:
        UserError: the list or the folder cannot be used, or images do not exist.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        ann_path: str | os.PathLike,
        metrics: str | Sequence[str] | None = None,
        folds: str | int | None = "auto",
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        test_mode: bool = True,
        in_memory: bool = False,
    ):
        super().__init__(name, image_size, in_memory)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        lines = Lines(ann_path, ("label", "path", "path"))
        paths = Texts()
        indices: dict[bytes, int] = {}
        first_item = array("q")  # the pair in which an image first appears
        is_same = bytearray()
        pairs = array("q")
        for label, *sides in lines:
            if label not in (b"0", b"1"):
                where = lines.where(len(is_same))
                raise UserError(f"{where}: label {label.decode()!r}; it should be 1 (same person) or 0 (two people)")
            for path in sides:
                index = indices.setdefault(path, len(indices))
                if index == len(paths):
                    paths.add(path)
                    first_item.append(len(is_same))
                pairs.append(index)
            is_same.append(label == b"1")
        self.files = ImageFiles(data_dir, paths, lines, np.frombuffer(first_item, np.int64), crop)
        self.files.check_all()
        self.pairs = np.frombuffer(pairs, np.int64).reshape(-1, 2).copy()
        self.is_same = np.frombuffer(is_same, bool).copy()
        self.folds = parse_folds(folds, self.is_same)

    def __len__(self) -> int:
        return len(self.files)

    def path(self, index: int) -> str:
        """The path of image `index` as the list has it."""
        return self.files.paths[index]

    def read(self, index: int) -> np.ndarray:
        return self.files.read(index, self.image_size)


def parse_folds(folds: str | int | None, is_same: np.ndarray) -> np.ndarray | None:
    """The fold of each pair, (P,) int64, or None. Raises UserError if `folds` is not None, "auto" or 2..P."""
    if folds is None:
        return None
    if folds == "auto":
        return find_folds(is_same)
    if not isinstance(folds, int) or isinstance(folds, bool) or not 2 <= folds <= len(is_same):
        raise UserError(f"folds: {folds!r} is not auto, null or a number from 2 to the {len(is_same)} pairs")
    return successive_folds(len(is_same), folds)


def find_folds(is_same: np.ndarray) -> np.ndarray | None:
    """Ten folds, if each successive tenth of the pairs holds both kinds in equal number as the lists of LFW, CFP-FP,
    AgeDB-30, CALFW and CPLFW do; else None."""
    if len(is_same) == 0 or len(is_same) % 10 or np.any(2 * is_same.reshape(10, -1).sum(axis=1) * 10 != len(is_same)):
        return None
    return successive_folds(len(is_same), 10)


def successive_folds(count: int, folds: int) -> np.ndarray:
    """(count,) int64: the fold of each pair when folds are runs of pairs, of equal length or one apart."""
    return np.arange(count, dtype=np.int64) * folds // count
