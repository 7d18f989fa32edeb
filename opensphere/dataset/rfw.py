"""RFW (Wang et al. 2019): pairs of images in four groups of people, each with ten folds of its own."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from opensphere.dataset.image_set import ImageSet, parse_metrics
from opensphere.dataset.pair import find_folds
from opensphere.dataset.pair_list import read_pairs
from opensphere.dataset.persons import find_persons
from opensphere.dataset.reader.files import FileReader
from opensphere.dataset.reader.joined import Joined
from opensphere.dataset.reader.pickled import PickledPairs
from opensphere.dataset.reader.reader import Reader
from opensphere.error import UserError

GROUPS = ("African", "Asian", "Caucasian", "Indian")
_IMAGES = ("data", "images")  # the folder of images as it was distributed, and as some call their aligned copy


class RFWDataset(ImageSet):
    """Pairs of images of one person or of two, both from one group of people.

    Args:
        name: for tables and file names.
        data_dir: RFW's folder, which holds `txts/African/African_pairs.txt` and the images of its people,
            `data/African/m.xxx/m.xxx_0001.jpg`, with any suffix that images have, and the same of each other group.
            With `groups`, the folder that the paths of lists are relative to.
        groups: the pairs of each group, by its name: a list that `PairDataset` takes, or a `.bin` file.
        metrics: names of what to report; all if not given.
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        test_mode: images are given as they are; kept for configs that say so.
        in_memory: decode each image once, at the start, and keep it (height x width x 3 bytes each).

    Attributes:
        group_names: the groups.
        pair_group: (P,) int64, the position of each pair's group.
        pairs: (P, 2) int64, indices of the set's images.
        is_same: (P,) bool.
        folds: (P,) int64 from 0 in each group.
        persons: (N,) int64 from 0 without gaps, whom each image shows; nobody is in two groups.

    Raises:
        UserError: a folder or list is missing or cannot be used, images do not exist, or the pairs of a group are not
            ten folds with as many of one person as of two.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike | None = None,
        groups: Mapping[str, str] | None = None,
        metrics: str | Sequence[str] | None = None,
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        test_mode: bool = True,
        in_memory: bool = False,
    ):
        super().__init__(name, image_size, in_memory, crop)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        parts = _official(data_dir) if groups is None else _named(groups, data_dir)
        if len(parts) < 2:
            raise UserError(f"groups: {len(parts)} given; differences between groups need two or more")
        self._parts = list(parts.values())
        self.group_names = list(parts)
        self.reader = Joined([part.reader for part in self._parts])
        sizes = [len(part.is_same) for part in self._parts]
        self.pair_group = np.repeat(np.arange(len(parts)), sizes)
        firsts = np.cumsum([0, *(len(part.reader) for part in self._parts)])
        self.pairs = np.concatenate([part.pairs + first for part, first in zip(self._parts, firsts, strict=False)])
        self.is_same = np.concatenate([part.is_same for part in self._parts])
        self.folds = np.concatenate([part.folds for part in self._parts])

    @cached_property
    def persons(self) -> np.ndarray:
        found, first = [], 0
        for part in self._parts:
            persons = part.persons
            if persons is None:
                persons = find_persons(part.reader, part.pairs, part.is_same)
            found.append(first + persons)
            first += int(persons.max()) + 1
        return np.concatenate(found)


@dataclass(frozen=True, eq=False)
class _Part:
    """The pairs of a group."""

    reader: Reader
    pairs: np.ndarray
    is_same: np.ndarray
    folds: np.ndarray
    persons: np.ndarray | None

    @classmethod
    def read(cls, path: str, data_dir: str | os.PathLike | None) -> "_Part":
        persons = own_folds = None
        if path.lower().endswith(".bin"):
            reader: Reader = (pickled := PickledPairs(path))
            pairs, is_same = pickled.pairs, pickled.is_same
        elif data_dir is None:
            raise UserError(f"{path}: data_dir should name the folder that the paths of this list are relative to")
        else:
            found = read_pairs(path, data_dir)
            reader = FileReader(data_dir, found.paths, found)
            pairs, is_same, own_folds, persons = found.pairs, found.is_same, found.folds, found.persons
        folds = find_folds(is_same) if own_folds is None else own_folds
        if folds is None:
            raise UserError(
                f"{path}: its {len(is_same)} pairs are not ten folds in turn with as many of one person as of two; "
                "download or copy it again"
            )
        return cls(reader, pairs, is_same, folds, persons)


def _official(data_dir: str | os.PathLike | None) -> dict[str, _Part]:
    if data_dir is None:
        raise UserError("data_dir should name RFW's folder, or groups the list or .bin file of each group")
    root = os.fspath(data_dir)
    parts = {}
    for group in GROUPS:
        path = os.path.join(root, "txts", group, f"{group}_pairs.txt")
        if not os.path.isfile(path):
            raise UserError(f"{path}: there is no such list; set data_dir to RFW's folder, which holds txts and data")
        folders = [os.path.join(root, images, group) for images in _IMAGES]
        parts[group] = _Part.read(path, next((folder for folder in folders if os.path.isdir(folder)), folders[0]))
    return parts


def _named(groups: Mapping[str, str], data_dir: str | os.PathLike | None) -> dict[str, _Part]:
    if not isinstance(groups, Mapping) or not all(isinstance(path, str | os.PathLike) for path in groups.values()):
        raise UserError(f"groups: {groups!r} does not name a list or .bin file for each group, as African: african.bin")
    return {str(group): _Part.read(os.fspath(path), data_dir) for group, path in groups.items()}
