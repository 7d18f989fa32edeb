"""TripletLoss."""

import pytest
import torch

from opensphere.error import UserError
from opensphere.model.head import TripletLoss
from tests.model.head.material import assert_close


@pytest.mark.parametrize("margin, spread", [(0.2, 1.0), (0.0, 0.3), (1.5, 3.0)])
def test_textbook(margin: float, spread: float) -> None:
    """Triplets chosen one by one, for anchors with many, some and no negatives beyond the positive."""
    draw = torch.Generator().manual_seed(1)
    y = torch.tensor([0, 1, 2, 0, 1, 2, 2, 3, 0])
    start = torch.randn(4, 3, generator=draw).double()[y] + spread * torch.randn(9, 3, generator=draw).double()
    results = []
    beyond = set()
    for textbook in (False, True):
        x = start.clone().requires_grad_()
        if textbook:
            points = [row / torch.sqrt((row**2).sum()) for row in x]
            terms = []
            for a in range(9):
                for p in range(9):
                    if a == p or y[a] != y[p]:
                        continue
                    near = ((points[a] - points[p]) ** 2).sum()
                    away = [((points[a] - points[n]) ** 2).sum() for n in range(9) if y[n] != y[a]]
                    semi_hard = [far for far in away if far > near]
                    far = min(semi_hard) if semi_hard else max(away)
                    beyond.add(bool(semi_hard))
                    terms.append(torch.relu(near - far + margin))
            loss = sum(terms) / len(terms)
        else:
            loss = TripletLoss(margin)(x, y)
        loss.backward()
        results.append((loss.detach(), x.grad))
    assert beyond == ({True} if spread < 1.0 else {True, False})
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, 1e-12)


def test_far_negatives_pull_nothing() -> None:
    x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]], requires_grad=True)
    loss = TripletLoss(0.5)(x, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss == 0.0 and x.grad is not None and not x.grad.any()


def test_a_negative_at_the_positives_distance_is_not_beyond_it() -> None:
    """The nearest negative is as far as the positive: the next one is taken, and the hinge is at the margin less 2."""
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
    loss = TripletLoss(2.5)(x, torch.tensor([0, 0, 1, 2]))
    # (0, 1): squared distance 2, negatives at 2 and 4; (1, 0): the same
    assert loss.item() == pytest.approx(0.5)


def test_a_margin_below_zero_is_refused() -> None:
    with pytest.raises(UserError, match="TripletLoss: margin must be a finite number, at least 0; got -1"):
        TripletLoss(-1.0)
