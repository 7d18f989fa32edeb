"""The common forward: how a head and many classes make one loss. How the classes are held is all that differs."""

import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from opensphere import collective, sphere
from opensphere.classifier.shard import Shard
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
        shard: the classes held by this process; None: all.

    Attributes:
        w: (D, C * K), the centres of a class side by side; of a shard its own classes. Xavier-normal at first, as
            OpenSphere: directions are uniform on the sphere, and the products of a linear head begin small. A class
            begins with the same numbers in whatever shard it is.
        b: (1, C), zero at first, for a linear head; else None.

    Raises:
        UserError: a size below 1, or a head made for another number of classes.
    """

    centers_first = (
        False  # whether in memory the numbers of a centre lie side by side, rather than those of a dimension
    )

    def __init__(self, head: Head, feat_dim: int, num_class: int, shard: Shard | None = None):
        super().__init__()
        if feat_dim < 1 or num_class < 1:
            raise UserError(f"feat_dim and num_class must be at least 1, got {feat_dim} and {num_class}")
        if head.num_class not in (None, num_class):
            raise UserError(f"{type(head).__name__}: num_class is {head.num_class}, but the classifier has {num_class}")
        self.head = head
        self.feat_dim = feat_dim
        self.num_class = num_class
        self.shard = shard or Shard(0, num_class)
        self.w = nn.Parameter(_initial_centers(feat_dim, num_class, head.centers, self.shard, self.centers_first))
        self.b = nn.Parameter(torch.zeros(1, self.shard.count)) if head.space == "linear" else None
        self.register_state_dict_post_hook(flatten)
        self.register_load_state_dict_pre_hook(unflatten)

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
            x = features.to(dtype)
            y = collective.gather(labels.to(features.device, torch.long, non_blocking=True))
            norm = collective.gather(torch.linalg.vector_norm(x, dim=1))
            u = self.shard.gather(sphere.unit(x) if cosine else x)
            own, bias, handle = self.open(y, dtype)  # (B, K, D)
            cos_y = (own * u.unsqueeze(1)).sum(2).max(1).values
            cos_y = self.shard.total(cos_y if bias is None else cos_y + bias)
            if head.draws and self.training:
                head.random = torch.Generator().manual_seed(collective.common_seed())
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
            points = own.new_empty(0, self.feat_dim)
            if head.wants_batch_classes:
                points = self.shard.total(own)[_firsts(y)].flatten(0, 1)
            return loss + head.penalty(norm, rows, points)

    @abstractmethod
    def open(self, labels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None, Any]:
        """Begin a step: normalise `w` if that is done in place, and find the own classes.

        Returns:
            The centres of each row's own class, (B, K, D), unit vectors unless the head is linear; the biases of these
            classes, (B,), if it is; and what `negatives` needs of the matrix; all with a gradient. Zero in a row whose
            class is in another shard.
        """

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

    @property
    def split(self) -> list[nn.Parameter]:
        """The parameters of which each rank holds its own classes' part: `w` and `b`, where classes are split."""
        return [each for each in (self.w, self.b) if each is not None] if self.shard.split else []

    def whole_state(self) -> dict[str, Tensor]:
        """The state for all classes, on the first rank, whatever holds them. Call it on every rank."""
        names = self._split_names()
        return {name: collective.collect(x) if name in names else x for name, x in self.state_dict().items()}

    def own_state(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Of a state for all classes, that of this process."""
        names = self._split_names()
        return {name: self.share(x) if name in names else x for name, x in state.items()}

    def _split_names(self) -> list[str]:
        return [name for name in ("w", "b") if any(getattr(self, name) is each for each in self.split)]

    def share(self, x: Tensor) -> Tensor:
        """Of (R, C * any) for all classes, the columns of this process's classes."""
        if not self.shard.split or x.ndim != 2 or x.shape[1] % self.num_class:
            return x
        width = x.shape[1] // self.num_class
        return x[:, self.shard.first * width : self.shard.last * width]

    def _check(self, features: Tensor, labels: Tensor) -> None:
        check_shapes(features, labels, self.feat_dim)
        outside = labels[(labels < 0) | (labels >= self.num_class)]
        if len(outside):
            raise UserError(
                f"label {int(outside[0])} is no class: num_class is {self.num_class}, labels go from 0 to "
                f"{self.num_class - 1}"
            )


def check_shapes(features: Tensor, labels: Tensor, feat_dim: int, what: str = "features") -> None:
    """Hold a rank's share of a batch against (B, D) features, called `what`, and (B,) whole numbers.

    Raises:
        UserError: they are not such, or there are none.
    """
    if features.ndim != 2 or features.shape[1] != feat_dim or not features.is_floating_point():
        raise UserError(f"{what} must be floating-point (B, {feat_dim}), got {features.dtype} {tuple(features.shape)}")
    if labels.shape != features.shape[:1] or labels.is_floating_point() or labels.is_complex():
        raise UserError(f"labels must be {len(features)} integers, got {labels.dtype} {tuple(labels.shape)}")
    if not len(labels):
        raise UserError("the batch is empty: a loss needs one row or more")


BLOCK = 2**16  # classes whose initial centres are drawn together


def _initial_centers(feat_dim: int, num_class: int, centers: int, shard: Shard, centers_first: bool) -> Tensor:
    """The initial `w` of a shard. The first block of classes is drawn from torch's generator, each other one from a
    generator of its own, so that a process need not draw what others hold."""
    count, std = shard.count * centers, math.sqrt(2.0 / (feat_dim + num_class * centers))  # Xavier
    w = torch.empty(count, feat_dim).mT if centers_first else torch.empty(feat_dim, count)
    if w.is_meta:  # sizes are all that is asked for
        return w
    seed = 0
    for first in range(0, num_class, BLOCK):
        last = min(num_class, first + BLOCK)
        low, high = max(first, shard.first), min(last, shard.last)
        if first and low >= high:
            continue
        draw = torch.Generator().manual_seed(seed + first) if first else None
        block = torch.empty(feat_dim, (last - first) * centers).normal_(0.0, std, generator=draw)
        if not first:
            seed = int(torch.randint(2**62, ()))
        if low < high:
            here, there = [slice(*((edge - start) * centers for edge in (low, high))) for start in (shard.first, first)]
            w[:, here] = block[:, there]
    return w


def _firsts(labels: Tensor) -> Tensor:
    """The positions at which a class appears first, in the order of classes."""
    ordered, order = labels.sort(stable=True)
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return order[first]


def flatten(module: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
    """Write the head's entries beside `w`."""
    for name in [name for name in state if name.startswith(f"{prefix}head.")]:
        flat = prefix + name.removeprefix(f"{prefix}head.")
        if flat not in state:
            state[flat] = state.pop(name)


def unflatten(module: nn.Module, state: dict[str, Any], prefix: str, *rest: Any) -> None:
    """Read what `flatten` wrote, or OpenSphere did: drop `module.`, hand the head's entries to the head."""
    for name in [name for name in state if name.startswith(f"{prefix}module.")]:
        state[prefix + name.removeprefix(f"{prefix}module.")] = state.pop(name)
    own = {name for name, _ in module.named_parameters(recurse=False)}
    head: Any = module.get_submodule("head")
    for name in head.state_dict():
        if name not in own and prefix + name in state:
            state[f"{prefix}head.{name}"] = state.pop(prefix + name)
