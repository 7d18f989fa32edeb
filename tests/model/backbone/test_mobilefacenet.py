"""MobileFaceNet against arcface_torch's layout and a recomputation from its weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.model.backbone.material import build, images, norm_keys, shapes, unsettle


def block_keys(prefix: str, shape: tuple[int, ...], prelu: bool = True) -> dict[str, tuple[int, ...]]:
    keys = {f"{prefix}.layers.0.weight": shape} | norm_keys(f"{prefix}.layers.1", shape[0])
    return keys | ({f"{prefix}.layers.2.weight": (shape[0],)} if prelu else {})


def bottleneck_keys(prefix: str, inputs: int, inner: int, outputs: int) -> dict[str, tuple[int, ...]]:
    keys = block_keys(f"{prefix}.layers.0", (inner, inputs, 1, 1))
    keys |= block_keys(f"{prefix}.layers.1", (inner, 1, 3, 3))
    return keys | block_keys(f"{prefix}.layers.2", (outputs, inner, 1, 1), prelu=False)


def layout() -> dict[str, tuple[int, ...]]:
    """Keys and shapes as InsightFace's recognition/arcface_torch/backbones/mobilefacenet.py (get_mbf) saves them."""
    keys = block_keys("layers.0", (128, 3, 3, 3)) | block_keys("layers.1", (128, 2, 3, 3))
    keys |= bottleneck_keys("layers.2", 128, 128, 128)
    keys |= bottleneck_keys("layers.4", 128, 256, 256)
    keys |= bottleneck_keys("layers.6", 256, 512, 256)
    for group, count, channels in ((3, 4, 128), (5, 6, 256), (7, 2, 256)):
        for i in range(count):
            keys |= bottleneck_keys(f"layers.{group}.layers.{i}", channels, channels, channels)
    keys |= block_keys("conv_sep", (512, 256, 1, 1))
    keys |= block_keys("features.layers.0", (512, 1, 7, 7), prelu=False)
    return keys | {"features.layers.2.weight": (512, 512)} | norm_keys("features.layers.3", 512)


def test_arcface_torch_keys() -> None:
    backbone = build("mobilefacenet", out_channel=512, input_size=112, width=1.0)
    assert shapes(backbone) == layout()
    learnt = sum(math.prod(shape) for key, shape in layout().items() if "running" not in key)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == learnt == 2_059_520


def recompute(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The network written out once more, from the state dict alone."""

    def block(x: Tensor, prefix: str, stride: int = 1, padding: int = 0) -> Tensor:
        weight = state[f"{prefix}.layers.0.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=padding, groups=x.shape[1] // weight.shape[1])
        norm = [state[f"{prefix}.layers.1.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
        x = F.batch_norm(x, *norm, eps=1e-5)
        slope = state.get(f"{prefix}.layers.2.weight")
        return x if slope is None else torch.where(x > 0, x, x * slope.reshape(1, -1, 1, 1))

    def bottleneck(x: Tensor, prefix: str, stride: int = 1) -> Tensor:
        y = block(block(x, f"{prefix}.layers.0"), f"{prefix}.layers.1", stride, padding=1)
        y = block(y, f"{prefix}.layers.2")
        return y if stride == 2 else x + y

    x = block(block(x, "layers.0", stride=2, padding=1), "layers.1", padding=1)
    for down, group, count in ((2, 3, 4), (4, 5, 6), (6, 7, 2)):
        x = bottleneck(x, f"layers.{down}", stride=2)
        for i in range(count):
            x = bottleneck(x, f"layers.{group}.layers.{i}")
    x = block(block(x, "conv_sep"), "features.layers.0").reshape(len(x), -1) @ state["features.layers.2.weight"].T
    norm = [state[f"features.layers.3.{key}"] for key in ("running_mean", "running_var", "weight", "bias")]
    return F.batch_norm(x, *norm, eps=1e-5)


def test_forward_is_the_published_one() -> None:
    backbone = unsettle(build("mobilefacenet", input_size=(48, 32))).eval()
    batch = images(3, (48, 32))
    torch.testing.assert_close(backbone(batch), recompute(backbone.state_dict(), batch), rtol=1e-8, atol=1e-10)


def test_initial_weights() -> None:
    """Kaiming-normal over the outputs, as PyTorch counts them: without regard to groups."""
    checked = 0
    for key, module in build("mobilefacenet", out_channel=64, width=1.0).named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 4000:
            fan = module.weight.shape[0] * math.prod(module.weight.shape[2:])
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan), rel=0.05), key
            checked += 1
    assert checked >= 30
