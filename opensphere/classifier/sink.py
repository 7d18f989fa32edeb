"""Where the gradients of class rows go while blocks pass by: into a buffer, or straight into the momentum."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from opensphere.error import UserError

Where = slice | Tensor  # rows one after another, or rows by number
PIECE = 2048  # rows by number that are copied together


class Scratch:
    """Buffers that outlive a step: fresh memory costs several times what memory in use does.

    A buffer is taken and given back; one that is never given back is merely lost.
    """

    def __init__(self) -> None:
        self.free: list[Tensor] = []

    def take(self, rows: int, width: int, like: Tensor) -> Tensor:
        """(rows, width) numbers of any value, of `like`'s dtype and device."""
        for index, buffer in enumerate(self.free):
            fits = buffer.dtype == like.dtype and buffer.device == like.device and buffer.numel() >= rows * width
            if fits and buffer.is_inference() == torch.is_inference_mode_enabled():
                return self.free.pop(index)[: rows * width].view(rows, width)
        self.free.clear()  # they fit another batch size
        return like.new_empty(rows * width).view(rows, width)

    def give(self, buffer: Tensor) -> None:
        """Hand a buffer back, whose contents nobody needs any more."""
        if buffer.numel() and buffer.is_contiguous():
            self.free.append(buffer.view(-1))

    def __getstate__(self) -> dict[str, Any]:
        return {"free": []}  # a copy or a file of a classifier needs none of it


class Dense:
    """The whole gradient, (N, D), one row a centre."""

    def __init__(self, buffer: Tensor, partial: bool):
        self.buffer = buffer.zero_() if partial else buffer  # every row is written otherwise

    def place(self, where: Where) -> Tensor | None:
        """Where a block's gradient may be written at once, so that nothing has to be copied."""
        return self.buffer[where] if isinstance(where, slice) else None

    def add(self, where: Where, gradient: Tensor) -> None:
        """Take in the gradient of some rows, each of which comes once."""
        if isinstance(where, Tensor):
            self.buffer[where] = gradient.to(self.buffer.dtype)
        elif gradient.data_ptr() != self.buffer[where].data_ptr():
            self.buffer[where] = gradient

    def finish(self, index: Tensor, gradient: Tensor) -> Tensor | None:
        """Add the gradient of the batch's own centres, and give the gradient of all, (D, N)."""
        self.buffer.index_add_(0, index, gradient.to(self.buffer.dtype))
        return self.buffer.mT

    def scale(self, factor: Tensor) -> None:
        """Multiply what is here: a loss that was differentiated before its own gradient was known."""
        if factor.device.type != "cpu" or factor != 1.0:
            self.buffer.mul_(factor)


