"""What every loss shares. A head knows its margin; it holds no class matrix and sees no process group."""

import math
from types import SimpleNamespace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opensphere.error import UserError

Gradient = Literal["detached", "full"]
Normalise = Literal["in_place", "in_graph"]
Value = float | Tensor

# The logit of what does not count in a log-sum-exp, such as the own class among the others: finite, so that nothing
# left to count is no special case.
NEVER = -1e30


class Rows(SimpleNamespace):
    """What a head knows of each row of the global batch. Numbers are widened to (B,) tensors.

    Attributes:
        cos_y: (B,) cosines to the own class.
        scale, bias: a score becomes the logit scale * score + bias.
        weight: the factor of a row in a loss that is a sum, 1/B unless given.
        Others as the head names them, such as the margin of each row.
    """

    def __init__(self, cos_y: Tensor, scale: Value = 1.0, bias: Value = 0.0, weight: Value | None = None, **own: Value):
        weight = 1.0 / len(cos_y) if weight is None else weight
        values = {"cos_y": cos_y, "scale": scale, "bias": bias, "weight": weight, **own}
        super().__init__(**{name: _widen(value, cos_y) for name, value in values.items()})

    def beside(self, dim: int) -> SimpleNamespace:
        """The same names, detached, to stand beside a block of cosines whose classes lie along dimension `dim`: (B, 1)
        for 1, (1, B) for 0."""
        return SimpleNamespace(**{name: value.detach().unsqueeze(dim) for name, value in vars(self).items()})


def _widen(value: Value, like: Tensor) -> Tensor:
    return value.to(like).expand_as(like) if isinstance(value, Tensor) else torch.full_like(like, value)


class Head(nn.Module):
    """A loss: how the cosines of a batch become one number. `opensphere.classifier` brings in the classes.

    Shapes: B rows in the global batch, D the length of a feature.
    A subclass overrides what differs from the normalised softmax: usually `target` alone.

    Args:
        s: the scale of the cosines, above 0.
        gradient: what the margin does to the gradient. "detached": it changes the value only, and the gradient passes
            through the cosine as if there were no margin. "full": the value is differentiated as it stands.
        normalise: how class weights get unit length. "in_place": before the product, so that their gradient keeps its
            radial part. "in_graph": inside the product, so that their gradient is tangential.

    Attributes:
        space: "cosine", or "linear": plain products and a bias per class, held by the classifier.
        reduce: "logsumexp", a softmax over classes, or "sum", one-vs-all: a sum over rows and classes.
        centers: centres per class; the nearest one counts.
        num_class: where the head depends on it, to be compared with the classifier's.
        needs_scan: whether `rescale` is to be called.
        wants_batch_classes: whether `penalty` is given the batch's class vectors.
        draws: whether `prepare` draws random numbers. In training it takes them from `random`, a generator on the CPU
            that the classifier renews each step, the same on every rank.

    Raises:
        UserError: names the argument and the values it may have.
    """

    space: Literal["cosine", "linear"] = "cosine"
    reduce: Literal["logsumexp", "sum"] = "logsumexp"
    centers: int = 1
    num_class: int | None = None
    needs_scan: bool = False
    wants_batch_classes: bool = False
    draws: bool = False
    random: torch.Generator | None = None

    def __init__(self, s: float = 1.0, gradient: Gradient = "full", normalise: Normalise = "in_graph"):
        super().__init__()
        self.s = self._number("s", s, above=0.0)
        self.gradient = self._one_of("gradient", gradient, ("detached", "full"))
        self.normalise = self._one_of("normalise", normalise, ("in_place", "in_graph"))

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        """Settle what each row needs, before any score; in training, update buffers first.

        Args:
            norm: (B,) lengths of the features.
            cos_y: (B,) cosines to the own class (scores, where `space` is "linear").
            labels: (B,) classes.

        Returns:
            The rows. They are read again in the backward pass: a buffer goes in as a copy.
        """
        return Rows(cos_y, scale=self.s)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        """The score of the own class, (B,), from its cosine."""
        return cos_y

    def others(self, cos: Tensor, rows: Any) -> Tensor | None:
        """The scores of other classes, elementwise on a block of rows and classes, whichever comes first.

        None leaves the cosines as they are.

        `rows` is `Rows.beside(...)`. Called again in the backward pass: no side effects.
        """
        return None

    def bend(self, cos: Tensor, rows: Any) -> Tensor | None:
        """The derivative of `others` along the cosine, in closed form, where there is one: it spares a classifier work.
        Of "full" gradients only; where `gradient` is "detached", the slope is 1."""
        return None

    def rescale(self, rows: Rows, neg: Tensor) -> Rows:
        """Adapt the rows to `neg`, what the other classes amount to under them. Only where `needs_scan`."""
        return rows

    def loss(self, z_y: Tensor, neg: Tensor, rows: Rows) -> Tensor:
        """The loss of each row, (B,), for "logsumexp": the cross-entropy, from the own logit and the others' sum."""
        return -F.logsigmoid(z_y - neg)

    def positive(self, z_y: Tensor, rows: Rows) -> Tensor:
        """The loss of the own logits, elementwise, for "sum"."""
        return -F.logsigmoid(z_y)

    def negative(self, z: Tensor, rows: Any) -> Tensor:
        """The loss of other classes' logits, elementwise on a block as `others`, for "sum"."""
        return -F.logsigmoid(-z)

    def slope(self, z: Tensor, rows: Any) -> Tensor | None:
        """The derivative of `negative` in closed form, where there is one: it spares a classifier work."""
        return None

    def penalty(self, norm: Tensor, rows: Rows, points: Tensor) -> Tensor:
        """A term added to the mean loss, a scalar.

        Args:
            norm: (B,) lengths of the features.
            points: the unit vectors of the batch's distinct classes, (number, D); none unless `wants_batch_classes`.
        """
        return norm.new_zeros(())

    def _number(
        self,
        name: str,
        value: float,
        above: float = -math.inf,
        least: float = -math.inf,
        below: float = math.inf,
        most: float = math.inf,
    ) -> float:
        """`value`, if it is a finite number within the bounds."""
        number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        if not number or not (above < value < below and least <= value <= most):
            bounds = {"above": above, "at least": least, "below": below, "at most": most}
            allowed = " and ".join(f"{word} {bound:.6g}" for word, bound in bounds.items() if math.isfinite(bound))
            what = f"a finite number, {allowed}" if allowed else "a finite number"
            raise UserError(f"{type(self).__name__}: {name} must be {what}; got {value!r}")
        return float(value)

    def _one_of(self, name: str, value: str, known: tuple[str, ...]) -> str:
        if value not in known:
            raise UserError(f"{type(self).__name__}: {name} must be one of {', '.join(known)}, got {value!r}")
        return value
