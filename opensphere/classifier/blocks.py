"""A head against many classes, a block of classes at a time: the matrix batch x classes is never there as a whole."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.classifier.sink import Scratch, Where
from opensphere.error import UserError
from opensphere.model.head.head import NEVER, Head, Rows

LOG2E = 1.4426950408889634
# Numbers of a block: what stays in a processor's last-level cache while the elementwise passes go over it, and what
# keeps a GPU busy. Between a quarter and four times as many make no difference on the CPUs measured.
ELEMENTS = {"cpu": 2**19}
ELEMENTS_ELSEWHERE = 2**21  # not measured


def block_width(batch: int, device: str) -> int:
    """Classes of a block, for a batch of so many rows."""
    return max(512, ELEMENTS.get(device, ELEMENTS_ELSEWHERE) // batch)


def rows_of(classes: Tensor, centers: int) -> Tensor:
    """The rows of (N, D) that hold the centres of some classes, (len(classes) * K,)."""
    return (classes.unsqueeze(1) * centers + torch.arange(centers, device=classes.device)).flatten()


@dataclass
class Classes:
    """The classes that a walk visits.

    Attributes:
        w: (D, N), the centres, side by side; those of a class next to one another.
        b: (1, C) or None; heads with a bias per class have one centre a class.
        own: (B,) the place of each row's own class among those visited, -1 where it is not among them.
        drawn: the classes visited, in order; None: all.
        factor: (number visited, 1) weights of classes in a "sum" loss; None: 1.
        in_graph: whether centres are to be divided by their length here.
    """

    w: Tensor
    b: Tensor | None
    own: Tensor
    drawn: Tensor | None
    factor: Tensor | None
    in_graph: bool
    centers: int

    @property
    def count(self) -> int:
        """How many classes are visited."""
        return self.w.shape[1] // self.centers if self.drawn is None else len(self.drawn)

    def rows(self, first: int, last: int) -> Where:
        """Which rows of (N, D) hold the visited classes first, ..., last - 1."""
        if self.drawn is None:
            return slice(first * self.centers, last * self.centers)
        return rows_of(self.drawn[first:last], self.centers)


@dataclass
class Block:
    """One block of classes."""

    number: int
    first: int
    last: int
    own: tuple[Tensor, Tensor]  # where the own classes are: their places in the block, and the rows of the batch


class Walk:
    """One batch on its way along the classes.

    Shapes: B rows, c classes of a block, K centres a class, D the length of a feature. A block of cosines lies in
    memory as (c, B), the plain product of contiguous centres with the features, and heads see it so.

    Args:
        head: the loss.
        classes: what is visited.
        u: (B, D) unit features (plain ones where the head is linear).
        rows: from the head, (B,) tensors.
        scratch: lends the buffers.
        memory: bytes beyond weights, gradient and features: blocks are kept from the forward to the backward pass as
            far as they fit.
    """

    def __init__(self, head: Head, classes: Classes, u: Tensor, rows: Rows, scratch: Scratch, memory: int):
        self.head, self.classes, self.scratch = head, classes, scratch
        self.u = u.detach()
        self.beside = rows.beside(0)
        self.scale, self.bias = rows.scale.detach(), rows.bias.detach()
        self.wants_scale, self.wants_bias = rows.scale.requires_grad, rows.bias.requires_grad
        self.identity = self._probe(head.others) is None
        # the slope of a score along its cosine is 1: the gradient of a block is that of its logits, times the scale
        self.straight = self.identity or head.gradient == "detached"
        closed = self.straight or self._probe(head.bend) is not None
        self.differentiates = not closed  # by autograd, within a block
        self.keeps_exponentials = self.straight and not self.wants_scale
        self.width = block_width(len(u), u.device.type)
        self.blocks = list(self._blocks())
        # with several centres, or all gradients in one pass, nothing is kept
        keeps = classes.centers == 1 and head.reduce == "logsumexp"
        copies = 8 if self.straight else 24
        self.kept = self.blocks_kept(u, classes.count, memory, u.device.type, copies) if keeps else 0
        self.buffer: Tensor | None = None
        if head.reduce == "sum":
            self._probe(head.negative)

    def _probe(self, method: Callable[..., Tensor | None]) -> Tensor | None:
        """What a head answers to a block without classes.

        Raises:
            UserError: what it learns would need a gradient from here.
        """
        with torch.enable_grad():
            found = method(self.u.new_empty(0, len(self.u)), self.beside)
        if found is not None and found.requires_grad:
            raise UserError(
                f"{type(self.head).__name__}.{method.__name__}: what a head learns reaches other classes through the "
                "scale and bias of its rows only; elsewhere it needs the classifier plain"
            )
        return found

    @staticmethod
    def blocks_kept(u: Tensor, count: int, memory: int, device: str, copies: int = 8) -> int:
        """How many blocks of a softmax head fit into `memory` bytes, beside the temporaries."""
        spare = max(0, memory - Walk.temporaries(u, count, 1, device, copies))
        return min(-(-count // block_width(len(u), device)), spare // Walk.block_bytes(u, device))

    @staticmethod
    def block_bytes(u: Tensor, device: str) -> int:
        """Bytes of a block of scores."""
        return block_width(len(u), device) * len(u) * u.element_size()

    @staticmethod
    def temporaries(u: Tensor, count: int, centers: int, device: str, copies: int = 8) -> int:
        """Bytes that a walk takes at most beside kept blocks: `copies` of a block and its centres (cosines, scores,
        logits, what a head's formula needs), each block's top and log-sum-exp, and what is as large as the features."""
        width = block_width(len(u), device)
        block = copies * width * centers * (len(u) + u.shape[1])
        return (block + 3 * len(u) * -(-count // width) + 4 * u.numel()) * u.element_size()

    def _blocks(self) -> Iterator[Block]:
        place, order = self.classes.own.sort(stable=True)
        edges = torch.arange(0, self.classes.count + self.width, self.width, device=place.device)
        cuts = torch.searchsorted(place, edges).tolist()
        for number, first in enumerate(range(0, self.classes.count, self.width)):
            inside = slice(cuts[number], cuts[number + 1])
            last = min(self.classes.count, first + self.width)
            yield Block(number, first, last, (place[inside] - first, order[inside]))

    # ------------------------------------------------------------------------------------------ scores of a block

    def _centers(self, block: Block) -> tuple[Tensor, Tensor | None]:
        """The centres of a block, (c K, D), of unit length unless the head is linear, and their lengths if divided."""
        w = self.classes.w.mT[self.classes.rows(block.first, block.last)].to(self.u.dtype)
        if not self.classes.in_graph:
            return w, None
        length = sphere.divisor(w)
        return w / length, length

    def _cosines(self, centers: Tensor, block: Block, out: Tensor) -> tuple[Tensor, Tensor | None]:
        """(c, B) products of the nearest centres, and (c, K, B) where there are several."""
        if self.classes.centers == 1:
            cos, every = torch.mm(centers, self.u.mT, out=out[: len(centers)]), None
        else:
            every = torch.mm(centers, self.u.mT).unflatten(0, (-1, self.classes.centers))
            cos = torch.amax(every, 1, out=out[: len(every)])
        if self.classes.b is not None:
            cos += self.classes.b[0, self.classes.rows(block.first, block.last)].unsqueeze(1)
        return cos, every

    def _logits(self, cos: Tensor, out: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Scores and logits, (c, B), of cosines (c, B); a gradient passes through the scores, not the logits."""
        value = None if self.identity else self.head.others(cos, self.beside)
        score = cos if value is None else value
        fresh = value is not None and value.data_ptr() != cos.data_ptr() and value.is_contiguous()
        if out is None and fresh and not self.wants_scale and not score.requires_grad:
            out = value  # the logits take the place of scores that nobody needs any more
        return score, torch.addcmul(self.beside.bias, self.beside.scale, score.detach(), out=out)

    # ------------------------------------------------------------------------------------------ the two passes

    def value(self) -> Tensor:
        """What all classes visited but the own amount to: (B,) log-sum-exp, or for a "sum" head the weighted sum."""
        return self._sum(None) if self.head.reduce == "sum" else self._logsumexp()

    def value_and_gradients(self, sink: Any) -> tuple[Tensor, "Gradients"]:
        """Both in one pass, for a "sum" head; the gradients are those of the sum itself."""
        found = Gradients(self)
        return self._sum(found, sink), found

    def gradients(self, gradient: Tensor, sink: Any, want_u: bool = True, fresh: bool = False) -> "Gradients":
        """The gradients of `value`; those of centres go to `sink`, if any.

        Args:
            gradient: of the value.
            want_u: whether the features' is asked for.
            fresh: compute every block anew, those kept having been used up.
        """
        found = Gradients(self, want_u)
        if self.head.reduce == "sum":
            self._sum(found, sink, gradient)
        else:
            self._spread_logsumexp(found, sink, gradient, fresh)
        return found

    def release(self) -> None:
        """Give the buffer back."""
        if self.buffer is not None:
            self.scratch.give(self.buffer)
        self.buffer = None

    # ------------------------------------------------------------------------------------------ softmax heads

    def _logsumexp(self) -> Tensor:
        if not self.blocks:
            return self.scale.new_full(self.scale.shape, NEVER)
        self.buffer = self._take()
        self.tops = self.u.new_empty(self.kept + 1, len(self.u))
        totals = self.u.new_empty(len(self.blocks), len(self.u))
        for block in self.blocks:
            top, total = self.tops[min(block.number, self.kept)], totals[block.number]
            cos, _ = self._cosines(self._centers(block)[0], block, self._slot(block))
            # cosines are kept where the gradient needs them, else exponentials take their place
            over = cos if self.keeps_exponentials or block.number >= self.kept else None
            _, z = self._logits(cos, over)
            z[block.own] = NEVER
            torch.amax(z, 0, out=top)
            torch.sum(_exp(z, top), 0, out=total).log_().add_(top)
        self.total = totals.logsumexp(0)
        return self.total

    def _spread_logsumexp(self, found: "Gradients", sink: Any, gradient: Tensor, fresh: bool) -> None:
        if self.buffer is None and self.blocks:
            self.buffer = self._take()
        for block in self.blocks:
            centers, length = self._centers(block)
            slot, every = self._slot(block), None
            there = block.number < self.kept and not fresh
            if there:
                cos = slot[: block.last - block.first]
            else:
                cos, every = self._cosines(centers, block, slot)
            if there and self.keeps_exponentials:  # relative to the top of their block so far
                share = (self.tops[block.number] - self.total).exp()
                slope = cos.mul_(share * gradient * self.scale)
            else:
                slope = self._slope_of_softmax(block, cos, gradient, found)
            self._spread(block, centers, length, slope, every, found, sink)
        if self.wants_bias and self.blocks:
            found.bias += gradient  # the probabilities of a row sum to one
        self.release()

    def _slope_of_softmax(self, block: Block, cos: Tensor, gradient: Tensor, found: "Gradients") -> Tensor:
        """(c, B) gradient of a block's cosines, (c, B), which are overwritten."""
        with torch.set_grad_enabled(self.differentiates):
            leaf = cos.detach().requires_grad_(self.differentiates)
            score, z = self._logits(leaf, cos if self.keeps_exponentials else None)
        z[block.own] = NEVER
        p = _exp(z, self.total).mul_(gradient)
        if self.wants_scale:
            found.scale += (p * score.detach()).sum(0)
        return self._through_scores(p.mul_(self.scale), leaf, score)

    def _through_scores(self, slope: Tensor, cos: Tensor, score: Tensor) -> Tensor:
        """The gradient of cosines, (c, B), from that of their scores."""
        if self.differentiates:
            return torch.autograd.grad(score, cos, slope)[0]
        bend = None if self.straight else self.head.bend(cos, self.beside)
        return slope if bend is None else slope.mul_(bend)

    # ------------------------------------------------------------------------------------------ one-vs-all heads

    def _sum(self, found: "Gradients | None", sink: Any = None, gradient: Tensor | None = None) -> Tensor:
        """The weighted sum, and its gradients where `found` is to take them."""
        total = self.u.new_zeros(len(self.u))
        weight = self.beside.weight if gradient is None else self.beside.weight * gradient
        buffer = self.scratch.take(self.width, len(self.u), self.u)
        for block in self.blocks:
            centers, length = self._centers(block)
            cos, every = self._cosines(centers, block, buffer)
            factor = None if self.classes.factor is None else self.classes.factor[block.first : block.last]
            differentiates = found is not None and self.differentiates
            with torch.set_grad_enabled(differentiates):
                leaf = cos.detach().requires_grad_(differentiates)
                score, z = self._logits(leaf)
            each = _others(self.head.negative(z, self.beside), z, block)
            total += (each if factor is None else each.mul_(factor)).sum(0)
            if found is None:
                continue
            slope = _others(self._slope(z), z, block)
            slope = slope.mul_(weight if factor is None else weight * factor)
            if self.wants_bias:
                found.bias += slope.sum(0)
            if self.wants_scale:
                found.scale += (slope * score.detach()).sum(0)
            slope = self._through_scores(slope.mul_(self.scale), leaf, score)
            self._spread(block, centers, length, slope, every, found, sink)
        self.scratch.give(buffer)
        return (total * self.beside.weight.squeeze(0)).sum()

    def _slope(self, z: Tensor) -> Tensor:
        """The derivative of `negative`, (c, B)."""
        slope = self.head.slope(z, self.beside)
        if slope is None:
            with torch.enable_grad():
                leaf = z.detach().requires_grad_()
                slope = torch.autograd.grad(self.head.negative(leaf, self.beside).sum(), leaf)[0]
        return slope

    # ------------------------------------------------------------------------------------------ gradients

    def _spread(
        self,
        block: Block,
        centers: Tensor,
        length: Tensor | None,
        slope: Tensor,
        every: Tensor | None,
        found: "Gradients",
        sink: Any,
    ) -> None:
        """Carry the gradient of a block's cosines, (c, B), on to features, class biases and centres."""
        if found.b is not None:
            found.b[0, self.classes.rows(block.first, block.last)] = slope.sum(1)
        if every is not None:
            nearest = every.argmax(1, keepdim=True)
            slope = torch.zeros_like(every).scatter_(1, nearest, slope.unsqueeze(1)).flatten(0, 1)
        if found.u is not None:
            found.u.addmm_(slope.mT, centers)
        if sink is None:
            return
        where = self.classes.rows(block.first, block.last)
        place = sink.place(where)
        direct = place is not None and place.dtype == slope.dtype
        gradient = torch.mm(slope, self.u, out=place) if direct else slope @ self.u
        if length is not None:  # across the centre, as the length is divided out
            gradient -= centers * (centers * gradient).sum(1, keepdim=True)
            gradient /= length
        sink.add(where, gradient)

    def _take(self) -> Tensor:
        return self.scratch.take((self.kept + 1) * self.width, len(self.u), self.u)

    def _slot(self, block: Block) -> Tensor:
        """Where a block's numbers lie: its own place among those kept, or the one place for all others."""
        assert self.buffer is not None
        start = min(block.number, self.kept) * self.width
        return self.buffer[start : start + self.width]


class Gradients:
    """What a walk finds beside the gradients of centres: of features, scales, biases and class biases."""

    def __init__(self, walk: Walk, want_u: bool = True):
        self.u = torch.zeros_like(walk.u) if want_u else None
        self.scale = torch.zeros_like(walk.scale)
        self.bias = torch.zeros_like(walk.bias)
        self.b = None if walk.classes.b is None else torch.zeros_like(walk.classes.b, dtype=walk.u.dtype)

    def scaled(self, factor: Tensor) -> "Gradients":
        """All multiplied by the gradient of the value, in place."""
        for value in (self.u, self.scale, self.bias, self.b):
            if value is not None:
                value *= factor
        return self


def _exp(z: Tensor, reference: Tensor) -> Tensor:
    """exp(z - reference) in place, (c, B) and (B,); as a power of two, several times as fast on some processors."""
    return z.sub_(reference).mul_(LOG2E).exp2_()


def _others(value: Tensor, z: Tensor, block: Block) -> Tensor:
    """What a head made of logits `z`, (c, B), with 0 for the own classes; in place, where it is not `z` itself."""
    if value.data_ptr() == z.data_ptr() or not value.is_contiguous() or value.shape != z.shape:
        value = value.expand_as(z).clone(memory_format=torch.contiguous_format)
    value[block.own] = 0.0
    return value
