import base64
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from opensphere.dataset import ClassDataset, loader
from opensphere.dataset.holdout import hold_out
from opensphere.dataset.image_set import ImageSet, decode, parse_metrics, parse_size
from opensphere.dataset.reader.files import read_bytes
from opensphere.error import UserError
from tests.dataset.pictures import encode, picture
from tests.material import write_people
from tests.shared import shared

# 16x16 CMYK JPEG: the left half RGB (200, 60, 30), the right half (20, 90, 180)
CMYK_JPEG = base64.b64decode(
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwACAQEBAQECAQEBAgICAgIEAwICAgIFBAQDBAYFBgYGBQYGBgcJCAYHCQcGBggLCAkKCgoK"
    "CgYICwwLCgwJCgoK/8AAFAgAEAAQBEMRAE0RAFkRAEsRAP/EAB8AAAEFAQEBAQEBAAAAAAAAAAABAgMEBQYHCAkKC//EALUQAAIB"
    "AwMCBAMFBQQEAAABfQECAwAEEQUSITFBBhNRYQcicRQygZGhCCNCscEVUtHwJDNicoIJChYXGBkaJSYnKCkqNDU2Nzg5OkNERUZH"
    "SElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6g4SFhoeIiYqSk5SVlpeYmZqio6Slpqeoqaqys7S1tre4ubrCw8TFxsfIycrS09TV"
    "1tfY2drh4uPk5ebn6Onq8fLz9PX29/j5+v/aAA4EQwBNAFkASwAAPwD9IK/O+vx3r9/K/kvr3iv6WKK/rQrwev5p6K/kvr3iv6WK"
    "K//Z"
)


def test_png_comes_back_exactly_as_contiguous_rgb():
    image = decode(encode(picture(1, 20, 30)), "x")
    np.testing.assert_array_equal(image, picture(1, 20, 30))
    assert image.dtype == np.uint8 and image.flags.c_contiguous and image.flags.writeable


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".tiff", ".ppm"])
def test_other_formats(suffix):
    image = decode(encode(picture(1, 32, 32), suffix), "x")
    assert np.abs(image.astype(int) - picture(1, 32, 32)).mean() < 6


def test_grey_is_repeated_and_alpha_dropped():
    grey = picture(2)[..., 0]
    np.testing.assert_array_equal(decode(encode(grey), "x"), np.dstack([grey] * 3))
    see_through = np.dstack([picture(2), np.zeros((24, 24), np.uint8)])
    np.testing.assert_array_equal(decode(encode(see_through), "x"), picture(2))


def test_sixteen_bits_become_eight():
    deep = picture(3).astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(encode(deep), "x"), picture(3))
    np.testing.assert_array_equal(decode(encode(deep[..., 1]), "x"), np.dstack([picture(3)[..., 1]] * 3))


def test_cmyk():
    image = decode(CMYK_JPEG, "x").astype(int)
    assert np.abs(image[:, :6] - [200, 60, 30]).max() < 8
    assert np.abs(image[:, 10:] - [20, 90, 180]).max() < 8


def test_exif_orientation_is_applied():
    plain = encode(picture(4, 24, 40), ".jpg")
    tiff = b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)  # 6: turn clockwise to see it upright
    exif = b"Exif\0\0" + tiff
    turned = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]
    np.testing.assert_array_equal(decode(turned, "x"), np.rot90(decode(plain, "x"), -1))


@pytest.mark.parametrize("size", [(12, 12), (48, 48), (30, 20)])
def test_other_sizes_are_resized(size):
    image = decode(encode(picture(5)), "x", size)
    assert image.shape == (*size, 3)
    method = cv2.INTER_AREA if size[0] * size[1] < 24 * 24 else cv2.INTER_LINEAR
    np.testing.assert_array_equal(image, cv2.resize(picture(5), size[::-1], interpolation=method))


