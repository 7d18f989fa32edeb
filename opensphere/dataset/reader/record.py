"""Training files of InsightFace and MXNet: `train.rec`, with `train.idx` and perhaps `train.lst` and `property`."""

import itertools
import os
from array import array
from collections.abc import Iterable, Sequence, Sized
from contextlib import ExitStack
from typing import BinaryIO

import numpy as np

from opensphere.dataset import digest
from opensphere.dataset.annotation import Texts
from opensphere.dataset.reader.identities import HEAD, WHOLE, Records, entry, image_part
from opensphere.dataset.reader.index import Arrays, kept_index
from opensphere.dataset.reader.key_list import are_folders, is_folder, is_path, listed_path, match, read_key_list
from opensphere.dataset.reader.reader import Reader
from opensphere.dataset.reader.recordio import LONGEST, FileBytes, Progress, RecordFile, pack
from opensphere.error import UserError
from opensphere.storage import atomic_path

_VERSION = "records 1"
_REPORTS = 200
_TOO_MANY = f"identities can tell of fewer than {WHOLE} images and people; write without them (identities=False)"
_SIGNATURES = {
    b"\xff\xd8\xff": "jpg",
    b"\x89PNG": "png",
    b"RIFF": "webp",
    b"BM": "bmp",
    b"II*\0": "tif",
    b"MM\0*": "tif",
    b"\0\0\0\x0cjP": "jp2",
}


class RecordReader(Reader):
    """The images of a `.rec` file.

    With InsightFace's directory (see `identities`) the images are those that it tells, by their keys, and only the
    first image of each identity is asked for its person. Without it each record is an image, in the order of the file,
    and is asked itself. A missing `.idx` is made by going through the whole file. `property` is not needed.

    The names of people are their labels as text, with leading zeros so that they sort as the numbers do. Where a
    `.lst` lies beside the records (`key TAB label [TAB label ...] TAB path` a line, as MXNet's im2rec writes them), and
    the images of each label lie in one first folder of their own, the names are these folders. Other kinds of lists,
    such as InsightFace's own, do not tell keys and are passed over.

    What a first opening finds is kept beside the records, as `train.rec.index.npz`, or in the user's cache folder.

    Args:
        path: the `.rec` file, its `.idx`, both without the suffix, or a folder that holds one `.rec`.
        progress: called with what is done and what there is in all, for each of the steps of a first opening.

    Attributes:
        root: the `.rec` file.

    Raises:
        UserError: there is no such file or more than one, it is damaged or cut short, the index does not fit it, a
            label is no whole number, or the list tells something else.
    """

    labels: np.ndarray

    def __init__(self, path: str | os.PathLike, progress: Progress | None = None):
        self.root = _find(os.fspath(path))
        self._file = RecordFile(self.root)
        stem = without(self.root, ".rec")
        idx, lst = beside(stem, ".idx"), beside(stem, ".lst")
        self._list = None if lst is None else FileBytes(lst)
        kept = kept_index(
            f"{self.root}.index.npz",
            [name for name in (self.root, idx, lst) if name is not None],
            _VERSION,
            lambda: _build(self._file, idx, lst, progress),
            _fits,
        )
        self._offsets, self._keys, self._lines = kept["offsets"], kept["keys"], kept["lines"]
        self.labels = kept["labels"].astype(np.int64)
        self.names = _Numbers(kept["people"])
        if len(kept["names"]):
            self.names = Texts()
            self.names.extend(kept["names"].tobytes().split(b"\n"))

    def __len__(self) -> int:
        return len(self._offsets)

    def data(self, index: int) -> bytes:
        record = self._file.record(int(self._offsets[index]), lambda: self.where(index))
        try:
            return image_part(record)
        except ValueError as error:
            raise UserError(f"{self.where(index)}: {error}") from None

    def path(self, index: int) -> str:
        """The path in the list, if that is a relative one; else `name/key.jpg`, with the suffix that the image has."""
        if self._list is not None and len(self._lines) and self._lines[index] >= 0:
            return os.fsdecode(listed_path(self._list, int(self._lines[index])))
        return f"{self.names[self.labels[index]]}/{_file_name(self._key(index), self.data(index))}"

    def where(self, index: int) -> str:
        return f"{self.root}: record {self._key(index)}"

    def keys(self, indices: np.ndarray) -> np.ndarray:
        file = np.tile(digest.of_file(self.root), (len(indices), 1))
        return digest.digests("record", file, self._offsets[indices].astype(np.int64)[:, None])

    def _key(self, index: int) -> int:
        return int(self._keys[index]) if len(self._keys) else range(1, len(self) + 1)[index]


class _Numbers(Sequence[str]):
    """Ascending numbers as texts of one width."""

    def __init__(self, numbers: np.ndarray):
        self._numbers = numbers
        self._width = len(str(numbers[-1]))

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [f"{number:0{self._width}d}" for number in self._numbers[index].tolist()]
        return f"{self._numbers[index]:0{self._width}d}"


