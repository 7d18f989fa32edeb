"""Where the pixels of an image come from: mirror image, box, shift, size and angle."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opensphere.dataset.augment.draw import Draw

_CROP_RATIO = 4 / 3  # of the longer to the shorter side, at most
_CROP_TRIES = 10  # for a box that fits into the image


def mirror(images: Tensor, mirrored: np.ndarray) -> Tensor:
    """`images` (B, H, W, 3), those that `mirrored` (B,) names turned left to right."""
    if not mirrored.any():
        return images
    rows = torch.from_numpy(np.flatnonzero(mirrored)).to(images.device)
    return images.index_copy(0, rows, images.index_select(0, rows).flip(2))


def crop(images: Tensor, rows: np.ndarray, draw: Draw, area: tuple[float, float]) -> Tensor:
    """`images` (B, H, W, 3) uint8, of `rows` a drawn box alone, at its place in black."""
    if not len(rows):
        return images
    height, width = images.shape[1:3]
    top, left, tall, wide = _boxes(draw.of(rows), (height, width), area)
    y, x = np.arange(height), np.arange(width)
    lines = (top <= y) & (y < top + tall)
    columns = ((left <= x) & (x < left + wide)).repeat(3, axis=1)  # a pixel has three values
    where, down, across = (torch.from_numpy(part).to(images.device) for part in (rows, lines, columns))
    chosen = images.index_select(0, where)
    chosen.view(len(rows), height, -1).mul_(down[:, :, None]).mul_(across[:, None, :])
    return images.index_copy(0, where, chosen)


def _boxes(draw: Draw, size: tuple[int, int], area: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """(B, 1) int64 each: top, left, height and width of a box in pixels.

    Share of the image and ratio of the sides are drawn until the box fits, as for a random resized crop (Szegedy et
    al. 2015): large boxes fit more rarely when they are far from square. If none fits, it is the whole image.
    """
    height, width = size
    least, most = area
    pixels = height * width * (least + (most - least) * draw.tries("crop_area", _CROP_TRIES))
    ratio = _CROP_RATIO ** (2 * draw.tries("crop_ratio", _CROP_TRIES) - 1)
    tall, wide = np.rint(np.sqrt(pixels / ratio)), np.rint(np.sqrt(pixels * ratio))
    fits = (1 <= tall) & (tall <= height) & (1 <= wide) & (wide <= width)
    first = fits.argmax(axis=1)[:, None]
    found = np.take_along_axis(fits, first, axis=1)
    tall = np.where(found, np.take_along_axis(tall, first, axis=1), height)
    wide = np.where(found, np.take_along_axis(wide, first, axis=1), width)
    top = np.floor(draw("crop_y")[:, None] * (height - tall + 1))
    left = np.floor(draw("crop_x")[:, None] * (width - wide + 1))
    return tuple(part.astype(np.int64) for part in (top, left, tall, wide))


def matrices(
    draw: Draw, mirrored: np.ndarray, size: tuple[int, int], shift: float, scale: float, rotate: float
) -> np.ndarray:
    """(B, 2, 3): where in the image, from its middle in pixels, the value at a place of the result is found."""
    height, width = size
    angle = np.deg2rad(rotate) * draw.signed("rotate")
    zoom = (1 + scale) ** -draw.signed("scale")
    cos, sin = zoom * np.cos(angle), zoom * np.sin(angle)
    side = np.where(mirrored, -1.0, 1.0)
    right, down = shift * width * draw.signed("shift_x"), shift * height * draw.signed("shift_y")
    rows = [[side * cos, side * -sin], [sin, cos]]
    return np.stack([np.stack([a, b, -(a * right + b * down)], axis=1) for a, b in rows], axis=1)


def resample(images: Tensor, matrices: np.ndarray) -> Tensor:
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
