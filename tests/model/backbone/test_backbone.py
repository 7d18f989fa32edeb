"""What holds for every network of the registry."""

import inspect
import math

import pytest
import torch

from opensphere.error import UserError
from opensphere.model import backbone as backbones
from opensphere.model.backbone.backbone import parse_input_size, scale_channels
from tests.model.backbone.material import build, images, unsettle

SHALLOW = ["iresnet18", "mobilefacenet", "sfnet10", "sfnet10_deprecated"]
VARIANTS = [(name, {}) for name in SHALLOW] + [
    ("sfnet10", {"norm_layer": "BatchNorm2d", "dropout": 0.3}),
    ("sfnet10", {"norm_layer": "BatchNorm2d", "activation": "prelu"}),
    ("iresnet18", {"dropout": 0.3}),
]


@pytest.mark.parametrize("name", backbones.__all__)
def test_builds_and_runs_at_112(name: str) -> None:
    backbone = build(name, input_size=112).eval()
    with torch.inference_mode():
        features = backbone(images(2, (112, 112), torch.float32))
    assert features.shape == (2, 6) and features.isfinite().all()
    assert backbone.feat_dim == 6 and backbone.input_size == (112, 112)


@pytest.mark.parametrize("name", SHALLOW)
@pytest.mark.parametrize("size", [64, 96, 128, (112, 96), [32, 48]])
def test_other_sizes(name: str, size: int | list[int]) -> None:
    height, width = (size, size) if isinstance(size, int) else size
    backbone = build(name, input_size=size, out_channel=2)
    assert backbone.input_size == (height, width)
    assert backbone(images(2, (height, width), torch.float32)).shape == (2, 2)


@pytest.mark.parametrize("name", backbones.__all__)
def test_signature_is_a_schema(name: str) -> None:
    parameters = inspect.signature(getattr(backbones, name)).parameters
    kinds = {parameter.kind for parameter in parameters.values()}
    assert kinds == {inspect.Parameter.POSITIONAL_OR_KEYWORD}
    assert parameters["out_channel"].default == 512 and parameters["input_size"].default == 112
    assert parameters["width"].default == 1.0
    assert all(parameter.annotation is not inspect.Parameter.empty for parameter in parameters.values())


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_memory_format_changes_nothing(name: str, arguments: dict) -> None:
    backbone = unsettle(build(name, **arguments)).eval()
    batch = images(3)
    expected = backbone(batch)
    assert expected.std() > 1e-6
    backbone = backbone.to(memory_format=torch.channels_last)
    torch.testing.assert_close(backbone(batch.to(memory_format=torch.channels_last)), expected, rtol=1e-9, atol=1e-12)
    rows_last = batch.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # how batches arrive from uint8 images
    torch.testing.assert_close(backbone(rows_last), expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_gradients_reach_every_weight(name: str, arguments: dict) -> None:
    backbone = build(name, input_size=48, **arguments).train()
    batch = images(8, (48, 48), torch.float32)
    before = batch.clone()
    weights = torch.linspace(-1, 2, 6)
    (backbone(batch) * weights).square().sum().backward()
    assert torch.equal(batch, before), "the images were edited"
    fixed = [key for key, parameter in backbone.named_parameters() if not parameter.requires_grad]
    assert fixed == (["features.weight"] if name.startswith("iresnet") else [])
    for key, parameter in backbone.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None and parameter.grad.isfinite().all(), key
            assert parameter.grad.abs().sum() > 0, key


@pytest.mark.parametrize(("name", "arguments"), VARIANTS)
def test_gradients_are_those_of_finite_differences(name: str, arguments: dict) -> None:
    """An edit in place that broke a derivative would show here."""
    backbone = unsettle(build(name, input_size=16, **arguments)).eval()
    batch = images(2, (16, 16)).requires_grad_()
    backbone(batch).sum().backward()
    assert batch.grad is not None
    direction = batch.grad / batch.grad.norm()
    step = 1e-7
    with torch.no_grad():
        rise = (backbone(batch + step * direction).sum() - backbone(batch - step * direction).sum()) / (2 * step)
    assert rise.item() == pytest.approx(batch.grad.norm().item(), rel=1e-4)


@pytest.mark.parametrize("name", SHALLOW)
def test_same_seed_same_weights(name: str) -> None:
    first, second = build(name).state_dict(), build(name).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    torch.manual_seed(1)
    other = getattr(backbones, name)(out_channel=6, input_size=32, width=0.125).state_dict()
    assert any(not torch.equal(first[key], other[key]) for key in first)


@pytest.mark.parametrize("name", SHALLOW)
def test_features_are_computed_in_full_precision(name: str) -> None:
    """Under autocast the maps are bfloat16; the last layer takes them as they are and keeps float32."""
    backbone = build(name).eval()
    last = backbone.features if name == "mobilefacenet" else backbone.fc
    seen = []
    last.register_forward_hook(lambda module, arguments, result: seen.append((arguments[0], result)))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = backbone(images(2, dtype=torch.float32))
        assert torch.mm(features, features.T).dtype == torch.bfloat16, "autocast goes on behind it"
    (entered, left) = seen[0]
    assert entered.dtype == left.dtype == features.dtype == torch.float32
    assert torch.equal(entered, entered.bfloat16().float()), "the maps came in bfloat16"
    torch.testing.assert_close(left, last(entered))
    assert not torch.equal(left, left.bfloat16().float())


@pytest.mark.parametrize("name", SHALLOW)
def test_half_precision_weights(name: str) -> None:
    """A network that was cast whole stays in its type."""
    features = build(name).eval().bfloat16()(images(2, dtype=torch.bfloat16))
    assert features.dtype == torch.bfloat16 and features.isfinite().all()


@pytest.mark.parametrize("name", SHALLOW)
@pytest.mark.parametrize("shape", [(2, 3, 32, 48), (2, 1, 32, 32), (3, 32, 32), (2, 32, 32, 3)])
def test_other_images_are_named(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"built for images \(B, 3, 32, 32\), got .*input_size") as caught:
        build(name)(torch.zeros(shape))
    assert str(shape) in str(caught.value)


@pytest.mark.parametrize("size", [0, -16, 8, 100, 111, (112, 100), (8, 112)])
def test_sizes_that_do_not_halve(size: int | tuple[int, int]) -> None:
    for name in SHALLOW:
        with pytest.raises(UserError, match="input_size: .* cannot be halved four times; give multiples of 16"):
            build(name, input_size=size)


@pytest.mark.parametrize("size", [True, 112.0, "112", (112,), (112, 112, 3), (112, 96.0), None])
def test_sizes_that_are_none(size: object) -> None:
    with pytest.raises(UserError, match=r"input_size: .* is no size; give a whole number or \[height, width\]"):
        parse_input_size(size)  # type: ignore[arg-type]


@pytest.mark.parametrize("out_channel", [0, -2, 2.0, True, None])
def test_lengths_that_cannot_be(out_channel: object) -> None:
    for name in SHALLOW:
        with pytest.raises(UserError, match="out_channel: .* whole number from 1"):
            build(name, out_channel=out_channel)


@pytest.mark.parametrize("width", [0, -1.0, math.inf, math.nan, "half"])
def test_widths_that_cannot_be(width: object) -> None:
    for name in SHALLOW:
        with pytest.raises(UserError, match="width: .* above 0"):
            build(name, width=width)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 2, math.nan, None])
