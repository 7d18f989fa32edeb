"""RecordIO, the container of MXNet's training files: pieces of any bytes, one after another, and where each begins.

A record is one part, or several where its bytes hold the mark at a multiple of 4: there the mark is cut out, so that
in a whole file it stands at the beginning of parts and nowhere else.

    part    mark 0xCED7230A, word, data, zeros up to a multiple of 4       all numbers little-endian
    word    kind << 29 | length of the data
    kind    0 a whole record, 1 the first part of one, 2 a part in between, 3 the last part

(dmlc-core, include/dmlc/recordio.h.) The index beside it is text, a line `key TAB offset` a record, in the order of
the file (MXNet, python/mxnet/recordio.py).
"""

import mmap
import os
import struct
from array import array
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from opensphere.dataset.reader.reader import Progress
from opensphere.error import UserError

MARK = 0xCED7230A
LIMIT = 1 << 29  # the word cannot tell of longer parts
LONGEST = LIMIT - 1  # bytes of a record, as dmlc-core checks
HEAD = 8  # words of a record that `heads` gives
REBUILD = "download the index again, or delete it: it is then made from the records"

_MARK = struct.pack("<I", MARK)
_PART = struct.Struct("<II")
_READ = 1 << 14  # bytes read at once: a face of 112 x 112 pixels takes a few thousand
_WALK = 1 << 16
_BLOCK = 1 << 13  # records looked at together; each may bring a page of the file into memory
_LINES = 1 << 24  # bytes of an index read at once
_REPORTS = 200
_DIGITS = 18  # as many always fit into 64 bits


