"""What a training noted of its data at its start. The file `<run>/training_data.npz` holds it, in these keys:

name ()                               of the set
images (), people ()                  how many there are to learn from; people count whether they have images or not
counts (K,), holders (K,)             so many images each, ascending, have so many people
remarks (R,)                          what was done to the set on purpose
person (P,), person_images (P,)       some people, from fewest images to most, and how many images each has
picture_person (M,), picture_name (M,)    pictures of them: the position in `person`, and the image's name
jpeg (B,) uint8, jpeg_end (M,)        the pictures as JPEG, one after another, and where each ends
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opensphere.inspection.header import KINDS, read_header
from opensphere.report.picture import SIDE

FILE = "training_data.npz"
_ONE_ROW = (("counts", "holders"), ("person", "person_images"), ("picture_person", "picture_name", "jpeg_end"))
_TEXTS = ("name", "remarks", "person", "picture_name")
_WHOLE = ("images", "people", "counts", "holders", "person_images", "picture_person", "jpeg_end")


@dataclass(frozen=True)
class Person:
    """Somebody to learn: how many images there are, and some of them, each with its name and its JPEG."""

    name: str
    images: int
    pictures: tuple[tuple[str, bytes], ...]


@dataclass(frozen=True)
class TrainingData:
    """What the file says; equal where it is the same data.

    Attributes:
        counts, holders: so many images each have so many people.
        some: people with pictures, from fewest images to most.
    """

    name: str
    images: int
    people: int
    counts: tuple[int, ...]
    holders: tuple[int, ...]
    remarks: tuple[str, ...]
    some: tuple[Person, ...]


def read_training_data(path: Path) -> TrainingData:
    """Read the file; nothing in it can run, and a picture that is none is left out.

    Raises:
        ValueError: it is damaged, or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in (*_TEXTS, *_WHOLE, "jpeg")}
    except Exception as error:  # whatever a damaged archive raises in NumPy and zipfile
        raise ValueError(f"{path}: is damaged, or says nothing of training data ({type(error).__name__})") from None
    if not _sound(found):
        raise ValueError(f"{path}: says nothing of training data")
    pictures: dict[int, list[tuple[str, bytes]]] = {}
    whole, start = found["jpeg"].tobytes(), 0
    rows = zip(found["picture_person"].tolist(), found["picture_name"], found["jpeg_end"].tolist(), strict=True)
    for person, name, end in rows:
        data, start = whole[start:end], end
        if _is_small_jpeg(data):
            pictures.setdefault(person, []).append((_text(name), data))
    some = [
        Person(_text(name), images, tuple(pictures.get(number, ())))
        for number, (name, images) in enumerate(zip(found["person"], found["person_images"].tolist(), strict=True))
    ]
    return TrainingData(
        name=_text(found["name"]),
        images=int(found["images"]),
        people=int(found["people"]),
        counts=tuple(found["counts"].tolist()),
        holders=tuple(found["holders"].tolist()),
        remarks=tuple(_text(remark) for remark in found["remarks"]),
        some=tuple(some),
    )


def _sound(found: dict[str, np.ndarray]) -> bool:
    """Whether the arrays fit one another."""
    single, lists = ("name", "images", "people"), [key for keys in _ONE_ROW for key in keys] + ["remarks", "jpeg"]
    return (
        all(found[key].dtype.kind == "U" for key in _TEXTS)
        and all(found[key].dtype.kind in "iu" and (found[key] >= 0).all() for key in _WHOLE)
        and all(found[key].ndim == 0 for key in single)
        and all(found[key].ndim == 1 for key in lists)
        and all(len({len(found[key]) for key in keys}) == 1 for keys in _ONE_ROW)
        and found["jpeg"].dtype == np.uint8
        and len(found["counts"]) > 0
        and found["counts"][0] > 0
        and bool((np.diff(found["counts"]) > 0).all())
    )


def _is_small_jpeg(data: bytes) -> bool:
    """A header can promise any number of pixels in a few bytes."""
    header = read_header(data)
    return KINDS[header.kind] == "jpeg" and 0 < max(header.height, header.width) <= SIDE


def _text(value: object) -> str:
    """What a page can hold: names of files may have bytes that are no text."""
    return str(value).encode("utf-8", "replace").decode()
