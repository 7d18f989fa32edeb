"""The built-in faces as data sets: people to learn from, pairs of unseen people, a folder of files, a sheet."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from opensphere.dataset.annotation import write_list
from opensphere.dataset.holdout import draw_pairs
from opensphere.dataset.image_set import ImageSet, parse_metrics
from opensphere.dataset.synthetic.album import Album, Progress
from opensphere.error import UserError
from opensphere.storage import atomic_path

UNSEEN = 1_000_000  # the first person of a set of pairs: a stranger to every training set of fewer people
_QUALITY: dict[str, list[int]] = {".png": [], ".jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}


class SyntheticFaces(ImageSet):
    """Made-up people to learn from: `people` people with `images` pictures each, in this order.

    Who a person is depends on `seed` and the person's number alone, a picture on its own number besides; so sets of any
    size and order show the same. The people are numbered `first_person` onwards: disjoint ranges are different people.

    Args:
        name: for tables and file names.
        people: number of people, the classes.
        images: pictures of each.
        seed: the world that the people live in.
        first_person: number of the first of them.
        image_size: side length, or [height, width].
        nuisance: strength of pose, light, expression, blur, noise, occlusion and crop; 0 none, 1 usual.
        hair: False shows everybody without hair and beard.
        marks: False shows everybody without moles and freckles.
        in_memory: render all pictures at the first access and keep them (people x images x height x width x 3 bytes).

    Attributes:
        labels: (N,) int64, the class of each picture.
        names: the name of each class, "person_000000" for person 0.

    Raises:
        UserError: a value of the wrong kind or below its least.
    """

    def __init__(
        self,
        name: str = "faces",
        people: int = 500,
        images: int = 20,
        seed: int = 0,
        first_person: int = 0,
        image_size: int | Sequence[int] = 112,
        nuisance: float = 1.0,
        hair: bool = True,
        marks: bool = True,
        in_memory: bool = True,
    ):
        super().__init__(name, image_size)
        self.album = Album(people, images, seed, first_person, self.image_size, nuisance, hair, marks)
        self.in_memory = in_memory
        self.labels = np.repeat(np.arange(people, dtype=np.int64), images)
        self.names = [f"person_{first_person + person:06d}" for person in range(people)]
        self._pixels: Tensor | None = None

    @property
    def num_class(self) -> int:
        return len(self.names)

    def __len__(self) -> int:
        return len(self.album)

    def load(self, progress: Progress | None = None) -> Tensor:
        """All pictures, (N, H, W, 3) uint8; renders them if nobody did yet, and calls `progress(done, total)`."""
        if self._pixels is None:
            self._pixels = torch.from_numpy(self.album.pixels(progress))
        return self._pixels

    def read(self, index: int) -> np.ndarray:
        return self.load()[index].numpy().copy() if self.in_memory else self.album.read(index)

    def keys(self, indices: np.ndarray | None = None) -> np.ndarray:
        return self.album.keys(np.arange(len(self)) if indices is None else indices)


class SyntheticPairs(ImageSet):
    """Pairs of pictures of made-up people whom no training set has seen: half show one person, half show two.

    Args:
        people: number of people.
        images: pictures of each.
        pairs: number of pairs, a multiple of 2 x folds: as many of one person as of two in each fold.
        folds: number of folds; no person is in two of them where there are enough people.
        first_person: number of the first of the people; the default is beyond any training set.
        metrics: names of what to report; the usual ones if not given.
        name, seed, image_size, nuisance, hair, marks, in_memory: as for `SyntheticFaces`.

    Attributes:
        pairs: (P, 2) int64, indices of the set's pictures.
        is_same: (P,) bool.
        folds: (P,) int64 from 0.
        labels: (N,) int64, whose picture each is.
        persons: the same, by the name that it has on every set of pairs.

    Raises:
        UserError: a value of the wrong kind or below its least, or too few people or pictures for so many pairs.
    """

    def __init__(
        self,
        name: str = "unseen",
        people: int = 100,
        images: int = 10,
        pairs: int = 6000,
        folds: int = 10,
        seed: int = 0,
        first_person: int = UNSEEN,
        metrics: str | Sequence[str] | None = None,
        image_size: int | Sequence[int] = 112,
        nuisance: float = 1.0,
        hair: bool = True,
        marks: bool = True,
        in_memory: bool = True,
    ):
        super().__init__(name, image_size)
        self.metrics = parse_metrics(metrics)
        self.faces = SyntheticFaces(
            name, people, images, seed, first_person, image_size, nuisance, hair, marks, in_memory
        )
        self.in_memory = in_memory
        self.labels = self.persons = self.faces.labels
        self.pairs, self.is_same, self.folds = draw_pairs(self.labels, pairs, folds, seed)

    def __len__(self) -> int:
        return len(self.faces)

    def load(self, progress: Progress | None = None) -> Tensor:
        """As `SyntheticFaces.load`."""
        return self.faces.load(progress)

    def read(self, index: int) -> np.ndarray:
        return self.faces.read(index)

    def keys(self, indices: np.ndarray | None = None) -> np.ndarray:
        return self.faces.keys(indices)


def write_folder(
    faces: SyntheticFaces, out_dir: str | os.PathLike, suffix: str = ".png", progress: Progress | None = None
) -> Path:
    """Write the pictures as `person_000000/0000.png` and, when all are there, `list.txt` of `path person` lines.

    Args:
        suffix: ".png", exact, or ".jpg" of quality 95.
        progress: `progress(done, total)` is called after each person.

    Returns:
        The path of the list.

    Raises:
        UserError: the folder cannot be written to, or another suffix.
    """
    if suffix not in (".png", ".jpg"):
        raise UserError(f"suffix: {suffix!r} is not a format for this; give .png or .jpg")
    folder, rows = Path(out_dir), []
    for index, label in enumerate(faces.labels.tolist()):
        image = index % faces.album.images
        path = f"{faces.names[label]}/{image:04d}{suffix}"
        _, data = cv2.imencode(suffix, cv2.cvtColor(faces.read(index), cv2.COLOR_RGB2BGR), _QUALITY[suffix])
        with atomic_path(folder / path) as part:
            part.write_bytes(data.tobytes())
        rows.append((path, faces.names[label]))
        if progress is not None and image + 1 == faces.album.images:
            progress(index + 1, len(faces))
    write_list(folder / "list.txt", rows)
    return folder / "list.txt"


def sheet(faces: SyntheticFaces, people: int = 6, images: int = 8) -> np.ndarray:
    """A contact sheet of the set's first people, a person a row: (people * H, images * W, 3) uint8 RGB."""
    people, images = min(people, faces.num_class), min(images, faces.album.images)
    rows = [[faces.read(person * faces.album.images + image) for image in range(images)] for person in range(people)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows])
