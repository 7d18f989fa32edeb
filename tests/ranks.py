"""Two processes that speak gloo, for tests of what crosses ranks."""

import gc
import os
from collections.abc import Callable

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def two_ranks(member: Callable[[int, str], None], folder: str) -> None:
    """Run `member(rank, folder)` in two processes of one group, and wait for them."""
    mp.spawn(_enter, (member, folder), 2)


def _enter(rank: int, member: Callable[[int, str], None], folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    member(rank, folder)
    gc.collect()
    dist.destroy_process_group()
    os._exit(0)  # as engine/parallel.py: a thread of the group may abort the interpreter's own end
