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
from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.storage import atomic_path

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Texts(Sequence[str]):
    """A list of texts that only grows, kept as their UTF-8 bytes end to end: 8 bytes a text beside the bytes."""

    def __init__(self, texts: Iterable[str] = ()):
        self._bytes: Any = bytearray()
        self._ends: Any = array("q")
        for text in texts:
            self.add(os.fsencode(text))  # file names need not be valid text

    def add(self, text: bytes) -> None:
        self._bytes += text
        self._ends.append(len(self._bytes))

    def extend(self, texts: Sequence[bytes]) -> None:
        ends = np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts))) + len(self._bytes)
        self._bytes += b"".join(texts)
        self._ends.frombytes(ends.tobytes())

    @classmethod
    def packed(cls, text: np.ndarray, ends: np.ndarray) -> "Texts":
        """Texts end to end, uint8, and (N,) int64, where each ends. They are not copied, and cannot grow."""
        texts = cls()
        texts._bytes, texts._ends = text, ends
        return texts

    def as_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The bytes and the ends that `packed` takes; the texts cannot grow while these are in use."""
        return np.frombuffer(self._bytes, np.uint8), np.frombuffer(self._ends, np.int64)

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
