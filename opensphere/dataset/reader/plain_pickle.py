"""The plain values of a pickle, read without running it.

`pickle.Unpickler` is a machine that calls what a file names with what a file says. Even when `find_class` admits
NumPy's constructors alone, the file chooses their arguments and the state that they are given afterwards (arrays of
objects, shapes of any size), copies of one text can be asked for without end, and each payload is copied. So this is a
machine of its own, of the few opcodes that lists, tuples, bytes, texts, numbers and arrays need. The functions that
such pickles name are never looked up: each has a meaning here, and nothing else has one. Bytes and texts stay in
the file, as a place and a length; what is held beside them is in proportion to the number of opcodes, and that number
is limited by the size of the file.

Pickles of all protocols are read, those of Python 2 too, whose `str` are bytes here.
"""

import math
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

import numpy as np

from opensphere.error import UserError

_STEPS, _BYTES_A_STEP = 2_000_000, 32  # opcodes: so many, and one more for so many bytes of the file; an array takes 25
_LONGEST_WORD = 256  # bytes of a name, a number in digits, or a text that means something here
_MOST_AXES = 8


class Coding(IntEnum):
    """How bytes or a text are written in the file."""

    BYTES = 0
    ESCAPED = 1  # bytes as Python 2 prints them
    LATIN_UTF8 = 2  # bytes as UTF-8 text of their Latin-1 characters
    LATIN_ESCAPED = 3  # bytes as such a text with \\u escapes
    UTF8 = 4  # text
    TEXT_ESCAPED = 5  # text


_AS_BYTES = {Coding.UTF8: Coding.LATIN_UTF8, Coding.TEXT_ESCAPED: Coding.LATIN_ESCAPED}


@dataclass(slots=True)
class Span:
    """Bytes or a text, where they lie in the file."""

    start: int
    length: int
    coding: Coding


class Array:
    """A NumPy array: its type, such as "|u1", its shape, and its bytes in C or Fortran order."""

    __slots__ = ("dtype", "shape", "content")

    def __init__(self) -> None:
        self.dtype, self.shape, self.content = "|V0", (0,), Span(0, 0, Coding.BYTES)


class _Known(Enum):
    """What a pickle of plain values may name."""

    ENCODE = "encode"  # bytes from a text
    NDARRAY = "ndarray"
    DTYPE = "dtype"
    RECONSTRUCT = "reconstruct"  # an array, still empty
    SCALAR = "scalar"  # one number
    FROMBUFFER = "frombuffer"  # an array


_NAMES = {("_codecs", "encode"): _Known.ENCODE, ("numpy", "ndarray"): _Known.NDARRAY, ("numpy", "dtype"): _Known.DTYPE}
for _core in ("numpy.core", "numpy._core"):  # before and since NumPy 2
    _NAMES[f"{_core}.multiarray", "_reconstruct"] = _Known.RECONSTRUCT
    _NAMES[f"{_core}.multiarray", "scalar"] = _Known.SCALAR
    _NAMES[f"{_core}.numeric", "_frombuffer"] = _Known.FROMBUFFER


class _Dtype:
    __slots__ = ("kind", "order")

    def __init__(self, kind: str) -> None:
        self.kind, self.order = kind, "|"

    @property
    def text(self) -> str:
        return self.order + self.kind

    @property
    def size(self) -> int:
        return int(self.kind[1])


def read_plain(data: Any, name: str) -> Any:
    """What a pickle holds: None, bool, int, list, tuple, `Span` and `Array`.

    Args:
        data: the file, as `mmap` or bytes.
        name: what to call it in an error.

    Raises:
        UserError: it is no pickle, damaged, or holds anything else. The first thing that is not plain ends it.
    """
    return _Machine(data, name).run()


_ESCAPE = re.compile(rb"\\(?:x..|.)?", re.DOTALL)
_ESCAPED = {b"\\x%02x" % value: bytes([value]) for value in range(256)}
_ESCAPED |= {b"\\\\": b"\\", b"\\'": b"'", b'\\"': b'"', b"\\n": b"\n", b"\\r": b"\r", b"\\t": b"\t"}


def decoded(raw: bytes, coding: Coding) -> bytes:
    """The bytes that the `raw` ones of a span stand for; of a text, in its own coding. Raises ValueError."""
    if coding == Coding.ESCAPED:
        try:
            return _ESCAPE.sub(lambda match: _ESCAPED[match[0]], raw)
        except KeyError as error:
            raise ValueError(f"{error} is no character") from None
    if coding == Coding.LATIN_UTF8:
        return raw.decode("utf-8").encode("latin-1")
    if coding == Coding.LATIN_ESCAPED:
        return raw.decode("raw-unicode-escape").encode("latin-1")
    return raw


