"""What every set of images is, and how the bytes of an image file become pixels."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from opensphere.cores import usable_cores
from opensphere.dataset.digest import digests
from opensphere.dataset.reader.reader import Progress, Reader
from opensphere.error import UserError

_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"


class ImageSet(Dataset):
    """Images of one size, found by index. Labels and pairs are arrays on the sets that have them; they never travel.

    Attributes:
        name: for tables and file names.
        image_size: (height, width) of every image that the set gives.
        in_memory: each image is read once and kept (height x width x 3 bytes each).
        reader: where stored images come from; sets that make theirs otherwise have none.
        crop: the part of each stored image to keep, as `decode`.
    """

    reader: Reader

    def __init__(
        self,
        name: str,
        image_size: int | Sequence[int] = 112,
        in_memory: bool = False,
        crop: Sequence[int] | None = None,
    ):
        self.name = str(name)
        self.image_size = parse_size(image_size)
        self.in_memory = in_memory
        self.crop = parse_crop(crop)
        self._pixels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.reader)

    def path(self, index: int) -> str:
        """The path of image `index`, as its list or archive has it."""
        return self.reader.path(index)

    def read(self, index: int) -> np.ndarray:
        """Image `index`: (height, width, 3) uint8 RGB, contiguous. Raises UserError naming file and line."""
        return decode(self.reader.data(index), lambda: self.reader.where(index), self.image_size, self.crop)

    def load(self, progress: Progress | None = None) -> Tensor:
        """All images, (N, height, width, 3) uint8, to be read only. The first call reads them, on all cores.

        Raises:
            UserError: as `read`.
        """
        if self._pixels is None:
            pixels = np.empty((len(self), *self.image_size, 3), np.uint8)
            with ThreadPoolExecutor(usable_cores()) as threads:  # decoding releases the interpreter's lock
                try:
                    for index, image in enumerate(threads.map(self.read, range(len(self)))):
                        pixels[index] = image
                        if progress is not None and (index % 100 == 99 or index + 1 == len(self)):
                            progress(index + 1, len(self))
                except BaseException:
                    threads.shutdown(cancel_futures=True)
                    raise
            self._pixels = torch.from_numpy(pixels)
        return self._pixels

    def image(self, index: int) -> np.ndarray:
        """As `read`, or from memory where the set is there: then not to be written."""
        return self.load()[index].numpy() if self.in_memory else self.read(index)

    def keys(self, indices: np.ndarray | None = None) -> np.ndarray | None:
        """What the pixels of images depend on, as 16 bytes each: images of one key look the same, whatever their sets.

        A set that has a `read` of its own has no keys unless it has `image_facts`, or `keys` of its own.

        Args:
            indices: (n,) int64, which images; None: all.

        Returns:
            (n, 16) uint8; None where the set cannot tell when an image changes.
        """
        kind = "file"
        if type(self).read is not ImageSet.read:
            if type(self).image_facts is ImageSet.image_facts:
                return None
            kind = type(self).__name__
        indices = np.arange(len(self)) if indices is None else indices
        stored, facts = self.reader.keys(indices), self.image_facts()
        if stored is None:
            return None
        columns = [stored] if facts is None else [stored, facts[indices]]
        return digests(f"{kind} {self.image_size} {self.crop}", *columns)

    def image_facts(self) -> np.ndarray | None:
        """(N, k) numbers that pixels depend on beside the stored image, such as landmarks; None: there are none."""
        return None

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return torch.from_numpy(self.image(index)), index


def parse_size(image_size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) from one number, for a square, or from two. Raises UserError for anything else."""
    sides = [image_size, image_size] if isinstance(image_size, int) else image_size
    if (
        not isinstance(sides, Sequence)
        or len(sides) != 2
        or not all(isinstance(side, int) and not isinstance(side, bool) and side > 0 for side in sides)
    ):
        raise UserError(f"image_size: {image_size!r} is not a size; give a whole number or [height, width]")
    return sides[0], sides[1]


