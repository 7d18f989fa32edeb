"""The classes that a batch meets, a block of them, and its centres as a matrix."""

from dataclasses import dataclass

import torch
from torch import Tensor

from opensphere.classifier.sink import Where


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

    def matrix(self, first: int, last: int, dtype: torch.dtype) -> Tensor:
        """The centres of the visited classes first, ..., last - 1, as they are: (number * K, D)."""
        return self.w.mT[self.rows(first, last)].to(dtype)


@dataclass
class Block:
    """One block of classes."""

    number: int
    first: int
    last: int
    own: tuple[Tensor, Tensor]  # where the own classes are: their places in the block, and the rows of the batch


@dataclass
class Centers:
    """The centres of a block, (c K, D), and what they are to be multiplied by, (c K, 1), to have unit length; None:
    they are taken as they are.

    No unit vectors are made of them: what divides a centre divides the row of scores that belongs to it.
    """

    w: Tensor
    inverse: Tensor | None

    def times(self, u: Tensor, out: Tensor | None, shift: Tensor | None = None) -> Tensor:
        """(c K, B) products with features (B, D), plus a number for each feature."""
        product = torch.mm(self.w, u.mT, out=None if out is None else out[: len(self.w)])
        if self.inverse is None:
            return product if shift is None else product.add_(shift)
        return product.mul_(self.inverse) if shift is None else torch.addcmul(shift, product, self.inverse, out=product)

    def across(self, gradient: Tensor) -> Tensor:
        """The gradient of the centres, in place, from that of the unit vectors divided by the lengths: only what is at
        right angles to a centre moves its direction."""
        if self.inverse is None:
            return gradient
        along = torch.linalg.vecdot(self.w, gradient).unsqueeze(1).mul_(self.inverse.square())
        return gradient.addcmul_(self.w, along, value=-1.0)
