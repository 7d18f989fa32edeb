"""Classes split over ranks: two processes find what one finds, and tell one another no more than they must."""

import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from opensphere import collective
from opensphere.classifier.shard import Shard
from opensphere.engine.part import Part
from tests.classifier.material import HEADS, assert_close, assert_same, build, problem, step
from tests.ranks import two_ranks

SIZES = {"uneven": 5, "fewer classes than ranks": 1}


def test_shares_are_even_and_complete() -> None:
    for num_class in (0, 1, 5, 64, 1000):
        for ranks in (1, 2, 3, 7):
            shards = [Shard.of_rank(num_class, rank, ranks) for rank in range(ranks)]
            assert shards[0].first == 0 and shards[-1].last == num_class
            assert all(left.last == right.first for left, right in zip(shards, shards[1:], strict=False))
            assert max(shard.count for shard in shards) - min(shard.count for shard in shards) <= 1
            assert all(shard.split == (ranks > 1) for shard in shards)


def test_locate() -> None:
    place, here = Shard(3, 6, split=True).locate(torch.tensor([2, 3, 5, 6]))
    assert here.tolist() == [False, True, True, False] and place[1:3].tolist() == [0, 2]


@pytest.mark.parametrize("name", HEADS)
def test_alone_a_process_holds_all(name: str) -> None:
    x, _, y = problem(9, 11, 4)
    assert_same(step(build("sharded", name, 4, 11), x, y), step(build("plain", name, 4, 11), x, y))


def batch(num_class: int) -> tuple[torch.Tensor, torch.Tensor]:
    x, _, y = problem(8, num_class, 4)
    return x, y


