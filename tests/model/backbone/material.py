"""Networks whose every weight counts, and the fresh-made values they are compared with."""

import torch
from torch import Tensor, nn

from opensphere.model import backbone as backbones
from opensphere.model.backbone.backbone import Backbone


def build(name: str, **arguments) -> Backbone:
    """A backbone of the registry, small unless `width` says otherwise; the same weights each time."""
    torch.manual_seed(0)
    return getattr(backbones, name)(**({"out_channel": 6, "input_size": 32, "width": 0.125} | arguments))


def unsettle(backbone: Backbone) -> Backbone:
    """In float64, with random weights, statistics and slopes in place of the ones and zeros of a fresh network."""
    generator = torch.Generator().manual_seed(1)
    backbone = backbone.double()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d | nn.PReLU):
            for key, value in module.state_dict().items():
                if value.is_floating_point():
                    low = -0.5 if key in ("bias", "running_mean") else 0.5
                    value.copy_(low + torch.rand(value.shape, generator=generator, dtype=value.dtype))
    return backbone


def images(batch: int, size: tuple[int, int] = (32, 32), dtype: torch.dtype = torch.float64) -> Tensor:
    """Noise in [-1, 1], (batch, 3, height, width)."""
    generator = torch.Generator().manual_seed(2)
    return torch.rand(batch, 3, *size, generator=generator, dtype=dtype) * 2 - 1


def shapes(backbone: Backbone) -> dict[str, tuple[int, ...]]:
    """The state dict's keys and shapes, without the counters of batch normalisations."""
    state = backbone.state_dict()
    return {key: tuple(value.shape) for key, value in state.items() if not key.endswith("num_batches_tracked")}


def norm_keys(prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    """The state of a batch normalisation as PyTorch stores it."""
    return {f"{prefix}.{key}": (channels,) for key in ("weight", "bias", "running_mean", "running_var")}
