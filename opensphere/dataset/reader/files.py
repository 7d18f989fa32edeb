"""Image files below a folder: those of a list, or all that are there."""

import os
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from opensphere.dataset import digest
from opensphere.dataset.annotation import Lines, Texts, find_images
from opensphere.dataset.reader.index import Arrays, kept_index
from opensphere.dataset.reader.reader import Progress, Reader
from opensphere.error import UserError

_LARGE = 1 << 24  # bytes of a list of which the result is kept
_PIECE = 1 << 23  # bytes of a list looked at together: its fields are objects for a moment


class Origin(Protocol):
    """A list that says where in it an image stands."""

    @property
    def path(self) -> str: ...

    def where(self, item: int, /) -> str: ...


class FileReader(Reader):
    """Image files below a folder.

    Args:
        folder: must exist.
        paths: relative to it; an absolute path stands for itself.
        origin: the list that the paths were read from, for errors.
        labels, names: of the images, if known.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        paths: Texts,
        origin: Origin | None = None,
        labels: np.ndarray | None = None,
        names: Sequence[str] = (),
    ):
        self.folder = check_folder(folder)
        self.root = self.folder if origin is None else origin.path
        self.paths = paths
        self.labels = labels
        self.names = names
        self._origin = origin

    def __len__(self) -> int:
        return len(self.paths)

    def data(self, index: int) -> bytes:
        try:
            return read_bytes(self.full_path(index))
        except UserError as error:
            raise UserError(f"{self._line(index)}{error}") from None

    def path(self, index: int) -> str:
        return self.paths[index]

    def full_path(self, index: int) -> str:
        return os.path.join(self.folder, self.paths[index])

    def where(self, index: int) -> str:
        return f"{self._line(index)}{self.full_path(index)}"

    def keys(self, indices: np.ndarray) -> np.ndarray:
        folder = os.path.abspath(self.folder)
        return digest.of_files([os.path.join(folder, self.paths[index]) for index in indices.tolist()])

    def _line(self, index: int) -> str:
        return "" if self._origin is None else f"{self._origin.where(index)}: "

    def check_all(self) -> None:
        """Raises UserError that names the first image that does not exist and tells how many do not."""
        missing = [index for index in range(len(self)) if not os.path.isfile(self.full_path(index))]
        if missing:
            also = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(f"{self.where(missing[0])}: the file does not exist{also} of {len(self)}; check data_dir")

    def check_first(self) -> None:
        """Raises UserError if the first image does not exist: then data_dir is most likely wrong."""
        if not os.path.isfile(self.full_path(0)):
            raise UserError(f"{self.where(0)}: the file does not exist; check data_dir and the list")


def read_list(folder: str | os.PathLike, path: str | os.PathLike, progress: Progress | None = None) -> FileReader:
    """The images of a list of `path name` a line, with the people, sorted by name.

    What was read of a list of 16 MB or more is kept beside it for the next time, if each of its lines is two fields of
    ASCII with a space between. `progress` is then called with the bytes read and those in all.

    Raises:
        UserError: the list or the folder cannot be used, or the first image does not exist.
    """
    lines = Lines(path, ("path", "name"))
    check_folder(folder)
    try:
        paths, labels, names = _read_plain(lines, progress)
    except _NotPlainError:
        paths, people = Texts(), _People()
        for image, person in lines:
            paths.add(image)
            people.add([person])
        labels, names = people.named()
    reader = FileReader(folder, paths, lines, labels, names)
    reader.check_first()
    return reader


def read_folder(folder: str | os.PathLike) -> FileReader:
    """The images of a folder that holds one folder for each person; below it, images may lie at any depth.

    The person is the first folder below: sessions, poses or films are folders within a person. Files and folders whose
    names begin with a dot, files that are no images, people without images, and images that lie in the folder itself
    are passed over.

    Raises:
        UserError: there is no such folder, or it does not hold folders of people.
    """
    folder = check_folder(folder)
    paths, people, stray = Texts(), _People(), 0
    for path in find_images(folder):
        person, slash, _ = path.partition("/")
        if not slash:
            stray += 1
            continue
        paths.add(os.fsencode(path))
        people.add([os.fsencode(person)])
    if stray and not len(paths):
        raise UserError(
            f"{folder}: its {stray} images lie in it directly; put each person's images in a folder of their own"
        )
    if not len(paths):
        archives = sorted(path for end in ("rec", "tar") for path in Path(folder).glob(f"*/*.{end}"))
        also = f", or name {archives[0].parent}, which holds {archives[0].name}" if archives else ""
        raise UserError(f"{folder}: no images found; it should hold a folder of images for each person{also}")
    labels, names = people.named()
    if len(names) == 1 and any("/" in path.partition("/")[2] for path in paths):
        raise UserError(
            f"{folder}: it holds one folder only, {names[0]!r}; if the people are in there, "
            f"set data_dir to {os.path.join(folder, names[0])}"
        )
    return FileReader(folder, paths, None, labels, names)


def read_images(folder: str | os.PathLike) -> FileReader:
    """All images below a folder, without people. Raises UserError where there are none."""
    paths = Texts()
    for path in find_images(check_folder(folder)):
        paths.add(os.fsencode(path))
    if not len(paths):
        raise UserError(f"{os.fspath(folder)}: no images found; set data_dir to a folder that holds some")
    return FileReader(folder, paths)


class _People:
    """Names in the order in which they come, each image's as a number."""

    def __init__(self) -> None:
        self._number: dict[bytes, int] = {}
        self._appeared = array("q")

    def add(self, names: list[bytes]) -> None:
        number = self._number
        for name in dict.fromkeys(names):
            number.setdefault(name, len(number))
        self._appeared.extend(map(number.__getitem__, names))

    def sorted(self) -> tuple[np.ndarray, list[bytes]]:
        """(N,) int64 labels, and the names that they stand for, sorted: bytes of UTF-8 sort as their characters do."""
        order = sorted(self._number)
        rank = np.empty(len(order), np.int64)
        rank[[self._number[name] for name in order]] = np.arange(len(order))
        return rank[np.frombuffer(self._appeared, np.int64)], order

    def named(self) -> tuple[np.ndarray, list[str]]:
        """As `sorted`, the names as texts."""
        labels, names = self.sorted()
        return labels, [os.fsdecode(name) for name in names]


