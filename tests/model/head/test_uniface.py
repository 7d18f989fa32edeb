"""UniFace."""

import math

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import UniFace
from tests.model.head.material import assert_close, assert_textbook, problem


def test_textbook() -> None:
    head = UniFace(5, s=8.0, m=0.3, l=0.6)
    b = math.log(50.0)

    def binary(logits: list[Tensor], label: int) -> Tensor:
        own = torch.log(1 + torch.exp(b - logits[label]))
        return own + 0.6 * sum(torch.log(1 + torch.exp(logit - b)) for j, logit in enumerate(logits) if j != label)

    head.bias.data = head.bias.data.double().fill_(b)
    value = lambda theta, own, row: torch.cos(theta) - 0.3 if own else torch.cos(theta)  # noqa: E731
    assert_textbook(head, value, lambda feature: 8.0, binary)


def published(x: Tensor, w: Tensor, y: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """The sums of CVI-SZU/UniFace, head.py, and the largest size of a logit, which it clamps to at most s."""
    cos = torch.nn.functional.normalize(x) @ torch.nn.functional.normalize(w, dim=0)
    own = torch.nn.functional.one_hot(y, 5).bool()
    z = torch.where(own, 20.0 * (cos - 0.2), 20.0 * cos) - bias
    held = z.clamp(-20.0, 20.0)
    loss = torch.where(own, torch.log(1 + torch.exp(-held)), torch.log(1 + torch.exp(held)))
    return loss.sum(1).mean(), z.abs().max()


def test_published_code() -> None:
    """Where no logit is beyond its clamp, loss and gradients are the authors'; the bias has one too."""
    x, w, y = problem()
    head = UniFace(5, s=20.0, m=0.2)
    classifier = PlainClassifier(head, 4, 5).double()
    classifier.w.data.copy_(w)
    head.bias.data.fill_(0.1)
    x[1] = w[:, y[1]]  # was opposite its class
    feature, bias = x.clone().requires_grad_(), torch.tensor([0.1], dtype=torch.float64, requires_grad=True)
    expected, largest = published(feature, w, y, bias)
    assert largest < 20.0
    expected.backward()
    loss = classifier(own := x.clone().requires_grad_(), y)
    loss.backward()
    assert_close(loss.detach(), expected.detach())
    assert_close(own.grad, feature.grad)
    assert_close(head.bias.grad, bias.grad)


def test_the_worst_rows_keep_their_gradient() -> None:
    """Opposite its class a row has a logit of -64 - 0.4 * 64 - b, beyond the authors' clamp."""
    head = UniFace(85_742)
    z = torch.tensor([-64.0 * 1.4 - head.bias.item()], requires_grad=True)
    head.positive(z, None).sum().backward()
    assert z.grad.item() == -1.0


def test_the_initial_bias() -> None:
    assert UniFace(85_742).bias.item() == pytest.approx(math.log(857_420))
    assert set(PlainClassifier(UniFace(5), 4, 5).state_dict()) == {"w", "bias"}


def test_slope_is_the_derivative_of_negative() -> None:
    head = UniFace(5, l=0.7)
    z = torch.linspace(-60, 60, 41, dtype=torch.float64, requires_grad=True)
    head.negative(z, None).sum().backward()
    assert_close(head.slope(z.detach(), None), z.grad, 1e-14)


@pytest.mark.parametrize("arguments", [{"m": -0.1}, {"l": 0.0}, {"s": 0.0}, {"num_class": 0}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"UniFace: {next(iter(arguments))} must be"):
        UniFace(**({"num_class": 5} | arguments))
