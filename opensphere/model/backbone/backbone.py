"""What every backbone shares: the size of its images, the length of its features, a last layer in full precision."""

import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from opensphere.error import UserError

STRIDE = 16  # every network here halves the image four times


class Backbone(nn.Module):
    """A network from face images (B, 3, height, width), RGB in [-1, 1], to features (B, feat_dim), not normalised.

    Args:
        out_channel: length of the features.
        input_size: pixels of an image, one number or (height, width); multiples of 16.

    Attributes:
        feat_dim: length of the features.
        input_size: (height, width).
        map_size: (height, width) of the last feature maps.

    Raises:
        UserError: the size or the length cannot be; names the argument.
    """

    def __init__(self, out_channel: int, input_size: int | Sequence[int]):
        super().__init__()
        if not _is_whole(out_channel) or out_channel < 1:
            raise UserError(f"out_channel: {out_channel!r} is no length of a feature; give a whole number from 1")
        self.feat_dim = out_channel
        self.input_size = parse_input_size(input_size)
        self.map_size = (self.input_size[0] // STRIDE, self.input_size[1] // STRIDE)

    def check_images(self, images: Tensor) -> None:
        """Compare the shape of a batch with what the last layer was built for.

        Raises:
            UserError: another shape; names both.
        """
        height, width = self.input_size
        if images.ndim != 4 or tuple(images.shape[1:]) != (3, height, width):
            raise UserError(
                f"{type(self).__name__}: built for images (B, 3, {height}, {width}), got {tuple(images.shape)}; "
                "input_size of the backbone and image_size of the data set must agree"
            )


def parse_input_size(input_size: int | Sequence[int]) -> tuple[int, int]:
    """(height, width) from one number or two.

    Raises:
        UserError: not one or two whole numbers, or not multiples of 16.
    """
    sides = input_size if isinstance(input_size, list | tuple) else (input_size, input_size)
    if len(sides) != 2 or not all(_is_whole(side) for side in sides):
        raise UserError(f"input_size: {input_size!r} is no size; give a whole number or [height, width]")
    height, width = (int(side) for side in sides)
    if min(height, width) < STRIDE or height % STRIDE or width % STRIDE:
        raise UserError(
            f"input_size: {height} x {width} cannot be halved four times; give multiples of {STRIDE}, such as 112"
        )
    return height, width


def scale_channels(channels: int, width: float) -> int:
    """`channels` times `width`, rounded, at least 8.

    Raises:
        UserError: `width` is no positive number.
    """
    if not _is_number(width) or width <= 0:
        raise UserError(f"width: {width!r} does not scale channels; give a number above 0, such as 0.5")
    return max(8, round(channels * width))


def check_dropout(dropout: float) -> float:
    """`dropout`, if it is a share of values that can be dropped.

    Raises:
        UserError: it is outside of [0, 1).
    """
    if not _is_number(dropout) or not 0 <= dropout < 1:
        raise UserError(f"dropout: {dropout!r} is no share of values; give a number from 0 to below 1")
    return dropout


def outside_autocast(device: torch.device) -> AbstractContextManager:
    """Where the last layer runs: bfloat16 would leave a feature 8 bits, and cosines an error of about 1e-3."""
    kind = device.type
    if torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind):
        return torch.autocast(kind, enabled=False)
    return nullcontext()


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
