"""Losses on pairs over the batches of all ranks."""

import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from opensphere.classifier.pairs import Pairs
from opensphere.error import UserError
from opensphere.model.head import SimPLE, TripletLoss
from tests.model.head.test_pair import PAIR_HEADS
from tests.ranks import assert_ranks_agree, two_ranks


def problem(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Features, keys and labels of eight rows."""
    draw = torch.Generator().manual_seed(0)
    x, keys = torch.randn(2, 8, 4, generator=draw, dtype=torch.float64).to(dtype)
    return x, keys, torch.tensor([0, 1, 0, 2, 2, 1, 1, 0])


@pytest.mark.parametrize("name", PAIR_HEADS)
def test_alone_it_is_the_head(name: str) -> None:
    x, keys, y = problem()
    pairs, head = Pairs(PAIR_HEADS[name]().double(), 4), PAIR_HEADS[name]().double()
    assert torch.equal(pairs(x, y, keys), head(x, y, keys))
    assert torch.equal(pairs(x, y.int(), keys, y + 1), head(x, y, keys, y + 1))
    assert torch.equal(pairs(x, y), head(x, y))


@pytest.mark.parametrize("name", PAIR_HEADS)
def test_arithmetic_is_in_float32_or_better(name: str) -> None:
    x, keys, y = problem(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = Pairs(PAIR_HEADS[name](), 4)(x, y, keys)
    assert found.dtype == torch.float32
    assert torch.equal(found, Pairs(PAIR_HEADS[name](), 4)(x.float(), y, keys.float()))
    assert Pairs(PAIR_HEADS[name](), 4)(x.double(), y).dtype == torch.float64


def test_keys_get_no_gradient() -> None:
    x, keys, y = problem()
    keys.requires_grad_()
    loss = Pairs(SimPLE(4, bank=8), 4)(x.requires_grad_(), y, keys)
    loss.backward()
    assert keys.grad is None and x.grad is not None and x.grad.any()


def test_state_is_that_of_the_head_without_a_prefix() -> None:
    x, keys, y = problem()
    pairs = Pairs(SimPLE(4, bank=10), 4)
    pairs(x, y, keys)
    state = pairs.state_dict()
    assert list(state) == ["b", "bank", "bank_labels", "seen"]
    assert not Pairs(TripletLoss(), 4).state_dict()
    for prefix in ("", "module."):
        other = Pairs(SimPLE(4, bank=10), 4)
        other.load_state_dict({prefix + name: value for name, value in state.items()})
        assert all(torch.equal(value, state[name]) for name, value in other.state_dict().items())


@pytest.mark.parametrize(
    "features, labels, message",
    [
        (torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), r"features must be floating-point \(B, 4\).*\(2, 3\)"),
        (torch.zeros(2, 4), torch.zeros(3, dtype=torch.long), "labels must be 2 integers"),
        (torch.zeros(2, 4), torch.zeros(2), "labels must be 2 integers, got torch.float32"),
        (torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), "the batch is empty"),
        (torch.zeros(2, 4), torch.tensor([0, -1]), "label -1 is no class: labels go from 0 to 4"),
        (torch.zeros(2, 4), torch.tensor([5, 0]), "label 5 is no class: labels go from 0 to 4"),
    ],
)
def test_wrong_batches(features: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Pairs(TripletLoss(), 4, 5)(features, labels)


def test_wrong_keys() -> None:
    x, keys, y = problem()
    with pytest.raises(UserError, match="keys must be those of the 8 rows, got 7"):
        Pairs(TripletLoss(), 4)(x, y, keys[:7], y[:7])
    with pytest.raises(UserError, match=r"keys must be floating-point \(B, 4\)"):
        Pairs(TripletLoss(), 4)(x, y, keys[:, :3])


def test_wrong_sizes() -> None:
    with pytest.raises(UserError, match="must be at least 1, got 0 and None"):
        Pairs(TripletLoss(), 0)
    with pytest.raises(UserError, match="SimPLE: feat_dim is 4, but the features have 8"):
        Pairs(SimPLE(4), 8)
    with pytest.raises(UserError, match="label 7 is no class"):
        Pairs(TripletLoss(), 4, 7)(torch.zeros(1, 4), torch.tensor([7]))
    assert Pairs(TripletLoss(), 4)(torch.zeros(1, 4), torch.tensor([7])) == 0.0  # no number of classes, no last class


# ---------------------------------------------------------------------------------------- several processes


def steps(name: str, rows: slice) -> dict[str, Tensor]:
    """Loss, gradients and buffers after two steps on some rows."""
    pairs = Pairs(PAIR_HEADS[name]().double(), 4)
    for turn in (1.0, 0.5):
        x, keys, y = problem()
        x = (turn * x[rows]).requires_grad_()
        pairs.zero_grad()
        loss = pairs(x, y[rows], turn * keys[rows])
        (3.7 * loss).backward()
    assert x.grad is not None
    grads = {name: value.grad for name, value in pairs.named_parameters() if value.grad is not None}
    return {"loss": loss.detach(), "x": x.grad, **grads, **dict(pairs.named_buffers())}


def member(rank: int, folder: str) -> None:
    torch.save({name: steps(name, slice(4 * rank, 4 * rank + 4)) for name in PAIR_HEADS}, f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_compute_the_loss_of_the_global_batch() -> None:
    """Feature gradients are twice as large on each rank, for the mean that data parallelism takes afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        two_ranks(member, folder)
        ranks = [torch.load(Path(folder) / f"{rank}.pt") for rank in (0, 1)]
    for name in PAIR_HEADS:
        assert_ranks_agree([found[name] for found in ranks], steps(name, slice(None)))
