"""Tar files: where each member's bytes lie, and what to write before and after them.

A member is a header of 512 bytes and its data, filled up to 512. Longer names and sizes stand in front of it: as a
member of type "L" (GNU) or as records of a member of type "x" (POSIX pax). Formats: POSIX.1-2017, pax, "ustar
Interchange Format"; GNU tar manual, "Basic Tar Format". Data is never read here, and nothing is ever unpacked.
"""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, NoReturn

from opensphere.error import UserError

BLOCK = 512
END = bytes(2 * BLOCK)  # follows the last member

_LONGEST = 1 << 16  # bytes of a long name or of pax records; a path has 4096 at most
_TAIL = 1 << 20  # how far after the end something else is looked for; tar fills up to 10240 bytes
_SLOTS = 256  # files held open at once
_WINDOW = 4096  # read at once: small members and the headers between them
_AGAIN = "copy or download it again"
_PACKED = {b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd"}
_KINDS = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"K": "a link with a long name",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"S": "a sparse file",
}


class Member(NamedTuple):
    name: str  # with "/", relative, without "." and ".."
    start: int  # where its first header begins, counted in bytes from the begin of the file
    data: int  # where its data begins
    size: int  # bytes of data
    is_file: bool  # else a folder


class Tar:
    """The members of a tar file, in order; iterating gives the files and passes over folders.

    Args:
        read_at: gives bytes of the file: from where, and how many; fewer where it ends.
        path: what to call it in errors.
        size: of the file in bytes.

    Raises:
        UserError: while members are read: the file is no tar file, is compressed, damaged or cut short, or holds what
            has no place in a data set: links, devices, sparse files, paths that lead out of it.
    """

    def __init__(self, read_at: Callable[[int, int], bytes], path: str, size: int):
        self._read_at = read_at
        self.path = path
        self.size = size
        self._held = b""
        self._held_at = 0

    def __iter__(self) -> Iterator[Member]:
        if not self.size:
            raise UserError(f"{self.path}: the file is empty; {_AGAIN}")
        begin = self.read(0, 8)
        for mark, command in _PACKED.items():
            if begin.startswith(mark):
                raise UserError(
                    f"{self.path}: it is compressed, and images cannot be read from its middle; unpack it with "
                    f"{command} first"
                )
        at = 0
        while (member := self.member(at)) is not None:
            at = member.data + _filled(member.size) if member.is_file else member.data
            if member.is_file:
                yield member

    def read(self, at: int, count: int) -> bytes:
        """`count` bytes from `at`, fewer where the file ends. Meant for small things that lie close together."""
        begin = at - self._held_at
        if begin < 0 or begin + count > len(self._held):
            try:
                self._held = self._read_at(at, max(count, _WINDOW))
            except UserError as error:
                raise UserError(f"{self.path}: byte {at}: {error}") from None
            self._held_at, begin = at, 0
        return self._held[begin : begin + count]

    def member(self, at: int) -> Member | None:
        """The member whose first header begins at `at`, or None where the archive ends there."""
        start = at
        long_name: bytes | None = None
        records: dict[bytes, bytes] | None = None
        while True:
            block = self._header(at)
            if block is None:
                if start != at:
                    self._refuse(start, "a long name or pax header without a member after it")
                return None
            size = self._size(block[124:136], at)
            kind, data = block[156:157], at + BLOCK
            if kind == b"L" and long_name is None:
                long_name = self._body(data, size).partition(b"\0")[0]
            elif kind == b"x" and records is None:
                records = self._records(data, size)
            elif kind == b"g" and start == at:
                if self._records(data, size).keys() & {b"path", b"linkpath", b"size", b"hdrcharset"}:
                    self._refuse(at, "a global pax header that names or measures members; pack the files anew")
                start = data + _filled(size)
            else:
                return self._plain(block, start, at, size, long_name, records or {})
            at = data + _filled(size)

    def _header(self, at: int) -> bytes | None:
        """The header at `at`, its checksum compared; None at the end of the archive."""
        block = self.read(at, BLOCK)
        if not block:  # no end mark: seen where a program was stopped, or saved the space
            return None
        if block.count(0) == len(block):
            self._check_tail(at + len(block))
            return None
        if len(block) < BLOCK:
            self._refuse(at, f"the file ends within a header; {_AGAIN}")
        field = block[148:156]  # counted as spaces
        total = sum(block) - sum(field) + 8 * 32
        told = _number(field)
        if told != total:
            signed = total - 256 * sum(byte > 127 for byte in block[:148] + block[156:])  # some old programs
            if told != signed:
                self._refuse(at, f"no tar header, or a damaged one (its checksum is wrong); {_AGAIN}")
        return block

    def _check_tail(self, at: int) -> None:
        for place in range(at, min(self.size, at + _TAIL), _LONGEST):
            piece = self.read(place, min(_LONGEST, at + _TAIL - place))
            if piece.count(0) != len(piece):
                self._refuse(at, "more follows the end of the archive; keep archives apart instead of joining them")

    def _size(self, field: bytes, at: int) -> int:
        size = _number(field)
        if size is None:
            self._refuse(at, f"a header whose size {field!r} is no number; {_AGAIN}")
        return size

    def _body(self, data: int, size: int) -> bytes:
        """A long name or pax records: small enough to be true."""
        if size > _LONGEST:
            self._refuse(data, f"a long name or pax header of {size} bytes, more than {_LONGEST}; pack the files anew")
        if data + size > self.size:
            self._refuse(data, f"the file ends within a long name or pax header; {_AGAIN}")
        return self.read(data, size)

    def _records(self, data: int, size: int) -> dict[bytes, bytes]:
        """Records of "LENGTH KEY=VALUE\\n", where LENGTH counts the whole record."""
        body = self._body(data, size).rstrip(b"\0")
        records = {}
        at = 0
        while at < len(body):
            space = body.find(b" ", at, at + 8)
            length = body[at:space] if space > at else b""
            end = at + int(length) if length.isdigit() else 0
            key, equals, value = body[space + 1 : end].partition(b"=")
            if not space < end <= len(body) or not equals or not value.endswith(b"\n"):
                self._refuse(data, f"a damaged pax header; {_AGAIN}")
            if key.startswith(b"GNU.sparse"):
                self._refuse(data, "a sparse file; pack the files anew without --sparse")
            records[key] = value[:-1]
            at = end
        return records

    def _plain(
        self, block: bytes, start: int, at: int, size: int, long_name: bytes | None, records: dict[bytes, bytes]
    ) -> Member:
        kind, data = block[156:157], at + BLOCK
        raw = records.get(b"path") or long_name or _short_name(block)
        name = clean(os.fsdecode(raw))
        if kind not in (b"0", b"\0", b"5", b"7"):  # "7" is stored like a file
            what = _KINDS.get(kind, f"a member of type {kind!r}")
            self._refuse(start, f"{os.fsdecode(raw)!r} is {what}; pack the images themselves as files")
        if b"size" in records:
            told = records[b"size"]
            if not (told.isdigit() and len(told) < 20):
                self._refuse(start, f"{os.fsdecode(raw)!r} has the size {told!r}, which is no number; {_AGAIN}")
            size = int(told)
        is_file = kind != b"5" and not (kind == b"\0" and raw.endswith(b"/"))  # before ustar, folders had no type
        if name is None or is_file and not name:
            self._refuse(start, f"{os.fsdecode(raw)!r} is no path within a data set; pack the files anew")
        if is_file and data + size > self.size:
            self._refuse(
                start, f"{name!r} has {size} bytes of data, of which {max(self.size - data, 0)} are there; {_AGAIN}"
            )
        return Member(name, start, data, size, is_file)

    def _refuse(self, at: int, what: str) -> NoReturn:
        raise UserError(f"{self.path}: byte {at}: {what}")


