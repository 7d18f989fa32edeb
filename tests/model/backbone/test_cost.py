"""Costs against counts on paper."""

import pytest
import torch
from torch import nn

from opensphere.model.backbone.cost import count
from tests.model.backbone.material import build, images

# the table of SphereFace, at an eighth of the channels and images of 32 x 32
CHANNELS, SIDES = [3, 8, 16, 32, 64], [32, 16, 8, 4, 2]
UNITS = {4: (0, 0, 0, 0), 20: (1, 2, 4, 1)}


@pytest.mark.parametrize("name", ["sfnet4", "sfnet20", "sfnet20_deprecated"])
def test_sfnet_flops(name: str) -> None:
    depth = 4 if name == "sfnet4" else 20
    macs = 64 * 2 * 2 * 6
    for stage, units in enumerate(UNITS[depth]):
        inputs, outputs, pixels = CHANNELS[stage], CHANNELS[stage + 1], SIDES[stage + 1] ** 2
        macs += pixels * 9 * (inputs * outputs + 2 * units * outputs * outputs)
    assert count(build(name)).flops == 2 * macs


def test_published_size_of_sfnet20() -> None:
    """SFNet-20 at 112 x 112 with 512 features: 24.5 million weights, 2.04 billion multiply-adds."""
    macs, weights = 25088 * 512, 25088 * 512 + 512
    for inputs, outputs, side, units in ((3, 64, 56, 1), (64, 128, 28, 2), (128, 256, 14, 4), (256, 512, 7, 1)):
        here = 9 * (inputs * outputs + 2 * units * outputs * outputs)
        macs += side * side * here
        weights += here + (1 + 2 * units) * outputs
    cost = count(build("sfnet20", out_channel=512, input_size=112, width=1.0))
    assert cost.flops == 2 * macs and cost.parameters == weights


def test_iresnet_flops() -> None:
    macs = 32 * 32 * 9 * 3 * 8 + 64 * 2 * 2 * 6
    inputs, side = 8, 32
    for channels in (8, 16, 32, 64):
        macs += side**2 * 9 * inputs * channels  # the first convolution of a stage is at the size before
        side //= 2
        macs += side**2 * (9 * channels * channels + inputs * channels + 2 * 9 * channels * channels)
        inputs = channels
    assert count(build("iresnet18")).flops == 2 * macs


def test_mobilefacenet_flops() -> None:
    """Depthwise convolutions count one input channel for each output channel."""
    narrow, wide, last = 16, 32, 64
    macs = 16**2 * (9 * 3 * narrow + 9 * 2 * narrow)
    macs += 16**2 * narrow * narrow + 8**2 * (9 * narrow + narrow * narrow)
    macs += 4 * 8**2 * (2 * narrow * narrow + 9 * narrow)
    macs += 8**2 * narrow * wide + 4**2 * (9 * wide + wide * wide)
    macs += 6 * 4**2 * (2 * wide * wide + 9 * wide)
    macs += 4**2 * wide * last + 2**2 * (9 * last + last * wide)
    macs += 2 * 2**2 * (2 * wide * wide + 9 * wide)
    macs += 2**2 * wide * last + 2**2 * last + last * 6
    assert count(build("mobilefacenet")).flops == 2 * macs


@pytest.mark.parametrize(
    ("name", "norm_layer", "each_down", "each_unit"),
    [
        ("sfnet20", None, 1, 2),  # a ReLU in place leaves one tensor, which the next convolution keeps too
        ("sfnet20_deprecated", None, 1, 3),  # the last ReLU's result and its sum with the identity
        ("sfnet20", "BatchNorm2d", 2, 4),  # what the normalisation was given, besides
    ],
)
def test_activation_bytes(name: str, norm_layer: str | None, each_down: int, each_unit: int) -> None:
    numbers = 3 * 32 * 32 + (6 if norm_layer else 0)
    for stage, units in enumerate(UNITS[20]):
        numbers += CHANNELS[stage + 1] * SIDES[stage + 1] ** 2 * (each_down + units * each_unit)
    backbone = build(name, **({"norm_layer": norm_layer} if norm_layer else {}))
    assert count(backbone).activation_bytes == 4 * numbers
    assert count(backbone.half()).activation_bytes == 4 * numbers, "float32 whatever the weights are"


@pytest.mark.parametrize("name", ["sfnet10", "iresnet18"])
def test_parameters_are_learnt_or_fixed_numbers(name: str) -> None:
    backbone = build(name)
    assert count(backbone).parameters == sum(parameter.numel() for parameter in backbone.parameters())
    grown = build(name, out_channel=7)
    one_more = grown.fc.in_features + 1 + (2 if name == "iresnet18" else 0)
    assert count(grown).parameters - count(backbone).parameters == one_more


def test_counting_leaves_no_trace() -> None:
    backbone = build("sfnet10", norm_layer="BatchNorm2d", dropout=0.5).train()
    backbone.layer1.eval()
    modes = [module.training for module in backbone.modules()]
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    random = torch.get_rng_state()
    count(backbone)
    assert torch.equal(torch.get_rng_state(), random)
    assert [module.training for module in backbone.modules()] == modes
    after = backbone.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(parameter.grad is None and parameter.device.type == "cpu" for parameter in backbone.parameters())
    backbone(images(2, dtype=torch.float32)).sum().backward()
    assert any(module.weight.grad is not None for module in backbone.modules() if isinstance(module, nn.Conv2d))


@pytest.mark.slow
def test_counting_is_free_of_the_mode_it_finds() -> None:
    backbone = build("iresnet18", dropout=0.5)
    assert count(backbone.eval()) == count(backbone.train())
    with torch.no_grad():
        assert count(backbone) == count(backbone.eval()) and count(backbone).activation_bytes > 0
    mask = count(backbone).activation_bytes - count(build("iresnet18")).activation_bytes
    assert mask > 0, "what a dropout keeps is for training only, and counts"
