"""A head against many classes, a block of classes at a time: the matrix batch x classes is never there as a whole."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.classifier.centers import Block, Centers, Classes
from opensphere.classifier.sink import Scratch
from opensphere.error import UserError
from opensphere.model.head.head import NEVER, Head, Rows

LOG2E = 1.4426950408889634
_FAR = 100  # a reference is too low where the sum is 2 to this times as much: 2^127 is the end of float32
# Numbers of a block: what stays in a processor's last-level cache while the elementwise passes go over it, and what
# keeps a GPU busy. Between a quarter and four times as many make no difference on the CPUs measured.
ELEMENTS = {"cpu": 2**19}
ELEMENTS_ELSEWHERE = 2**21  # not measured


def block_width(batch: int, device: str) -> int:
    """Classes of a block, for a batch of so many rows."""
    return max(512, ELEMENTS.get(device, ELEMENTS_ELSEWHERE) // batch)


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
        memory: bytes beyond weights, gradient and features, for blocks that the second pass need not compute anew.
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
        # cosines become logits by what is done to the features beforehand
        self.folds = self.identity and not self.wants_scale and classes.b is None and classes.centers == 1
        if self.folds and head.reduce == "logsumexp":
            self.folded = self.u * (self.scale * LOG2E).unsqueeze(1)
        self.width = block_width(len(u), u.device.type)
        self.blocks = list(self._blocks())
        # in one piece: small ones, made between a block's temporaries, would tear the memory into pieces
        self.inverse = self.u.new_empty(classes.count * classes.centers * classes.in_graph, 1)
        self.measured = 0  # blocks whose inverse lengths are known
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
        logits, what a head's formula needs), a length a centre, and what is as large as the features."""
        block = copies * block_width(len(u), device) * centers * (len(u) + u.shape[1])
        return (block + count * centers + 8 * u.numel()) * u.element_size()

    def _blocks(self) -> Iterator[Block]:
        place, order = self.classes.own.sort(stable=True)
        edges = torch.arange(0, self.classes.count + self.width, self.width, device=place.device)
        cuts = torch.searchsorted(place, edges).tolist()
        for number, first in enumerate(range(0, self.classes.count, self.width)):
            inside = slice(cuts[number], cuts[number + 1])
            last = min(self.classes.count, first + self.width)
            yield Block(number, first, last, (place[inside] - first, order[inside]))

    # ------------------------------------------------------------------------------------------ scores of a block

    def _centers(self, block: Block) -> Centers:
        w = self.classes.matrix(block.first, block.last, self.u.dtype)
        if not self.classes.in_graph:
            return Centers(w, None)
        inverse = self.inverse[block.first * self.classes.centers : block.last * self.classes.centers]
        if block.number == self.measured:  # in the first pass
            torch.reciprocal(sphere.divisor(w), out=inverse)
            self.measured += 1
        return Centers(w, inverse)

    def _cosines(self, centers: Centers, block: Block, out: Tensor) -> tuple[Tensor, Tensor | None]:
        """(c, B) products of the nearest centres, and (c, K, B) where there are several."""
        if self.classes.centers == 1:
            cos, every = centers.times(self.u, out), None
        else:
            every = centers.times(self.u, None).unflatten(0, (-1, self.classes.centers))
            cos = torch.amax(every, 1, out=out[: len(every)])
        if self.classes.b is not None:
            cos += self.classes.b[0, self.classes.rows(block.first, block.last)].unsqueeze(1)
        return cos, every

    def _scores(self, cos: Tensor) -> tuple[Tensor, bool]:
        """Scores, (c, B), of cosines, and whether they are numbers that nobody else needs."""
        score = None if self.identity else self.head.others(cos, self.beside)
        if score is None:
            return cos, False
        own = score.data_ptr() != cos.data_ptr() and score.is_contiguous() and not score.requires_grad
        return score, own and not self.wants_scale

    # ------------------------------------------------------------------------------------------ the two passes

    def value(self) -> Tensor:
        """What all classes visited but the own amount to: (B,) log-sum-exp, or for a "sum" head the weighted sum."""
        return self._sum(None) if self.head.reduce == "sum" else self._logsumexp()

    def value_and_gradients(self, sink: Any) -> tuple[Tensor, "Gradients"]:
        """Both in one pass, for a "sum" head; the gradients are those of the sum itself."""
        found = Gradients(self, self.beside.weight.squeeze(0))
        return self._sum(found, sink), found.finish()

    def gradients(self, gradient: Tensor, sink: Any, want_u: bool = True, fresh: bool = False) -> "Gradients":
        """The gradients of `value`; those of centres go to `sink`, if any.

        Args:
            gradient: of the value.
            want_u: whether the features' is asked for.
            fresh: compute every block anew, those kept having been used up.
        """
        if self.head.reduce == "sum":
            found = Gradients(self, self.beside.weight.squeeze(0) * gradient, want_u)
            self._sum(found, sink)
        else:
            weight = gradient * (self.reference - self.total).exp2() if self.blocks else gradient
            found = Gradients(self, weight, want_u)
            self._spread_logsumexp(found, sink, fresh)
            found.bias += gradient  # the probabilities of a row sum to one
        return found.finish()

    def release(self) -> None:
        """Give the buffer back."""
        if self.buffer is not None:
            self.scratch.give(self.buffer)
        self.buffer = None

    # ------------------------------------------------------------------------------------------ softmax heads

    def _logsumexp(self) -> Tensor:
        """Natural, (B,); within, logits count in powers of two, which some processors raise several times as fast.

        All exponentials are relative to one reference a row, the largest logit of the first block: so nothing has to be
        known of a block before they are taken, and what a row is multiplied by later, it can be at the end. Where that
        turns out to be far below the sum, the largest of all takes its place.
        """
        if not self.blocks:
            return self.scale.new_full(self.scale.shape, NEVER)
        self.buffer = self._take()
        self.reference = self._top(self.blocks[:1])
        total = self._sum_of_powers()
        if not bool((total < 2.0**_FAR).all()):
            self.reference = self._top(self.blocks)
            total = self._sum_of_powers()
        found = total > 0  # else there is no class but the own
        self.total = (total.where(found, 1.0).log2() + self.reference).to(self.u.dtype)
        return torch.where(found, self.total / LOG2E, NEVER)

    def _top(self, blocks: "list[Block]") -> Tensor:
        """(B,) the largest logit of some blocks, in powers of two."""
        shift = self.beside.bias * LOG2E
        top = self.u.new_full((len(self.u),), NEVER)
        for block in blocks:
            z = self._powers(block, self._centers(block), self._slot(block), shift, exponent=True)
            top = torch.maximum(top, z.amax(0))
        return top

    def _sum_of_powers(self) -> Tensor:
        """(B,) the sum of 2 to the logits less the reference. What fits is kept for the second pass."""
        shift = self.beside.bias * LOG2E - self.reference
        exact = self.u.dtype if self.u.device.type == "mps" else torch.float64  # which Apple's GPUs do not have
        total = self.u.new_zeros(len(self.u), dtype=exact)
        for block in self.blocks:
            total += self._powers(block, self._centers(block), self._slot(block), shift).sum(0)
        return total

    def _powers(self, block: Block, centers: Centers, slot: Tensor, shift: Tensor, exponent: bool = False) -> Tensor:
        """(c, B) 2 to the logits plus `shift`, or the exponents alone; nothing (or NEVER) for own classes.

        They lie in `slot`; unless cosines are what the second pass needs, which stay there then.
        """
        if self.folds:
            z = centers.times(self.folded, slot, shift)
        else:
            cos, _ = self._cosines(centers, block, slot)
            score, free = self._scores(cos)
            keeps = not self.keeps_exponentials and block.number < self.kept
            z = self._shifted(score, shift, cos if not keeps else score if free else None)
        if exponent:
            z[block.own] = NEVER
            return z
        z.exp2_()[block.own] = 0.0
        return z

    def _shifted(self, score: Tensor, shift: Tensor, out: Tensor | None) -> Tensor:
        return torch.addcmul(shift, self.beside.scale * LOG2E, score.detach(), out=out)

    def _spread_logsumexp(self, found: "Gradients", sink: Any, fresh: bool) -> None:
        if self.buffer is None and self.blocks:
            self.buffer = self._take()
        for block in self.blocks:
            centers, slot, every = self._centers(block), self._slot(block), None
            kept = block.number < self.kept and not fresh
            shift = self.beside.bias * LOG2E - self.reference
            if kept and self.keeps_exponentials:
                slope = slot[: block.last - block.first]
            elif self.folds:
                slope = self._powers(block, centers, slot, shift)
            else:
                if kept:
                    cos = slot[: block.last - block.first]
                else:
                    cos, every = self._cosines(centers, block, slot)
                slope = self._slope_of_softmax(block, cos, shift, found)
            self._spread(block, centers, slope, every, found, sink)
        self.release()

    def _slope_of_softmax(self, block: Block, cos: Tensor, shift: Tensor, found: "Gradients") -> Tensor:
        """(c, B) gradient of a block's cosines, (c, B), which are overwritten; but for the factor of its row."""
        with torch.set_grad_enabled(self.differentiates):
            leaf = cos.detach().requires_grad_(self.differentiates)
            score, free = self._scores(leaf)
            p = self._shifted(score, shift, score if free else cos if self.straight and not self.wants_scale else None)
        p.exp2_()[block.own] = 0.0
        if self.wants_scale:
            found.scale += (p * score.detach()).sum(0)
        return self._through_scores(p, leaf, score)

    def _through_scores(self, slope: Tensor, cos: Tensor, score: Tensor) -> Tensor:
        """The gradient of cosines, (c, B), from that of their scores."""
        if self.differentiates:
            return torch.autograd.grad(score, cos, slope)[0]
        bend = None if self.straight else self.head.bend(cos, self.beside)
        return slope if bend is None else slope.mul_(bend)

    # ------------------------------------------------------------------------------------------ one-vs-all heads

    def _sum(self, found: "Gradients | None", sink: Any = None) -> Tensor:
        """The weighted sum, and its gradients where `found` is to take them."""
        total = self.u.new_zeros(len(self.u))
        buffer = self.scratch.take(self.width, len(self.u), self.u)
        for block in self.blocks:
            centers = self._centers(block)
            cos, every = self._cosines(centers, block, buffer)
            factor = None if self.classes.factor is None else self.classes.factor[block.first : block.last]
            differentiates = found is not None and self.differentiates
            with torch.set_grad_enabled(differentiates):
                leaf = cos.detach().requires_grad_(differentiates)
                score, free = self._scores(leaf)
                z = torch.addcmul(self.beside.bias, self.beside.scale, score.detach(), out=score if free else None)
            each = _others(self.head.negative(z, self.beside), z, block)
            total += (each if factor is None else each.mul_(factor)).sum(0)
            if found is None:
                continue
            slope = _others(self._slope(z), z, block)
            if factor is not None:
                slope.mul_(factor)
            if self.wants_bias:
                found.bias += slope.sum(0) * found.weight
            if self.wants_scale:
                found.scale += (slope * score.detach()).sum(0)
            self._spread(block, centers, self._through_scores(slope, leaf, score), every, found, sink)
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
        self, block: Block, centers: Centers, slope: Tensor, every: Tensor | None, found: "Gradients", sink: Any
    ) -> None:
        """Carry the gradient of a block's cosines, (c, B) but for the factor of each row, on to features, class biases
        and centres."""
        if found.b is not None:
            found.b[0, self.classes.rows(block.first, block.last)] = slope @ found.factor
        if every is not None:
            nearest = every.argmax(1, keepdim=True)
            slope = torch.zeros_like(every).scatter_(1, nearest, slope.unsqueeze(1)).flatten(0, 1)
        if centers.inverse is not None:
            slope.mul_(centers.inverse)
        if found.u is not None:
            found.u.addmm_(slope.mT, centers.w)
        if sink is None:
            return
        where = self.classes.rows(block.first, block.last)
        place = sink.place(where)
        direct = place is not None and place.dtype == slope.dtype
        gradient = torch.mm(slope, found.rows, out=place) if direct else slope @ found.rows
        sink.add(where, centers.across(gradient))

    def _take(self) -> Tensor:
        return self.scratch.take((self.kept + 1) * self.width, len(self.u), self.u)

    def _slot(self, block: Block) -> Tensor:
        """Where a block's numbers lie: its own place among those kept, or the one place for all others."""
        assert self.buffer is not None
        start = min(block.number, self.kept) * self.width
        return self.buffer[start : start + self.width]


