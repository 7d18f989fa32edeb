"""The common forward: how a head and many classes make one loss. How the classes are held is all that differs."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from opensphere import collective, sphere
from opensphere.error import UserError
from opensphere.model.head.head import Head, Rows


class Classifier(nn.Module, ABC):
    """A head with its classes. Subclasses say in `open` and `negatives` how they hold them.

    Shapes: B rows in the global batch, D the length of a feature, C classes, K centres a class.
    State: `w`, and `b` where the head is linear, with the head's own parameters and buffers beside them (not under
    `head.`): the layout of OpenSphere's files. The prefix `module.` in a file is ignored.

    Args:
        head: the loss.
        feat_dim: D.
        num_class: C.

    Attributes:
        w: (D, C * K), the centres of a class side by side. Xavier-normal at first, as OpenSphere: directions are
            uniform on the sphere, and the products of a linear head begin small.
        b: (1, C), zero at first, for a linear head; else None.

    Raises:
        UserError: a size below 1, or a head made for another number of classes.
    """

    def __init__(self, head: Head, feat_dim: int, num_class: int):
        super().__init__()
        if feat_dim < 1 or num_class < 1:
            raise UserError(f"feat_dim and num_class must be at least 1, got {feat_dim} and {num_class}")
        if head.num_class not in (None, num_class):
            raise UserError(f"{type(head).__name__}: num_class is {head.num_class}, but the classifier has {num_class}")
        self.head = head
        self.feat_dim = feat_dim
        self.num_class = num_class
        self.w = nn.Parameter(nn.init.xavier_normal_(torch.empty(feat_dim, num_class * head.centers)))
        self.b = nn.Parameter(torch.zeros(1, num_class)) if head.space == "linear" else None
        self.register_state_dict_post_hook(_flatten)
        self.register_load_state_dict_pre_hook(_unflatten)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """The loss of the global batch, the same on every rank.

        Arithmetic is in float32, or float64 where the features or `w` are, also under autocast.

        Args:
            features: this rank's share, (B / world_size, D), of any floating-point type.
            labels: their classes. Labels on the CPU are checked without waiting for an accelerator.

        Returns:
            A scalar.

        Raises:
            UserError: the shapes do not fit, or a label is no class.
        """
        head, cosine = self.head, self.head.space == "cosine"
        self._check(features, labels)
        with torch.autocast(features.device.type, enabled=False):
            dtype = torch.promote_types(torch.promote_types(features.dtype, self.w.dtype), torch.float32)
            x = collective.gather(features.to(dtype))
            y = collective.gather(labels.to(features.device, torch.long, non_blocking=True))
            if cosine and head.normalise == "in_place":
                self.normalise()
            norm = torch.linalg.vector_norm(x, dim=1)
            u = sphere.unit(x) if cosine else x
            own, handle = self.open(y, dtype)  # (B, K, D)
            cos_y = (own * u.unsqueeze(1)).sum(2).max(1).values
            if self.b is not None:
                cos_y = cos_y + self.b[0, y]
            rows = head.prepare(norm, cos_y, y)
            if head.needs_scan:
                with torch.no_grad():
                    neg = self.negatives(u, handle, y, rows)
                rows = head.rescale(rows, neg)
            z_y = rows.scale * self.score(cos_y, head.target(cos_y, rows)) + rows.bias
            neg = self.negatives(u, handle, y, rows)
            if head.reduce == "logsumexp":
                loss = head.loss(z_y, neg, rows).mean()
            else:
                loss = (rows.weight * head.positive(z_y, rows)).sum() + neg
            points = own[_firsts(y)].flatten(0, 1) if head.wants_batch_classes else own.new_empty(0, self.feat_dim)
            return loss + head.penalty(norm, rows, points)

    @abstractmethod
    def open(self, labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Any]:
        """The centres of each row's own class, (B, K, D), unit vectors unless the head is linear, and what `negatives`
        needs of the matrix; both with a gradient to `w`."""

    @abstractmethod
    def negatives(self, u: Tensor, handle: Any, labels: Tensor, rows: Rows) -> Tensor:
        """What all classes but the own amount to under the head, with a gradient.

        Args:
            u: (B, D) unit features, or plain ones where the head is linear.
            handle: from `open`.
            labels: (B,).
            rows: from the head.

        Returns:
            (B,) log-sum-exp of the logits for a "logsumexp" head; for a "sum" head the weighted sum over rows and
            classes, a scalar.
        """

    def score(self, cos: Tensor, value: Tensor | None) -> Tensor:
        """A head's value with the gradient that the head wants; None stands for the cosine."""
        if value is None:
            return cos
        return sphere.characteristic(cos, value) if self.head.gradient == "detached" else value

    def normalise(self) -> None:
        """Give every centre unit length, in place."""
        self.w.data.copy_(sphere.unit(self.w.data, dim=0))  # .data: an earlier forward may still await its backward

    def _check(self, features: Tensor, labels: Tensor) -> None:
        if features.ndim != 2 or features.shape[1] != self.feat_dim or not features.is_floating_point():
            raise UserError(
                f"features must be floating-point (B, {self.feat_dim}), got {features.dtype} {tuple(features.shape)}"
            )
        if labels.shape != features.shape[:1] or labels.is_floating_point() or labels.is_complex():
            raise UserError(f"labels must be {len(features)} integers, got {labels.dtype} {tuple(labels.shape)}")
        if not len(labels):
            raise UserError("the batch is empty: a loss needs one row or more")
        outside = labels[(labels < 0) | (labels >= self.num_class)]
        if len(outside):
            raise UserError(
                f"label {int(outside[0])} is no class: num_class is {self.num_class}, labels go from 0 to "
                f"{self.num_class - 1}"
            )


def _firsts(labels: Tensor) -> Tensor:
    """The positions at which a class appears first, in the order of classes."""
    ordered, order = labels.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return order[first]


def _flatten(module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
    """Write the head's entries beside `w`."""
    for name in [name for name in state if name.startswith(f"{prefix}head.")]:
        flat = prefix + name.removeprefix(f"{prefix}head.")
        if flat not in state:
            state[flat] = state.pop(name)


def _unflatten(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Read what `_flatten` wrote, or OpenSphere did: drop `module.`, hand the head's entries to the head."""
    for name in [name for name in state if name.startswith(f"{prefix}module.")]:
        state[prefix + name.removeprefix(f"{prefix}module.")] = state.pop(name)
    own = {name for name, _ in module.named_parameters(recurse=False)}
    head: Any = module.get_submodule("head")
    for name in head.state_dict():
        if name not in own and prefix + name in state:
            state[f"{prefix}head.{name}"] = state.pop(prefix + name)
