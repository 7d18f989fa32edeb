"""CocoLoss."""

import torch

from opensphere.model.head import CocoLoss
from tests.model.head.material import assert_golden, assert_textbook


def test_golden() -> None:
    assert_golden("normface", CocoLoss(s=30.0))


def test_textbook() -> None:
    head = CocoLoss(s=12.0, normalise="in_graph")
    assert_textbook(head, lambda theta, own, row: torch.cos(theta), lambda feature: 12.0)
