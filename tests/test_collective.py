"""What ranks tell one another: alone, and as two processes."""

import tempfile
from pathlib import Path

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from opensphere import collective
from tests.ranks import two_ranks


def test_one_process_is_the_identity() -> None:
    x = torch.randn(3, 2, requires_grad=True)
    assert (collective.rank(), collective.world_size()) == (0, 1)
    assert collective.gather(x) is x
    y = x.detach().clone()
    for function in (collective.sum, collective.maximum, collective.mean, collective.broadcast):
        assert function(y) is y and torch.equal(y, x)
    assert collective.gather_objects("a") == ["a"]
    collective.barrier()


def network() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(4, 5), torch.nn.Tanh(), torch.nn.Linear(5, 3)).double()


def batch() -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def joint_loss(rows: torch.Tensor) -> torch.Tensor:
    """Of all rows together: no sum over ranks of losses of their own."""
    return (rows @ rows.T).logsumexp((0, 1))


def member(rank: int, folder: str) -> None:
    found = {"place": (collective.rank(), collective.world_size())}
    found["labels"] = collective.gather(torch.tensor([10 * rank, 10 * rank + 1]))
    x = torch.full((2, 3), float(rank), requires_grad=True)
    gathered = collective.gather(x.t())  # not contiguous
    (gathered * torch.arange(12.0).view(6, 2)).sum().backward()
    found["gathered"], found["gradient"] = gathered.detach(), x.grad
    value = [float(rank + 1), -float(rank + 1)]
    found["sum"] = collective.sum(torch.tensor(value))
    found["maximum"] = collective.maximum(torch.tensor(value))
    weight = torch.nn.Parameter(torch.tensor(value))
    collective.mean(weight)  # in place, also of a leaf that wants a gradient
    found["mean"] = weight.detach()
    found["broadcast"] = collective.broadcast(torch.tensor(value), 1)
    found["objects"] = collective.gather_objects({"rank": rank})
    collective.barrier()

    shared_network = DistributedDataParallel(network())
    joint_loss(collective.gather(shared_network(batch()[3 * rank : 3 * rank + 3]))).backward()
    found["parameters"] = [parameter.grad for parameter in shared_network.parameters()]
    torch.save(found, f"{folder}/{rank}.pt")


@pytest.fixture(scope="module")
def two():
    """What each of two processes found."""
    with tempfile.TemporaryDirectory() as folder:
        two_ranks(member, folder)
        yield [torch.load(Path(folder) / f"{rank}.pt") for rank in (0, 1)]


@pytest.mark.slow
def test_gather_keeps_the_order_of_ranks(two: list[dict]) -> None:
    for rank, found in enumerate(two):
        assert found["place"] == (rank, 2)
        assert found["labels"].tolist() == [0, 1, 10, 11]
        assert found["gathered"].tolist() == [[0.0, 0.0]] * 3 + [[1.0, 1.0]] * 3
        assert found["objects"] == [{"rank": 0}, {"rank": 1}]


@pytest.mark.slow
def test_reductions(two: list[dict]) -> None:
    for found in two:
        assert found["sum"].tolist() == [3.0, -3.0]
        assert found["maximum"].tolist() == [2.0, -1.0]
        assert found["mean"].tolist() == [1.5, -1.5]
        assert found["broadcast"].tolist() == [2.0, -2.0]


@pytest.mark.slow
def test_the_gradient_is_the_own_slice_times_the_ranks(two: list[dict]) -> None:
    weights = torch.arange(12.0).view(6, 2)
    for rank, found in enumerate(two):
        assert torch.equal(found["gradient"], 2.0 * weights[3 * rank : 3 * rank + 3].t())


@pytest.mark.slow
def test_under_data_parallelism_it_is_the_gradient_of_one_process(two: list[dict]) -> None:
    alone = network()
    joint_loss(alone(batch())).backward()
    for found in two:
        for parameter, gradient in zip(alone.parameters(), found["parameters"], strict=True):
            assert torch.allclose(gradient, parameter.grad, rtol=1e-12, atol=1e-14)
