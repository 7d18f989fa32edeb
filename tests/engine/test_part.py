"""One update of a part: clip, step, clear, schedule."""

import pytest
import torch
from torch import nn

from opensphere.engine.part import Part


def part(clip: float, lr: float = 0.5) -> Part:
    module = nn.Linear(2, 1, bias=False)
    with torch.no_grad():
        module.weight.zero_()
    optimizer = torch.optim.SGD(module.parameters(), lr=lr)
    return Part(module, optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, [1], 0.1), clip)


def update(made: Part) -> float:
    made.module(torch.tensor([[3.0, 4.0]])).sum().backward()
    return made.update(torch.amp.GradScaler("cpu", enabled=False)).item()


@pytest.mark.parametrize(("clip", "factor"), [(1e5, 1.0), (0.5, 0.1)])
def test_the_norm_before_clipping_is_told(clip: float, factor: float) -> None:
    made = part(clip)
    assert update(made) == pytest.approx(5.0)
    expected = -0.5 * factor * torch.tensor([[3.0, 4.0]])
    torch.testing.assert_close(made.parameters[0].detach(), expected, rtol=1e-4, atol=1e-6)
    assert made.parameters[0].grad is None
    assert made.lr == pytest.approx(0.05)


def test_a_part_without_an_optimizer_has_nothing_to_do() -> None:
    made = Part(nn.Identity(), None)
    assert made.update(torch.amp.GradScaler("cpu", enabled=False)) == 0.0 and made.lr == 0.0
    made.load_state_dict(made.state_dict())


def test_a_part_goes_on_where_it_stopped() -> None:
    one, two = part(1e5), part(1e5)
    update(one)
    two.load_state_dict(one.state_dict())
    assert two.lr == one.lr and two.scheduler.last_epoch == 1
