"""Augmentation of a whole batch, on the device that the images are on.

What happens to an image is a function of (seed, epoch, index) alone: it depends neither on the other images of the
batch nor on the number of workers or processes, and no generator's state has to be saved.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opensphere.error import UserError

_WORD = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
# One stream of random numbers for each question, so that switching one thing on changes nothing else.
# The order is part of what a seed means: append, never insert.
_STREAMS = (
    "mirror", "shift_x", "shift_y", "scale", "rotate", "brightness", "contrast", "saturation", "grey",
    "blur", "blur_sigma", "low_resolution", "factor", "erase", "erase_area", "erase_ratio", "erase_x", "erase_y",
)  # fmt: skip
_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
_FACTORS = (2, 3, 4)  # of low_resolution
_BLUR_SIGMA = (0.3, 1.5)  # pixels of an image 112 high
_ERASE_AREA = (0.02, 0.2)  # share of the image
_ERASE_RATIO = 3.0  # of the longer to the shorter side, at most
_CHUNK = 32  # images at a time on a CPU: what is between the steps stays in the cache

Draw = Callable[[str], np.ndarray]  # name of a stream -> (B,) float64 in [0, 1)


def normalise(images: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 or 0..255 float to (B, 3, H, W) float32 in [-1, 1]: (x - 127.5) / 127.5, channels last."""
    return _to_unit(images.permute(0, 3, 1, 2))


def _to_unit(planes: Tensor) -> Tensor:
    return planes.to(torch.float32, copy=True).sub_(127.5).div_(127.5)


class Augment:
    """Random changes to training images; each is off at 0.

    They are applied in this order: geometry (mirror, shift, scale, rotate: one bilinear resampling, whose border
    repeats the image's edge), colour and grey, blur, low resolution, erasure.

    Args:
        mirror: probability of a left-right mirror image.
        shift: largest shift as a share of width and height, to either side.
        scale: 0.1 enlarges or shrinks by up to a factor of 1.1, evenly on the logarithmic scale.
        rotate: largest angle in degrees, to either side.
        brightness: all values are multiplied by 1 - brightness .. 1 + brightness.
        contrast: the distance to the image's mean luma is multiplied by 1 - contrast .. 1 + contrast.
        saturation: the distance to each pixel's luma is multiplied by 1 - saturation .. 1 + saturation.
        grey: probability of a grey image.
        blur: probability of a Gaussian blur, sigma 0.3 .. 1.5 pixels in an image 112 high.
        low_resolution: probability that the image is shrunk by 2, 3 or 4 and enlarged again.
        erase: probability that a rectangle of 2 .. 20 % of the image is painted mid-grey.

    Raises:
        UserError: a value is out of range.
    """

    def __init__(
        self,
        mirror: float = 0.5,
        shift: float = 0.0,
        scale: float = 0.0,
        rotate: float = 0.0,
        brightness: float = 0.0,
        contrast: float = 0.0,
        saturation: float = 0.0,
        grey: float = 0.0,
        blur: float = 0.0,
        low_resolution: float = 0.0,
        erase: float = 0.0,
    ):
        self.mirror = _in_range("mirror", mirror)
        self.shift = _in_range("shift", shift)
        self.scale = _in_range("scale", scale)
        self.rotate = _in_range("rotate", rotate, 180.0)
        self.brightness = _in_range("brightness", brightness)
        self.contrast = _in_range("contrast", contrast)
        self.saturation = _in_range("saturation", saturation)
        self.grey = _in_range("grey", grey)
        self.blur = _in_range("blur", blur)
        self.low_resolution = _in_range("low_resolution", low_resolution)
        self.erase = _in_range("erase", erase)

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
            result[some] = self._apply(images[some], index[some], seed, epoch)
        return result

    def _apply(self, images: Tensor, index: np.ndarray, seed: int, epoch: int) -> Tensor:
        def draw(stream: str) -> np.ndarray:
            return uniform(seed, epoch, index, stream)

        mirrored = draw("mirror") < self.mirror
        if self.shift or self.scale or self.rotate:
            planes = _resample(images, self._matrices(draw, mirrored, images.shape[1:3]))
        else:
            planes = _mirror(images, mirrored).permute(0, 3, 1, 2)
        if self.brightness or self.contrast or self.saturation or self.grey:
            planes = self._colour(planes, images, draw)
        batch = _to_unit(planes)
        if self.blur:
            _blur(batch, *_chosen(draw, "blur", self.blur, "blur_sigma"))
        if self.low_resolution:
            _lower_resolution(batch, *_chosen(draw, "low_resolution", self.low_resolution, "factor"))
        if self.erase:
            _erase(batch, np.flatnonzero(draw("erase") < self.erase), draw)
        return batch

    def _matrices(self, draw: Draw, mirrored: np.ndarray, size: torch.Size) -> np.ndarray:
        """(B, 2, 3): where in the image, from its middle in pixels, the value at a place of the result is found."""
        height, width = size
        angle = np.deg2rad(self.rotate) * _signed(draw("rotate"))
        zoom = (1 + self.scale) ** -_signed(draw("scale"))
        cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
        side = np.where(mirrored, -1.0, 1.0)
        right, down = self.shift * width * _signed(draw("shift_x")), self.shift * height * _signed(draw("shift_y"))
        rows = [[side * cos, side * -sin], [sin, cos]]
        return np.stack([np.stack([a, b, -(a * right + b * down)], axis=1) for a, b in rows], axis=1)

    def _colour(self, planes: Tensor, images: Tensor, draw: Draw) -> Tensor:
        """(B, 3, H, W) float32 in 0..255. All changes of an image's colour together are, channel by channel,
        own * x + rest * luma(x) + level: affine, so they are applied at once and cut off at the end only."""
        brightness = 1 + self.brightness * _signed(draw("brightness"))
        contrast = 1 + self.contrast * _signed(draw("contrast"))
        saturation = 1 + self.saturation * _signed(draw("saturation"))
        saturation[draw("grey") < self.grey] = 0
        gain = brightness * contrast
        factors = np.stack([gain * saturation, gain * (1 - saturation), brightness * (1 - contrast)])
        own, rest, level = torch.from_numpy(factors.astype(np.float32)).to(images.device).view(3, -1, 1, 1)
        level = level * _mean_luma(images).view(-1, 1, 1)
        colours = planes.contiguous().float()
        red, green, blue = colours.unbind(dim=1)
        grey = (red * _LUMA[0]).add_(green * _LUMA[1]).add_(blue * _LUMA[2]).mul_(rest).add_(level)
        result = torch.empty_like(colours)
        for channel in range(3):
            torch.mul(colours[:, channel], own, out=result[:, channel]).add_(grey)
        return result.clamp_(0, 255)


