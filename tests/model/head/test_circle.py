"""Circle loss with class labels."""

import pytest
import torch
from torch import Tensor

from opensphere.error import UserError
from opensphere.model.head import CircleLoss
from opensphere.model.head.head import Rows
from tests.model.head.material import assert_close, assert_golden, assert_textbook, golden_parameters


def test_golden() -> None:
    given = golden_parameters("circle_loss")
    assert_golden("circle_loss", CircleLoss(gamma=given["gamma"], m=given["margin"]))


@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_textbook(gradient: str) -> None:
    def value(theta: Tensor, own: bool, row: int) -> Tensor:
        cos = torch.cos(theta)
        pace = (1.0 + 0.3 - cos) if own else (cos + 0.3)
        pace = pace if pace > 0 else pace * 0.0
        return (pace.detach() if gradient == "detached" else pace) * (cos - 0.7 if own else cos - 0.3)

    assert_textbook(CircleLoss(5.0, 0.3, gradient), value, lambda feature: 5.0, gradient="full")


def test_scores_by_hand() -> None:
    """At m = 0.25 a row is content at cosines 0.75 and 0.25: both scores are 0 there."""
    head = CircleLoss()
    cos = torch.tensor([1.0, 0.75, 0.25, 0.0, -0.25, -1.0], dtype=torch.float64)
    rows = Rows(cos, scale=head.s)
    expected = [0.25 * 0.25, 0.0, -1.0 * 0.5, -1.25 * 0.75, -1.5 * 1.0, -2.25 * 1.75]
    assert_close(head.target(cos, rows), torch.tensor(expected, dtype=torch.float64), 1e-14)
    expected = [1.25 * 0.75, 1.0 * 0.5, 0.0, 0.25 * -0.25, 0.0, 0.0]
    assert_close(head.others(cos, rows), torch.tensor(expected, dtype=torch.float64), 1e-14)
    assert head.s == 256.0


@pytest.mark.parametrize("arguments", [{"gamma": 0.0}, {"m": -0.1}, {"gradient": "half"}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"CircleLoss: {next(iter(arguments))} must be"):
        CircleLoss(**arguments)
