"""BLUFR (Liao et al. 2014): ten trials of large-scale verification and open-set identification on all of LFW."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from opensphere.dataset.annotation import IMAGE_SUFFIXES, Texts
from opensphere.dataset.image_set import ImageSet, parse_metrics
from opensphere.dataset.matlab import MatFile
from opensphere.dataset.reader.files import FileReader, check_folder
from opensphere.error import UserError

_IMAGES, _LABELS = "imageList", "labels"
_INDICES = {"test": "testIndex", "gallery": "galIndex", "probe": "probIndex"}
_FEW = 20  # images that may be told to be left out; more are missing when data_dir is wrong


@dataclass(frozen=True, eq=False)
class Trial:
    """One of the trials. Its people for training are of no use to a test, and are not kept.

    Attributes:
        test: (n,) int64, images of the set: all pairs of them are verified.
        gallery: (g,) int64, one image of each person who is enrolled.
        probe: (p,) int64, images of those people, and of others.
    """

    test: np.ndarray
    gallery: np.ndarray
    probe: np.ndarray


class BLUFRDataset(ImageSet):
    """The images of BLUFR's list, with its trials.

    The images lie below `data_dir` as LFW has them, such as Anna_Lee/Anna_Lee_0007.jpg, or all in one folder, with any
    suffix that images have.

    Args:
        name: for tables and file names.
        data_dir: the folder of the images.
        config_path: `blufr_lfw_config.mat`, which comes with the benchmark's toolkit: imageList, labels, and testIndex,
            galIndex and probIndex of each trial, which count from 1.
        metrics: names of what to report; all if not given.
        drop_missing: names of images, such as Anna_Lee_0007, to leave out of all trials if their files do not exist.
            A person whose only gallery image is left out is then not enrolled.
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        in_memory: decode each image once, at the start, and keep it (height x width x 3 bytes each).
        test_mode: images are given as they are; kept for configs that say so.

    Attributes:
        labels: (N,) int64 from 0, whom each image shows.
        trials: the trials, in order.
        dropped: the names that were left out.

    Raises:
        UserError: the file cannot be used, or images do not exist.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        config_path: str | os.PathLike,
        metrics: str | Sequence[str] | None = None,
        drop_missing: Sequence[str] = (),
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        in_memory: bool = False,
        test_mode: bool = True,
    ):
        super().__init__(name, image_size, in_memory, crop)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        mat = MatFile(config_path, (_IMAGES, _LABELS, *_INDICES.values()))
        stems = [os.path.splitext(image)[0] for image in mat.texts(_IMAGES)]
        labels = mat.integers(_LABELS)
        if len(labels) != len(stems):
            raise UserError(f"{mat.path}: {len(labels)} {_LABELS} for {len(stems)} images of {_IMAGES}")
        paths, missing = _located(check_folder(data_dir), stems)
        droppable = _positions(stems, drop_missing, mat.path)
        kept = np.ones(len(stems), bool)
        kept[[item for item in droppable if item in missing]] = False
        self.dropped = [stems[item] for item in np.flatnonzero(~kept)]
        _refuse_missing([item for item in missing if kept[item]], paths, stems, os.fspath(data_dir), mat.path)
        items = np.flatnonzero(kept)
        self.reader = FileReader(data_dir, Texts(paths[item] for item in items), _Listed(mat.path, items))
        self.labels = np.unique(labels[kept], return_inverse=True)[1].astype(np.int64)
        self.trials = _trials(mat, kept)

    @property
    def persons(self) -> np.ndarray:
        return self.labels


@dataclass(frozen=True)
class _Listed:
    """Where the images stand in the list."""

    path: str
    items: np.ndarray

    def where(self, index: int) -> str:
        return f"{self.path}: {_IMAGES} {self.items[index] + 1}"


def _located(folder: str, stems: list[str]) -> tuple[list[str], set[int]]:
    """The path of each image below the folder, laid out as the first one that is found, and which are missing."""
    layouts = [(nested, suffix) for nested in (True, False) for suffix in IMAGE_SUFFIXES]

    def path(stem: str, nested: bool, suffix: str) -> str:
        return f"{stem.rpartition('_')[0]}/{stem}{suffix}" if nested else stem + suffix

    fits = (layout for stem in stems for layout in layouts if os.path.isfile(os.path.join(folder, path(stem, *layout))))
    layout = next(fits, layouts[0])
    paths = [path(stem, *layout) for stem in stems]
    return paths, {item for item, one in enumerate(paths) if not os.path.isfile(os.path.join(folder, one))}


def _positions(stems: list[str], names: Sequence[str], path: str) -> list[int]:
    """The list's items that are named, with or without a suffix."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise UserError(f"drop_missing: {names!r} is not a list of names; give for example [Anna_Lee_0007]")
    item_of = {stem: item for item, stem in enumerate(stems)}
    found = []
    for name in names:
        stem = name if name in item_of else os.path.splitext(name)[0]
        if stem not in item_of:
            raise UserError(f"drop_missing: {name!r} is no image of {path}; give names as Anna_Lee_0007")
        found.append(item_of[stem])
    return found


def _refuse_missing(missing: list[int], paths: list[str], stems: list[str], folder: str, config: str) -> None:
    if not missing:
        return
    where = f"{config}: {_IMAGES} {missing[0] + 1}: {os.path.join(folder, paths[missing[0]])}"
    also = f", nor do {len(missing) - 1} more of {len(stems)}" if len(missing) > 1 else ""
    hint = "check data_dir"
    if len(missing) <= min(_FEW, len(stems) - 1):
        names = ", ".join(stems[item] for item in missing)
        hint = f"check data_dir, or leave out of the trials what is missing: drop_missing: [{names}]"
    raise UserError(f"{where}: the file does not exist{also}; {hint}")


def _trials(mat: MatFile, kept: np.ndarray) -> list[Trial]:
    """The trials, with images counted from 0 among those that are kept."""
    place = np.where(kept, np.cumsum(kept) - 1, -1)
    parts: dict[str, list[np.ndarray]] = {}
    for part, key in _INDICES.items():
        parts[part] = []
        for number, index in enumerate(mat.lists(key), 1):
            if len(index) and not (1 <= index.min() and index.max() <= len(kept)):
                raise UserError(f"{mat.path}: {key} of trial {number}: an index is not in 1..{len(kept)}")
            if len(np.unique(index)) < len(index):
                raise UserError(f"{mat.path}: {key} of trial {number}: an image is named twice")
            found = place[index - 1]
            parts[part].append(found[found >= 0])
            if not len(parts[part][-1]):
                raise UserError(f"{mat.path}: {key} of trial {number}: there are no images")
    counts = {_INDICES[part]: len(lists) for part, lists in parts.items()}
    if len(set(counts.values())) > 1 or not parts["test"]:
        raise UserError(f"{mat.path}: {', '.join(f'{n} {key}' for key, n in counts.items())}; one of each a trial")
    return [Trial(*lists) for lists in zip(parts["test"], parts["gallery"], parts["probe"], strict=True)]
