"""P2SGrad."""

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import P2SGrad
from tests.model.head.material import assert_close, assert_textbook, problem


def test_textbook() -> None:
    def half_squares(logits: list[Tensor], label: int) -> Tensor:
        return sum((logit - float(j == label)) ** 2 for j, logit in enumerate(logits)) / 2

    assert_textbook(P2SGrad(), lambda theta, own, row: torch.cos(theta), lambda feature: 1.0, half_squares)


def test_the_gradient_is_the_papers() -> None:
    """Each pair pulls by its similarity minus what it should be, along the gradient of the cosine."""
    x, w, y = problem()
    expected = torch.zeros_like(x)
    for i in range(len(x)):
        for j in range(5):
            u, v = x[i] / x[i].norm(), w[:, j] / w[:, j].norm()
            cos = u @ v
            expected[i] += (cos - float(j == y[i])) * (v - cos * u) / x[i].norm() / len(x)
    classifier = PlainClassifier(P2SGrad(), 4, 5).double()
    classifier.w.data.copy_(w)
    classifier(feature := x.clone().requires_grad_(), y).backward()
    assert_close(feature.grad, expected, 1e-12)


def test_a_mean_squared_error() -> None:
    """nii-yamagishilab/project-NN-Pytorch-scripts, core_modules/p2sgrad.py has the mean over rows and classes of the
    squares: the same direction, 2 / C times as long."""
    x, w, y = problem()
    cos = (x / x.norm(dim=1, keepdim=True)) @ (w / w.norm(dim=0))
    error = torch.nn.functional.mse_loss(cos, torch.nn.functional.one_hot(y, 5).double())
    classifier = PlainClassifier(P2SGrad(), 4, 5).double()
    classifier.w.data.copy_(w)
    assert classifier(x, y).item() == pytest.approx(error.item() * 5 / 2, rel=1e-12)


def test_slope_is_the_derivative_of_negative() -> None:
    z = torch.linspace(-1, 1, 9, dtype=torch.float64, requires_grad=True)
    P2SGrad().negative(z, None).sum().backward()
    assert torch.equal(P2SGrad().slope(z.detach(), None), z.grad)


def test_bad_arguments() -> None:
    with pytest.raises(UserError, match="P2SGrad: normalise must be one of"):
        P2SGrad(normalise="no")
