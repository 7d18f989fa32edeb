"""What the heads share, and the list of them."""

import inspect

import pytest
import torch

from opensphere.error import UserError
from opensphere.model import head as heads
from opensphere.model.head.head import Head, Rows
from tests.model.head.material import HEADS

# Heads that meet classes; the others compare pairs.
CLASS_HEADS = [name for name in heads.__all__ if issubclass(getattr(heads, name), Head)]

# Where there is no choice: no margin, or one that leaves the gradient alone; nothing to normalise.
WITHOUT = {
    "gradient": ("AdaCos", "CocoLoss", "ElasticCosFace", "P2SGrad", "SFace", "SoftmaxLoss", "UniFace"),
    "normalise": ("SoftmaxLoss",),
}


def test_rows_widen_numbers_and_keep_gradients() -> None:
    cos_y = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    bias = torch.nn.Parameter(torch.tensor([0.25]))
    rows = Rows(cos_y, scale=0.1, bias=bias, margin=torch.arange(3))
    assert rows.scale.dtype == torch.float64 and rows.scale.tolist() == [0.1] * 3  # not float32's 0.1
    assert rows.weight.tolist() == [1 / 3] * 3
    assert rows.margin.dtype == torch.float64 and rows.margin.tolist() == [0.0, 1.0, 2.0]
    rows.bias.sum().backward()
    assert bias.grad is not None and bias.grad.tolist() == [3.0]


def test_columns_are_detached() -> None:
    cos_y = torch.zeros(3, requires_grad=True)
    columns = Rows(cos_y * 2.0, margin=cos_y + 1.0).beside(1)
    assert {name: tuple(value.shape) for name, value in vars(columns).items()} == dict.fromkeys(
        ("cos_y", "scale", "bias", "weight", "margin"), (3, 1)
    )
    assert not any(value.requires_grad for value in vars(columns).values())


def test_cross_entropy_keeps_its_small_values() -> None:
    """From the own logit and the others' sum, without the rounding of a softmax or the threshold of a softplus."""
    gap = torch.tensor([0.0, 25.0, 700.0, -700.0], dtype=torch.float64)
    loss = Head().loss(gap, torch.zeros(4, dtype=torch.float64), Rows(gap))
    assert loss.tolist() == pytest.approx([0.6931471805599453, 1.3887943864771144e-11, 0.0, 700.0], rel=1e-12)


@pytest.mark.parametrize("argument", ["gradient", "normalise"])
def test_choices_are_named_and_checked(argument: str) -> None:
    for name in CLASS_HEADS:
        constructor = getattr(heads, name)
        facts = {"num_class": 5} if "num_class" in inspect.signature(constructor).parameters else {}
        if argument not in inspect.signature(constructor).parameters:
            assert name in WITHOUT[argument]
            continue
        with pytest.raises(UserError, match=f"{name}: {argument} must be one of .*, got 'maybe'"):
            constructor(**facts, **{argument: "maybe"})


def test_defaults_are_those_of_the_papers_code() -> None:
    """OpenSphere's own detach and normalise in place; its CocoLoss has no margin, its GAsoftmax detaches by itself."""
    found = {name: (HEADS[name](5).gradient, HEADS[name](5).normalise) for name in HEADS}
    assert found.pop("CombinedMargin") == ("detached", "in_graph")
    assert {found.pop(name) for name in ("CocoLoss", "GAsoftmax")} == {("full", "in_place")}
    own = {name for name, choice in found.items() if choice == ("detached", "in_place")}
    assert {name.split()[0].split("_")[0] for name in own} == {
        *("ArcFace", "CosFace", "SphereFace", "SphereFace2", "SphereFacePlus", "SphereFaceR")
    }
    assert {choice for name, choice in found.items() if name not in own} == {("full", "in_graph")}


def test_the_list_names_heads_with_a_source() -> None:
    assert sorted(heads.__all__) == heads.__all__
    assert {name.split()[0] for name in HEADS} == set(CLASS_HEADS)  # the tests over all heads leave none out
    for name in heads.__all__:
        first = (getattr(heads, name).__doc__ or "").splitlines()[0]
        assert name == "SoftmaxLoss" or "et al. 20" in first, name
