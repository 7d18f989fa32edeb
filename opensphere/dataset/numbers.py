"""Long lists of numbers, read as fast as numpy goes where each line is made in the plainest way.

That is: ASCII, fields with one space between two of them, lines that end with a line feed, of Windows or not. Tens of
millions of lines then take a second. Any other line is left to slower code, which also says what is wrong with it.
"""

import os
import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from opensphere.dataset.annotation import Texts, split
from opensphere.error import UserError

_PIECE = 1 << 17  # bytes that are looked at together: what is made of them stays in the processor's cache
_SPARE = bytes(8)  # before a piece, so that eight bytes can be taken that end anywhere in it
_DIGITS = 16  # longer numbers are left to Python
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def read_integers(path: str | os.PathLike, fields: Sequence[str]) -> Iterator[np.ndarray]:
    """The lines of a long list of whole numbers, in pieces of (n, number of fields) int64. Blank lines are skipped.

    Raises:
        UserError: the file cannot be read, or a line has another number of fields or anything but whole numbers.
    """
    try:
        with open(path, "rb") as file:
            line = 1
            while piece := file.read(_PIECE):
                piece += file.readline()
                rows = _plain_integers(piece, len(fields))
                if rows is None:
                    yield _split_integers(piece, path, line, fields)
                    line += piece.count(b"\n")
                else:
                    yield rows
                    line += len(rows)
    except OSError as error:
        raise UserError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None


def read_named(path: str | os.PathLike, width: int, dtype: type) -> tuple[Texts, np.ndarray] | None:
    """The names and the numbers of a list of `name number number ...` a line.

    Args:
        path: the list.
        width: how many numbers each line holds.
        dtype: np.int64 for whole numbers that are not negative, or np.float64.

    Returns:
        (N,) texts and (N, width) numbers; None if a line is not made in the plainest way, or the list cannot be read.
    """
    names, ends, end = [], [], 0
    tables: list[np.ndarray] = []
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            while piece := file.read(_PIECE):
                piece += file.readline()
                if file.tell() == len(piece):
                    piece = piece.removeprefix(_BYTE_ORDER_MARK)
                if file.tell() == size:
                    piece = piece.rstrip()
                    if not piece and tables:
                        break
                found = _plain_named(piece, width, dtype)
                if found is None:
                    return None
                names.append(found[0])
                ends.append(end + np.cumsum(found[1]))
                tables.append(found[2])
                end = int(ends[-1][-1])
    except OSError:
        return None
    return (Texts.packed(np.concatenate(names), np.concatenate(ends)), np.concatenate(tables)) if tables else None


