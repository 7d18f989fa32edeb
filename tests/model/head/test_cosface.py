"""CosFace."""

import pytest
import torch

from opensphere.error import UserError
from opensphere.model.head import CosFace
from tests.model.head.material import assert_golden, assert_textbook, golden_parameters


def test_golden() -> None:
    assert_golden("cosface", CosFace(**golden_parameters("cosface")))


@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_textbook(gradient: str) -> None:
    head = CosFace(9.0, 0.2, gradient, "in_graph")
    assert_textbook(head, lambda theta, own, row: torch.cos(theta) - 0.2 * own, lambda feature: 9.0)


@pytest.mark.parametrize("s", [0.0, -1.0, float("nan"), float("inf"), True, "64"])
def test_a_scale_that_is_none(s: float) -> None:
    with pytest.raises(UserError, match=r"CosFace: s must be a finite number, above 0; got"):
        CosFace(s=s)
