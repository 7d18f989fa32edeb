"""SFace."""

import math

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import SFace
from tests.model.head.material import assert_close, assert_textbook


def test_textbook() -> None:
    """As zhongyy/SFace, SFace_torch/head/metrics.py: sigmoids of the angles, outside the gradient."""

    def constrained(logits: list[Tensor], label: int) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for j, logit in enumerate(logits):
            theta = math.acos(float(logit.detach()) / 8.0)
            if j == label:
                total = total - logit / (1.0 + math.exp(-5.0 * (theta - 0.9)))
            else:
                total = total + logit / (1.0 + math.exp(5.0 * (theta - 1.3)))
        return total

    head = SFace(8.0, 5.0, 0.9, 1.3)
    assert_textbook(head, lambda theta, own, row: torch.cos(theta), lambda feature: 8.0, constrained)


def test_who_is_moved() -> None:
    """With the defaults: rows within 0.8 of their class rest, classes beyond 1.23 rest; at the bounds, half of 64."""
    head = SFace()
    angles = torch.tensor([0.5, 0.8, 1.23, 1.6], dtype=torch.float64)
    z = (64.0 * torch.cos(angles)).requires_grad_()
    head.positive(z, None).sum().backward()
    assert z.grad.tolist() == pytest.approx([0.0, -0.5, -1.0, -1.0], abs=1e-9)
    assert head.slope(z.detach(), None).tolist() == pytest.approx([1.0, 1.0, 0.5, 0.0], abs=1e-9)


def test_slope_is_the_derivative_of_negative() -> None:
    head = SFace(k=7.0)
    z = torch.linspace(-64, 64, 41, dtype=torch.float64, requires_grad=True)
    head.negative(z, None).sum().backward()
    assert_close(head.slope(z.detach(), None), z.grad, 1e-14)


def test_a_loss_below_zero_is_no_fault() -> None:
    """A row at half a right angle from its class, with no other class about."""
    classifier = PlainClassifier(SFace(a=math.pi / 4), 2, 1)
    classifier.w.data.copy_(torch.tensor([[1.0], [1.0]]))
    loss = classifier(torch.tensor([[3.0, 0.0]]), torch.tensor([0]))
    assert loss.item() == pytest.approx(-64.0 * 0.5 * math.cos(math.pi / 4), rel=1e-4)


@pytest.mark.parametrize("arguments", [{"k": 0.0}, {"a": -0.1}, {"b": 4.0}, {"s": 0.0}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"SFace: {next(iter(arguments))} must be"):
        SFace(**arguments)