class TarFiles:
    """Tar files, of which some are open: each has one slot, and shares it with others where there are many.

    There is no lock, which a fork could leave closed. Who reads holds the open file, so it is not closed meanwhile;
    two threads may open the same one, and one of the two is closed again.

    Args:
        paths: the files.
        facts: size and time of each, if known; a file that has others when it is opened again is refused.

    Raises:
        UserError: a path is no file that can be read.
    """

    def __init__(self, paths: Sequence[str], facts: Sequence[tuple[int, int]] | None = None):
        self.paths = paths
        self._facts = [_look(path) for path in paths] if facts is None else facts
        self._slots: list[_Open | None] = [None] * _SLOTS

    def __reduce__(self):
        return TarFiles, (self.paths, self._facts)  # another process opens its own

    @property
    def sizes(self) -> list[int]:
        return [size for size, _ in self._facts]

    def read(self, number: int, at: int, count: int) -> bytes:
        """Bytes of file `number`. Raises UserError, which does not name the file."""
        data = self._open(number).read(at, count)
        if len(data) < count:
            raise UserError(f"the file ends within it; {_AGAIN}")
        return data

    def tar(self, number: int) -> Tar:
        path = self.paths[number]
        try:
            return Tar(self._open(number).read, path, self._facts[number][0])
        except UserError as error:
            raise UserError(f"{path}: {error}") from None

    def _open(self, number: int) -> "_Open":
        file = self._slots[number % _SLOTS]
        if file is None or file.number != number:
            try:
                file = _Open(self.paths[number], number)
                status = os.fstat(file.descriptor)
            except OSError as error:
                raise UserError(f"cannot be opened: {error.strerror}; check the path") from None
            if (status.st_size, status.st_mtime_ns) != self._facts[number]:
                raise UserError("the file has changed since it was first looked at; start anew")
            self._slots[number % _SLOTS] = file
        return file