def _mean_luma(images: Tensor) -> Tensor:
    """(B,) float32: the mean luma of each image, by an exact sum that no order of addition can change."""
    count, height, width, _ = images.shape
    mean = images.reshape(count, -1, 3).sum(dim=1, dtype=torch.int64).float() / (height * width)
    return mean[:, 0] * _LUMA[0] + mean[:, 1] * _LUMA[1] + mean[:, 2] * _LUMA[2]


def uniform(seed: int, epoch: int, index: np.ndarray, stream: str) -> np.ndarray:
    """(B,) float64, uniform in [0, 1): random numbers that are a hash of (seed, epoch, index, stream).

    The output function of SplitMix64 (Steele, Lea and Flood 2014) on a counter, keyed by the other three.
    """
    key = 0
    for word in (seed, epoch, _STREAMS.index(stream)):
        key = int(_mix(np.array([(key + word + _GOLDEN) & _WORD], np.uint64))[0])
    counter = np.asarray(index).astype(np.uint64) * np.uint64(_GOLDEN) + np.uint64(key)
    return (_mix(counter) >> np.uint64(11)) * 2.0**-53


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _in_range(name: str, value: float, most: float = 1.0) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise UserError(f"augment.{name}: {value!r} is not a number in 0..{most:g}")
    return float(value)


def _signed(unit: np.ndarray) -> np.ndarray:
    return 2 * unit - 1


def _chosen(draw: Draw, stream: str, probability: float, strength: str) -> tuple[np.ndarray, np.ndarray]:
    """The positions in the batch of the images to change, and for each a number in [0, 1)."""
    rows = np.flatnonzero(draw(stream) < probability)
    return rows, draw(strength)[rows]


