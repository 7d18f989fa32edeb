"""MagFace."""

import math

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import MagFace
from tests.model.head.material import assert_close, assert_golden, golden_parameters, problem


def test_golden() -> None:
    """FaceX-Zoo's code, which keeps the margin at cosines below 0."""
    given = golden_parameters("magface")
    names = {"scale": "s", "lamda": "lambda_g"}
    assert_golden("magface", MagFace(**{names.get(key, key): given[key] for key in given}, easy_margin=False))


def published(x: Tensor, w: Tensor, y: Tensor, easy_margin: bool, gradient: str) -> Tensor:
    """What IrvingMeng/MagFace computes in models/magface.py, by the sum of angles; bounds 5 and 8, margins 1 and 2."""
    a = torch.sqrt((x**2).sum(1)).clamp(5.0, 8.0)
    m = (2.0 - 1.0) / (8.0 - 5.0) * (a - 5.0) + 1.0
    cos = (x / torch.sqrt((x**2).sum(1, keepdim=True))) @ (w / torch.sqrt((w**2).sum(0)))
    cos_y = torch.stack([cos[i, label] for i, label in enumerate(y.tolist())])
    wider = cos_y * torch.cos(m) - torch.sqrt(1.0 - cos_y**2) * torch.sin(m)
    if easy_margin:
        within, beyond = cos_y > 0, cos_y
    else:
        within, beyond = cos_y > torch.cos(math.pi - m), cos_y - torch.sin(math.pi - m) * m
    assert 0 < within.sum() < len(y)
    target = torch.where(within, wider, beyond)
    if gradient == "detached":
        target = cos_y + (target - cos_y).detach()
    logits = torch.stack([torch.where(torch.arange(5) == y[i], target[i], cos[i]) for i in range(len(y))])
    return torch.nn.functional.cross_entropy(9.0 * logits, y) + 3.0 * (a / 8.0**2 + 1.0 / a).mean()


@pytest.mark.parametrize("gradient", ["detached", "full"])
@pytest.mark.parametrize("easy_margin", [True, False])
def test_published_code(easy_margin: bool, gradient: str) -> None:
    """Values, and gradients of features of all lengths: they pass through the margin and the term of the norms."""
    x, w, y = problem()
    norms = x.norm(dim=1)
    assert norms.min() < 5.0 < norms.median() < 8.0 < norms.max()
    feature, weight = x.clone().requires_grad_(), w.clone().requires_grad_()
    expected = published(feature, weight, y, easy_margin, gradient)
    expected.backward()
    head = MagFace(9.0, 5.0, 8.0, 1.0, 2.0, 3.0, easy_margin, gradient)
    classifier = PlainClassifier(head, 4, 5).double()
    classifier.w.data.copy_(w)
    loss = classifier(own := x.clone().requires_grad_(), y)
    loss.backward()
    assert_close(loss.detach(), expected.detach())
    assert_close(own.grad, feature.grad)
    assert_close(classifier.w.grad, weight.grad)


def test_margin_and_term_by_hand() -> None:
    """The margin is 0.45 at 10 and 0.8 at 110; g is 1/10 + 10/12100 at 10 and 1/110 + 1/110 at 110."""
    head = MagFace(lambda_g=20.0)
    norm = torch.tensor([1.0, 10.0, 60.0, 110.0, 500.0], dtype=torch.float64, requires_grad=True)
    rows = head.prepare(norm, torch.zeros(5, dtype=torch.float64), torch.zeros(5))
    assert_close(rows.m.detach(), torch.tensor([0.45, 0.45, 0.625, 0.8, 0.8], dtype=torch.float64), 1e-12)
    term = head.penalty(norm, rows, norm)
    g = [1 / 10 + 10 / 12100, 1 / 10 + 10 / 12100, 1 / 60 + 60 / 12100, 2 / 110, 2 / 110]
    assert term.item() == pytest.approx(20.0 * sum(g) / 5, rel=1e-12)
    (rows.m.sum() + term).backward()
    assert norm.grad[0] == norm.grad[4] == 0.0  # out of bounds
    assert norm.grad[2].item() == pytest.approx(0.0035 + 4.0 * (1 / 12100 - 1 / 3600), rel=1e-12)


def test_an_easy_margin_ends_at_a_right_angle() -> None:
    cos_y = torch.tensor([0.05, -0.05], dtype=torch.float64)
    head = MagFace()
    rows = head.prepare(torch.full((2,), 10.0, dtype=torch.float64), cos_y, torch.zeros(2))
    assert head.target(cos_y, rows).tolist() == pytest.approx([math.cos(math.acos(0.05) + 0.45), -0.05], rel=1e-12)


@pytest.mark.parametrize(
    "arguments",
    [{"l_a": 0.0}, {"u_a": 10.0}, {"l_margin": -0.1}, {"u_margin": 0.4}, {"lambda_g": -1.0}, {"gradient": "half"}],
)
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"MagFace: {next(iter(arguments))} must be"):
        MagFace(**arguments)
