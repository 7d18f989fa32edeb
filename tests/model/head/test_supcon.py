"""SupConLoss."""

import pytest
import torch

from opensphere.error import UserError
from opensphere.model.head import SupConLoss
from tests.model.head.material import assert_close


@pytest.mark.parametrize("labels", [[0, 1, 0, 2, 1, 0, 3], [4, 4, 4, 4, 4, 4, 4]])
@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_textbook(temperature: float, labels: list[int]) -> None:
    """Eq. 2 term by term; anchors without a positive are left out."""
    start = torch.randn(7, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    results = []
    for textbook in (False, True):
        x = start.clone().requires_grad_()
        if textbook:
            u = [row / torch.sqrt((row**2).sum()) for row in x]
            anchors = []
            for i in range(7):
                total = sum(torch.exp((u[i] * u[a]).sum() / temperature) for a in range(7) if a != i)
                terms = [
                    torch.log(torch.exp((u[i] * u[p]).sum() / temperature) / total)
                    for p in range(7)
                    if p != i and labels[p] == labels[i]
                ]
                if terms:
                    anchors.append(-sum(terms) / len(terms))
            loss = sum(anchors) / len(anchors)
        else:
            loss = SupConLoss(temperature)(x, torch.tensor(labels))
        loss.backward()
        results.append((loss.detach(), x.grad))
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected, 1e-12)


def test_a_low_temperature_does_not_overflow() -> None:
    x = torch.randn(8, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    loss = SupConLoss(1e-4)(x, torch.arange(8) % 4)
    loss.backward()
    assert loss.isfinite() and x.grad is not None and x.grad.isfinite().all()


def test_a_temperature_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="SupConLoss: temperature must be a finite number, above 0; got 0"):
        SupConLoss(0.0)