def without(path: str, end: str) -> str:
    """A path without a suffix, whether that is written in small letters or in capitals."""
    return path[: -len(end)] if path.lower().endswith(end) else path


def beside(stem: str, end: str) -> str | None:
    """The file of this stem and suffix, in small letters or else in capitals; None where there is none."""
    return next((name for name in (stem + end, stem + end.upper()) if os.path.isfile(name)), None)


def _find(path: str) -> str:
    """The `.rec` file that a path stands for."""
    if os.path.isdir(path):
        try:
            found = sorted(name for name in os.listdir(path) if name.lower().endswith(".rec") and name[0] != ".")
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}; check the path") from None
        if len(found) == 1:
            return os.path.join(path, found[0])
        more = ", ..." if len(found) > 10 else ""
        raise UserError(
            f"{path}: the folder holds {len(found)} .rec files: {', '.join(found[:10])}{more}; name one of them"
            if found
            else f"{path}: the folder holds no .rec file; name the one that does"
        )
    if path.lower().endswith(".rec") and os.path.isfile(path):
        return path
    found_beside = beside(without(path, ".idx"), ".rec")
    if found_beside is not None:
        return found_beside
    raise UserError(f"{path}: there is no such .rec file; name it or the folder that holds it")


def _file_name(key: int, image: bytes) -> str:
    suffix = next((suffix for start, suffix in _SIGNATURES.items() if image.startswith(start)), "jpg")
    return f"{key:08d}.{suffix}"


# ------------------------------------------------------------------------------------------ what a first opening finds


def _build(file: RecordFile, idx: str | None, lst: str | None, progress: Progress | None) -> Arrays:
    """What is kept of N images and C people.

    offsets (N,) int64; labels (N,) int32, positions in people (C,) int32; keys (N,) int64, or none where they are 1 to
    N. From the list, or none: names, bytes with a line for each of the people; lines (N,) int64, where the line of an
    image begins, -1 if its path is not a relative one.
    """
    keys, offsets, numbers = Records(file, idx, progress).people()
    if not len(keys):
        raise UserError(f"{file.path}: there are no images in it; name another file")
    there = np.zeros(int(numbers.max()) + 1, bool)
    there[numbers] = True
    labels = (np.cumsum(there, dtype=np.int32) - 1)[numbers]
    people = np.flatnonzero(there).astype(np.int32)
    none = np.empty(0, np.int64)
    kept = {"offsets": offsets, "labels": labels, "people": people, "keys": keys, "lines": none, "names": none}
    if np.array_equal(keys, np.arange(1, len(keys) + 1)):
        kept["keys"] = none
    if lst is not None:
        listed = read_key_list(lst, progress)
        if listed is not None:
            kept["lines"], kept["names"] = match(lst, listed, file.path, keys, people, labels)
    return kept


def _fits(kept: Arrays) -> bool:
    """Whether what was kept can do no harm. A wrong offset is found where a record is read."""
    parts = [kept.get(name, np.empty(())) for name in ("offsets", "labels", "people", "keys", "lines", "names")]
    if not all(part.ndim == 1 and part.dtype.kind in "iu" for part in parts):
        return False
    offsets, labels, people, keys, lines, names = parts
    return bool(
        len(offsets) == len(labels) > 0
        and len(people) > 0
        and len(keys) in (0, len(offsets))
        and len(lines) in (0, len(offsets))
        and 0 <= labels.min() <= labels.max() < len(people)
        and min(offsets.min(), people.min()) >= 0
        and (not len(names) or names.dtype == np.uint8 and are_folders(names.tobytes(), len(people)))
    )


# ------------------------------------------------------------------------------------------------------------- writing


