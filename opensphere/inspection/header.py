"""The kind and size of an image from the first bytes of its file."""

from typing import NamedTuple

KINDS = ("unknown", "jpeg", "png", "bmp", "webp", "tiff", "pnm", "jpeg 2000", "gif")
_MARKS = (
    (b"\xff\xd8\xff", 1), (b"\x89PNG\r\n\x1a\n", 2), (b"BM", 3), (b"RIFF", 4), (b"II*\0", 5), (b"MM\0*", 5),
    *((b"P%d" % number, 6) for number in range(1, 8)),
    (b"\0\0\0\x0cjP  ", 7), (b"\xff\x4f\xff\x51", 7), (b"GIF8", 8),
)  # fmt: skip
# JPEG markers of a frame, SOF0 to SOF15 without DHT, JPG and DAC: precision, height, width, components follow
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without a length


class Header(NamedTuple):
    """What the first bytes say.

    Attributes:
        kind: position in `KINDS`.
        height, width: in pixels, before any orientation that EXIF asks for; 0: not said.
        channels: 1 grey, 3 colour, 4 with alpha or CMYK; 0: not said.
    """

    kind: int
    height: int = 0
    width: int = 0
    channels: int = 0


def kind_of(data: bytes | memoryview) -> int:
    """The position in `KINDS` of what the file begins like."""
    start = bytes(data[:12])
    for mark, kind in _MARKS:
        if start.startswith(mark) and (kind != 4 or start[8:12] == b"WEBP"):
            return kind
    return 0


def read_header(data: bytes | memoryview) -> Header:
    """Kind, size and channels of JPEG, PNG, BMP and WebP; of other kinds, and of broken headers, the kind alone."""
    kind = kind_of(data)
    reader = {"jpeg": _jpeg, "png": _png, "bmp": _bmp, "webp": _webp}.get(KINDS[kind])
    found = reader(data) if reader else None
    return Header(kind, *found) if found else Header(kind)


def _jpeg(data: bytes | memoryview) -> tuple[int, int, int] | None:
    at = 2
    while at + 9 < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # any number of these may stand before a marker
            at += 1
        elif marker in _ALONE:
            at += 2
        elif marker in _FRAMES:
            return _whole(data, at + 5, 2), _whole(data, at + 7, 2), data[at + 9]
        elif marker in (0xD9, 0xDA):  # the image begins or ends without a frame
            return None
        else:
            at += 2 + max(_whole(data, at + 2, 2), 2)
    return None


def _png(data: bytes | memoryview) -> tuple[int, int, int] | None:
    if len(data) < 26 or bytes(data[12:16]) != b"IHDR":
        return None
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(data[25], 0)  # grey, colour, palette, grey and alpha, with alpha
    return _whole(data, 20, 4), _whole(data, 16, 4), channels


def _bmp(data: bytes | memoryview) -> tuple[int, int, int] | None:
    if len(data) < 30:
        return None
    width = int.from_bytes(data[18:22], "little", signed=True)
    height = int.from_bytes(data[22:26], "little", signed=True)  # negative: rows from above
    return abs(height), abs(width), 4 if data[28] == 32 else 3


def _webp(data: bytes | memoryview) -> tuple[int, int, int] | None:
    if len(data) < 30:
        return None
    chunk = bytes(data[12:16])
    if chunk == b"VP8 ":
        return _whole(data, 28, 2, "little") & 0x3FFF, _whole(data, 26, 2, "little") & 0x3FFF, 3
    if chunk == b"VP8L":
        bits = _whole(data, 21, 4, "little")
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1, 4 if bits >> 28 & 1 else 3
    if chunk == b"VP8X":
        alpha = data[20] >> 4 & 1
        return _whole(data, 27, 3, "little") + 1, _whole(data, 24, 3, "little") + 1, 4 if alpha else 3
    return None


def _whole(data: bytes | memoryview, at: int, count: int, order: str = "big") -> int:
    return int.from_bytes(data[at : at + count], order)  # type: ignore[arg-type]
