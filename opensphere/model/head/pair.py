"""What losses on pairs share: there are no classes, each feature is held against the others of the batch."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from opensphere.model.head.head import NEVER, Head


class PairHead(nn.Module, ABC):
    """A loss on the pairs of a batch; `opensphere.classifier.Pairs` brings the batches of all ranks together.

    Where there is nothing to learn (one row alone, no pair of one class, no two classes), the loss is 0 with a gradient
    of 0, unless a head says otherwise.

    Attributes:
        ema: how slowly an encoder follows the network, 0 at once, 1 never, if the head wants keys of one. None: it does
            not, and takes no notice of keys.
        feat_dim: where the head depends on it, to be compared with the network's.
        learns: whether the head has parameters, and needs an optimizer.
    """

    ema: float | None = None
    feat_dim: int | None = None
    learns: bool = False

    _number: ClassVar[Callable[..., float]] = Head._number  # the check of an argument is the same

    @abstractmethod
    def forward(self, x: Tensor, y: Tensor, keys: Tensor | None = None, key_labels: Tensor | None = None) -> Tensor:
        """The loss of the global batch, a scalar.

        Args:
            x: (B, D) features, not normalised.
            y: (B,) classes, none below 0.
            keys: (B, D) features of the same images, row by row, without a gradient; those of a slower encoder.
            key_labels: (B,) their classes; `y` if not given.
        """

    def compared(self, batch: int) -> int:
        """How many keys each of `batch` rows is held against."""
        return batch


def pairs_of(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows have the class of which others, and which have another class: (B, B) bool both.

    No row is a pair with itself.
    """
    equal = labels.unsqueeze(1) == labels
    return equal & ~_diagonal(labels), ~equal


def without_self(score: Tensor) -> Tensor:
    """(B, B) scores, each row's own one replaced by `NEVER`."""
    return score.masked_fill(_diagonal(score), NEVER)


def _diagonal(rows: Tensor) -> Tensor:
    return torch.eye(len(rows), dtype=torch.bool, device=rows.device)
