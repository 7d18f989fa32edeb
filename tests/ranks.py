"""Two processes that speak gloo, for tests of what crosses ranks."""

import gc
import os
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor

from tests.model.head.material import assert_close


def two_ranks(member: Callable[[int, str], None], folder: str) -> None:
    """Run `member(rank, folder)` in two processes of one group, and wait for them."""
    mp.spawn(_enter, (member, folder), 2)


def assert_ranks_agree(ranks: list[dict[str, Tensor]], alone: dict[str, Tensor]) -> None:
    """What two ranks found is what one finds on all rows, to 1e-10; their gradients of features, "x", are twice as
    large, for the mean that data parallelism takes afterwards."""
    assert_close(torch.cat([found.pop("x") for found in ranks]) / 2, alone.pop("x"), 1e-10)
    for found in ranks:
        assert found.keys() == alone.keys()
        for key, value in found.items():
            assert_close(value.double(), alone[key].double(), 1e-10)


def _enter(rank: int, member: Callable[[int, str], None], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    member(rank, folder)
    gc.collect()
    dist.destroy_process_group()
    os._exit(0)  # as engine/parallel.py: a thread of the group may abort the interpreter's own end
