"""Lists of images: text files of one image, or one pair of images, a line.

A line that holds a TAB is split at TABs, any other at white space. Blank lines, a byte order mark and Windows line
ends are tolerated; the text is UTF-8. The largest sets have tens of millions of lines, so texts are kept as one block
of bytes and not as objects.
"""

import os
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from opensphere.dataset.image_set import check_folder, decode, parse_crop, read_bytes
from opensphere.error import UserError
from opensphere.storage import atomic_path

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Texts(Sequence[str]):
    """A list of texts that only grows, kept as their UTF-8 bytes end to end: 8 bytes a text beside the bytes."""

    def __init__(self, texts: Iterable[str] = ()):
        self._bytes = bytearray()
        self._ends = array("q")
        for text in texts:
            self.add(os.fsencode(text))  # file names need not be valid text

    def add(self, text: bytes) -> None:
        self._bytes += text
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, index):
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start = self._ends[index - 1] if index else 0
        return os.fsdecode(bytes(self._bytes[start : self._ends[index]]))


class Lines:
    """Reads the lines of a list, and afterwards finds the line that an item came from.

    Args:
        path: the list.
        fields: what a line must hold, for example ("path", "name"). With `more`, further fields are ignored.

    Raises:
        UserError: the list is missing, empty, not UTF-8, or has a line with another number of fields.
    """

    def __init__(self, path: str | os.PathLike, fields: Sequence[str], more: bool = False):
        self.path = os.fspath(path)
        self.fields = fields
        self.more = more
        self.count = 0
        self._blanks = array("q")  # for each blank line, the number of items before it

    def __iter__(self) -> Iterator[list[bytes]]:
        try:
            file = open(self.path, "rb")
        except FileNotFoundError:
            raise UserError(f"{self.path}: there is no such list; check ann_path") from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from None
        wanted = len(self.fields)
        self.count = 0
        self._blanks = array("q")
        with file:
            if file.read(len(_BYTE_ORDER_MARK)) != _BYTE_ORDER_MARK:
                file.seek(0)
            for line in file:
                fields = split(line)
                if len(fields) != wanted and not (self.more and len(fields) > wanted):
                    if not fields:
                        self._blanks.append(self.count)
                        continue
                    self._reject(self.count, line, f"{len(fields)} fields where {self._shape()} is expected")
                if not line.isascii() or b"\0" in line:
                    self._check_text(line)
                if b"" in fields:
                    self._reject(self.count, line, f"an empty field where {self._shape()} is expected")
                self.count += 1
                yield fields
        if not self.count:
            raise UserError(f"{self.path}: the list is empty; each line should be: {self._shape()}")

    def where(self, item: int) -> str:
        """`list.txt:LINE` of an item, counted from 0; of the item being read while reading."""
        return f"{self.path}:{item + 1 + bisect_right(self._blanks, item)}"

    def _shape(self) -> str:
        return " ".join(self.fields)

    def _check_text(self, line: bytes) -> None:
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = "\0"
        if "\0" in text:  # also what UTF-16 looks like
            raise UserError(f"{self.where(self.count)}: not UTF-8 text; save the list as UTF-8")

    def _reject(self, item: int, line: bytes, what: str) -> None:
        self._check_text(line)
        hint = "; put TABs between the fields where one holds a space" if b"\t" not in line else ""
        raise UserError(f"{self.where(item)}: {what}{hint}")


def split(line: bytes) -> list[bytes]:
    """The fields of a line: at TABs if it holds one, else at white space. A TAB at the very end starts no field."""
    if b"\t" not in line:
        return line.split()
    if not line.strip():
        return []
    fields = line.rstrip(b"\r\n").split(b"\t")
    if not fields[-1]:
        fields.pop()
    return fields


def write_list(path: str | os.PathLike, rows: Iterable[Sequence[str]]) -> int:
    """Write a list, whole or not at all, and return its number of lines.

    Fields are put apart by a space, in lines where a field holds white space by TABs (a single field is followed by
    one), so that reading gives the same fields back.

    Raises:
        UserError: a field is empty or holds a TAB or a line break, or the file cannot be written.
    """
    count = 0
    with atomic_path(os.fspath(path)) as part, open(part, "wb") as file:
        for row in rows:
            file.write(_line(row, path))
            count += 1
    return count


def _line(row: Sequence[str], path: str | os.PathLike) -> bytes:
    for field in row:
        if not field or not field.isprintable() and any(mark in field for mark in "\t\r\n\0\ufeff"):
            raise UserError(f"{os.fspath(path)}: {field!r} cannot stand in a list; rename it")
    if all(field.split() == [field] for field in row):
        text = " ".join(row)
    else:
        text = "\t".join(row) + ("\t" if len(row) == 1 else "")
    try:
        return text.encode("utf-8") + b"\n"
    except UnicodeEncodeError:
        raise UserError(f"{os.fspath(path)}: {text!r} is not valid text; rename the file") from None


class ImageFiles:
    """Image files below a folder, by index: the part that all sets of files share.

    Args:
        data_dir: the folder.
        paths: relative to it; an absolute path stands for itself.
        lines: the list that the paths were read from, for errors, where path i stands in item i of the list; or
            in item items[i], with `items`.
        crop: as `decode`.
    """

    def __init__(
        self,
        data_dir: str | os.PathLike,
        paths: Texts,
        lines: Lines | None = None,
        items: np.ndarray | None = None,
        crop: Sequence[int] | None = None,
    ):
        self.crop = parse_crop(crop)
        self.data_dir = check_folder(data_dir)
        self.paths = paths
        self._lines = lines
        self._items = items

    def __len__(self) -> int:
        return len(self.paths)

    def full_path(self, index: int) -> str:
        return os.path.join(self.data_dir, self.paths[index])

    def where(self, index: int) -> str:
        """What to call image `index` in an error: the line of the list, if there is one, and the file."""
        return f"{self._line(index)}{self.full_path(index)}"

    def _line(self, index: int) -> str:
        if self._lines is None:
            return ""
        return f"{self._lines.where(index if self._items is None else int(self._items[index]))}: "

    def read(self, index: int, image_size: tuple[int, int]) -> np.ndarray:
        """As `decode`; an index beyond the last raises IndexError."""
        path = self.full_path(index)
        try:
            return decode(read_bytes(path), path, image_size, self.crop)
        except UserError as error:
            raise UserError(f"{self._line(index)}{error}") from None

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


IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".jp2")


def find_images(folder: str | os.PathLike) -> Iterator[str]:
    """Image files below a folder at any depth, relative to it with "/", sorted by folder, then by name.

    Hidden files and folders are skipped and links are followed, except to a folder that holds the link.

    Raises:
        UserError: a folder cannot be read; none is passed over in silence.
    """
    folder = os.fspath(folder)

    def refuse(error: OSError) -> None:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=refuse):
        folders[:] = sorted(sub for sub in folders if not sub.startswith(".") and not _loops(parent, sub))
        relative = Path(os.path.relpath(parent, folder)).as_posix()
        prefix = "" if relative == "." else relative + "/"
        for file in sorted(files):
            if not file.startswith(".") and file.lower().endswith(IMAGE_SUFFIXES):
                yield prefix + file


def _loops(parent: str, sub: str) -> bool:
    path = os.path.join(parent, sub)
    if not os.path.islink(path):
        return False
    target = os.path.realpath(path)
    return os.path.commonpath([target, os.path.realpath(parent)]) == target
