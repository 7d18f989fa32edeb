"""The exact classifier that never holds a batch x classes matrix."""

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from opensphere import sphere
from opensphere.classifier.blocks import Gradients, Walk
from opensphere.classifier.centers import Classes, rows_of
from opensphere.classifier.classifier import Classifier
from opensphere.classifier.draw import draw, weights_of_drawn
from opensphere.classifier.shard import Shard
from opensphere.classifier.sink import Dense, FusedSGD, Scratch
from opensphere.error import UserError
from opensphere.memory import keep_freed_blocks
from opensphere.model.head.head import Head, Rows


class ChunkedClassifier(Classifier):
    """Walks over blocks of classes, forward and backward; equal to the plain classifier up to rounding.

    Softmax heads need two passes: the first finds each row's log-sum-exp, the second the gradients. Blocks of the first
    are kept for the second as far as `memory` allows, and computed anew beyond it: four matrix products for three.
    One-vs-all heads need one pass, which finds the loss and its gradients together. Beside the weights there is one
    gradient, or none of their size at all where the update is fused into the backward pass.

    Args:
        head, feat_dim, num_class: as `Classifier`.
        memory: megabytes (10^6 bytes) beyond weights, gradient and features.
        fused: the backward pass updates SGD's momentum directly (see `FusedSGD`), once `fuse` has been called.
        shard: the classes held here; None: all.
        rate: the share of these that a step visits; below 1, the classes of the batch and a random choice of others.
        reweight: in a one-vs-all head, count each drawn class also for those that were not drawn.

    Attributes:
        w: (D, C * K) as ever, but in memory the numbers of a centre lie side by side: a block is one piece of memory.
    """

    centers_first = True

    def __init__(
        self,
        head: Head,
        feat_dim: int,
        num_class: int,
        memory: float = 300.0,
        fused: bool = False,
        shard: Shard | None = None,
        rate: float = 1.0,
        reweight: bool = False,
    ):
        super().__init__(head, feat_dim, num_class, shard)
        where = "model.head.classifier"
        if not 0.0 <= memory < math.inf:
            raise UserError(f"{where}.memory: a number of megabytes, at least 0; got {memory!r}")
        if not 0.0 < rate <= 1.0:
            raise UserError(f"{where}.rate: a share of the classes, above 0 and at most 1; got {rate!r}")
        self.memory, self.wants_fused, self.rate, self.reweight = memory, fused, rate, reweight
        self.scratch, self.gradients = Scratch(), Scratch()
        self.fused: FusedSGD | None = None
        keep_freed_blocks()

    def fuse(self, optimizer: torch.optim.Optimizer) -> None:
        """Fuse `optimizer`, an SGD over `w`, into the backward pass from now on; `fused.step` then moves `w`."""
        self.fused = FusedSGD(self.w, optimizer)

    def recycle(self) -> None:
        """Drop the gradient of `w`, and use its memory for the next one: whoever calls this has no more use for it."""
        if self.w.grad is not None:
            self.gradients.give(self.w.grad.mT)
            self.w.grad = None

    def open(self, labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None, "Step"]:
        if self.wants_fused and self.fused is None and torch.is_grad_enabled() and self.training:
            raise UserError("fused: call `fuse` with the optimizer of the classes before training")
        step = Step(self, labels)
        if self.head.space == "cosine" and self.head.normalise == "in_place":
            self.normalise(step.classes.drawn)
        own, step.token = _Own.apply(self.w, step, dtype)
        # one zero more, since a shard may be empty
        bias = None if self.b is None else F.pad(self.b[0], (0, 1))[step.place] * step.here
        return own, bias, step

    def negatives(self, u: Tensor, handle: "Step", labels: Tensor, rows: Rows) -> Tensor:
        differentiated = torch.is_grad_enabled()
        memory = int(self.memory * 1e6) if differentiated else 0  # without a backward pass nothing is kept
        walk = Walk(self.head, handle.classes, u, rows, self.scratch, memory)
        if differentiated:
            handle.walk = walk
            value = _Negatives.apply(u, handle.token, rows.scale, rows.bias, self.b, handle)
        else:
            value = walk.value()
            walk.release()
        return self.shard.total(value) if self.head.reduce == "sum" else self.shard.logsumexp(value)

    def normalise(self, drawn: Tensor | None = None) -> None:
        """Give every centre (or those of the drawn classes) unit length, in place, a block at a time."""
        w = self.w.data.mT  # .data: an earlier forward may still await its backward
        rows = 2**20 // self.feat_dim + 1
        if drawn is not None:
            for where in self.rows_of(drawn).split(rows):
                w[where] = sphere.unit(w[where])
            return
        for first in range(0, len(w), rows):
            block = w[first : first + rows]
            block.div_(sphere.divisor(block))

    def rows_of(self, classes: Tensor) -> Tensor:
        """The rows of w's transpose that hold the centres of some classes, (len(classes) * K,)."""
        return rows_of(classes, self.head.centers)

    def make_sink(self, step: "Step") -> Any:
        """Where the gradients of a step go."""
        if self.fused is None:
            buffer = self.gradients.take(self.w.shape[1], self.feat_dim, self.w)
            return Dense(buffer, partial=step.classes.drawn is not None)
        drawn = step.classes.drawn
        self.fused.begin(step.index, None if drawn is None else self.rows_of(drawn), step.again)
        return self.fused


