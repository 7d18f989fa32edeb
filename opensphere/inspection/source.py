"""A set of images to inspect: of people, or of pairs."""

import os
import re
from array import array
from dataclasses import dataclass

import numpy as np

from opensphere.dataset import PairDataset
from opensphere.dataset.annotation import split
from opensphere.dataset.reader import Reader, open_reader
from opensphere.dataset.reader.record import beside, without
from opensphere.error import UserError


@dataclass(eq=False)
class Source:
    """Images, and what is said of them.

    Attributes:
        reader: the images; its labels are None where nothing says whom they show.
        name: what to call the set.
        pairs: (P, 2) int64, indices of images, or None.
        is_same: (P,) bool, whether a pair is said to show one person, or None.
    """

    reader: Reader
    name: str
    pairs: np.ndarray | None = None
    is_same: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.reader)

    @property
    def labels(self) -> np.ndarray | None:
        return self.reader.labels

    def person(self, image: int) -> str:
        """The name of the person of an image; "" where it is not known."""
        return "" if self.reader.labels is None else self.reader.names[int(self.reader.labels[image])]

    def called(self, label: int) -> str:
        """The name of a person."""
        return self.reader.names[label]


def open_source(path: str | os.PathLike, ann_path: str | os.PathLike | None = None) -> Source:
    """What a path holds.

    Args:
        path: as `open_reader`; or a list of pairs, relative to its own folder, as `PairDataset`.
        ann_path: a list; `path` is then the folder that its paths are relative to.

    Raises:
        UserError: there is nothing that can be read, or it is the list of a `.rec` file, which is to be named itself.
    """
    name = os.path.basename(os.path.normpath(os.fspath(path))) or os.fspath(path)
    listed = os.fspath(path if ann_path is None else ann_path)
    folder = os.path.dirname(listed) or "." if ann_path is None else path
    records = beside(without(listed, ".lst"), ".rec") if listed.lower().endswith(".lst") else None
    if records is not None and _tells_of_records(listed):
        raise UserError(f"{listed}: its lines are of the images in {records}; name {records}")
    if _is_of_pairs(listed, ann_path is not None):
        pairs = PairDataset(name, folder, listed)
        reader = pairs.reader
        reader.root = listed
        reader.labels, reader.names = _people_of(reader)
        return Source(reader, name, pairs.pairs, pairs.is_same)
    reader = open_reader(path, ann_path)
    return Source(reader, name, getattr(reader, "pairs", None), getattr(reader, "is_same", None))


def _is_of_pairs(path: str, is_list: bool) -> bool:
    """Whether a list is one of pairs: it begins with `label path path`, or as LFW's pairs.txt, or is a folder of
    CFP's protocol."""
    if not os.path.isfile(path):
        return is_list and os.path.isdir(path)
    lines = [split(line) for line in _first_lines(path)]
    if not lines:
        return False
    if len(lines[0]) == 3:
        return lines[0][0] in (b"0", b"1")
    counts = len(lines[0]) <= 2 and all(field.isdigit() for field in lines[0])
    return counts and len(lines) > 1 and len(lines[1]) == 3


def _tells_of_records(path: str) -> bool:
    """Whether a list is one that records were made from: `key label [label ...] path` a line, as MXNet's im2rec takes
    it, or `aligned path label`, as InsightFace's tool does."""
    fields = next((line.split(b"\t") for line in _first_lines(path)), [])
    return len(fields) > 2 and fields[0].isdigit() and any(map(_is_number, fields[1:3]))


def _is_number(text: bytes) -> bool:
    return re.fullmatch(rb"\s*\d+(\.\d*)?\s*", text) is not None


def _first_lines(path: str) -> list[bytes]:
    """The first lines of a text that hold something; none where it cannot be read, which its reader will report."""
    try:
        with open(path, "rb") as file:
            start = file.read(4096).removeprefix(b"\xef\xbb\xbf")
            whole = start if not file.read(1) else start[: start.rfind(b"\n") + 1]
    except OSError:
        return []
    return [line for line in whole.splitlines() if line.strip()] if b"\0" not in start else []


def _people_of(reader: Reader) -> tuple[np.ndarray | None, list[str]]:
    """Labels and names from paths such as Anna/Anna_0007.jpg, if all are like that; else None and no names."""
    people: dict[str, int] = {}
    labels = array("q")
    for index in range(len(reader)):
        person, _, file = reader.path(index).rpartition("/")
        if not person or re.fullmatch(re.escape(os.path.basename(person)) + r"_\d+\.\w+", file) is None:
            return None, []
        labels.append(people.setdefault(person, len(people)))
    return np.array(labels, np.int64), list(people)
