"""SphereFace-R: three normalisations, three margins."""

import math

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import SphereFaceR_H, SphereFaceR_N, SphereFaceR_S
from tests.model.head.material import (
    assert_golden,
    assert_textbook,
    cross_entropy,
    golden_parameters,
    mirrored,
    problem,
)

KINDS = ("v0", "v1", "v2")


def textbook(kind: str, m: float):
    def value(theta: Tensor, own: bool, row: int) -> Tensor:
        if kind == "v0" and own:
            return mirrored(m * theta)
        if kind == "v1" and own:
            return torch.cos(m * theta) if m * theta < math.pi else theta * 0.0 - 1.0
        if kind == "v2" and not own:
            return torch.cos(theta / m)
        return torch.cos(theta)

    return value


def length(feature: Tensor) -> Tensor:
    return torch.sqrt((feature**2).sum())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name, head", [("hard", SphereFaceR_H), ("soft", SphereFaceR_S), ("none", SphereFaceR_N)])
def test_golden(name: str, head: type, kind: str) -> None:
    case = f"sphereface_r_{name}_{kind}"
    assert_golden(case, head(**golden_parameters(case)))


@pytest.mark.parametrize("gradient", ["detached", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_textbook_hard(kind: str, gradient: str) -> None:
    head = SphereFaceR_H(kind, 12.0, 1.8, 50.0, gradient, "in_graph")
    assert_textbook(
        head,
        textbook(kind, 1.8),
        lambda feature: 12.0,
        lambda logits, label: 50.0 / 12.0 * cross_entropy(logits, label),
    )


@pytest.mark.parametrize("gradient", ["detached", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_textbook_none(kind: str, gradient: str) -> None:
    head = SphereFaceR_N(kind, 0.3, [0, 0, 5], 2.0, gradient, "in_graph")
    assert_textbook(head, textbook(kind, 1.6), length, lambda logits, label: 2.0 * cross_entropy(logits, label))


@pytest.mark.parametrize("gradient", ["detached", "full"])
@pytest.mark.parametrize("kind", KINDS)
def test_textbook_soft(kind: str, gradient: str) -> None:
    head = SphereFaceR_S(kind, 6.0, 0.5, [0], 0.2, 50.0, gradient, "in_graph")
    assert_textbook(
        head,
        textbook(kind, 1.5),
        length,
        lambda logits, label: 50.0 / 6.0 * cross_entropy(logits, label),
        lambda x, unit_w, y: sum(0.2 * torch.abs(length(feature) - 6.0) for feature in x) / len(x),
    )


@pytest.mark.parametrize("make", [SphereFaceR_N, SphereFaceR_S])
def test_the_margin_grows_after_its_steps(make: type) -> None:
    head = make(dm=0.5, steps=[1, 3])
    like = torch.zeros(1, dtype=torch.float64)
    assert [float(head.prepare(like + 1, like, like).m) for _ in range(5)] == [1.0, 1.5, 1.5, 2.0, 2.0]


def test_the_counter_is_saved_and_stands_still_in_evaluation() -> None:
    x, _, y = problem()
    classifier = PlainClassifier(SphereFaceR_S(dm=0.5, steps=[1]), 4, 5).double()
    for _ in range(3):
        classifier(x, y)
    state = classifier.state_dict()
    assert int(state["margin.iter"]) == 3 and "margin.steps" not in state
    restored = PlainClassifier(SphereFaceR_S(dm=0.5, steps=[1]), 4, 5).double()
    restored.load_state_dict(state)
    restored.eval()
    classifier.eval()
    assert torch.equal(restored(x, y), classifier(x, y))  # the margin of iteration 3, which has not moved
    assert int(restored.head.margin.iter) == 3
    fresh = PlainClassifier(SphereFaceR_S(dm=0.5, steps=[1]), 4, 5).double().eval()
    fresh.w.data.copy_(classifier.w)
    assert not torch.equal(fresh(x, y), classifier(x, y))  # so the counter did matter


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"magn_type": "v3"}, "magn_type must be one of v0, v1, v2"),
        ({"dm": -0.1}, "dm"),
        ({"lw": 0}, "lw"),
        ({"steps": [0.5]}, "steps must be a list"),
        ({"steps": 3}, "steps must be a list"),
    ],
)
def test_bad_arguments(arguments: dict, word: str) -> None:
    with pytest.raises(UserError, match=word):
        SphereFaceR_N(**arguments)