class _Machine:
    """Reads opcodes one by one. Its stack is a list, on which each mark remembers a height."""

    def __init__(self, data: Any, name: str) -> None:
        self.data, self.name, self.size = data, name, len(data)
        self.at = self.opcode_at = 0
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        if self.data[:1] not in (b"\x80", b"(", b"]"):  # protocol 2 and later; a tuple or a list before that
            raise UserError(f"{self.name}: not a pickle; name a .bin file as InsightFace writes it")
        for _ in range(_STEPS + self.size // _BYTES_A_STEP):
            self.opcode_at = self.at
            code = self.data[self.skip(1)]
            action = _ACTIONS.get(code)
            if action is None:
                if code == ord("."):
                    return self.pop()
                self.refuse_opcode(code)
            else:
                action(self)
        raise UserError(f"{self.name}: far more entries than its size allows; take the file from another source")

    # what may be wrong

    def damaged(self, what: str) -> UserError:
        return UserError(f"{self.name}: damaged at byte {self.opcode_at}, {what}; download or copy it again")

    def refused(self, what: str) -> UserError:
        return UserError(
            f"{self.name}: byte {self.opcode_at} asks for {what}, which is neither image nor label; nothing was run; "
            "name a .bin file as InsightFace writes it, from a source that you trust"
        )

    def refuse_opcode(self, code: int) -> None:
        opcode = next((opcode.name for opcode in pickletools.opcodes if opcode.code == chr(code)), None)
        if opcode is None:
            raise self.damaged(f"{code} is no opcode")
        if opcode == "INST":
            self.refuse_name(*self.names())
        raise self.refused(opcode)

    def refuse_name(self, module: str, name: str) -> None:
        text = f"{module}.{name}"
        raise self.refused(text if text.isprintable() else repr(text))

    # the file

    def skip(self, count: int) -> int:
        """Pass over bytes and return where they began."""
        start = self.at
        if count > self.size - start:
            raise UserError(f"{self.name}: cut short at byte {self.size}; download or copy it again")
        self.at = start + count
        return start

    def number(self, width: int, signed: bool = False) -> int:
        start = self.skip(width)
        return int.from_bytes(self.data[start : self.at], "little", signed=signed)

    def line(self) -> tuple[int, int]:
        """Where the rest of the line begins, and its length."""
        end = self.data.find(b"\n", self.at)
        length = (end if end >= 0 else self.size) - self.at
        start = self.skip(length)
        self.skip(1)
        return start, length

    def word_line(self) -> str:
        return self.word(Span(*self.line(), Coding.BYTES))

    def word(self, value: Any) -> str:
        """A short text, of bytes or characters."""
        if not isinstance(value, Span):
            raise self.damaged("a text is missing")
        if value.length > _LONGEST_WORD:
            raise self.damaged(f"a name of {value.length} bytes")
        return self.content(value).decode("ascii", "replace")

    def content(self, span: Span) -> bytes:
        try:
            return decoded(self.data[span.start : span.start + span.length], span.coding)
        except ValueError:
            raise self.damaged("bytes that are not written as Python does") from None

    # the stack

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def top(self) -> Any:
        if len(self.stack) <= (self.marks[-1] if self.marks else 0):
            raise self.damaged("a value is missing")
        return self.stack[-1]

    def pop(self) -> Any:
        value = self.top()
        self.stack.pop()
        return value

    def since_mark(self) -> list[Any]:
        if not self.marks:
            raise self.damaged("a mark is missing")
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def group(self, count: int) -> None:
        self.push(tuple(reversed([self.pop() for _ in range(count)])))

    def extend(self, values: list[Any]) -> None:
        target = self.top()
        if not isinstance(target, list):
            raise self.refused("values added to something that is no list")
        target.extend(values)

    def keep(self, index: int) -> None:
        self.memo[index] = self.top()

    def recall(self, index: int) -> None:
        if index not in self.memo:
            raise self.damaged("a value to be repeated is missing")
        self.push(self.memo[index])

    # values

    def span(self, width: int, coding: Coding) -> None:
        length = self.number(width)
        self.push(Span(self.skip(length), length, coding))

    def quoted(self) -> None:
        start, length = self.line()
        if length < 2 or self.data[start] not in b"'\"" or self.data[start] != self.data[start + length - 1]:
            raise self.damaged("a text without quotes")
        self.push(Span(start + 1, length - 2, Coding.ESCAPED))

    def number_line(self) -> int | bool:
        digits = self.word_line().removesuffix("L")
        if not re.fullmatch("-?[0-9]{1,19}", digits):
            raise self.damaged("a number that is none")
        flag = digits in ("00", "01")  # how protocols 0 and 1 write False and True
        return bool(int(digits)) if flag else int(digits)

    def long(self) -> None:
        width = self.number(1)
        if width > 8:
            raise self.refused(f"a number of {width} bytes")
        self.push(self.number(width, signed=True))

    # names and what is done with them

    def names(self) -> tuple[str, str]:
        return self.word_line(), self.word_line()

    def name_lines(self) -> None:
        self.find(*self.names())

    def name_values(self) -> None:
        name, module = self.word(self.pop()), self.word(self.pop())
        self.find(module, name)

    def find(self, module: str, name: str) -> None:
        known = _NAMES.get((module, name))
        if known is None:
            self.refuse_name(module, name)
        self.push(known)

    def call(self) -> None:
        args, function = self.pop(), self.pop()
        if not isinstance(function, _Known) or not isinstance(args, tuple):
            raise self.refused("a call of what is no function")
        match function, args:
            case _Known.ENCODE, (Span() as text, coding) if text.coding in _AS_BYTES and self.word(coding) == "latin1":
                self.push(Span(text.start, text.length, _AS_BYTES[text.coding]))
            case _Known.DTYPE, (kind, *_):
                self.push(self.dtype(self.word(kind)))
            case _Known.RECONSTRUCT, (_Known.NDARRAY, tuple(), Span()):
                self.push(Array())
            case _Known.SCALAR, (_Dtype() as dtype, Span() as content):
                self.push(self.scalar(dtype, content))
            case _Known.FROMBUFFER, (Span() as content, _Dtype() as dtype, tuple() as shape, _):
                self.push(self.fill(Array(), shape, dtype, content))
            case _:
                raise self.refused(f"{function.value} of something else than it is made for")

    def build(self) -> None:
        state = self.pop()
        match self.top(), state:
            case Array() as array, (1, tuple() as shape, _Dtype() as dtype, bool() | int(), Span() as content):
                self.fill(array, shape, dtype, content)
            case _Dtype() as dtype, (int(), Span() as order, None, None, None, int(), int(), int()):
                dtype.order = self.word(order)
                if dtype.order not in ("<", ">", "|", "="):
                    raise self.damaged(f"{dtype.order!r} is no order of bytes")
            case Array() | _Dtype(), _:
                raise self.refused("an array of something else than numbers")
            case _:
                raise self.refused("a change of something that is no array")

    def dtype(self, kind: str) -> _Dtype:
        if not re.fullmatch("b1|[iu][1248]", kind):
            raise self.refused(f"an array of type {kind!r}")
        return _Dtype(kind)

    def scalar(self, dtype: _Dtype, content: Span) -> int:
        raw = self.content(content) if content.length <= _LONGEST_WORD else b""
        if len(raw) != dtype.size:
            raise self.damaged(f"a number of type {dtype.kind} in {content.length} bytes")
        return np.frombuffer(raw, dtype.text)[0].item()

    def fill(self, array: Array, shape: tuple[Any, ...], dtype: _Dtype, content: Span) -> Array:
        if len(shape) > _MOST_AXES or not all(type(side) is int and side >= 0 for side in shape):
            raise self.damaged("a shape that is none")
        if content.coding in _AS_BYTES:
            raise self.refused("an array of text")
        if content.coding == Coding.BYTES and math.prod(shape) * dtype.size != content.length:
            raise self.damaged(f"an array whose shape does not fit its {content.length} bytes")
        array.dtype, array.shape, array.content = dtype.text, shape, content
        return array


_ACTIONS: dict[int, Callable[[_Machine], Any]] = {
    0x80: lambda m: m.skip(1),  # PROTO: an opcode that is not known tells more than a number
    0x95: lambda m: m.skip(8),  # FRAME: frames are for those who read ahead
    ord("("): lambda m: m.marks.append(len(m.stack)),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("I"): lambda m: m.push(m.number_line()),
    ord("L"): lambda m: m.push(m.number_line()),
    ord("K"): lambda m: m.push(m.number(1)),
    ord("M"): lambda m: m.push(m.number(2)),
    ord("J"): lambda m: m.push(m.number(4, signed=True)),
    0x8A: _Machine.long,
    ord("S"): _Machine.quoted,
    ord("U"): lambda m: m.span(1, Coding.BYTES),
    ord("T"): lambda m: m.span(4, Coding.BYTES),
    ord("C"): lambda m: m.span(1, Coding.BYTES),
    ord("B"): lambda m: m.span(4, Coding.BYTES),
    0x8E: lambda m: m.span(8, Coding.BYTES),
    0x96: lambda m: m.span(8, Coding.BYTES),  # a bytearray
    ord("V"): lambda m: m.push(Span(*m.line(), Coding.TEXT_ESCAPED)),
    0x8C: lambda m: m.span(1, Coding.UTF8),
    ord("X"): lambda m: m.span(4, Coding.UTF8),
    0x8D: lambda m: m.span(8, Coding.UTF8),
    ord(")"): lambda m: m.push(()),
    0x85: lambda m: m.group(1),
    0x86: lambda m: m.group(2),
    0x87: lambda m: m.group(3),
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    ord("]"): lambda m: m.push([]),
    ord("l"): lambda m: m.push(m.since_mark()),
    ord("a"): lambda m: m.extend([m.pop()]),
    ord("e"): lambda m: m.extend(m.since_mark()),
    ord("p"): lambda m: m.keep(m.number_line()),
    ord("q"): lambda m: m.keep(m.number(1)),
    ord("r"): lambda m: m.keep(m.number(4)),
    0x94: lambda m: m.keep(len(m.memo)),
    ord("g"): lambda m: m.recall(m.number_line()),
    ord("h"): lambda m: m.recall(m.number(1)),
    ord("j"): lambda m: m.recall(m.number(4)),
    ord("c"): _Machine.name_lines,
    0x93: _Machine.name_values,
    ord("R"): _Machine.call,
    ord("b"): _Machine.build,
}
