"""MobileFaceNet (Chen et al. 2018): inverted bottlenecks, and a depthwise convolution over the whole last map.

Channels and state-dict keys are those of the MobileFaceNet of InsightFace's arcface_torch (twice the paper's channels):
layers.0..7, conv_sep, features, each block with its parts in a list `layers` of its own.
"""

from collections.abc import Sequence

from torch import Tensor, nn

from opensphere.model.backbone.backbone import Backbone, outside_autocast, scale_channels


class Layers(nn.Module):
    """Modules one after the other; `residual`: the input is added to what comes out."""

    def __init__(self, *layers: nn.Module, residual: bool = False):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class MobileFaceNet(Backbone):
    """MobileFaceNet.

    Args:
        out_channel: length of the features.
        input_size: pixels of an image, one number or (height, width); multiples of 16.
        width: factor on the numbers of channels.

    Raises:
        UserError: an argument cannot be; names it.
    """

    def __init__(self, out_channel: int, input_size: int | Sequence[int], width: float):
        super().__init__(out_channel, input_size)
        half = scale_channels(64, width)
        narrow, wide, last = 2 * half, scale_channels(256, width), scale_channels(512, width)
        self.layers = nn.ModuleList(
            [
                conv_block(3, narrow, kernel=3, stride=2),
                conv_block(narrow, narrow, kernel=3, groups=half),  # two channels a group; the paper has one
                bottleneck(narrow, narrow, narrow, stride=2),
                Layers(*(bottleneck(narrow, narrow, narrow) for _ in range(4))),
                bottleneck(narrow, wide, wide, stride=2),
                Layers(*(bottleneck(wide, wide, wide) for _ in range(6))),
                bottleneck(wide, last, wide, stride=2),
                Layers(*(bottleneck(wide, wide, wide) for _ in range(2))),
            ]
        )
        self.conv_sep = conv_block(wide, last)
        whole_map = nn.Conv2d(last, last, self.map_size, groups=last, bias=False)
        self.features = Layers(
            Layers(whole_map, nn.BatchNorm2d(last)),
            nn.Flatten(),
            nn.Linear(last, out_channel, bias=False),
            nn.BatchNorm1d(out_channel),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Features (B, feat_dim) of images (B, 3, height, width).

        Raises:
            UserError: images of another size.
        """
        self.check_images(images)
        maps = images
        for layer in self.layers:
            maps = layer(maps)
        maps = self.conv_sep(maps)
        with outside_autocast(maps.device):
            return self.features(maps.to(next(self.features.parameters()).dtype))


def conv_block(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> Layers:
    """A convolution that keeps the size up to its stride, batch normalisation, PReLU."""
    return Layers(*_normed_conv(inputs, outputs, kernel, stride, groups), nn.PReLU(outputs))


def bottleneck(inputs: int, inner: int, outputs: int, stride: int = 1) -> Layers:
    """Expand to `inner` channels, filter each by itself, project without activation; residual where the stride is 1."""
    return Layers(
        conv_block(inputs, inner),
        conv_block(inner, inner, kernel=3, stride=stride, groups=inner),
        Layers(*_normed_conv(inner, outputs, kernel=1, stride=1, groups=1)),
        residual=stride == 1,
    )


def _normed_conv(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, groups=groups, bias=False)
    return conv, nn.BatchNorm2d(outputs)


def mobilefacenet(out_channel: int = 512, input_size: int | tuple[int, int] = 112, width: float = 1.0) -> MobileFaceNet:
    """MobileFaceNet. Arguments and errors as `MobileFaceNet`'s."""
    return MobileFaceNet(out_channel, input_size, width)
