"""What the tests of the classifiers share: one step of any of them, and small blocks."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from opensphere.classifier import CLASSIFIERS, Classifier, blocks
from tests.model.head.material import HEADS, assert_close, problem


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int, int], None]]:
    """Blocks of so many classes, so many of them kept."""

    def set_blocks(width: int, kept: int) -> None:
        monkeypatch.setattr(blocks, "block_width", lambda batch, device: width)
        monkeypatch.setattr(
            blocks.Walk, "blocks_kept", staticmethod(lambda u, count, *rest: min(kept, -(-count // width)))
        )

    yield set_blocks


def build(kind: str, name: str, feat_dim: int, num_class: int, options: dict[str, Any] | None = None, **head: Any):
    """A head of the table in some classifier, in float64, with weights that depend on the sizes alone."""
    loss = HEADS[name](num_class, **head)
    classifier: Classifier = CLASSIFIERS[kind](loss, feat_dim, num_class, **(options or {})).double()
    draw = torch.Generator().manual_seed(7)
    w = torch.randn(feat_dim, num_class * loss.centers, generator=draw, dtype=torch.float64)
    state = {**classifier.whole_state(), "w": w}
    if classifier.b is not None:
        state["b"] = torch.randn(1, num_class, generator=draw, dtype=torch.float64)
    classifier.load_state_dict(classifier.own_state(state))
    return classifier


def step(classifier: Classifier, x: Tensor, y: Tensor, factor: float = 3.7) -> dict[str, Tensor]:
    """Loss, all gradients, weights and buffers after one forward and backward pass of `factor` times the loss."""
    x = x.clone().requires_grad_()
    torch.manual_seed(11)
    loss = classifier(x, y)
    (factor * loss).backward()
    found = {"loss": loss.detach(), "x": x.grad, "w": classifier.w.detach().clone()}
    for key, value in classifier.named_parameters():
        found[f"gradient of {key}"] = torch.zeros_like(value) if value.grad is None else value.grad
    return {**found, **dict(classifier.head.named_buffers(prefix="buffer"))}


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-9) -> None:
    """All entries equal, to `tolerance` of the largest number of each."""
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].isfinite().all(), key
        try:
            assert_close(found[key].double(), value.double(), tolerance)
        except AssertionError as error:
            raise AssertionError(key) from error


__all__ = ["HEADS", "assert_close", "assert_same", "build", "problem", "small_blocks", "step"]