class FileBytes:
    """The bytes of a file by their position. It is opened by whoever first reads; threads and forks may share it."""

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        self._handles: dict[str, int] = {}

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_handles": {}}

    def __del__(self) -> None:
        for handle in self.__dict__.get("_handles", {}).values():
            os.close(handle)

    def handle(self) -> int:
        if "file" not in self._handles:
            try:
                opened = os.open(self.path, os.O_RDONLY)
            except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
                raise self._unreadable(error) from None
            if self._handles.setdefault("file", opened) != opened:  # another thread was first
                os.close(opened)
        return self._handles["file"]

    def measure(self) -> int:
        return os.fstat(self.handle()).st_size

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes, fewer at the end of the file."""
        try:
            return os.pread(self.handle(), length, start)
        except OSError as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> UserError:
        reason = error.strerror if isinstance(error, OSError) else error
        return UserError(f"{self.path}: cannot be read: {reason}; check the path")


class _Window:
    """A stretch of a file, moved along where bytes outside it are wanted."""

    def __init__(self, file: FileBytes, step: int):
        self._file, self._step = file, step
        self._start, self._bytes = 0, b""

    def get(self, start: int, length: int) -> bytes:
        at = start - self._start
        if not 0 <= at <= len(self._bytes) - length:
            self._start, self._bytes, at = start, self._file.read(start, max(length, self._step)), 0
        return self._bytes[at : at + length]

    def holds(self, start: int, length: int) -> bool:
        return 0 <= start - self._start <= len(self._bytes) - length


class RecordFile(FileBytes):
    """A RecordIO file. What is called `where` names a record in errors.

    Raises:
        UserError: the file cannot be read, or is empty.
    """

    def __init__(self, path: str | os.PathLike):
        super().__init__(path)
        self.size = self.measure()
        if not self.size:
            raise UserError(f"{self.path}: the file is empty; download or copy it again")

    def record(self, offset: int, where: Callable[[], str]) -> bytes:
        """The record that begins at `offset`.

        Raises:
            UserError: none begins there, its parts are not in order, it is cut short, or no other follows it.
        """
        window = _Window(self, _READ)
        parts: list[bytes] = []
        total, at = 0, offset
        while True:
            kind, length, end = self._part(window, at, where, first=not parts)
            total += length + len(_MARK) * bool(parts)
            if total > LONGEST:
                raise UserError(f"{where()}: it is longer than {LONGEST} bytes; the file is damaged: download it again")
            if end < self.size:
                after = window.get(end, 4) if window.holds(end, 4) else self.read(end, 4)
                if len(after) == len(_MARK) and after != _MARK:  # before its bytes are read, for the length may be any
                    raise UserError(
                        f"{where()}: its length, {length} bytes, leads to byte {end}, where no record begins; "
                        "the file is damaged: download or copy it again"
                    )
            part = window.get(at + _PART.size, length)
            if len(part) < length:
                raise UserError(f"{where()}: the file has become shorter while it was in use; start again")
            parts.append(part)
            if kind in (0, 3):
                return parts[0] if len(parts) == 1 else _MARK.join(parts)
            at = end

    def walk(self, progress: Progress | None = None) -> np.ndarray:
        """(N,) int64: where the records begin, found by going from one to the next.

        Raises:
            UserError: as `record`.
        """
        window = _Window(self, _WALK)
        offsets = array("q")
        first, at, due = True, 0, 0

        def where() -> str:
            return f"{self.path}: record {len(offsets) - 1} of the file, counted from 0"

        while at < self.size or not first:
            if first:
                offsets.append(at)
            kind, _, at = self._part(window, at, where, first)
            first = kind in (0, 3)
            if progress is not None and at >= due:
                progress(at, self.size)
                due = at + self.size // _REPORTS
        return np.frombuffer(offsets, np.int64)

    def _part(self, window: _Window, at: int, where: Callable[[], str], first: bool) -> tuple[int, int, int]:
        """Kind and length of the part at a byte, and where it ends."""
        head = window.get(at, _PART.size)
        mark, word = _PART.unpack(head) if len(head) == _PART.size else (MARK, LIMIT - 1)
        kind, length = word >> 29, word & (LIMIT - 1)
        end = at + _PART.size + length + -length % 4
        if mark != MARK:
            raise UserError(f"{where()}: {_no_record(at)}")
        if end > self.size:
            raise UserError(f"{where()}: {self._cut_short(at)}")
        if kind not in ((0, 1) if first else (2, 3)):
            raise UserError(
                f"{where()}: the part at byte {at} is of kind {kind}, which cannot stand there; "
                "the file or its index is damaged: download or copy both again"
            )
        return kind, length, end

    def _cut_short(self, at: int) -> str:
        return f"it begins at byte {at} and reaches beyond the file's {self.size}; download or copy the file again"

    def heads(
        self, offsets: np.ndarray, where: Callable[[int], str], progress: Progress | None = None
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """How records begin, many at once, in the order of the file: no more is read than the pages that hold it.

        Args:
            offsets: (N,) int64, within the file, in any order.

        Yields:
            Which of `offsets` (n,); the first HEAD words of these records (n, HEAD) uint32, zeros beyond their ends;
            and how long they are (n,), or LIMIT for those that are in several parts.

        Raises:
            UserError: no record begins at an offset, or it reaches beyond the next one or the end of the file.
        """
        order = np.argsort(offsets, kind="stable")
        blocks = range(0, len(order), _BLOCK)
        for number, block in enumerate(blocks):
            chosen = order[block : block + _BLOCK]
            starts = offsets[chosen]

            def name(row: int, chosen: np.ndarray = chosen) -> str:
                return where(chosen[row])

            after = np.append(starts[1:], offsets[order[block + _BLOCK]] if block + _BLOCK < len(order) else self.size)
            for odd in np.flatnonzero(starts % 4)[:1]:
                raise UserError(f"{name(odd)}: {_no_record(starts[odd])}")
            words = self._words(starts)
            kinds, lengths = words[:, 1] >> 29, (words[:, 1] & (LIMIT - 1)).astype(np.int64)
            self._check_heads(starts, after, words[:, 0], kinds, lengths, name)
            words = words[:, 2:]
            words[np.arange(HEAD) >= lengths[:, None] // 4] = 0
            for row in np.flatnonzero((kinds == 1) & (lengths < 4 * HEAD)):  # the mark was cut out of the very head
                record = self.record(int(starts[row]), partial(name, int(row)))
                words[row] = np.frombuffer(record[: len(record) // 4 * 4][: 4 * HEAD].ljust(4 * HEAD, b"\0"), "<u4")
            yield chosen, words, np.where(kinds == 0, lengths, LIMIT)
            if progress is not None and number % max(1, len(blocks) // _REPORTS) == 0:
                progress(min(block + _BLOCK, len(order)), len(order))

    def _words(self, starts: np.ndarray) -> np.ndarray:
        """(n, 2 + HEAD) uint32 from each of `starts`, which ascend; zeros beyond the end of the file."""
        base = int(starts[0]) // mmap.ALLOCATIONGRANULARITY * mmap.ALLOCATIONGRANULARITY
        stop = min(self.size, int(starts[-1]) + 4 * (2 + HEAD))
        if stop - base < 4:  # the end of the file, not even a mark
            return np.zeros((len(starts), 2 + HEAD), np.uint32)
        try:
            with mmap.mmap(self.handle(), stop - base, access=mmap.ACCESS_READ, offset=base) as view:
                stored = np.frombuffer(view, "<u4", (stop - base) // 4)
                places = (starts - base)[:, None] // 4 + np.arange(2 + HEAD)
                words = np.where(places < len(stored), stored[np.minimum(places, len(stored) - 1)], 0)
                del stored  # the view can only be closed when nothing looks at it
        except (OSError, ValueError) as error:  # ValueError: the file has become shorter
            raise self._unreadable(error) from None
        return words.astype(np.uint32, copy=False)

    def _check_heads(
        self,
        starts: np.ndarray,
        after: np.ndarray,
        marks: np.ndarray,
        kinds: np.ndarray,
        lengths: np.ndarray,
        where: Callable[[int], str],
    ) -> None:
        ends = starts + _PART.size + lengths + -lengths % 4
        bad = np.flatnonzero((marks != MARK) | (kinds > 1) | (ends > after))
        if len(bad):
            row = bad[0]
            if marks[row] != MARK or kinds[row] > 1:
                problem = _no_record(starts[row])
            elif ends[row] > self.size:
                problem = self._cut_short(starts[row])
            else:
                problem = (
                    f"its length, {lengths[row]} bytes, reaches beyond byte {after[row]}, where another record "
                    "begins; the file or its index is damaged: download or copy both again"
                )
            raise UserError(f"{where(row)}: {problem}")


def _no_record(at: int) -> str:
    return f"no record begins at byte {at}; the file or its index is damaged: download or copy both again"


def pack(record: bytes) -> bytes:
    """A record as it stands in a file: its parts, with marks, words and padding."""
    pieces: list[bytes] = []
    start, at = 0, record.find(_MARK)
    while at >= 0:
        if at % 4:
            at = record.find(_MARK, at + 1)
            continue
        pieces += [_PART.pack(MARK, (2 if start else 1) << 29 | at - start), record[start:at]]
        start = at + len(_MARK)
        at = record.find(_MARK, start)
    pieces += [_PART.pack(MARK, (3 if start else 0) << 29 | len(record) - start), record[start:]]
    return b"".join(pieces) + bytes(-len(record) % 4)


def read_idx(path: str | os.PathLike, progress: Progress | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Keys and offsets of an index, (N,) int64 each, in its order.

    Raises:
        UserError: the index cannot be read, or has a line that is not a key and an offset.
    """
    path = os.fspath(path)
    file = FileBytes(path)
    size, at, lines = file.measure(), 0, 0
    keys, offsets = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    while at < size:
        text = file.read(at, _LINES)
        if at + len(text) < size:
            text = text[: text.rfind(b"\n") + 1]
        if not text:
            raise UserError(f"{path}:{lines + 1}: the line does not end; {REBUILD}")
        numbers = _numbers(text.replace(b"\r\n", b"\n"))
        if numbers is None:
            numbers = _numbers_by_line(text, path, lines)
        keys.append(numbers[:, 0].copy())
        offsets.append(numbers[:, 1].copy())
        at += len(text)
        lines += text.count(b"\n")
        if progress is not None:
            progress(at, size)
    return np.concatenate(keys), np.concatenate(offsets)


