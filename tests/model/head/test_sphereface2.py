"""SphereFace2."""

import math

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import SphereFace2
from opensphere.model.head.head import Rows
from tests.model.head.material import assert_close, assert_golden, assert_textbook, golden_parameters, problem

MARGINS = {"C": 0.4, "A": 0.5, "M": 1.7}


def make(kind: str, num_class: int = 5, **rest) -> SphereFace2:
    return SphereFace2(num_class, kind, m=MARGINS[kind], **rest)


def textbook(kind: str, t: float):
    m = MARGINS[kind]

    def g(cos: Tensor) -> Tensor:
        return 2 * ((cos + 1) / 2) ** t - 1

    def value(theta: Tensor, own: bool, row: int) -> Tensor:
        if kind == "C":
            return g(torch.cos(theta)) - m if own else g(torch.cos(theta)) + m
        if not own:
            return g(torch.cos(theta))
        wider = theta + m if kind == "A" else m * theta
        return g(torch.cos(wider) if wider < math.pi else theta * 0.0 - 1.0)

    return value


@pytest.mark.parametrize("kind", MARGINS)
def test_golden(kind: str) -> None:
    assert_golden(f"sphereface2_{kind}", SphereFace2(37, **golden_parameters(f"sphereface2_{kind}")))


@pytest.mark.parametrize("kind", MARGINS)
@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_textbook(kind: str, gradient: str) -> None:
    head = make(kind, r=8.0, t=2.5, lw=7.0, alpha=0.6, gradient=gradient, normalise="in_graph")
    b = float(head.b.detach())

    def binary(logits: list[Tensor], label: int) -> Tensor:
        own = torch.log(1 + torch.exp(-(logits[label] + b)))
        others = sum(torch.log(1 + torch.exp(logit + b)) for j, logit in enumerate(logits) if j != label)
        return 7.0 / 8.0 * (0.6 * own + 0.4 * others)

    assert_textbook(head, textbook(kind, 2.5), lambda feature: 8.0, binary)


@pytest.mark.parametrize("kind", MARGINS)
@pytest.mark.parametrize("num_class, alpha", [(2, 0.7), (2, 0.99), (3, 0.3), (37, 0.7), (85_000, 0.7)])
def test_the_initial_bias_is_where_the_loss_is_stationary(kind: str, num_class: int, alpha: float) -> None:
    """At cosine 0 everywhere the loss of a row is a function of the bias alone; its minimum is sought numerically."""
    head = make(kind, num_class, alpha=alpha)
    value = textbook(kind, 3.0)
    right = torch.tensor(math.pi / 2, dtype=torch.float64)
    a_y, a_i = (40.0 * float(value(right, own, 0)) for own in (True, False))

    def derivative(b: float) -> float:
        return (1 - alpha) * (num_class - 1) / (1 + math.exp(-(a_i + b))) - alpha / (1 + math.exp(a_y + b))

    low, high = -200.0, 200.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if derivative(middle) < 0 else (low, middle)
    assert head.initial_bias() == pytest.approx(low, abs=1e-9)


def test_the_initial_bias_of_the_golden_cases() -> None:
    """Their bias is the initial one, which the original code computed."""
    import numpy as np

    from tests.shared import shared

    with np.load(shared("goldens/heads.npz")) as file:
        for kind in MARGINS:
            head = SphereFace2(37, **golden_parameters(f"sphereface2_{kind}"))
            assert head.initial_bias() == pytest.approx(float(file[f"sphereface2_{kind}/bias"][0]), abs=1e-6)


def test_one_class_alone_starts_at_zero() -> None:
    assert SphereFace2(1).b.item() == 0.0


@pytest.mark.parametrize("kind", MARGINS)
def test_the_initial_loss_is_sensible(kind: str) -> None:
    """For random features and centres the initial bias is near the best one, and its loss a few units."""
    torch.manual_seed(0)
    x, y = torch.randn(64, 512), torch.randint(1000, (64,))
    classifier = PlainClassifier(make(kind, 1000, lw=10.0), 512, 1000)
    start = classifier.head.b.item()
    found = {}
    with torch.no_grad():
        for bias in (start, 0.0, *(start + shift for shift in range(-8, 9, 2))):
            classifier.head.b.fill_(bias)
            found[bias] = classifier(x, y).item()
    # at most lw / r x alpha x the logistic loss of a logit of some tens
    assert found[start] < 10.0 / 40.0 * 0.7 * 50.0
    assert found[start] < found[0.0]
    assert found[start] < 1.05 * min(found.values())


def test_the_loss_of_a_row_does_not_depend_on_how_many_classes_are_certain() -> None:
    """Weights are free of C: classes with no chance add nothing."""
    x, w, y = problem()
    found = []
    for extra in (0, 50):
        head = SphereFace2(5 + extra, "A", r=200.0, m=0.1)
        classifier = PlainClassifier(head, 4, 5 + extra).double()
        head.b.data.fill_(-50.0)
        classifier.w.data[:, :5] = w
        classifier.w.data[:, 5:] = -x.mean(0)[:, None]  # on the far side
        found.append(classifier(x[:1].abs() * x.mean(0).sign(), y[:1]).item())
    assert found[0] == pytest.approx(found[1], rel=1e-6)


@pytest.mark.parametrize("alpha", [0.2, 0.9])
def test_slope_is_the_derivative_of_negative(alpha: float) -> None:
    head = SphereFace2(5, alpha=alpha)
    z = torch.linspace(-60, 60, 41, dtype=torch.float64, requires_grad=True)
    head.negative(z, None).sum().backward()
    assert_close(head.slope(z.detach(), None), z.grad, 1e-14)


def test_a_row_weighs_lw_over_r_and_the_batch() -> None:
    head = SphereFace2(5, r=20.0, lw=10.0)
    rows: Rows = head.prepare(torch.ones(4), torch.zeros(4), torch.zeros(4))
    assert rows.weight.tolist() == [0.125] * 4
    assert rows.scale.tolist() == [20.0] * 4


@pytest.mark.parametrize(
    "arguments, word",
    [
        ({"magn_type": "B"}, "magn_type must be one of C, A, M"),
        ({"alpha": 0.0}, "alpha must be .* above 0 and below 1"),
        ({"alpha": 1.0}, "alpha must be .* above 0 and below 1"),
        ({"r": 0.0}, "r must be .* above 0"),
        ({"t": 0.5}, "t must be .* at least 1"),
        ({"lw": -1.0}, "lw"),
        ({"magn_type": "M", "m": 0.4}, "m must be .* at least 1"),
    ],
)
def test_bad_arguments(arguments: dict, word: str) -> None:
    with pytest.raises(UserError, match=word):
        SphereFace2(5, **arguments)