def parse_metrics(metrics: str | Sequence[str] | None) -> list[str]:
    """The names of metrics as a list; none, where nothing is given, stands for all that the set allows."""
    if metrics is None:
        return []
    names = [metrics] if isinstance(metrics, str) else list(metrics)
    if not names or not all(isinstance(name, str) for name in names):
        raise UserError(f"metrics: {metrics!r} is not a list of names; give for example [ACC]")
    return names


Crop = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the image file; right and bottom are outside


def parse_crop(crop: Sequence[int] | None) -> Crop | None:
    """The crop as a tuple, or None. Raises UserError where it is no rectangle."""
    if crop is None:
        return None
    whole = isinstance(crop, list | tuple) and all(isinstance(v, int) and not isinstance(v, bool) for v in crop)
    if not whole or len(crop) != 4 or not (0 <= crop[0] < crop[2] and 0 <= crop[1] < crop[3]):
        raise UserError(f"crop: {crop!r} is no rectangle; give [left, top, right, bottom] in pixels of the image files")
    return crop[0], crop[1], crop[2], crop[3]


def decode(
    data: bytes,
    where: str | Callable[[], str],
    image_size: tuple[int, int] | None = None,
    crop: Crop | None = None,
) -> np.ndarray:
    """Pixels of an image file's bytes: (height, width, 3) uint8 RGB, contiguous and writable.

    Grey, CMYK and 16-bit images become 8-bit RGB and an alpha channel is dropped. The orientation that a camera noted
    in EXIF is applied, as OpenCV does by default: a photograph stands upright as it does in a viewer. Other sizes are
    resized to `image_size` (height, width) without keeping the aspect ratio, by pixel area when the image has more
    pixels than wanted, else bilinearly; None leaves the size.

    Args:
        data: the whole file.
        where: what to call it in an error, for example "faces.txt:7: data/anna/1.jpg"; or what finds that out.
        crop: the part of the image to keep, before it is resized; None keeps all.

    Raises:
        UserError: the file is empty, cut short, no image, or smaller than the crop. OpenCV would fill the missing part
            of a JPEG with grey.
    """

    def bad(what: str) -> UserError:
        return UserError(f"{where if isinstance(where, str) else where()}: {what}")

    if not data:
        raise bad("the file is empty; download or extract it again")
    if _cut_short(data):
        raise bad("the image is cut short; download or extract it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error:  # e.g. more pixels than OpenCV is willing to allocate
        image = None
    if image is None:
        raise bad("not an image that can be read; replace it or take it out of the set")
    if crop is not None:
        left, top, right, bottom = crop
        if right > image.shape[1] or bottom > image.shape[0]:
            size = f"{image.shape[1]} x {image.shape[0]}"
            raise bad(
                f"the image is {size} pixels, the crop {list(crop)} reaches beyond; give the set a crop of "
                "its own ([0, 0, width, height] keeps all)"
            )
        image = image[top:bottom, left:right]
    if image_size is not None and image.shape[:2] != image_size:
        height, width = image_size
        fewer = height * width < image.shape[0] * image.shape[1]
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if fewer else cv2.INTER_LINEAR)
    return np.ascontiguousarray(image)


def _cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end mark. Looks at the last bytes only, unless something follows the image."""
    if data.startswith(_JPEG_START):
        return not data.endswith(_JPEG_END) and data.find(_JPEG_END, _first_scan(data)) < 0
    if data.startswith(_PNG_START):
        return not data.endswith(_PNG_END) and _PNG_END not in data
    return False


def _first_scan(data: bytes) -> int:
    """Where the first scan of a JPEG begins: beyond the header segments, whose thumbnails have end marks too."""
    at = len(_JPEG_START)
    while at + 4 <= len(data) and data[at] == 0xFF and data[at + 1] != 0xDA:
        fill = data[at + 1] == 0xFF  # a marker may be preceded by any number of 0xFF
        at += 1 if fill else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return at