class Step:
    """What the forward pass of one batch leaves for its backward pass."""

    token: Tensor
    walk: Walk
    gradient: Tensor
    found: Gradients | None = None
    finish: Callable[[Any], Tensor | None]

    def __init__(self, owner: ChunkedClassifier, labels: Tensor):
        head = owner.head
        self.owner = owner
        self.place, self.here = owner.shard.locate(labels)  # (B,)
        own = torch.where(self.here, self.place, -1)
        drawn = factor = None
        if owner.rate < 1.0 and owner.training:
            mine = self.place[self.here].unique()
            drawn = draw(mine, owner.shard.count, owner.rate)
            own = torch.where(self.here, torch.searchsorted(drawn, self.place), -1)
            if owner.reweight:
                factor = weights_of_drawn(drawn, mine, owner.shard.count).to(owner.w.dtype)
        in_graph = head.space == "cosine" and head.normalise == "in_graph"
        b = None if owner.b is None else owner.b.detach()
        self.classes = Classes(owner.w.detach(), b, own, drawn, factor, in_graph, head.centers)
        self.index = owner.rows_of(self.place[self.here])  # of the batch's own centres
        # a fused momentum must not move before anyone asks for a gradient
        self.one_pass = head.reduce == "sum" and owner.fused is None
        self.used = False
        self._sink: Any = None

    @property
    def sink(self) -> Any:
        """Where gradients of centres go; None: nobody wants them."""
        if self._sink is None and self.owner.w.requires_grad:
            self._sink = self.owner.make_sink(self)
        return self._sink

    def again(self, sink: Any) -> None:
        """Compute the gradients of centres a second time, into `sink`."""
        self.walk.gradients(self.gradient, sink, want_u=False, fresh=True)
        self.finish(sink)

    def gradients(self, gradient: Tensor) -> Gradients:
        """What a walk finds, given the gradient of its value.

        Raises:
            UserError: a second time, when what was kept is used up.
        """
        if self.used:
            raise UserError("classifier: a loss can be differentiated once; what was kept for it is used up")
        self.used = True
        if not self.one_pass:
            self.gradient = gradient
            return self.walk.gradients(gradient, self.sink)
        assert self.found is not None
        if self.sink is not None:
            self.sink.scale(gradient)
        return self.found.scaled(gradient)


class _Own(torch.autograd.Function):
    """The own centres (B, K, D), zero where they are not here. Its backward runs last, after that of the blocks (they
    take its token), so that the gradient of all centres is one tensor, made once."""

    @staticmethod
    def forward(ctx: Any, w: Tensor, step: Step, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        ctx.step, ctx.shape = step, (len(step.place), step.classes.centers, len(w))
        if not w.shape[1]:
            return w.new_zeros(ctx.shape, dtype=dtype), w.new_zeros(())
        own = w.mT[step.owner.rows_of(step.place)].to(dtype)
        own = (sphere.unit(own) if step.classes.in_graph else own).view(ctx.shape)
        return own.mul_(step.here.view(-1, 1, 1)), w.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor, token: Tensor) -> Any:
        step: Step = ctx.step
        if step.sink is None:
            return None, None, None
        index, gradient = step.index, gradient[step.here].flatten(0, 1)
        if step.classes.in_graph and len(index):
            with torch.enable_grad():
                leaf = step.owner.w.detach().mT[index].to(gradient.dtype).requires_grad_()
                gradient = torch.autograd.grad(sphere.unit(leaf), leaf, gradient)[0]
        sink, step.finish = step.sink, lambda sink: sink.finish(index, gradient)
        return step.finish(sink), None, None


class _Negatives(torch.autograd.Function):
    """What the other classes amount to: a function of features, scales, biases and class biases; and of the centres,
    whose gradient does not pass through here but goes to the sink."""

    @staticmethod
    def forward(
        ctx: Any, u: Tensor, token: Tensor, scale: Tensor, bias: Tensor, b: Tensor | None, step: Step
    ) -> Tensor:
        ctx.step = step
        if not step.one_pass:
            return step.walk.value()
        value, step.found = step.walk.value_and_gradients(step.sink)
        return value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Any:
        step: Step = ctx.step
        with torch.autocast(gradient.device.type, enabled=False):
            found = step.gradients(gradient)
        wanted = ctx.needs_input_grad
        scale = step.owner.shard.complete(found.scale) if wanted[2] else None
        bias = step.owner.shard.complete(found.bias) if wanted[3] else None
        return found.u, gradient.new_zeros(()), scale, bias, found.b, None