class _NotPlainError(Exception):
    """A list is not as most are: it is for `Lines` to read it, or to say what is the matter."""


def _read_plain(lines: Lines, progress: Progress | None = None) -> tuple[Texts, np.ndarray, list[str]]:
    """Paths, labels and names of a list that is as most are, two fields with a space between in each line: ten times as
    fast as by lines, or a hundred times where the result was kept."""
    if os.path.isfile(lines.path) and os.path.getsize(lines.path) >= _LARGE:
        found = kept_index(f"{lines.path}.index.npz", [lines.path], "list 1", lambda: _pack(lines, progress), _fits)
    else:
        found = _pack(lines, None)
    lines.count = len(found["labels"])
    names = os.fsdecode(found["names"].tobytes()).split("\n")
    return Texts.packed(found["paths"], found["ends"]), found["labels"], names


def _fits(kept: Arrays) -> bool:
    kinds = {name: (array.dtype.str[1:], array.ndim) for name, array in kept.items()}
    if kinds != {"paths": ("u1", 1), "names": ("u1", 1), "ends": ("i8", 1), "labels": ("i8", 1)}:
        return False
    ends, labels = kept["ends"], kept["labels"]
    people = 1 + np.count_nonzero(kept["names"] == 10)
    ordered = len(ends) > 0 and ends[0] > 0 and bool((ends[1:] > ends[:-1]).all()) and ends[-1] == len(kept["paths"])
    return ordered and len(labels) == len(ends) and labels.min() >= 0 and labels.max() < people


def _pack(lines: Lines, progress: Progress | None) -> Arrays:
    paths, people = Texts(), _People()
    try:
        file = open(lines.path, "rb")
    except OSError:
        raise _NotPlainError from None
    rest, size = b"", os.path.getsize(lines.path)
    with file:
        while True:
            piece = file.read(_PIECE)
            cut = piece.rfind(b"\n") + 1
            if piece and not cut:
                rest += piece
                continue
            text, rest = rest + piece[:cut], piece[cut:]
            if not piece and text:
                text += b"\n"  # of the last line, which may lack it
            if not _plain(text):
                raise _NotPlainError
            fields = text.split()
            paths.extend(fields[::2])
            people.add(fields[1::2])
            if progress is not None:
                progress(file.tell(), size)
            if not piece:
                break
    if not len(paths):
        raise _NotPlainError
    packed, ends = paths.as_arrays()
    labels, names = people.sorted()
    return {"paths": packed, "ends": ends, "labels": labels, "names": np.frombuffer(b"\n".join(names), np.uint8)}


def _plain(text: bytes) -> bool:
    """Whether each line is printable ASCII with one space in it, neither first nor last."""
    characters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(characters == 10)
    spaces = np.flatnonzero(characters == 32)
    if len(ends) != len(spaces):
        return False
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    inside = bool(np.all(starts < spaces) and np.all(spaces < ends - 1))
    strange = np.count_nonzero((characters < 32) | (characters > 126))
    return inside and strange == len(ends)


def check_folder(data_dir: str | os.PathLike) -> str:
    """The folder of a set's images as text. Raises UserError where there is no such folder."""
    folder = os.fspath(data_dir)
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: there is no such folder; set data_dir to the folder that holds the images")
    return folder


def read_bytes(path: str) -> bytes:
    """The content of a file. Raises UserError naming it."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))  # half the time of open() for a small file
        try:
            size = os.fstat(handle).st_size
            data = os.read(handle, size + 1)
            while len(data) < size and (more := os.read(handle, size - len(data))):
                data += more
            return data
        finally:
            os.close(handle)
    except FileNotFoundError:
        raise UserError(f"{path}: the file does not exist; check data_dir and the list") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: cannot be read: {reason}") from None
