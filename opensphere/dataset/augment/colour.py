"""Changes of an image's colour: gamma on its bytes, all others as one affine map."""

import numpy as np
import torch
from torch import Tensor

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601


def gamma(images: Tensor, rows: np.ndarray, exponents: np.ndarray) -> Tensor:
    """`images` (B, H, W, 3) uint8, those at `rows` with 255 (x / 255)^exponent in place of x, as whole numbers."""
    if not len(rows):
        return images
    tables = np.rint(255 * (np.arange(256) / 255) ** exponents[:, None]).astype(np.uint8)
    where, table = (torch.from_numpy(part).to(images.device) for part in (rows, tables))
    chosen = images.index_select(0, where)
    changed = table.gather(1, chosen.view(len(rows), -1).long())
    return images.index_copy(0, where, changed.view_as(chosen))


def affine(
    planes: Tensor, images: Tensor, brightness: np.ndarray, contrast: np.ndarray, saturation: np.ndarray
) -> Tensor:
    """(B, 3, H, W) float32 in 0..255, contiguous: `planes` (B, 3, H, W) under factors (B,), 1 for no change.

    All changes of an image's colour together are, channel by channel, own * x + rest * luma(x) + level: affine, so they
    are applied at once, whose order does not matter, and cut off at the end only.

    Args:
        images: (B, H, W, 3) uint8, whose mean luma is what contrast is measured from.
    """
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
    height, width = images.shape[1:3]
    # Columns of bytes fit into 32 bits. To add all at once takes 64, and a copy of the image eight times its size.
    total = images.sum(dim=1, dtype=torch.int32).sum(dim=1)
    mean = total.float() / (height * width)
    return mean[:, 0] * _LUMA[0] + mean[:, 1] * _LUMA[1] + mean[:, 2] * _LUMA[2]
