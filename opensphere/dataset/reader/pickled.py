"""InsightFace's `.bin` files of verification pairs: a pickle of (images, is_same).

`images` is a list of encoded images, two for each pair; `is_same` says of each pair whether it shows one person. The
files that are about were written by Python 2 and 3, with images as bytes or as NumPy arrays of bytes. They are read as
`plain_pickle` reads, which runs nothing.
"""

import mmap
import os
from collections.abc import Iterable, Sequence
from typing import Any, BinaryIO

import numpy as np

from opensphere.dataset import digest
from opensphere.dataset.reader.plain_pickle import Array, Coding, Span, decoded, read_plain
from opensphere.dataset.reader.reader import Reader
from opensphere.dataset.reader.recordio import FileBytes
from opensphere.error import UserError
from opensphere.storage import atomic_path

_BATCH = 1000  # images that a reader of the pickle gathers before it puts them into the list


class PickledPairs(Reader):
    """The pairs of a `.bin` file; of its images, only where they lie is held.

    Attributes:
        pairs: (P, 2) int64, the images of each pair: 2 i and 2 i + 1.
        is_same: (P,) bool.

    Raises:
        UserError: there is no such file, it is not whole, or it holds something else.
    """

    def __init__(self, path: str | os.PathLike):
        self.root = os.fspath(path)
        self._file = FileBytes(self.root)
        with _mapped(self.root) as data:
            value = read_plain(data, self.root)
            if not isinstance(value, list | tuple) or len(value) != 2:
                raise UserError(f"{self.root}: {_what(value)}, not (images, is_same); name InsightFace's .bin file")
            images, labels = value
            self.is_same = _labels(labels, data, self.root)
            spans = _images(images, self.root)
        if len(spans) != 2 * len(self.is_same):
            odd = "an odd number of images, " if len(spans) % 2 else ""
            raise UserError(
                f"{self.root}: {odd}{len(spans)} images where {len(self.is_same)} labels of pairs need "
                f"{2 * len(self.is_same)}; download or write it again"
            )
        if not spans:
            raise UserError(f"{self.root}: holds no pairs; download or write it again")
        self._starts = np.array([span.start for span in spans], np.int64)
        self._lengths = np.array([span.length for span in spans], np.int64)
        self._codings = np.array([span.coding for span in spans], np.uint8)
        self.pairs = np.arange(len(spans), dtype=np.int64).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self._starts)

    def data(self, index: int) -> bytes:
        """The image file of `index`, byte for byte. Beyond the last: IndexError."""
        if not 0 <= index < len(self):
            raise IndexError(index)
        length = int(self._lengths[index])
        raw = self._file.read(int(self._starts[index]), length)
        if len(raw) != length:
            raise UserError(f"{self.where(index)}: the file became shorter while in use; start again when it is whole")
        try:
            return decoded(raw, Coding(self._codings[index]))
        except ValueError:
            raise UserError(f"{self.where(index)}: not written as Python does; download or copy it again") from None

    def path(self, index: int) -> str:
        """The image's number with the suffix of its kind, such as "000017.jpg"."""
        return f"{index:06d}{_suffix(self.data(index)[:16])}"

    def where(self, index: int) -> str:
        return f"{self.root}: image {index}"

    def keys(self, indices: np.ndarray) -> np.ndarray:
        file = np.tile(digest.of_file(self.root), (len(indices), 1))
        return digest.digests("pickled", file, self._starts[indices][:, None])


def _mapped(path: str) -> mmap.mmap:
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(f"{path}: not a file; name a .bin file")
    try:
        with open(path, "rb") as file:
            if not os.fstat(file.fileno()).st_size:
                raise UserError(f"{path}: the file is empty; download or copy it again")
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; check the path") from None
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"{path}: cannot be read: {reason}; check the path") from None


def _images(images: Any, name: str) -> list[Span]:
    if not isinstance(images, list | tuple):
        raise UserError(f"{name}: {_what(images)} where a list of images is expected; name InsightFace's .bin file")
    spans = []
    for index, image in enumerate(images):
        span = image.content if isinstance(image, Array) and _is_file(image) else image
        if not isinstance(span, Span) or span.coding in (Coding.UTF8, Coding.TEXT_ESCAPED):
            raise UserError(f"{name}: image {index} is {_what(image)}, not an encoded image; write the file anew")
        if not span.length:
            raise UserError(f"{name}: image {index} is empty; write the file anew")
        spans.append(span)
    return spans