def _mirror(images: Tensor, mirrored: np.ndarray) -> Tensor:
    if not mirrored.any():
        return images
    rows = torch.from_numpy(np.flatnonzero(mirrored)).to(images.device)
    return images.index_copy(0, rows, images.index_select(0, rows).flip(2))


def _resample(images: Tensor, matrices: np.ndarray) -> Tensor:
    """(B, 3, H, W) float32: `images` (B, H, W, 3) seen through `matrices` (B, 2, 3), bilinearly."""
    count, height, width, _ = images.shape
    # grid_sample measures from -1 to 1. Products element by element give an image the same grid in any batch.
    to_unit = np.array([2 / width, 2 / height])[:, None, None]
    coefficients = torch.from_numpy((matrices.transpose(1, 2, 0) * to_unit).astype(np.float32)).to(images.device)
    x = torch.arange(width, device=images.device, dtype=torch.float32) - (width - 1) / 2
    y = torch.arange(height, device=images.device, dtype=torch.float32) - (height - 1) / 2
    grid = torch.empty(count, height, width, 2, device=images.device)
    for axis in range(2):
        a, b, t = coefficients[axis].view(3, -1, 1, 1)
        torch.add(a * x + t, b * y.view(-1, 1), out=grid[..., axis])
    planes = images.permute(0, 3, 1, 2).contiguous().float()
    return F.grid_sample(planes, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _blur(batch: Tensor, rows: np.ndarray, strength: np.ndarray) -> None:
    """Blur images `rows` of the batch in place, each with a Gaussian of its own; the border repeats the edge."""
    if not len(rows):
        return
    least, most = (sigma * batch.shape[2] / 112 for sigma in _BLUR_SIGMA)
    sigma = (least + (most - least) * strength)[:, None]
    radius = max(1, round(2.5 * most))
    bell = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    bell /= 2 * bell.sum(axis=1, keepdims=True) - bell[:, :1]
    weights = torch.from_numpy(bell.T.astype(np.float32)).to(batch.device).view(radius + 1, -1, 1, 1, 1)
    where = torch.from_numpy(rows).to(batch.device)
    chosen = batch.index_select(0, where)
    for dim in (2, 3):
        size = chosen.shape[dim]
        padded = F.pad(chosen, (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0), mode="replicate")
        total = padded.narrow(dim, radius, size) * weights[0]
        for step in range(1, radius + 1):
            sides = padded.narrow(dim, radius - step, size) + padded.narrow(dim, radius + step, size)
            total += sides.mul_(weights[step])
        chosen = total
    batch.index_copy_(0, where, chosen)


def _lower_resolution(batch: Tensor, rows: np.ndarray, strength: np.ndarray) -> None:
    """Shrink images `rows` of the batch by area and enlarge them bilinearly, in place."""
    size = batch.shape[2:]
    kind = (strength * len(_FACTORS)).astype(np.int64)
    for number, factor in enumerate(_FACTORS):
        group = rows[kind == number]
        if len(group):
            where = torch.from_numpy(group).to(batch.device)
            small = F.adaptive_avg_pool2d(
                batch.index_select(0, where), (max(1, round(size[0] / factor)), max(1, round(size[1] / factor)))
            )
            large = F.interpolate(small, size=size, mode="bilinear", align_corners=False)
            batch.index_copy_(0, where, large)


def _erase(batch: Tensor, rows: np.ndarray, draw: Draw) -> None:
    """Set a rectangle of images `rows` of the batch to 0, which is mid-grey, in place (Zhong et al. 2020)."""
    height, width = batch.shape[2:]
    least, most = _ERASE_AREA
    area = least + (most - least) * draw("erase_area")[rows]
    ratio = _ERASE_RATIO ** (_signed(draw("erase_ratio")[rows]) / 2)
    for row, tall, wide, up, left in zip(
        rows.tolist(),
        np.rint(height * np.sqrt(area) * ratio).clip(1, height).astype(int).tolist(),
        np.rint(width * np.sqrt(area) / ratio).clip(1, width).astype(int).tolist(),
        draw("erase_y")[rows].tolist(),
        draw("erase_x")[rows].tolist(),
        strict=True,
    ):
        top, start = int(up * (height - tall + 1)), int(left * (width - wide + 1))
        batch[row, :, top : top + tall, start : start + wide] = 0
