"""IResNet against InsightFace's layout and a recomputation from its weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.model.backbone.material import build, images, norm_keys, shapes, unsettle

UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}


def layout(depth: int) -> dict[str, tuple[int, ...]]:
    """Keys and shapes as InsightFace's recognition/arcface_torch/backbones/iresnet.py saves them."""
    keys = {"conv1.weight": (64, 3, 3, 3), "prelu.weight": (64,), "fc.weight": (512, 25088), "fc.bias": (512,)}
    keys |= norm_keys("bn1", 64) | norm_keys("bn2", 512) | norm_keys("features", 512)
    inputs = 64
    for stage, (channels, count) in enumerate(zip((64, 128, 256, 512), UNITS[depth], strict=True), start=1):
        for i in range(count):
            unit = f"layer{stage}.{i}"
            keys |= norm_keys(f"{unit}.bn1", inputs) | norm_keys(f"{unit}.bn2", channels)
            keys |= norm_keys(f"{unit}.bn3", channels)
            keys[f"{unit}.conv1.weight"] = (channels, inputs, 3, 3)
            keys[f"{unit}.conv2.weight"] = (channels, channels, 3, 3)
            keys[f"{unit}.prelu.weight"] = (channels,)
            if i == 0:
                keys[f"{unit}.downsample.0.weight"] = (channels, inputs, 1, 1)
                keys |= norm_keys(f"{unit}.downsample.1", channels)
            inputs = channels
    return keys


@pytest.mark.parametrize("depth", UNITS)
def test_insightface_keys(depth: int) -> None:
    with torch.device("meta"):
        backbone = build(f"iresnet{depth}", out_channel=512, input_size=112, width=1.0)
    assert shapes(backbone) == layout(depth)
    learnt = [shape for key, shape in layout(depth).items() if "running" not in key]
    assert sum(parameter.numel() for parameter in backbone.parameters()) == sum(
        torch.Size(shape).numel() for shape in learnt
    )


def recompute(state: dict[str, Tensor], x: Tensor, units: tuple[int, ...], training: bool) -> Tensor:
    """The network written out once more, from the state dict alone."""

    def normed(x: Tensor, key: str) -> Tensor:
        mean, var = state[f"{key}.running_mean"].clone(), state[f"{key}.running_var"].clone()
        return F.batch_norm(x, mean, var, state[f"{key}.weight"], state[f"{key}.bias"], training, eps=1e-5)

    def sloped(x: Tensor, key: str) -> Tensor:
        return torch.where(x > 0, x, x * state[f"{key}.weight"].reshape(1, -1, 1, 1))

    x = sloped(normed(F.conv2d(x, state["conv1.weight"], padding=1), "bn1"), "prelu")
    for stage, count in enumerate(units, start=1):
        for i in range(count):
            unit, stride = f"layer{stage}.{i}", 2 if i == 0 else 1
            y = F.conv2d(normed(x, f"{unit}.bn1"), state[f"{unit}.conv1.weight"], padding=1)
            y = sloped(normed(y, f"{unit}.bn2"), f"{unit}.prelu")
            y = normed(F.conv2d(y, state[f"{unit}.conv2.weight"], stride=stride, padding=1), f"{unit}.bn3")
            if i == 0:
                x = F.conv2d(x, state[f"{unit}.downsample.0.weight"], stride=2)
                x = normed(x, f"{unit}.downsample.1")
            x = x + y
    flat = normed(x, "bn2").reshape(len(x), -1)
    return normed(flat @ state["fc.weight"].T + state["fc.bias"], "features")


@pytest.mark.parametrize("training", [False, True])
def test_forward_is_the_published_one(training: bool) -> None:
    backbone = unsettle(build("iresnet34")).train(training)
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    batch = images(4)
    torch.testing.assert_close(backbone(batch), recompute(state, batch, UNITS[34], training), rtol=1e-8, atol=1e-10)


def test_initial_weights() -> None:
    backbone = build("iresnet18", width=0.5)
    for key, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            assert module.weight.std().item() == pytest.approx(0.1, rel=0.05), key
    assert torch.equal(backbone.features.weight, torch.ones(6)) and not backbone.features.weight.requires_grad
    assert backbone.features.bias.requires_grad


def test_scale_of_the_features_stays_fixed() -> None:
    backbone = build("iresnet18").train()
    optimizer = torch.optim.SGD(backbone.parameters(), lr=0.1, momentum=0.9, weight_decay=0.5)
    before = backbone.fc.weight.detach().clone()
    backbone(images(4, dtype=torch.float32)).square().sum().backward()
    optimizer.step()
    assert torch.equal(backbone.features.weight, torch.ones(6))
    assert not torch.equal(backbone.fc.weight, before)