class FusedSGD:
    """SGD with momentum, fused into the backward pass: gradients of classes go into the momentum, block by block.

    v <- momentum v + weight_decay w + g as the gradient g passes, w <- w - lr v once its norm is known. If the norm
    exceeds the bound, the gradients are computed a second time, from weights that have not moved, and the surplus is
    taken out of v: clipping is that of the whole gradient, which is never there as a whole.

    Args:
        w: (D, N), the centres.
        optimizer: torch.optim.SGD over w (and others, which it goes on to update); v is its `momentum_buffer`.

    Raises:
        UserError: another optimizer, or a choice that needs the gradient itself.
    """

    def __init__(self, w: nn.Parameter, optimizer: torch.optim.Optimizer):
        self.w, self.optimizer = w, optimizer
        name = "model.head.classifier.fused"
        if type(optimizer) is not torch.optim.SGD:
            raise UserError(f"{name}: only SGD can be fused into the backward pass, not {type(optimizer).__name__}")
        if not any(each is w for group in optimizer.param_groups for each in group["params"]):
            raise UserError(f"{name}: the optimizer does not update the classes")
        if self.group["dampening"] or self.group["nesterov"] or self.group["maximize"]:
            raise UserError(f"{name}: dampening, nesterov and maximize cannot be fused into the backward pass")
        self.again: Callable[[Any], None] | None = None
        self.used = False
        self.square = torch.zeros((), device=w.device)
        self.factor: Tensor | None = None  # in the second pass: what of the gradient is to be added

    @property
    def group(self) -> dict[str, Any]:
        """The optimizer's settings for w, looked up anew: loading a state puts others in their place."""
        return next(group for group in self.optimizer.param_groups if any(each is self.w for each in group["params"]))

    @property
    def momentum(self) -> Tensor:
        """v, (N, D)."""
        state = self.optimizer.state[self.w]
        if state.get("momentum_buffer") is None:
            state["momentum_buffer"] = torch.zeros_like(self.w, memory_format=torch.preserve_format)
        return state["momentum_buffer"].mT

    def begin(self, own: Tensor, drawn: Tensor | None, again: Callable[[Any], None]) -> None:
        """Open the gradient of a step.

        Args:
            own: the rows that `finish` will add to.
            drawn: the only rows that will move; None: all.
            again: computes the gradients a second time, into this sink.

        Raises:
            UserError: a gradient is here already.
        """
        if self.used:
            raise UserError("model.head.classifier.fused: one backward pass for each update; more need fused: false")
        self.used, self.again, self.drawn, self.own = True, again, drawn, own.unique()
        self.kept = torch.zeros(len(self.own), len(self.w), dtype=self.w.dtype, device=self.w.device)
        self.square = torch.zeros((), device=self.w.device, dtype=torch.float64 if self.w.is_cpu else torch.float32)

    def place(self, where: Where) -> None:
        """Nowhere: a block's gradient stays a temporary."""

    def add(self, where: Where, gradient: Tensor) -> None:
        """Take in the gradient of some rows, each of which comes once."""
        gradient = gradient.to(self.w.dtype)
        if self.factor is not None:
            self._into_momentum(where, gradient * self.factor)
            return
        self.square += gradient.square().sum()
        first, last = (where.start, where.stop) if isinstance(where, slice) else (where[0], where[-1] + 1)
        low, high = torch.searchsorted(self.own, torch.tensor([first, last], device=self.own.device)).tolist()
        inside = self.own[low:high]
        place = inside - first if isinstance(where, slice) else torch.searchsorted(where, inside)
        self.kept[low:high] = gradient[place]
        v, w = self.momentum[where], self.w.detach().mT[where]
        v = v.mul_(self.group["momentum"]).add_(gradient).add_(w, alpha=self.group["weight_decay"])
        if isinstance(where, Tensor):
            self.momentum[where] = v

    def finish(self, index: Tensor, gradient: Tensor) -> None:
        """Add the gradient of the batch's own centres."""
        total = torch.zeros_like(self.kept)
        total.index_add_(0, torch.searchsorted(self.own, index), gradient.to(self.w.dtype))
        if self.factor is not None:
            total *= self.factor
        else:
            self.square += ((self.kept + total).square() - self.kept.square()).sum()
        self.momentum.index_add_(0, self.own, total)

    def _into_momentum(self, where: Where, gradient: Tensor) -> None:
        if isinstance(where, Tensor):
            self.momentum.index_add_(0, where, gradient)
        else:
            self.momentum[where] += gradient

    @torch.no_grad()
    def step(self, factor: Tensor) -> None:
        """Move the weights.

        Args:
            factor: by which clipping shortens the gradient, at most 1.
        """
        if not self.used:
            return
        if factor < 1.0 and self.again is not None:
            self.factor = factor - 1.0
            self.again(self)
            self.factor = None
        w, v, lr = self.w.data.mT, self.momentum, self.group["lr"]
        if self.drawn is None:
            w.add_(v, alpha=-lr)
        else:
            for rows in self.drawn.split(PIECE):  # a copy of all of them at once would be another gradient
                w[rows] -= lr * v[rows]
        self.used, self.again, self.square = False, None, torch.zeros_like(self.square)