def write_records(
    path: str | os.PathLike,
    rows: Iterable[tuple[str, int | str, bytes | memoryview]],
    progress: Progress | None = None,
    size: tuple[int, int] | None = None,
    identities: bool = True,
) -> int:
    """Write images as a `.rec` file with its `.idx` and `.lst`, all whole or none, and return the number of images.

    Image files are copied byte for byte. Keys are 1, 2, ... in the order of the rows. The label of a person is the
    number that is given, or, for names, their number in the order in which they first come: a set that gives its
    people in order keeps their labels. `RecordReader` gives the same images, people and paths back; a path that does
    not begin with the person's name gets a folder of that name in front, and one that is no relative path becomes
    `name/key.jpg`.

    Args:
        path: the `.rec` file, with or without the suffix, which keeps its capitals. Files that are there are replaced.
        rows: path, person and image file of each. People are either all numbers or all names.
        progress: called with the images done and those in all (0 where `rows` does not tell).
        size: height and width of the images: `property`, which InsightFace reads, is written beside the records.
        identities: write InsightFace's directory. The rows of a person must then come together, and images and people
            are fewer than 2^24. Without it the file is one as MXNet's im2rec makes.

    Raises:
        UserError: there are no rows, one cannot be written, those of a person are not together, there are too many, or
            the disk cannot take them.
    """
    stem = without(os.fspath(path), ".rec")
    rec = os.fspath(path)[len(stem) :] or ".rec"
    if os.path.isdir(path) or not os.path.basename(stem):
        raise UserError(f"{os.fspath(path)}: this is a folder; name the .rec file to write")
    total = len(rows) if isinstance(rows, Sized) else 0
    if identities and total + 1 >= WHOLE:
        raise UserError(f"{stem}.rec: {total} rows: {_TOO_MANY}")
    step = max(1, total // _REPORTS) if total else 1000
    count = 0
    with ExitStack() as stack:
        records, index, listing = (
            stack.enter_context(open(stack.enter_context(atomic_path(stem + end)), "wb"))
            for end in (rec, ".idx", ".lst")
        )
        file = _Writer(records, index)
        people = _People(identities)
        if identities:
            file.write(0, entry(0, 1, 1))  # its place; what it says is known at the end
        for count, (name, person, data) in enumerate(rows, 1):
            try:
                label = people.label(count, person)
                listing.write(b"%d\t%d\t%b\n" % (count, label, _path_to_list(name, person, count, label, data)))
                file.write(count, HEAD.pack(0, label, count, 0) + data)
            except ValueError as error:
                raise UserError(f"{stem}.rec: row {count}, {name!r}: {error}") from None
            if progress is not None and (count % step == 0 or count == total):
                progress(count, total)
        if not count:
            raise UserError(f"{stem}.rec: there are no images to write; name a set that holds some")
        if identities:
            file.write_directory([*people.firsts, count + 1])
        if size is not None:
            part = stack.enter_context(atomic_path(os.path.join(os.path.dirname(stem), "property")))
            part.write_text(f"{people.most + 1},{size[0]},{size[1]}\n", encoding="ascii")
    return count


class _Writer:
    """Records and their index as they are written."""

    def __init__(self, records: BinaryIO, index: BinaryIO):
        self._records, self._index = records, index
        self._at = 0

    def write(self, key: int, record: bytes) -> None:
        if len(record) > LONGEST:
            raise ValueError(f"{len(record)} bytes are too many for one record; leave the image out")
        packed = pack(record)
        self._index.write(b"%d\t%d\n" % (key, self._at))
        self._records.write(packed)
        self._at += len(packed)

    def write_directory(self, bounds: Sequence[int]) -> None:
        """Identities whose images are from one of `bounds` to the next; the last is the key of the first identity."""
        key = bounds[-1]
        for first, stop in itertools.pairwise(bounds):
            self.write(key, entry(key, first, stop))
            key += 1
        self._records.seek(0)
        self._records.write(pack(entry(0, bounds[-1], key)))


class _People:
    """The people of rows, as they come.

    Attributes:
        firsts: the rows with which those of another person begin.
        most: the highest label.
    """

    def __init__(self, together: bool):
        self.firsts = array("q")
        self.most = 0
        self._together = together
        self._labels: dict[int | str, int] = {}
        self._last: int | str | None = None

    def label(self, row: int, person: int | str) -> int:
        """The label of a row's person. Raises ValueError where there can be none."""
        if person != self._last or person is None or isinstance(person, bool):
            self._begin(row, person)
            self._last = person
        if self._together and row + len(self._labels) + 1 >= WHOLE:
            raise ValueError(_TOO_MANY)
        return self._labels[person]

    def _begin(self, row: int, person: int | str) -> None:
        named = isinstance(person, str)
        if not named and (isinstance(person, bool) or not isinstance(person, int | np.integer)):
            raise ValueError(f"its person, {person!r}, is neither a name nor a number")
        if self._last is not None and named != isinstance(self._last, str):
            raise ValueError(f"its person, {person!r}, is not of the kind before; give all names or all numbers")
        if person in self._labels:
            if self._together:
                raise ValueError(f"there are others between it and the images of {person!r} before; sort by person")
            return
        label = len(self._labels) if named else int(person)
        if not 0 <= label < WHOLE:
            raise ValueError(
                f"its label, {label}, is not a number from 0 to {WHOLE - 1}, which a float32 can tell apart"
            )
        if isinstance(person, str) and not is_folder(person):
            raise ValueError(f"its person, {person!r}, cannot name a folder; rename it")
        self._labels[person] = label
        self.firsts.append(row)
        self.most = max(self.most, label)


def _path_to_list(path: str, person: int | str, key: int, label: int, image: bytes | memoryview) -> bytes:
    """What the list tells as the path of a row."""
    folder = os.fsencode(person) if isinstance(person, str) else b"%d" % label
    try:
        given = os.fsencode(path)
    except UnicodeEncodeError:
        given = b""
    if isinstance(person, str) and not given.startswith(folder + b"/"):
        given = folder + b"/" + given
    return given if is_path(given) else folder + b"/" + _file_name(key, bytes(image[:16])).encode()
