"""Kind, size and channels from the first bytes."""

import cv2
import numpy as np
import pytest

from opensphere.inspection.header import KINDS, Header, kind_of, read_header
from tests.inspection.shelf import encode, jpeg, scene


@pytest.mark.parametrize("suffix, kind", [(".jpg", "jpeg"), (".png", "png"), (".bmp", "bmp"), (".webp", "webp")])
def test_what_the_header_says(suffix: str, kind: str) -> None:
    data = encode(scene(0)[:30, :20], suffix)
    assert read_header(data) == (KINDS.index(kind), 30, 20, 3)
    assert read_header(memoryview(data)) == read_header(data)


def test_channels() -> None:
    grey = scene(0)[:, :, 0]
    assert read_header(encode(grey, ".jpg")).channels == read_header(encode(grey, ".png")).channels == 1
    assert read_header(encode(np.dstack([scene(0), grey]), ".png")).channels == 4


def test_all_kinds_of_webp() -> None:
    image = scene(0)[:30, :20]
    lossless = cv2.imencode(".webp", image, [cv2.IMWRITE_WEBP_QUALITY, 101])[1].tobytes()
    extended = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0" + (19).to_bytes(3, "little") + (29).to_bytes(3, "little")
    assert read_header(lossless)[1:3] == read_header(extended)[1:3] == (30, 20)
    assert lossless[12:16] == b"VP8L" and read_header(extended).channels == 4


@pytest.mark.parametrize("suffix", [".tiff", ".ppm", ".jp2"])
def test_kinds_without_size(suffix: str) -> None:
    assert read_header(encode(scene(0), suffix)) == Header(kind_of(encode(scene(0), suffix)))
    assert kind_of(encode(scene(0), suffix))


def test_a_long_head_before_the_frame() -> None:
    data = jpeg(scene(0))
    thumbnail = b"\xff\xe1" + (60_000).to_bytes(2, "big") + jpeg(scene(1, 16)).ljust(59_998, b"\0")
    assert read_header(data[:2] + thumbnail + b"\xff\xff" + data[2:])[1:3] == (48, 48)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".webp"])
def test_no_beginning_of_a_file_is_too_short(suffix: str) -> None:
    data = encode(scene(0, 16), suffix)
    for length in range(0, 200):
        header = read_header(data[:length])
        assert header.height in (0, 16) or suffix == ".webp"
    assert read_header(b"RIFF1234WAVE" + bytes(40)) == Header(0) and read_header(b"") == Header(0)
    assert read_header(b"\xff\xd8\xff" + bytes(40)) == Header(1)
