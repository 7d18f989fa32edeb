"""SFNet against its published layout and a recomputation from its weights."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opensphere.error import UserError
from opensphere.model.backbone.sfnet import SFNet
from tests.model.backbone.material import build, images, norm_keys, shapes, unsettle

# SphereFace (Liu et al. 2017), table 2: units of two convolutions in each stage
TABLE = {4: (0, 0, 0, 0), 10: (0, 1, 2, 0), 20: (1, 2, 4, 1), 36: (2, 4, 8, 2), 64: (3, 8, 16, 3)}

# OpenSphere's model/backbone/sfnet.py and sfnet_deprecated.py, read key by key: SFNet-10's convolutions
CONVS10 = [
    ("layer1.0.conv1", 64, 3),
    ("layer2.0.conv1", 128, 64),
    ("layer2.1.conv1", 128, 128),
    ("layer2.1.conv2", 128, 128),
    ("layer3.0.conv1", 256, 128),
    ("layer3.1.conv1", 256, 256),
    ("layer3.1.conv2", 256, 256),
    ("layer3.2.conv1", 256, 256),
    ("layer3.2.conv2", 256, 256),
    ("layer4.0.conv1", 512, 256),
]


@pytest.mark.parametrize("name", ["sfnet10", "sfnet10_deprecated"])
def test_published_keys_without_norm(name: str) -> None:
    expected = {"fc.weight": (512, 512 * 7 * 7), "fc.bias": (512,)}
    for key, outputs, inputs in CONVS10:
        expected |= {f"{key}.weight": (outputs, inputs, 3, 3), f"{key}.bias": (outputs,)}
    assert shapes(build(name, out_channel=512, input_size=112, width=1.0)) == expected


def test_published_keys_with_norm() -> None:
    expected = {"fc.weight": (512, 512 * 7 * 7), "fc.bias": (512,)} | norm_keys("features", 512)
    for key, outputs, inputs in CONVS10:
        expected[f"{key}.weight"] = (outputs, inputs, 3, 3)
        expected |= norm_keys(key.replace("conv", "bn"), outputs)
    for norm_layer in ("BatchNorm2d", nn.BatchNorm2d):
        backbone = build("sfnet10", out_channel=512, input_size=112, width=1.0, norm_layer=norm_layer)
        assert shapes(backbone) == expected
        assert backbone.features.weight.requires_grad


@pytest.mark.parametrize("depth", TABLE)
@pytest.mark.parametrize("suffix", ["", "_deprecated"])
def test_depth(depth: int, suffix: str) -> None:
    """The name counts convolutions and the last layer; every stage has its units."""
    backbone = build(f"sfnet{depth}{suffix}")
    stages = [backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4]
    assert tuple(len(stage) - 1 for stage in stages) == TABLE[depth]
    convs = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    assert len(convs) == depth if depth == 4 else len(convs) + 1 in (depth, depth + 1)
    assert len(convs) == 4 + 2 * sum(TABLE[depth])


@pytest.mark.parametrize("norm_layer", [None, "BatchNorm2d"])
@pytest.mark.parametrize("depth", [4, 20])
def test_number_of_parameters(depth: int, norm_layer: str | None) -> None:
    channels = [3, 64, 128, 256, 512]
    expected = 512 * 7 * 7 * 512 + 512 + (2 * 512 if norm_layer else 0)
    for stage, count in enumerate(TABLE[depth]):
        inputs, outputs = channels[stage : stage + 2]
        beside = 2 * outputs if norm_layer else outputs  # scale and shift, or the bias
        expected += 9 * inputs * outputs + beside + count * 2 * (9 * outputs * outputs + beside)
    backbone = build(f"sfnet{depth}", out_channel=512, input_size=112, width=1.0, norm_layer=norm_layer)
    assert sum(parameter.numel() for parameter in backbone.parameters()) == expected


def recompute(state: dict[str, Tensor], x: Tensor, depth: int, deprecated: bool, norm: bool, training: bool) -> Tensor:
    """The network written out once more, from the state dict alone."""

    def normed(x: Tensor, key: str) -> Tensor:
        if not norm:
            return x
        mean, var = state[f"{key}.running_mean"].clone(), state[f"{key}.running_var"].clone()
        return F.batch_norm(x, mean, var, state[f"{key}.weight"], state[f"{key}.bias"], training, eps=1e-5)

    def conv(x: Tensor, block: str, number: int, stride: int = 1) -> Tensor:
        key = f"{block}.conv{number}"
        x = F.conv2d(x, state[f"{key}.weight"], state.get(f"{key}.bias"), stride=stride, padding=1)
        return normed(x, f"{block}.bn{number}")

    for stage, count in enumerate(TABLE[depth], start=1):
        x = torch.clamp(conv(x, f"layer{stage}.0", 1, stride=2), min=0)
        for unit in range(1, count + 1):
            branch = torch.clamp(conv(x, f"layer{stage}.{unit}", 1), min=0)
            branch = conv(branch, f"layer{stage}.{unit}", 2)
            x = x + torch.clamp(branch, min=0) if deprecated else torch.clamp(x + branch, min=0)
    return normed(x.reshape(len(x), -1) @ state["fc.weight"].T + state["fc.bias"], "features")


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("name", "norm_layer"), [("sfnet20", None), ("sfnet20", "BatchNorm2d"), ("sfnet20_deprecated", None)]
)
def test_forward_is_the_published_one(name: str, norm_layer: str | None, training: bool) -> None:
    backbone = unsettle(build(name, **({"norm_layer": norm_layer} if norm_layer else {}))).train(training)
    state = {key: value.clone() for key, value in backbone.state_dict().items()}
    batch = images(4)
    features = backbone(batch)
    deprecated = name.endswith("deprecated")
    expected = recompute(state, batch, 20, deprecated, norm_layer is not None, training)
    torch.testing.assert_close(features, expected, rtol=1e-9, atol=1e-12)
    other = recompute(state, batch, 20, not deprecated, norm_layer is not None, training)
    assert (features - other).abs().max() > 1e-3 * features.abs().max(), "the place of the ReLU made no difference"


def test_prelu_has_slopes_for_each_channel() -> None:
    backbone = unsettle(build("sfnet10", activation="prelu")).eval()
    slopes = {key: shape for key, shape in shapes(backbone).items() if ".act" in key}
    units = [key.replace("conv", "act") for key, _, _ in CONVS10]
    assert slopes == {f"{key}.weight": (outputs // 8,) for key, (_, outputs, _) in zip(units, CONVS10, strict=True)}
    plain = build("sfnet10").double().eval()
    plain.load_state_dict({key: value for key, value in backbone.state_dict().items() if key not in slopes})
    batch = images(2)
    assert not torch.allclose(backbone(batch), plain(batch))
    with torch.no_grad():
        for module in backbone.modules():
            if isinstance(module, nn.PReLU):
                module.weight.zero_()  # a PReLU of slope 0 is a ReLU
    torch.testing.assert_close(backbone(batch), plain(batch))


@pytest.mark.parametrize("name", ["sfnet20", "sfnet20_deprecated"])
def test_initial_weights(name: str) -> None:
    """Kaiming-normal over the outputs, or Xavier-normal: the standard deviation of each large convolution."""
    checked = 0
    for key, module in build(name, width=0.5).named_modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 5000:
            inputs, outputs = module.in_channels, module.out_channels
            fan = (inputs + outputs) if name.endswith("deprecated") else outputs
            expected = math.sqrt(2 / (9 * fan))
            assert module.weight.std().item() == pytest.approx(expected, rel=0.05), key
            assert abs(module.weight.mean().item()) < 0.05 * expected, key
            largest = module.weight.abs().max().item()
            assert 3 * expected < largest < 8 * expected, f"{key}: no normal distribution"
            checked += 1
    assert checked == 19


@pytest.mark.parametrize("norm_layer", ["batchnorm2d", "LayerNorm", "", True, 1, nn.LayerNorm])
def test_unknown_norm(norm_layer: object) -> None:
    with pytest.raises(UserError, match="norm_layer: .* is not known; give BatchNorm2d"):
        build("sfnet4", norm_layer=norm_layer)


def test_unknown_activation() -> None:
    with pytest.raises(UserError, match="activation: 'gelu' is not known; give relu or prelu"):
        build("sfnet4", activation="gelu")


def test_constructors_pass_on_what_they_are_given() -> None:
    backbone = build("sfnet36", norm_layer="BatchNorm2d", dropout=0.25, activation="prelu", input_size=(32, 16))
    assert isinstance(backbone, SFNet)
    assert backbone.dropout.p == 0.25 and backbone.map_size == (2, 1) and backbone.fc.in_features == 64 * 2
    assert isinstance(backbone.layer1[0].act1, nn.PReLU) and isinstance(backbone.layer1[0].bn1, nn.BatchNorm2d)
