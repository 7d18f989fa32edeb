"""ArcFace."""

import math

import pytest
import torch

from opensphere.error import UserError
from opensphere.model.head import ArcFace
from tests.model.head.material import assert_golden, assert_textbook, golden_parameters


def test_golden() -> None:
    assert_golden("arcface", ArcFace(**golden_parameters("arcface")))


@pytest.mark.parametrize("gradient", ["detached", "full"])
@pytest.mark.parametrize("m", [0.3, 1.5])
def test_textbook(m: float, gradient: str) -> None:
    def value(theta: torch.Tensor, own: bool, row: int) -> torch.Tensor:
        if not own:
            return torch.cos(theta)
        return torch.cos(theta + m) if theta + m < math.pi else theta * 0.0 - 1.0

    assert_textbook(ArcFace(9.0, m, gradient, "in_graph"), value, lambda feature: 9.0)


def test_a_margin_over_half_a_turn_is_refused() -> None:
    with pytest.raises(UserError, match=r"ArcFace: m must be a finite number, at least 0 and at most 3.14159; got 4"):
        ArcFace(m=4.0)
