"""IResNet: the residual networks of ArcFace (Deng et al. 2019, section 3.1; there "ResNet-E-IR").

Units begin with a batch normalisation, hold one PReLU and halve the image in their second convolution; the stem keeps
the image's size. State-dict keys, as in InsightFace's public checkpoints: conv1, bn1, prelu,
layer{1..4}.{i}.bn1/conv1/bn2/prelu/conv2/bn3 (and downsample.0/1 where i is 0), bn2, fc, features.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from opensphere.model.backbone.backbone import Backbone, check_dropout, outside_autocast, scale_channels

CHANNELS = (64, 128, 256, 512)


class Unit(nn.Module):
    """Two 3x3 convolutions between batch normalisations, beside the identity or a 1x1 projection."""

    def __init__(self, inputs: int, channels: int, stride: int):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, channels, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.prelu = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, channels, kernel_size=1, stride=stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        branch = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(branch)) + self.downsample(x)


class IResNet(Backbone):
    """An IResNet of any depth.

    Args:
        units: number of residual units in each of the four stages.
        out_channel: length of the features.
        input_size: pixels of an image, one number or (height, width); multiples of 16.
        dropout: share of the last maps' values that are dropped in training.
        width: factor on the numbers of channels.

    Raises:
        UserError: an argument cannot be; names it.
    """

    def __init__(
        self,
        units: Sequence[int],
        out_channel: int,
        input_size: int | Sequence[int],
        dropout: float,
        width: float,
    ):
        super().__init__(out_channel, input_size)
        channels = [scale_channels(base, width) for base in CHANNELS]
        self.conv1 = nn.Conv2d(3, channels[0], kernel_size=3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.prelu = nn.PReLU(channels[0])
        inputs = [channels[0], *channels]
        stages = [
            nn.Sequential(
                Unit(inputs[i], channels[i], stride=2),
                *(Unit(channels[i], channels[i], stride=1) for _ in range(count - 1)),
            )
            for i, count in enumerate(units)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.bn2 = nn.BatchNorm2d(channels[-1])
        self.dropout = nn.Dropout(check_dropout(dropout))
        self.fc = nn.Linear(channels[-1] * self.map_size[0] * self.map_size[1], out_channel)
        self.features = nn.BatchNorm1d(out_channel)
        self.features.weight.requires_grad = False  # stays 1: the head knows the scale of features, not the network
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, feat_dim) of images (B, 3, height, width).

        Raises:
            UserError: images of another size.
        """
        self.check_images(images)
        maps = self.prelu(self.bn1(self.conv1(images)))
        maps = self.bn2(self.layer4(self.layer3(self.layer2(self.layer1(maps)))))
        flat = self.dropout(torch.flatten(maps, 1))  # channel, row, column, in any memory format
        with outside_autocast(flat.device):
            return self.features(self.fc(flat.to(self.fc.weight.dtype)))


def iresnet18(
    out_channel: int = 512, input_size: int | tuple[int, int] = 112, dropout: float = 0.0, width: float = 1.0
) -> IResNet:
    """IResNet-18. Arguments and errors as `IResNet`'s."""
    return IResNet((2, 2, 2, 2), out_channel, input_size, dropout, width)


def iresnet34(
    out_channel: int = 512, input_size: int | tuple[int, int] = 112, dropout: float = 0.0, width: float = 1.0
) -> IResNet:
    """IResNet-34. Arguments and errors as `IResNet`'s."""
    return IResNet((3, 4, 6, 3), out_channel, input_size, dropout, width)


def iresnet50(
    out_channel: int = 512, input_size: int | tuple[int, int] = 112, dropout: float = 0.0, width: float = 1.0
) -> IResNet:
    """IResNet-50. Arguments and errors as `IResNet`'s."""
    return IResNet((3, 4, 14, 3), out_channel, input_size, dropout, width)


def iresnet100(
    out_channel: int = 512, input_size: int | tuple[int, int] = 112, dropout: float = 0.0, width: float = 1.0
) -> IResNet:
    """IResNet-100. Arguments and errors as `IResNet`'s."""
    return IResNet((3, 13, 30, 3), out_channel, input_size, dropout, width)