class Gradients:
    """What a walk finds beside the gradients of centres: of features, scales, biases and class biases.

    Args:
        weight: (B,) what the slopes of a row are to be multiplied by, which is done where the fewest numbers are.
        want_u: whether the features' is asked for.
    """

    def __init__(self, walk: Walk, weight: Tensor, want_u: bool = True):
        self.walk, self.weight = walk, weight
        self.u = torch.zeros_like(walk.u) if want_u else None
        self.scale = torch.zeros_like(walk.scale)
        self.bias = torch.zeros_like(walk.bias)
        self.b = None if walk.classes.b is None else torch.zeros_like(walk.classes.b, dtype=walk.u.dtype)

    @cached_property
    def factor(self) -> Tensor:
        """(B,) from slopes of a row to the gradients of its cosines."""
        return self.weight * self.walk.scale

    @cached_property
    def rows(self) -> Tensor:
        """(B, D) features times their factor."""
        return self.walk.u * self.factor.unsqueeze(1)

    def finish(self) -> "Gradients":
        """Multiply what was summed without."""
        if self.u is not None:
            self.u *= self.factor.unsqueeze(1)
        self.scale *= self.weight
        return self

    def scaled(self, factor: Tensor) -> "Gradients":
        """All multiplied by the gradient of the value, in place."""
        for value in (self.u, self.scale, self.bias, self.b):
            if value is not None:
                value *= factor
        return self


def _others(value: Tensor, z: Tensor, block: Block) -> Tensor:
    """What a head made of logits `z`, (c, B), with 0 for the own classes; in place, where it is not `z` itself."""
    if value.data_ptr() == z.data_ptr() or not value.is_contiguous() or value.shape != z.shape:
        value = value.expand_as(z).clone(memory_format=torch.contiguous_format)
    value[block.own] = 0.0
    return value