def test_dropouts_that_cannot_be(dropout: object) -> None:
    for name in ("iresnet18", "sfnet10"):
        with pytest.raises(UserError, match="dropout: .* from 0 to below 1"):
            build(name, dropout=dropout)


def test_scaled_channels() -> None:
    assert [scale_channels(64, width) for width in (1, 0.5, 0.13, 0.01, 1.5)] == [64, 32, 8, 8, 96]
    assert scale_channels(100, 0.333) == 33


@pytest.mark.parametrize("name", ["sfnet10", "iresnet18"])
def test_dropout_stands_before_the_last_layer(name: str) -> None:
    backbone = build(name, dropout=0.5, **({"activation": "prelu"} if name == "sfnet10" else {}))  # no zeros of ReLU
    seen = []
    backbone.fc.register_forward_hook(lambda module, arguments, result: seen.append(arguments[0]))
    with torch.no_grad():
        backbone.train()(images(4, dtype=torch.float32))
        backbone.eval()(images(4, dtype=torch.float32))
    share = [(flat == 0).float().mean().item() for flat in seen]
    assert share[0] == pytest.approx(0.5, abs=0.1) and share[1] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "millions"),
    # the counts for InsightFace's networks as commonly reported; those of SFNet are recomputed in test_sfnet.py
    [("iresnet18", 24.0), ("iresnet34", 34.1), ("iresnet50", 43.6), ("iresnet100", 65.2), ("sfnet64", 50.0)],
)
def test_full_size(name: str, millions: float) -> None:
    backbone = build(name, out_channel=512, input_size=112, width=1.0).train()  # fresh statistics fit no deep network
    assert sum(parameter.numel() for parameter in backbone.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
    with torch.inference_mode():
        features = backbone(images(2, (112, 112), torch.float32))
    assert features.shape == (2, 512) and features.isfinite().all()
