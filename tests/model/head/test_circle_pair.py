"""CirclePairLoss."""

import math

import pytest
import torch

from opensphere.error import UserError
from opensphere.model.head import CirclePairLoss
from tests.model.head.material import assert_close


@pytest.mark.parametrize("m, gamma", [(0.25, 20.0), (0.4, 5.0)])
def test_textbook(m: float, gamma: float) -> None:
    """Eq. 6 term by term, its weights as constants; the last row has no positive and is left out."""
    y = torch.tensor([0, 1, 0, 2, 1, 0, 2, 3])
    start = torch.randn(8, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results = []
    for textbook in (False, True):
        x = start.clone().requires_grad_()
        if textbook:
            u = [row / torch.sqrt((row**2).sum()) for row in x]
            anchors = []
            for i in range(7):
                push = pull = torch.zeros((), dtype=torch.float64)
                for j in range(8):
                    s = (u[i] * u[j]).sum()
                    if y[i] != y[j]:
                        push = push + torch.exp(gamma * max(s.item() + m, 0.0) * (s - m))
                    elif i != j:
                        pull = pull + torch.exp(-gamma * max(1.0 + m - s.item(), 0.0) * (s - (1.0 - m)))
                anchors.append(torch.log(1.0 + push * pull))
            loss = sum(anchors) / len(anchors)
        else:
            loss = CirclePairLoss(m, gamma)(x, y)
        loss.backward()
        results.append((loss.detach(), x.grad))
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, 1e-12)


def test_the_gradient_of_the_papers_equation_10() -> None:
    """With one negative, dL/ds_n = Z gamma (s_n + m), Z = 1 - exp(-L), for s_n the cosine of plane features."""
    theta = torch.tensor([0.0, 0.3, 0.9], dtype=torch.float64, requires_grad=True)
    x = torch.stack([theta.cos(), theta.sin()], dim=1)
    loss = CirclePairLoss(0.25, 8.0)(x, torch.tensor([0, 0, 1]))
    (gradient,) = torch.autograd.grad(loss, theta)
    expected = 0.0
    for anchor, positive in ((0.0, 0.3), (0.3, 0.0)):
        s_n, s_p = torch.tensor([0.9 - anchor, positive - anchor], dtype=torch.float64).cos()
        z = 8.0 * (s_n + 0.25) * (s_n - 0.25) - 8.0 * (1.25 - s_p) * (s_p - 0.75)
        expected += 0.5 * torch.sigmoid(z) * 8.0 * (s_n + 0.25) * -math.sin(0.9 - anchor)
    assert gradient[2].item() == pytest.approx(float(expected), rel=1e-12)


def test_a_large_scale_does_not_overflow() -> None:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = CirclePairLoss(0.25, 1e4)(x, torch.arange(8) % 4)
    loss.backward()
    assert loss.isfinite() and x.grad is not None and x.grad.isfinite().all()


def test_a_relaxation_above_one_is_refused() -> None:
    with pytest.raises(UserError, match="CirclePairLoss: m must be a finite number, at least 0 and at most 1; got 2"):
        CirclePairLoss(2.0)
