"""What the losses on pairs share."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from opensphere.model import head as heads
from opensphere.model.head.head import Head
from opensphere.model.head.pair import PairHead, pairs_of, without_self

PAIR_HEADS: dict[str, Callable[[], PairHead]] = {
    "CirclePairLoss": heads.CirclePairLoss,
    "SimPLE": lambda: heads.SimPLE(feat_dim=4, bank=16),
    "SupConLoss": heads.SupConLoss,
    "TripletLoss": heads.TripletLoss,
}


def gradients(head: PairHead, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    loss = head(x, y)
    loss.backward()
    assert x.grad is not None
    return loss.detach(), x.grad


def test_every_head_is_of_one_kind() -> None:
    kinds = {name: issubclass(getattr(heads, name), Head) for name in heads.__all__}
    assert {name for name in kinds if not kinds[name]} == set(PAIR_HEADS)


def test_pairs() -> None:
    same, other = pairs_of(torch.tensor([3, 5, 3]))
    assert same.tolist() == [[False, False, True], [False, False, False], [True, False, False]]
    assert other.tolist() == [[False, True, False], [True, False, True], [False, True, False]]
    assert without_self(torch.ones(2, 2)).tolist() == [[pytest.approx(-1e30), 1.0], [1.0, pytest.approx(-1e30)]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PAIR_HEADS)
def test_finite_on_hard_features(name: str, dtype: torch.dtype) -> None:
    """Features that are equal, opposite, zero, very long and very short; in the own class and in others."""
    a, b = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    x = torch.stack([a, a, -a, 0.0 * a, 1e3 * b, 1e-4 * b, b, a, 0.0 * a, -b, 1e3 * a, b]).to(dtype)
    for y in (torch.arange(12) % 3, torch.arange(12) % 5, torch.zeros(12, dtype=torch.long), torch.arange(12)):
        loss, gradient = gradients(PAIR_HEADS[name]().to(dtype), x, y)
        assert loss.dtype == dtype and loss.isfinite() and gradient.isfinite().all()


@pytest.mark.parametrize("name", PAIR_HEADS)
def test_nothing_to_learn(name: str) -> None:
    """One row alone; and, but for the heads that need positives or negatives only, one class or none twice."""
    draw = torch.Generator().manual_seed(0)
    cases = [[0]]
    if name != "SimPLE":
        cases.append([0, 1, 2, 3])
    if name in ("CirclePairLoss", "TripletLoss"):
        cases.append([2, 2, 2])
    for labels in cases:
        x = torch.randn(len(labels), 4, generator=draw)
        loss, gradient = gradients(PAIR_HEADS[name](), x, torch.tensor(labels))
        assert loss == 0.0 and not gradient.any()


@pytest.mark.parametrize("name", PAIR_HEADS)
def test_the_order_of_the_rows_does_not_matter(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(12, 4, generator=draw, dtype=torch.float64)
    y, order = torch.arange(12) % 4, torch.randperm(12, generator=draw)
    loss, gradient = gradients(PAIR_HEADS[name]().double(), x, y)
    moved, moved_gradient = gradients(PAIR_HEADS[name]().double(), x[order], y[order])
    torch.testing.assert_close(moved, loss)
    torch.testing.assert_close(moved_gradient, gradient[order])


@pytest.mark.parametrize("name", PAIR_HEADS)
def test_a_step_against_the_gradient_helps(name: str) -> None:
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(12, 4, generator=draw, dtype=torch.float64), torch.arange(12) % 4
    head = PAIR_HEADS[name]().double().eval()
    loss, gradient = gradients(head, x, y)
    assert head(x - 1e-4 * gradient / gradient.norm(), y) < loss