def _numbers(text: bytes) -> np.ndarray | None:
    """(lines, 2) int64 of a text whose lines are two numbers with a TAB between; None where one is not."""
    if not text.endswith(b"\n"):
        text += b"\n"
    characters = np.frombuffer(text, np.uint8)
    marks = np.flatnonzero(characters - ord("0") > 9)  # wraps around below "0"
    digits = np.diff(marks, prepend=-1) - 1
    plain = len(marks) % 2 == 0 and np.all(characters[marks[::2]] == 9) and np.all(characters[marks[1::2]] == 10)
    if not plain or digits.min() < 1 or digits.max() > _DIGITS:
        return None
    return np.fromstring(text, np.int64, sep=" ").reshape(-1, 2)


def _numbers_by_line(text: bytes, path: str, lines: int) -> np.ndarray:
    """As `_numbers`, passing over empty lines; `lines` come before the text."""
    numbers = array("q")
    for line, content in enumerate(text.split(b"\n"), lines + 1):
        fields = content.split()
        if not fields:
            continue
        if len(fields) != 2 or not all(field.isdigit() and len(field) <= _DIGITS for field in fields):
            raise UserError(f"{path}:{line}: {content[:50]!r} is not a key, a TAB and an offset; {REBUILD}")
        numbers.extend(map(int, fields))
    return np.frombuffer(numbers, np.int64).reshape(-1, 2)