def nth_line(path: str | os.PathLike, item: int) -> int:
    """The number of the line that holds an item, counted from 0, when blank lines are none."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                if not item:
                    return number
                item -= 1
    raise IndexError(item)


def whole(text: bytes | str) -> int:
    """A whole number of 64 bits. Raises ValueError for anything else."""
    number = int(text)
    if number.bit_length() > 63:
        raise ValueError
    return number


def _plain_integers(piece: bytes, width: int) -> np.ndarray | None:
    """(n, width) int64, if each line is `width` numbers of digits alone; else None."""
    text = _with_spare(piece)
    gaps = np.flatnonzero(text[len(_SPARE) :] - np.uint8(ord("0")) > 9)
    if len(gaps) % width or not _are_gaps(text, gaps, width):
        return None
    lengths = _lengths(gaps).reshape(-1, width)
    if lengths.min() < 1 or lengths.max() > _DIGITS:
        return None
    return _numbers(text, gaps.reshape(-1, width), lengths)


def _plain_named(piece: bytes, width: int, dtype: type) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """The bytes of all names, (n,) how long each is, and (n, width) the numbers; None as `read_named`."""
    text = _with_spare(piece)
    body = text[len(_SPARE) :]
    gaps = np.flatnonzero(body <= ord(" "))
    if len(gaps) % (width + 1) or not _are_gaps(text, gaps, width + 1) or body.max() > ord("~"):
        return None
    lengths = _lengths(gaps).reshape(-1, width + 1)
    if lengths.min() < 1:
        return None
    length, stop = lengths[:, 0], gaps[:: width + 1]
    place = np.repeat(stop - np.cumsum(length), length) + np.arange(length.sum())
    names = body[place]
    body[place] = ord("0")
    marks = np.flatnonzero(body - np.uint8(ord("0")) > 9)
    numbers = None
    if dtype is np.float64:
        numbers = _plain_decimals(text, marks, width)
        if numbers is None:
            body[place] = ord(" ")
            numbers = _decimals(body.tobytes(), len(length) * width)
    elif len(marks) == len(gaps) and lengths[:, 1:].max() <= _DIGITS:
        numbers = _numbers(text, gaps.reshape(lengths.shape)[:, 1:], lengths[:, 1:])
    return None if numbers is None else (names, length, numbers.reshape(-1, width))


def _plain_decimals(text: np.ndarray, marks: np.ndarray, width: int) -> np.ndarray | None:
    """(n, width) float64, each as near as can be, of lines of a name and numbers such as 46.060; None for others.

    Args:
        text: with digits for the name.
        marks: all places of the body that hold no digit.
    """
    if len(marks) % (2 * width + 1):
        return None
    marks = marks.reshape(-1, 2 * width + 1)
    points, ends = marks[:, 1::2], marks[:, 2::2]
    before, after = points - marks[:, :-1:2] - 1, ends - points - 1
    if (
        (text[len(_SPARE) :][points] != ord(".")).any()
        or (before + after).max() > 15
        or min(before.min(), after.min()) < 1
    ):
        return None
    tens = 10 ** np.arange(15)
    digits = _numbers(text, points, before) * tens[after] + _numbers(text, ends, after)
    return digits / tens[after]  # both sides are less than 2^53, so the one rounding is that of the division


def _with_spare(piece: bytes) -> np.ndarray:
    """The spare bytes and a piece, uint8, to be written to; each line ends with a line feed alone."""
    if b"\r" in piece:
        piece = piece.replace(b"\r\n", b"\n")
    return np.frombuffer(bytearray().join((_SPARE, piece, b"" if piece.endswith(b"\n") else b"\n")), np.uint8)


def _are_gaps(text: np.ndarray, gaps: np.ndarray, width: int) -> bool:
    """Whether of each `width` gaps the last is a line feed and the others are spaces, and there are no more spaces."""
    body = text[len(_SPARE) :]
    spaces = len(gaps) - len(gaps) // width
    return bool((body[gaps[width - 1 :: width]] == ord("\n")).all()) and np.count_nonzero(body == ord(" ")) == spaces


def _lengths(gaps: np.ndarray) -> np.ndarray:
    """How many characters stand before each gap, since the one before."""
    lengths = gaps.copy()
    lengths[1:] -= gaps[:-1]
    lengths[1:] -= 1
    return lengths


def _numbers(text: np.ndarray, ends: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64: the numbers of up to sixteen digits that end before `ends`, places in a piece after the spare bytes."""
    words = np.ndarray((len(text) - 7,), "<u8", text, 0, (1,))  # of each eight bytes in a row
    numbers = _eight_digits(np.take(words, ends), lengths)
    long = np.nonzero(lengths > 8)
    if len(long[0]):
        numbers[long] += 10**8 * _eight_digits(words[ends[long] - 8], lengths[long] - 8)
    return numbers


# of a word that ends with so many digits, which bits are of their values
_VALUES = np.array([0x0F0F0F0F0F0F0F0F >> (64 - 8 * n) << (64 - 8 * n) for n in range(9)], np.uint64)


def _eight_digits(words: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """int64: the numbers that the last bytes of words of eight spell, at most all of them. The words are overwritten.

    Digits are joined to pairs, pairs to fours, fours to eights, in all places of a word at once: a multiplication adds
    10, 100 or 10,000 times each place to the next.
    """
    words &= np.take(_VALUES, lengths, mode="clip")
    words *= np.uint64(10 << 8 | 1)
    words >>= np.uint64(8)
    words &= np.uint64(0x00FF00FF00FF00FF)
    words *= np.uint64(100 << 16 | 1)
    words >>= np.uint64(16)
    words &= np.uint64(0x0000FFFF0000FFFF)
    words *= np.uint64(10_000 << 32 | 1)
    words >>= np.uint64(32)
    return words.view(np.int64)


def _decimals(text: bytes, count: int) -> np.ndarray | None:
    """(count,) float64: the numbers of a text of as many words, each as near as can be; None if one is no number."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            numbers = np.fromstring(text, np.float64, sep=" ")
        except (DeprecationWarning, ValueError):  # it stopped at something that is no number
            return None
    return numbers if len(numbers) == count else None  # it reads 1.5.3 as two


def _split_integers(piece: bytes, path: str | os.PathLike, first: int, fields: Sequence[str]) -> np.ndarray:
    rows = []
    for number, line in enumerate(piece.split(b"\n"), first):
        values = split(line)
        if not values:
            continue
        try:
            if len(values) != len(fields):
                raise ValueError
            rows.append([whole(value) for value in values])
        except ValueError:
            where = f"{os.fspath(path)}:{number}"
            text = line.decode("utf-8", "replace").strip()
            raise UserError(f"{where}: {text[:60]!r} should be whole numbers: {' '.join(fields)}") from None
    return np.array(rows, np.int64).reshape(-1, len(fields))
