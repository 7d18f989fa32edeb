"""SphereFace."""

import pytest
import torch

from opensphere.error import UserError
from opensphere.model.head import SphereFace
from tests.model.head.material import assert_golden, assert_textbook, golden_parameters, mirrored


@pytest.mark.parametrize("case", ["sphereface_m1.5", "sphereface_m1.7"])
def test_golden(case: str) -> None:
    assert_golden(case, SphereFace(**golden_parameters(case)))


@pytest.mark.parametrize("gradient", ["detached", "full"])
@pytest.mark.parametrize("m", [1.0, 1.7, 4.0])
def test_textbook(m: float, gradient: str) -> None:
    head = SphereFace(10.0, m, gradient, "in_graph")
    assert_textbook(
        head, lambda theta, own, row: mirrored(m * theta) if own else torch.cos(theta), lambda feature: 10.0
    )


def test_a_margin_below_one_is_refused() -> None:
    with pytest.raises(UserError, match=r"SphereFace: m must be .* at least 1; got 0.9"):
        SphereFace(m=0.9)