def _is_file(image: Array) -> bool:
    """Whether an array holds bytes in a row, as cv2.imencode gives them: (n,), and (n, 1) in early versions."""
    return image.dtype in ("|u1", "<u1", ">u1", "=u1") and sum(side != 1 for side in image.shape) <= 1


def _labels(labels: Any, data: mmap.mmap, name: str) -> np.ndarray:
    """(P,) bool."""
    if isinstance(labels, Array):
        span = labels.content
        try:
            content = decoded(data[span.start : span.start + span.length], span.coding)
            values = np.frombuffer(content, labels.dtype).reshape(labels.shape)
        except ValueError:
            raise UserError(f"{name}: the array of labels is damaged; download or copy it again") from None
        if sum(side != 1 for side in labels.shape) > 1:
            raise UserError(f"{name}: {_what(labels)} where a label for each pair is expected; write the file anew")
        values = values.ravel()
        wrong = np.flatnonzero((values != 0) & (values != 1))
        if len(wrong):
            raise UserError(f"{name}: the label of pair {wrong[0]} is {values[wrong[0]]}, not 0 or 1; write it anew")
        return values.astype(bool)
    if not isinstance(labels, list | tuple):
        raise UserError(f"{name}: {_what(labels)} where a list of labels is expected; name InsightFace's .bin file")
    for pair, label in enumerate(labels):
        if not isinstance(label, int) or label not in (0, 1):
            raise UserError(f"{name}: the label of pair {pair} is {_what(label)}, not 0 or 1; write the file anew")
    return np.array(labels, bool)


def _what(value: Any) -> str:
    """A value in a few words, however large."""
    if isinstance(value, list | tuple):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, Array):
        return f"an array of type {value.dtype} and shape {value.shape}"
    if isinstance(value, Span):
        return "a text" if value.coding in (Coding.UTF8, Coding.TEXT_ESCAPED) else f"{value.length} bytes"
    return f"{value}" if isinstance(value, int) or value is None else "a name"


def _suffix(head: bytes) -> str:
    if head.startswith(b"\x89PNG"):
        return ".png"
    if head.startswith(b"BM"):
        return ".bmp"
    return ".webp" if head.startswith(b"RIFF") and head[8:12] == b"WEBP" else ".jpg"


def write_bin(
    path: str | os.PathLike, images: Iterable[bytes | memoryview], is_same: Sequence[bool] | np.ndarray
) -> int:
    """Write pairs as a `.bin` file, whole or not at all, and return the number of images.

    InsightFace reads it as it reads its own: two lists, of bytes and of bool, in a pickle of protocol 4. The images
    are copied and pass through one by one.

    Args:
        images: the image files, two successive ones for each pair.
        is_same: (P,) bool.

    Raises:
        UserError: an image is empty, there are not two for each pair, or the file cannot be written.
    """
    name = os.fspath(path)
    count = 0
    with atomic_path(name) as part, open(part, "wb") as file:
        file.write(b"\x80\x04](")
        for image in images:
            if not len(image):
                raise UserError(f"{name}: image {count} is empty; leave its pair out")
            if count and count % _BATCH == 0:
                file.write(b"e(")
            _write_image(file, image)
            count += 1
        file.write(b"e](" + b"".join(b"\x88" if same else b"\x89" for same in is_same) + b"e\x86.")
        if count != 2 * len(is_same) or not count:
            raise UserError(f"{name}: {count} images for {len(is_same)} pairs; give two for each pair")
    return count


def _write_image(file: BinaryIO, image: bytes | memoryview) -> None:
    """One value of bytes: opcode BINBYTES, or BINBYTES8 from 4 GiB."""
    size = memoryview(image).nbytes
    file.write(b"B" + size.to_bytes(4, "little") if size < 1 << 32 else b"\x8e" + size.to_bytes(8, "little"))
    file.write(image)
