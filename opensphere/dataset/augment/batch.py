"""Augmentation of a whole batch: which changes there are, what may be asked of them, and their order."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from opensphere.dataset.augment import colour, geometry, quality
from opensphere.dataset.augment.draw import Draw
from opensphere.dataset.augment.layout import put
from opensphere.error import UserError

_CHUNK = 32  # images at a time on a CPU: what is between the steps stays in the cache

OnRead = Callable[[np.ndarray, int, int, int], np.ndarray]  # image, index, seed, epoch


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 or 0..255 float to (B, 3, H, W) float32 in [-1, 1]: (x - 127.5) / 127.5, channels last."""
    return _to_unit(images.permute(0, 3, 1, 2))


def _to_unit(planes: Tensor) -> Tensor:
    return planes.to(torch.float32, copy=True).sub_(127.5).div_(127.5)


class Augment:
    """Random changes to training images; the defaults mirror every second image, all else is off at 0.

    They are applied in this order: JPEG (when an image is read); crop; gamma; geometry (mirror, shift, scale, rotate:
    one bilinear resampling, whose border repeats the image's edge); other colours and grey; blur; low resolution;
    erasure.

    Args:
        mirror: probability of a left-right mirror image.
        geometry: probability that shift, scale and rotate apply, all three together.
        shift: largest shift as a share of width and height, to either side.
        scale: 0.1 enlarges or shrinks by up to a factor of 1.1, evenly on the logarithmic scale.
        rotate: largest angle in degrees, to either side.
        crop: probability that all but a box is painted black.
        crop_area: least and largest share of the image that the box takes, with sides 3:4 to 4:3.
        colour: probability that brightness, contrast, saturation and gamma apply, all four together.
        brightness: all values are multiplied by 1 - brightness .. 1 + brightness.
        contrast: the distance to the image's mean luma is multiplied by 1 - contrast .. 1 + contrast.
        saturation: the distance to each pixel's luma is multiplied by 1 - saturation .. 1 + saturation.
        gamma: values, as shares of the largest, are raised to a power of 1 / (1 + gamma) .. 1 + gamma, evenly on the
            logarithmic scale.
        grey: probability of a grey image.
        blur: probability of a Gaussian blur.
        blur_sigma: its least and largest width in pixels of an image 112 high.
        low_resolution: probability that the image is shrunk and enlarged again.
        low_resolution_side: least and largest share of its sides that it is shrunk to; None: 1/2, 1/3 or 1/4.
        low_resolution_filter: "area": shrunk by area and enlarged bilinearly; "any": each of the two by nearest pixel,
            bilinear, area, cubic or Lanczos filter, whichever is drawn.
        jpeg: probability that the image is compressed as a JPEG.
        jpeg_quality: its least and largest quality, 1..100.
        erase: probability that a rectangle is painted mid-grey.
        erase_area: least and largest share of the image that the rectangle takes, with sides 1:3 to 3:1.

    Raises:
        UserError: a value is out of range.
    """

    def __init__(
        self,
        mirror: float = 0.5,
        geometry: float = 1.0,
        shift: float = 0.0,
        scale: float = 0.0,
        rotate: float = 0.0,
        crop: float = 0.0,
        crop_area: tuple[float, float] = (0.2, 1.0),
        colour: float = 1.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        gamma: float = 0.0,
        grey: float = 0.0,
        blur: float = 0.0,
        blur_sigma: tuple[float, float] = (0.3, 1.5),
        low_resolution: float = 0.0,
        low_resolution_side: tuple[float, float] | None = None,
        low_resolution_filter: Literal["area", "any"] = "area",
        jpeg: float = 0.0,
        jpeg_quality: tuple[int, int] = (30, 95),
        erase: float = 0.0,
        erase_area: tuple[float, float] = (0.02, 0.2),
    ):
        self.mirror = _in_range("mirror", mirror)
        self.geometry = _in_range("geometry", geometry)
        self.shift = _in_range("shift", shift)
        self.scale = _in_range("scale", scale)
        self.rotate = _in_range("rotate", rotate, 180.0)
        self.crop = _in_range("crop", crop)
        self.crop_area = _bounds("crop_area", crop_area)
        self.colour = _in_range("colour", colour)
        self.brightness = _in_range("brightness", brightness)
        self.contrast = _in_range("contrast", contrast)
        self.saturation = _in_range("saturation", saturation)
        self.gamma = _in_range("gamma", gamma)
        self.grey = _in_range("grey", grey)
        self.blur = _in_range("blur", blur)
        self.blur_sigma = _bounds("blur_sigma", blur_sigma, 30.0)
        self.low_resolution = _in_range("low_resolution", low_resolution)
        side = low_resolution_side
        self.low_resolution_side = None if side is None else _bounds("low_resolution_side", side)
        if low_resolution_filter not in ("area", "any"):
            raise UserError(f"augment.low_resolution_filter: {low_resolution_filter!r} is neither area nor any")
        self.low_resolution_filter = low_resolution_filter
        self.jpeg = _in_range("jpeg", jpeg)
        self.jpeg_quality = _bounds("jpeg_quality", jpeg_quality, 100, whole=True)
        self.erase = _in_range("erase", erase)
        self.erase_area = _bounds("erase_area", erase_area)

    @property
    def on_read(self) -> OnRead | None:
        """What is to be done to an image before it is put into a batch, None where there is nothing.

        A function of an image (H, W, 3) uint8 RGB, its index, the seed and the epoch, that gives such an image. It may
        be called by many threads at once, and sent to other processes.
        """
        return self._compress if self.jpeg else None

    def _compress(self, image: np.ndarray, index: int, seed: int, epoch: int) -> np.ndarray:
        draw = Draw(seed, epoch, np.array([index]))
        if draw("jpeg")[0] >= self.jpeg:
            return image
        least, most = self.jpeg_quality
        return quality.compress(image, int(draw.between("jpeg_quality", (least, most + 1))[0]))

    def __call__(self, images: Tensor, index: Tensor | np.ndarray, seed: int, epoch: int) -> Tensor:
        """Augment and normalise a batch.

        Args:
            images: (B, H, W, 3) uint8 RGB.
            index: (B,) each image's index in its set, on the CPU.
            seed: of the run.
            epoch: how often the set was seen before.

        Returns:
            (B, 3, H, W) float32 in [-1, 1] on the device of `images`, in channels-last memory.
        """
        count, height, width, _ = images.shape
        index = np.asarray(index)
        result = torch.empty((count, 3, height, width), device=images.device, memory_format=torch.channels_last)
        step = _CHUNK if images.device.type == "cpu" else max(1, count)
        for start in range(0, count, step):
            some = slice(start, start + step)
            result[some] = self._apply(images[some], Draw(seed, epoch, index[some]))
        return result

    def _apply(self, images: Tensor, draw: Draw) -> Tensor:
        if self.crop:
            images = geometry.crop(images, draw.rows("crop", self.crop), draw, self.crop_area)
        if self.gamma:
            rows = draw.rows("colour", self.colour)
            images = colour.gamma(images, rows, (1 + self.gamma) ** draw.of(rows).signed("gamma"))
        planes = self._placed(images, draw)
        if self.brightness or self.contrast or self.saturation or self.grey:
            planes = self._coloured(planes, images, draw)
        batch = _to_unit(planes)
        if self.blur:
            quality.blur(batch, draw.rows("blur", self.blur), draw, self.blur_sigma)
        if self.low_resolution:
            rows = draw.rows("low_resolution", self.low_resolution)
            if self.low_resolution_side is None and self.low_resolution_filter == "area":
                quality.lower_resolution(batch, rows, draw)
            else:
                quality.resample(batch, rows, draw, self.low_resolution_side, self.low_resolution_filter)
        if self.erase:
            quality.erase(batch, draw.rows("erase", self.erase), draw, self.erase_area)
        return batch

    # The layout of the planes in memory below follows from the settings alone, never from what is drawn: some steps add
    # up in another order in another layout, and an image must not depend on the others.

    def _placed(self, images: Tensor, draw: Draw) -> Tensor:
        """(B, 3, H, W), uint8 or float32 in 0..255: mirrored and moved."""
        mirrored = draw("mirror") < self.mirror
        moves = (self.shift, self.scale, self.rotate)
        size = (images.shape[1], images.shape[2])
        if any(moves) and self.geometry == 1:
            return geometry.resample(images, geometry.matrices(draw, mirrored, size, *moves))
        planes = geometry.mirror(images, mirrored).permute(0, 3, 1, 2)
        if not any(moves):
            return planes
        rows = draw.rows("geometry", self.geometry)
        if not len(rows):
            return planes
        where = torch.from_numpy(rows).to(images.device)
        matrices = geometry.matrices(draw.of(rows), mirrored[rows], size, *moves)
        planes = planes.float()
        put(planes, where, geometry.resample(images.index_select(0, where), matrices))
        return planes

    def _coloured(self, planes: Tensor, images: Tensor, draw: Draw) -> Tensor:
        """(B, 3, H, W) float32 in 0..255."""
        applied = draw("colour") < self.colour
        brightness, contrast, saturation = (
            np.where(applied, 1 + strength * draw.signed(stream), 1.0)
            for stream, strength in (
                ("brightness", self.brightness),
                ("contrast", self.contrast),
                ("saturation", self.saturation),
            )
        )
        grey = draw("grey") < self.grey
        saturation[grey] = 0
        if self.colour == 1:
            return colour.affine(planes, images, brightness, contrast, saturation)
        planes = planes.float()
        rows = np.flatnonzero(applied | grey)
        if len(rows):
            where = torch.from_numpy(rows).to(images.device)
            some, own = planes.index_select(0, where), images.index_select(0, where)
            put(planes, where, colour.affine(some, own, brightness[rows], contrast[rows], saturation[rows]))
        return planes


def _in_range(name: str, value: float, most: float = 1.0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise UserError(f"augment.{name}: {value!r} is not a number in 0..{most:g}")
    return float(value)


def _bounds(name: str, value: Sequence[float], most: float = 1.0, whole: bool = False) -> tuple[float, float]:
    right = isinstance(value, list | tuple) and len(value) == 2
    for number in value if right else ():
        right = right and not isinstance(number, bool) and isinstance(number, int if whole else int | float)
    if not right or not 0 < value[0] <= value[1] <= most:
        kind = "whole numbers" if whole else "numbers"
        raise UserError(f"augment.{name}: {value!r} is not two {kind} in order, above 0 and up to {most:g}")
    return value[0], value[1]
