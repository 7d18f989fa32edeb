"""No classes at all: a loss on pairs, given the features of all ranks."""

import torch
from torch import Tensor, nn

from opensphere import collective
from opensphere.classifier.classifier import check_shapes, flatten, unflatten
from opensphere.error import UserError
from opensphere.model.head.pair import PairHead


class Pairs(nn.Module):
    """A loss on pairs over the global batch. It has no matrix: what it learns, if anything, is the head's.

    State: the head's own parameters and buffers, without a prefix, as `Classifier` writes them.

    Args:
        head: the loss.
        feat_dim: D.
        num_class: C, where labels should be held against it; it changes nothing else.

    Raises:
        UserError: a size below 1, or a head made for another length of features.
    """

    def __init__(self, head: PairHead, feat_dim: int, num_class: int | None = None):
        super().__init__()
        if feat_dim < 1 or (num_class is not None and num_class < 1):
            raise UserError(f"feat_dim and num_class must be at least 1, got {feat_dim} and {num_class}")
        if head.feat_dim not in (None, feat_dim):
            raise UserError(f"{type(head).__name__}: feat_dim is {head.feat_dim}, but the features have {feat_dim}")
        self.head = head
        self.feat_dim = feat_dim
        self.num_class = num_class
        self.register_state_dict_post_hook(flatten)
        self.register_load_state_dict_pre_hook(unflatten)

    def forward(
        self, features: Tensor, labels: Tensor, keys: Tensor | None = None, key_labels: Tensor | None = None
    ) -> Tensor:
        """The loss of the global batch, the same on every rank.

        Arithmetic is in float32, or float64 where the features are, also under autocast.

        Args:
            features: this rank's share, (B / world_size, D), of any floating-point type.
            labels: their classes. Labels on the CPU are checked without waiting for an accelerator.
            keys, key_labels: the same of a slower encoder, where the head wants them; the features and labels
                themselves if not given.

        Returns:
            A scalar.

        Raises:
            UserError: the shapes do not fit, or a label is no class.
        """
        self._check(features, labels)
        if keys is not None:
            self._check(keys, labels if key_labels is None else key_labels, "keys")
            if len(keys) != len(features):
                raise UserError(f"keys must be those of the {len(features)} rows, got {len(keys)}")
        with torch.autocast(features.device.type, enabled=False):
            dtype = torch.promote_types(features.dtype, torch.float32)
            x = collective.gather(features.to(dtype))
            y = self._gather_labels(labels, features)
            if self.head.ema is None or keys is None:
                return self.head(x, y)
            gathered = collective.gather(keys.detach().to(dtype))
            return self.head(x, y, gathered, y if key_labels is None else self._gather_labels(key_labels, features))

    def whole_state(self) -> dict[str, Tensor]:
        """The state; every rank holds all of it."""
        return self.state_dict()

    @staticmethod
    def _gather_labels(labels: Tensor, features: Tensor) -> Tensor:
        return collective.gather(labels.to(features.device, torch.long, non_blocking=True))

    def _check(self, features: Tensor, labels: Tensor, what: str = "features") -> None:
        check_shapes(features, labels, self.feat_dim, what)
        outside = labels[labels < 0] if self.num_class is None else labels[(labels < 0) | (labels >= self.num_class)]
        if len(outside):
            last = "" if self.num_class is None else f" to {self.num_class - 1}"
            raise UserError(f"label {int(outside[0])} is no class: labels go from 0{last}")