class _Open:
    """An open file, closed when nobody holds it any longer."""

    def __init__(self, path: str, number: int):
        self.number = number
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        if hasattr(self, "descriptor"):
            close(self.descriptor)

    def read(self, at: int, count: int) -> bytes:
        try:
            data = os.pread(self.descriptor, count, at)
            while len(data) < count and (more := os.pread(self.descriptor, count - len(data), at + len(data))):
                data += more
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}; {_AGAIN}") from None
        return data


def _look(path: str) -> tuple[int, int]:
    """Size and time of a file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        raise UserError(f"{path}: cannot be read: {getattr(error, 'strerror', error)}; check the path") from None
    if not stat.S_ISREG(status.st_mode):
        raise UserError(f"{path}: it is no file; name a .tar file")
    return status.st_size, status.st_mtime_ns


def clean(name: str) -> str | None:
    """A path without "." and empty parts, "" for the folder itself; None if it leads out, or is no path at all."""
    if name.startswith("/") or "\0" in name:
        return None
    if name.startswith(".") or "/." in name or "//" in name or name.endswith("/"):
        parts = [part for part in name.split("/") if part not in ("", ".")]
        return None if ".." in parts else "/".join(parts)
    return name


def header(name: str, size: int) -> bytes:
    """The ustar header of a file: of nobody, from 1970, so that the same files make the same archive.

    Args:
        name: at most 100 characters of ASCII.
        size: bytes of data, less than 8 GiB.
    """
    assert len(name) <= 100 and size < 8**11
    front = name.encode("ascii").ljust(100, b"\0")
    front += b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"%011o\0" % 0  # mode, owner, group, size, time
    back = b"0" + bytes(100) + b"ustar\00000" + bytes(247)
    return front + b"%06o\0 " % (sum(front) + 8 * 32 + sum(back)) + back


def filling(size: int) -> bytes:
    """What follows `size` bytes of data."""
    return bytes(_filled(size) - size)


def _filled(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _short_name(block: bytes) -> bytes:
    name = block[:100].partition(b"\0")[0]
    prefix = block[345:500].partition(b"\0")[0]
    return prefix + b"/" + name if prefix and block[257:263] == b"ustar\0" else name  # GNU keeps other things there


def _number(field: bytes) -> int | None:
    """A number of a header: octal digits, or (GNU, large ones) 0x80 and the number itself; None for anything else."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.partition(b"\0")[0].strip(b" ")
    if digits.strip(b"01234567"):  # also what begins with 0xff: a negative number
        return None
    return int(digits, 8) if digits else 0