def member(rank: int, folder: str) -> None:
    found = {}
    share = slice(4 * rank, 4 * rank + 4)
    for size, num_class in SIZES.items():
        x, y = batch(num_class)
        for name in HEADS:
            for kind, options in (("sharded", {}), ("sampled", {"rate": 1.0})):
                classifier = build(kind, name, 4, num_class, options)
                mine = step(classifier, x[share], y[share])
                mine["w"] = classifier.w.detach()
                for key in ("w", "gradient of w", *(["gradient of b"] if classifier.b is not None else [])):
                    mine[key] = collective.collect(mine[key].contiguous())
                found[size, name, kind] = mine
    torch.save(found, f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_find_what_one_finds() -> None:
    """Every head: loss, gradients and statistics, in shards of two and three classes, and of none and one."""
    with tempfile.TemporaryDirectory() as folder:
        two_ranks(member, folder)
        ranks = [torch.load(Path(folder) / f"{rank}.pt") for rank in (0, 1)]
    for (size, name, kind), first in ranks[0].items():
        second = ranks[1][size, name, kind]
        x, y = batch(SIZES[size])
        alone = step(build("plain", name, 4, SIZES[size]), x, y)
        # the gradient of features is twice as large on each rank, for the mean that data parallelism takes afterwards
        first["x"] = torch.cat([first["x"], second["x"]]) / 2.0
        assert_same(first, alone)
        for key in second.keys() - {"x", "w", "gradient of w", "gradient of b"}:
            assert torch.equal(second[key], first[key]), key  # the same to the last bit on every rank


def count_bytes(rank: int, folder: str) -> None:
    sent = []
    for name in ("all_gather", "all_reduce"):
        real = getattr(dist, name)

        def counted(*args, real=real, **kwargs):
            tensor = args[1] if real.__name__ == "all_gather" else args[0]
            sent.append(tensor.numel() * tensor.element_size())
            return real(*args, **kwargs)

        setattr(dist, name, counted)
    found = {}
    for num_class in (7, 70, 700):
        sent.clear()
        x, _, y = problem(8, num_class, 16)
        classifier = build("sharded", "ArcFace", 16, num_class).float()
        part = Part(classifier, torch.optim.SGD(classifier.parameters(), lr=0.1), replicated=True)
        share = slice(4 * rank, 4 * rank + 4)
        classifier(x[share].float().requires_grad_(), y[share]).backward()
        part.update(torch.amp.GradScaler("cpu", enabled=False))
        found[num_class] = sum(sent)
    torch.save(found, f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_number_of_classes() -> None:
    """What two ranks hand to collectives in a step, counted; it is what the plan says."""
    with tempfile.TemporaryDirectory() as folder:
        two_ranks(count_bytes, folder)
        for rank in (0, 1):
            found = torch.load(Path(folder) / f"{rank}.pt")
            assert set(found.values()) == {Shard.traffic(8, 16, 2)}


SGD = {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.01}


def updates(rank: int, ranks: int, fused: bool, clip: float, name: str) -> dict[str, torch.Tensor]:
    """Four updates of a sharded classifier; all classes, the norms, and a state that anyone can load."""
    kind = "sharded" if ranks > 1 else "plain"
    classifier = build(kind, name, 4, 11)
    optimizer = torch.optim.SGD(classifier.parameters(), **SGD)
    if fused:
        classifier.fuse(optimizer)
    part = Part(classifier, optimizer, clip_grad_norm=clip, replicated=True)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    norms = []
    for seed in range(4):
        x, _, y = problem(8, 11, 4, seed)
        share = slice(8 // ranks * rank, 8 // ranks * (rank + 1))
        classifier(x[share], y[share]).backward()
        norms.append(part.update(scaler))
    return {"state": classifier.whole_state(), "part": part.state_dict(), "norms": torch.stack(norms)}


def update_member(rank: int, folder: str) -> None:
    found = {
        (fused, clip, name): updates(rank, 2, fused, clip, name)
        for fused in (False, True)
        for clip in (1e5, 0.05)
        for name in ("ArcFace", "SphereFace2 C", "SoftmaxLoss")
    }
    torch.save(found, f"{folder}/{rank}.pt")
    other = build("sharded", "ArcFace", 4, 11)  # and back: each takes its own part of the state of all classes
    state = torch.load(f"{folder}/{0}.pt") if rank == 0 else None
    state = collective.gather_objects(state)[0][False, 1e5, "ArcFace"]
    other.load_state_dict(other.own_state(state["state"]))
    part = Part(other, torch.optim.SGD(other.parameters(), **SGD))
    part.load_state_dict(state["part"])
    momentum = part.optimizer.state[other.w]["momentum_buffer"]
    assert momentum.stride() == other.w.stride()
    again = {"state": other.whole_state(), "part": part.state_dict()}
    if rank == 0:
        assert torch.equal(again["state"]["w"], state["state"]["w"])
        buffers = [each["part"]["optimizer"]["state"][0]["momentum_buffer"] for each in (again, state)]
        assert torch.equal(*buffers)


@pytest.mark.slow
def test_updates_and_states_cross_worlds() -> None:
    """Two ranks, fused or not, clipped or not, leave the weights, momentum and norms of one plain process; a plain
    classifier takes up their state."""
    with tempfile.TemporaryDirectory() as folder:
        two_ranks(update_member, folder)
        found = torch.load(Path(folder) / "0.pt")
    for (_, clip, name), result in found.items():
        alone = updates(0, 1, False, clip, name)
        assert_close(result["norms"], alone["norms"], 1e-9)
        for key, value in alone["state"].items():
            assert_close(result["state"][key], value, 1e-9)
        momentum = [each["part"]["optimizer"]["state"][0]["momentum_buffer"] for each in (result, alone)]
        assert_close(*momentum, 1e-9)
        plain = build("plain", name, 4, 11)
        plain.load_state_dict(result["state"])
        part = Part(plain, torch.optim.SGD(plain.parameters(), **SGD))
        part.load_state_dict(result["part"])
        assert part.optimizer.state[plain.w]["momentum_buffer"].stride() == plain.w.stride()
