"""SFNet: the residual networks of SphereFace (Liu et al. 2017, table 2), in two variants.

Four stages; each halves the image by a 3x3 convolution of stride 2, then adds units of two 3x3 convolutions.

`sfnet*_deprecated` is the variant that the papers' results come from: no normalisation, and the last ReLU of a unit
stands before the sum, so that a unit can only add. `sfnet*` has it after the sum, and may have batch normalisation.
State-dict keys, as in OpenSphere's checkpoints: layer{1..4}.{i}.conv1/bn1/conv2/bn2, fc, features.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from opensphere.error import UserError
from opensphere.model.backbone.backbone import Backbone, check_dropout, outside_autocast, scale_channels

Norm = str | type[nn.BatchNorm2d] | None
Activation = Literal["relu", "prelu"]

CHANNELS = (64, 128, 256, 512)
# units of each stage, by the number of layers that carry weights
UNITS = {4: (0, 0, 0, 0), 10: (0, 1, 2, 0), 20: (1, 2, 4, 1), 36: (2, 4, 8, 2), 64: (3, 8, 16, 3)}


class Down(nn.Module):
    """The head of a stage: a 3x3 convolution that halves height and width."""

    def __init__(self, inputs: int, channels: int, norm: bool, activation: Activation):
        super().__init__()
        self.conv1 = _conv(inputs, channels, norm, stride=2)
        self.bn1 = _norm(channels, norm)
        self.act1 = _activation(channels, activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.act1(self.bn1(self.conv1(x)))


class Unit(nn.Module):
    """Two 3x3 convolutions beside the identity; `positive`: the second activation stands before the sum."""

    def __init__(self, channels: int, norm: bool, activation: Activation, positive: bool):
        super().__init__()
        self.positive = positive
        self.conv1 = _conv(channels, channels, norm)
        self.bn1 = _norm(channels, norm)
        self.act1 = _activation(channels, activation)
        self.conv2 = _conv(channels, channels, norm)
        self.bn2 = _norm(channels, norm)
        self.act2 = _activation(channels, activation)

    def forward(self, x: Tensor) -> Tensor:
        branch = self.bn2(self.conv2(self.act1(self.bn1(self.conv1(x)))))
        return x + self.act2(branch) if self.positive else self.act2(x + branch)


class SFNet(Backbone):
    """An SFNet of any depth.

    Args:
        units: number of residual units in each of the four stages.
        out_channel: length of the features.
        input_size: pixels of an image, one number or (height, width); multiples of 16.
        width: factor on the numbers of channels.
        norm_layer: "BatchNorm2d" (the name or the class), or None. With it, convolutions have no bias, and the features
            get a BatchNorm1d.
        dropout: share of the last maps' values that are dropped in training.
        activation: "relu", or "prelu" with a slope for each channel, as the first SphereFace had.
        deprecated: the papers' variant: the last activation of a unit before the sum, and Xavier-normal weights in
            place of Kaiming-normal ones (fan out).

    Raises:
        UserError: an argument cannot be; names it.
    """

    def __init__(
        self,
        units: Sequence[int],
        out_channel: int,
        input_size: int | Sequence[int],
        width: float,
        norm_layer: Norm = None,
        dropout: float = 0.0,
        activation: Activation = "relu",
        deprecated: bool = False,
    ):
        super().__init__(out_channel, input_size)
        norm = _has_norm(norm_layer)
        channels = [3] + [scale_channels(base, width) for base in CHANNELS]
        stages = [
            nn.Sequential(
                Down(channels[i], channels[i + 1], norm, activation),
                *(Unit(channels[i + 1], norm, activation, positive=deprecated) for _ in range(count)),
            )
            for i, count in enumerate(units)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.fc = nn.Linear(channels[-1] * self.map_size[0] * self.map_size[1], out_channel)
        self.features = nn.BatchNorm1d(out_channel) if norm else nn.Identity()
        for module in self.modules():
            if isinstance(module, nn.Conv2d) and deprecated:
                nn.init.xavier_normal_(module.weight)
            elif isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, feat_dim) of images (B, 3, height, width).

        Raises:
            UserError: images of another size.
        """
        self.check_images(images)
        maps = self.layer4(self.layer3(self.layer2(self.layer1(images))))
        flat = self.dropout(torch.flatten(maps, 1))  # channel, row, column, in any memory format
        with outside_autocast(flat.device):
            return self.features(self.fc(flat.to(self.fc.weight.dtype)))