def test_halving_averages_blocks():
    blocks = picture(6).reshape(12, 2, 12, 2, 3).mean(axis=(1, 3))
    assert np.abs(decode(encode(picture(6)), "x", (12, 12)) - blocks).max() <= 0.51


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_a_file_cut_anywhere_is_an_error(suffix):
    data = encode(picture(7, 64, 64), suffix)
    for length in range(1, len(data), max(1, len(data) // 40)):
        with pytest.raises(UserError, match=r"^faces\.txt:3: a\.jpg: "):
            decode(data[:length], "faces.txt:3: a.jpg")
    for missing in (1, 2, 3):
        with pytest.raises(UserError, match="cut short"):
            decode(data[:-missing], "x")


def test_a_cut_jpeg_whose_thumbnail_is_whole_is_an_error():
    data, thumbnail = encode(picture(8, 64, 64), ".jpg"), encode(picture(8, 8, 8), ".jpg")
    with_thumbnail = data[:2] + b"\xff\xe2" + struct.pack(">H", len(thumbnail) + 2) + thumbnail + data[2:]
    np.testing.assert_array_equal(decode(with_thumbnail, "x"), decode(data, "x"))
    with pytest.raises(UserError, match="cut short"):
        decode(with_thumbnail[:-200], "x")


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_bytes_after_the_image_do_no_harm(suffix):
    data = encode(picture(9, 64, 64), suffix)
    np.testing.assert_array_equal(decode(data + b"\0" * 100, "x"), decode(data, "x"))
    if suffix == ".jpg":
        film = b"moov\xff\xda\xff"  # looks like a scan without an end
        np.testing.assert_array_equal(decode(data + film, "x"), decode(data, "x"))


@pytest.mark.parametrize(
    "data, reason",
    [(b"", "empty"), (b"<html>404</html>", "not an image"), (b"\xff\xd8\xff\xd9", "not an image"), (b"GIF", "not an")],
)
def test_what_is_no_image_is_an_error(data, reason):
    with pytest.raises(UserError, match=f"^where: .*{reason}"):
        decode(data, "where")


def test_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(UserError, match="gone.jpg: the file does not exist"):
        read_bytes(str(tmp_path / "gone.jpg"))
    with pytest.raises(UserError, match="cannot be read: Is a directory"):
        read_bytes(str(tmp_path))
    with pytest.raises(UserError, match="cannot be read"):
        read_bytes("a\0b.jpg")


def test_sizes():
    assert parse_size(112) == (112, 112)
    assert parse_size([112, 96]) == (112, 96)
    for wrong in (0, -1, 1.5, "112", [1, 2, 3], [112], [112, 0], True, None):
        with pytest.raises(UserError, match="image_size"):
            parse_size(wrong)


def test_metrics():
    assert parse_metrics(None) == []
    assert parse_metrics("EER") == ["EER"]
    assert parse_metrics(("ACC", "AUC")) == ["ACC", "AUC"]
    for wrong in ([], [1]):
        with pytest.raises(UserError, match="metrics"):
            parse_metrics(wrong)


class Three(ImageSet):
    def __len__(self):
        return 3

    def read(self, index):
        return picture(index)


def test_items_are_tensors_with_their_index():
    images = Three("three", 24)
    image, index = images[2]
    assert index == 2 and image.shape == (24, 24, 3)
    np.testing.assert_array_equal(image.numpy(), picture(2))


def test_a_real_face():
    path = shared("faces/cfp/images/001/frontal/01.jpg")
    image = decode(path.read_bytes(), str(path), (112, 112))
    assert image.shape == (112, 112, 3)
    red, _, blue = image[40:80, 40:72].reshape(-1, 3).mean(axis=0)
    assert red > blue + 10  # skin, and not with the channels swapped


@pytest.mark.parametrize("kind", ["list", "folder"])
def test_in_memory_gives_what_the_files_gave(tmp_path: Path, kind: str) -> None:
    ann_path = write_people(tmp_path, people=4, images=3, size=20)
    make = {
        "list": lambda **more: ClassDataset("a", tmp_path / "images", ann_path, image_size=16, **more),
        "folder": lambda **more: ClassDataset("a", tmp_path / "images", image_size=16, **more),
    }[kind]
    files, kept = make(), make(in_memory=True)
    told: list[tuple[int, int]] = []
    kept.load(lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    expected = [files[index][0] for index in range(12)]
    shutil.rmtree(tmp_path / "images")  # nothing is read again
    assert all(torch.equal(kept[index][0], expected[index]) for index in range(12))
    train, pairs = hold_out(kept, people=2, pairs=4, folds=None)
    assert train.in_memory and pairs.in_memory
    batch = next(iter(loader.test_loader(pairs, 4)))
    place = pairs.dataset.indices[pairs.indices]  # a view of a view
    assert all(torch.equal(image, expected[place[i]]) for image, i in zip(batch[0], batch[1].tolist(), strict=True))


def test_in_memory_a_broken_image_is_named(tmp_path: Path) -> None:
    ann_path = write_people(tmp_path, people=2, images=3)
    (tmp_path / "images/person_01/01.png").write_bytes(b"no image")
    dataset = ClassDataset("a", tmp_path / "images", ann_path, in_memory=True)
    with pytest.raises(UserError, match=r"list.txt:5: .*person_01/01.png"):
        dataset.load()
