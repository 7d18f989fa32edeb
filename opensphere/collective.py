"""What ranks tell one another: gather, sums, maxima. Without a process group everything is the identity.

Call each function on every rank, in the same order. Beside `engine/parallel.py`, which opens and closes the process
group, this is the only file that knows torch.distributed.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def _grouped() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process among those of the run, from 0."""
    return dist.get_rank() if _grouped() else 0


def world_size() -> int:
    """How many processes train together."""
    return dist.get_world_size() if _grouped() else 1


def gather(x: Tensor, partial: bool = False) -> Tensor:
    """The rows of all ranks, in rank order, with a gradient.

    Every rank is expected to compute the loss of the whole gathered batch. The gradient that arrives at its own rows is
    then already complete, and the backward pass needs no communication: it takes the own slice. It also multiplies it
    by `world_size()`: the backbone runs under DistributedDataParallel, which averages parameter gradients over ranks,
    while the ranks' shares of the gradient of one common loss have to be summed.

    Args:
        x: (n, ...), the same n on every rank.
        partial: each rank finds a part of the gradient only, as where it holds some of the classes: the parts are
            summed on the way back.

    Returns:
        (world_size * n, ...); `x` itself where there is one process.
    """
    return _Gather.apply(x, partial) if world_size() > 1 else x


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, partial: bool) -> Tensor:
        ctx.partial = partial
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        if ctx.partial:
            gradient = sum(gradient.clone())
        return gradient.chunk(world_size())[rank()] * world_size(), None


@torch.no_grad()
def sum(x: Tensor) -> Tensor:
    """Sum `x` over ranks, in place and without a gradient; returns `x`."""
    if world_size() > 1:
        dist.all_reduce(x, dist.ReduceOp.SUM)
    return x


@torch.no_grad()
def maximum(x: Tensor) -> Tensor:
    """The largest value of each element over ranks, in place and without a gradient; returns `x`."""
    if world_size() > 1:
        dist.all_reduce(x, dist.ReduceOp.MAX)
    return x


@torch.no_grad()
def mean(x: Tensor) -> Tensor:
    """The mean of a floating-point `x` over ranks, in place and without a gradient; returns `x`."""
    return sum(x).div_(world_size())  # gloo knows no average of its own


@torch.no_grad()
def broadcast(x: Tensor, source: int = 0) -> Tensor:
    """Overwrite `x` on every rank by that of rank `source`; returns `x`."""
    if world_size() > 1:
        dist.broadcast(x, source)
    return x


@torch.no_grad()
def collect(x: Tensor) -> Tensor:
    """Put the columns that each rank holds side by side, in rank order, on the first rank.

    Args:
        x: (R, n), n of each rank's own; any n.

    Returns:
        (R, all n together), on the CPU of the first rank; `x` itself on the others, and where there is one process.
    """
    if world_size() == 1:
        return x
    widths = gather_objects(x.shape[1])
    if rank():
        dist.send(x.contiguous(), 0)
        return x
    parts = [x.cpu()]
    for source, width in enumerate(widths[1:], 1):
        part = x.new_empty(len(x), width)
        dist.recv(part, source)
        parts.append(part.cpu())
    return torch.cat(parts, 1)


def common_seed() -> int:
    """A number drawn from torch's generator on the first rank, the same on every rank."""
    return gather_objects(int(torch.randint(2**62, ())))[0]


def barrier() -> None:
    """Wait until every rank has come here."""
    if world_size() > 1:
        dist.barrier()


def gather_objects(item: Any) -> list[Any]:
    """The items of all ranks, in rank order, on every rank. They are pickled: for small things and rare moments."""
    if world_size() == 1:
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items