def _conv(inputs: int, outputs: int, norm: bool, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1, bias=not norm)


def _norm(channels: int, norm: bool) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm else nn.Identity()


def _activation(channels: int, activation: Activation) -> nn.Module:
    if activation == "relu":
        return nn.ReLU(inplace=True)  # on a fresh result each time, which nothing else needs for its gradient
    if activation == "prelu":
        return nn.PReLU(channels)
    raise UserError(f"activation: {activation!r} is not known; give relu or prelu")


def _has_norm(norm_layer: Norm) -> bool:
    if norm_layer is None:
        return False
    if norm_layer in ("BatchNorm2d", nn.BatchNorm2d):
        return True
    raise UserError(f"norm_layer: {norm_layer!r} is not known; give BatchNorm2d, or null for none")


def sfnet4(
    out_channel: int = 512,
    input_size: int | tuple[int, int] = 112,
    norm_layer: Norm = None,
    dropout: float = 0.0,
    width: float = 1.0,
    activation: Activation = "relu",
) -> SFNet:
    """SFNet-4. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[4], out_channel, input_size, width, norm_layer, dropout, activation)


def sfnet10(
    out_channel: int = 512,
    input_size: int | tuple[int, int] = 112,
    norm_layer: Norm = None,
    dropout: float = 0.0,
    width: float = 1.0,
    activation: Activation = "relu",
) -> SFNet:
    """SFNet-10. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[10], out_channel, input_size, width, norm_layer, dropout, activation)


def sfnet20(
    out_channel: int = 512,
    input_size: int | tuple[int, int] = 112,
    norm_layer: Norm = None,
    dropout: float = 0.0,
    width: float = 1.0,
    activation: Activation = "relu",
) -> SFNet:
    """SFNet-20. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[20], out_channel, input_size, width, norm_layer, dropout, activation)


def sfnet36(
    out_channel: int = 512,
    input_size: int | tuple[int, int] = 112,
    norm_layer: Norm = None,
    dropout: float = 0.0,
    width: float = 1.0,
    activation: Activation = "relu",
) -> SFNet:
    """SFNet-36. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[36], out_channel, input_size, width, norm_layer, dropout, activation)


def sfnet64(
    out_channel: int = 512,
    input_size: int | tuple[int, int] = 112,
    norm_layer: Norm = None,
    dropout: float = 0.0,
    width: float = 1.0,
    activation: Activation = "relu",
) -> SFNet:
    """SFNet-64. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[64], out_channel, input_size, width, norm_layer, dropout, activation)


def sfnet4_deprecated(out_channel: int = 512, input_size: int | tuple[int, int] = 112, width: float = 1.0) -> SFNet:
    """SFNet-4, the papers' variant. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[4], out_channel, input_size, width, deprecated=True)


def sfnet10_deprecated(out_channel: int = 512, input_size: int | tuple[int, int] = 112, width: float = 1.0) -> SFNet:
    """SFNet-10, the papers' variant. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[10], out_channel, input_size, width, deprecated=True)


def sfnet20_deprecated(out_channel: int = 512, input_size: int | tuple[int, int] = 112, width: float = 1.0) -> SFNet:
    """SFNet-20, the papers' variant. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[20], out_channel, input_size, width, deprecated=True)


def sfnet36_deprecated(out_channel: int = 512, input_size: int | tuple[int, int] = 112, width: float = 1.0) -> SFNet:
    """SFNet-36, the papers' variant. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[36], out_channel, input_size, width, deprecated=True)


def sfnet64_deprecated(out_channel: int = 512, input_size: int | tuple[int, int] = 112, width: float = 1.0) -> SFNet:
    """SFNet-64, the papers' variant. Arguments and errors as `SFNet`'s."""
    return SFNet(UNITS[64], out_channel, input_size, width, deprecated=True)
