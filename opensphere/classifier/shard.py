"""Which classes this process holds, and what processes that hold a share each tell one another."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from opensphere import collective


@dataclass(frozen=True)
class Shard:
    """A range of classes.

    Attributes:
        first, last: the classes here are first, ..., last - 1.
        split: whether other ranks hold the rest, so that scores and gradients of features are parts of sums.
    """

    first: int
    last: int
    split: bool = False

    @classmethod
    def of_rank(cls, num_class: int, rank: int, world_size: int) -> "Shard":
        """The share of a rank: sizes differ by one at most, and are zero where there are fewer classes than ranks."""
        return cls(num_class * rank // world_size, num_class * (rank + 1) // world_size, split=world_size > 1)

    @property
    def count(self) -> int:
        """How many classes are here."""
        return self.last - self.first

    def locate(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Of each label, its place in this shard, and whether it is here at all (the place is meaningless if not)."""
        here = (labels >= self.first) & (labels < self.last)
        return (labels - self.first).clamp(0, max(self.count - 1, 0)), here

    def gather(self, u: Tensor) -> Tensor:
        """The rows of all ranks. Where classes are split, the gradients of all ranks are summed on the way back."""
        return collective.gather(u, partial=self.split)

    def total(self, x: Tensor) -> Tensor:
        """The sum of what each rank found, of which the gradient is each rank's own."""
        return _Total.apply(x) if self.split else x

    def logsumexp(self, x: Tensor) -> Tensor:
        """Log-sum-exp over ranks, elementwise."""
        return _LogSumExp.apply(x) if self.split else x

    def complete(self, gradient: Tensor) -> Tensor:
        """Sum in place the parts of a gradient that the ranks found."""
        return collective.sum(gradient) if self.split else gradient

    @staticmethod
    def traffic(batch: int, feat_dim: int, world_size: int) -> int:
        """Bytes that a rank hands to collectives in a step of a softmax head, B rows in all, forward and backward.

        Its rows of features, their norms and labels; cosines to the own class, and the largest and the sum of a
        log-sum-exp, of all rows; on the way back the gradients of all rows; the square of the gradient's norm.
        """
        if world_size == 1:
            return 0
        own = batch // world_size
        return own * (4 * feat_dim + 4 + 8) + 3 * 4 * batch + 4 * batch * feat_dim + 4


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return collective.sum(x.clone())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient  # every rank computes the same loss from the sum, so this is whole already


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        top = collective.maximum(x.clone())
        total = top + collective.sum((x - top).exp()).log()
        ctx.save_for_backward(x, total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        x, total = ctx.saved_tensors
        return gradient * (x - total).exp()
