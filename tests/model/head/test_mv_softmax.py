"""MV-Softmax."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from opensphere.error import UserError
from opensphere.model.head import MVSoftmax
from tests.model.head.material import assert_textbook, problem


@pytest.mark.parametrize("gradient", ["detached", "full"])
@pytest.mark.parametrize("kind", ["AM", "Arc"])
def test_textbook(kind: str, gradient: str) -> None:
    """As xiaoboCASIA/SV-X-Softmax, fc_layers.py; also the paper's fixed weight, and margins at wide angles."""
    x, w, y = problem()
    theta_y = [float(torch.acos(x[i] @ w[:, y[i]] / (x[i].norm() * w[:, y[i]].norm()))) for i in range(len(x))]

    def margined(theta):
        return torch.cos(theta) - 0.4 if kind == "AM" else torch.cos(theta + 0.4)

    for adaptive, easy_margin in itertools.product((True, False), (True, False)):
        met = set()

        def value(theta: Tensor, own: bool, row: int, adaptive=adaptive, easy_margin=easy_margin, met=met) -> Tensor:
            if own:
                met.add("wide" if theta > math.pi / 2 else "near")
                return torch.cos(theta) if easy_margin and theta > math.pi / 2 else margined(theta)
            wrong = math.cos(theta.item()) > margined(torch.tensor(theta_y[row], dtype=torch.float64))
            met.add("wrong" if wrong else "right")
            if not wrong:
                return torch.cos(theta)
            return torch.cos(theta) * 1.3 + 0.3 if adaptive else torch.cos(theta) + 0.3

        head = MVSoftmax(kind, 9.0, 0.4, 0.3, adaptive, easy_margin, gradient)
        assert_textbook(head, value, lambda feature: 9.0)
        assert met == {"near", "wide", "right", "wrong"}


def test_scores_by_hand() -> None:
    """With the defaults a row at cosine 0.6 is classified wrongly by a cosine over 0.25: 0.3 counts as 0.56."""
    head = MVSoftmax()
    rows = head.prepare(torch.ones(1), torch.tensor([0.6]), torch.zeros(1))
    assert head.target(rows.cos_y, rows).item() == pytest.approx(0.25)
    assert head.others(torch.tensor([[0.3, 0.2, -0.5]]), rows.beside(1))[0].tolist() == pytest.approx([0.56, 0.2, -0.5])
    assert rows.scale.item() == 32.0
    rows = head.prepare(torch.ones(2), torch.tensor([0.1, -0.1]), torch.zeros(2))
    assert head.target(rows.cos_y, rows).tolist() == pytest.approx([-0.25, -0.1])  # no margin beyond a right angle


@pytest.mark.parametrize("arguments", [{"kind": "Sphere"}, {"m": -0.1}, {"t": -0.1}, {"s": 0.0}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"MVSoftmax: {next(iter(arguments))} must be"):
        MVSoftmax(**arguments)
    with pytest.raises(UserError, match="MVSoftmax: m must be .* at most 3.14159"):
        MVSoftmax("Arc", m=4.0)
