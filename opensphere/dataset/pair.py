"""Pairs of images: the same person or two?"""

import os
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from opensphere.dataset.image_set import ImageSet, parse_metrics
from opensphere.dataset.pair_list import read_pairs
from opensphere.dataset.persons import find_persons
from opensphere.dataset.reader.files import FileReader
from opensphere.dataset.reader.pickled import PickledPairs
from opensphere.error import UserError


class PairDataset(ImageSet):
    """Pairs of images, of one person or of two.

    The set's images are the unique ones of the list, in the order in which they first appear.

    Args:
        name: for tables and file names.
        data_dir: the folder that paths are relative to; without a list, a `.bin` file of InsightFace.
        ann_path: a list of `label path path` a line (label 1: the same person, 0: two people), LFW's `pairs.txt`, one
            of RFW's, or the folder Protocol/Split/FF or FP of CFP.
        metrics: names of what to report; the usual ones if not given.
        folds: a number of folds of successive pairs; None for no folds; "auto" for those of the list, or ten if it
            looks made for them (see `find_folds`).
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        test_mode: images are given as they are; kept for configs that say so.
        in_memory: decode each image once, at the start, and keep it (height x width x 3 bytes each).

    Attributes:
        pairs: (P, 2) int64, indices of the set's images.
        is_same: (P,) bool.
        folds: (P,) int64 from 0, or None.
        persons: (N,) int64 from 0 without gaps, whom each image shows: as the protocol names people, else as
            `find_persons` finds them, when first asked.

    Raises:
        UserError: the list or the folder cannot be used, or images do not exist.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        ann_path: str | os.PathLike | None = None,
        metrics: str | Sequence[str] | None = None,
        folds: str | int | None = "auto",
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        test_mode: bool = True,
        in_memory: bool = False,
    ):
        super().__init__(name, image_size, in_memory, crop)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        own_folds, self._persons = None, None
        if ann_path is None:
            self.reader = self._open_bin(os.fspath(data_dir))
            self.pairs, self.is_same = self.reader.pairs, self.reader.is_same
        else:
            found = read_pairs(ann_path, data_dir)
            self.reader = FileReader(data_dir, found.paths, found)
            self.pairs, self.is_same, own_folds = found.pairs, found.is_same, found.folds
            self._persons = found.persons
        self.folds = own_folds if folds == "auto" and own_folds is not None else parse_folds(folds, self.is_same)

    @cached_property
    def persons(self) -> np.ndarray:
        return find_persons(self.reader, self.pairs, self.is_same) if self._persons is None else self._persons

    @staticmethod
    def _open_bin(path: str) -> PickledPairs:
        if os.path.isdir(path) or not path.lower().endswith(".bin"):
            raise UserError(f"{path}: ann_path should name the list of pairs; only a .bin file has its own")
        return PickledPairs(path)


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
