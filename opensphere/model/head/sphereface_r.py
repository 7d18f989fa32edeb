"""SphereFace-R: no, hard or soft feature normalisation, each with three kinds of multiplicative margin.

`magn_type` is the kind. "v0": the target is SphereFace's psi(theta_y). "v1": the target is cos(min(m theta_y, pi)).
"v2": the target stays cos(theta_y), and every other class has cos(theta_j / m).
"""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from opensphere import sphere
from opensphere.error import UserError
from opensphere.model.head.head import Gradient, Head, Normalise, Rows

Kind = Literal["v0", "v1", "v2"]
KINDS = ("v0", "v1", "v2")


def _target(kind: str, cos_y: Tensor, m: Tensor) -> Tensor:
    if kind == "v0":
        return sphere.psi(cos_y, m)
    return torch.cos((m * sphere.angle(cos_y)).clamp_max(math.pi)) if kind == "v1" else cos_y


def _others(kind: str, cos: Tensor, m: Tensor) -> Tensor | None:
    return torch.cos(sphere.angle(cos) / m) if kind == "v2" else None


class GrowingMargin(nn.Module):
    """A margin that starts at 1 and grows by `dm` each time the counted iterations pass one of `steps`.

    A feature that is not normalised finds no way into a large margin at once: with no steps there is never one.
    """

    iter: Tensor
    steps: Tensor

    def __init__(self, dm: float, steps: tuple[int, ...]):
        super().__init__()
        if not isinstance(steps, list | tuple) or not all(isinstance(step, int) for step in steps):
            raise UserError(f"SphereFaceR: steps must be a list of whole numbers of iterations, got {steps!r}")
        self.dm = dm
        self.register_buffer("iter", torch.zeros((), dtype=torch.long))
        self.register_buffer("steps", torch.tensor(list(steps), dtype=torch.long), persistent=False)

    def forward(self, like: Tensor) -> Tensor:
        """Count an iteration, in training only; the margin, of `like`'s dtype. Not a number: reading one would wait."""
        if self.training:
            self.iter += 1
        return 1.0 + self.dm * (self.steps < self.iter).sum().to(like)


class SphereFaceR_N(Head):
    """SphereFace-R (Liu et al. 2022), no feature normalisation: logits |x| psi(theta_y), |x| cos(theta_j); or v1, v2.

    The scale is the feature's norm itself, and its gradient carries the value of the margin.
    """

    def __init__(
        self,
        magn_type: Kind = "v0",
        dm: float = 0.1,
        steps: tuple[int, ...] = (),
        lw: float = 1.0,
        gradient: Gradient = "detached",
        normalise: Normalise = "in_place",
    ):
        super().__init__(gradient=gradient, normalise=normalise)
        self.magn_type = self._one_of("magn_type", magn_type, KINDS)
        self.margin = GrowingMargin(self._number("dm", dm, least=0.0), steps)
        self.lw = self._number("lw", lw, above=0.0)

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        return Rows(cos_y, scale=norm, m=self.margin(cos_y))

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return _target(self.magn_type, cos_y, rows.m)

    def others(self, cos: Tensor, rows: Any) -> Tensor | None:
        return _others(self.magn_type, cos, rows.m)

    def loss(self, z_y: Tensor, neg: Tensor, rows: Rows) -> Tensor:
        return self.lw * super().loss(z_y, neg, rows)


class SphereFaceR_H(Head):
    """SphereFace-R (Liu et al. 2022), hard feature normalisation: logits s psi(theta_y), s cos(theta_j); or v1, v2.

    The loss is lw / s times the cross-entropy.
    """

    def __init__(
        self,
        magn_type: Kind = "v0",
        s: float = 30.0,
        m: float = 1.5,
        lw: float = 50.0,
        gradient: Gradient = "detached",
        normalise: Normalise = "in_place",
    ):
        super().__init__(s, gradient, normalise)
        self.magn_type = self._one_of("magn_type", magn_type, KINDS)
        self.m = self._number("m", m, least=1.0)
        self.lw = self._number("lw", lw, above=0.0)

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        return Rows(cos_y, scale=self.s, m=self.m)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return _target(self.magn_type, cos_y, rows.m)

    def others(self, cos: Tensor, rows: Any) -> Tensor | None:
        return _others(self.magn_type, cos, rows.m)

    def loss(self, z_y: Tensor, neg: Tensor, rows: Rows) -> Tensor:
        return self.lw / self.s * super().loss(z_y, neg, rows)


class SphereFaceR_S(Head):
    """SphereFace-R (Liu et al. 2022), soft feature normalisation: as without any, plus mean t | |x| - s |.

    The cross-entropy counts lw / s times, the pull of the norms towards s counts t times.
    """

    def __init__(
        self,
        magn_type: Kind = "v0",
        s: float = 30.0,
        dm: float = 1.5,
        steps: tuple[int, ...] = (),
        t: float = 0.01,
        lw: float = 50.0,
        gradient: Gradient = "detached",
        normalise: Normalise = "in_place",
    ):
        super().__init__(s, gradient, normalise)
        self.magn_type = self._one_of("magn_type", magn_type, KINDS)
        self.margin = GrowingMargin(self._number("dm", dm, least=0.0), steps)
        self.t = self._number("t", t, least=0.0)
        self.lw = self._number("lw", lw, above=0.0)

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        return Rows(cos_y, scale=norm, m=self.margin(cos_y))

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return _target(self.magn_type, cos_y, rows.m)

    def others(self, cos: Tensor, rows: Any) -> Tensor | None:
        return _others(self.magn_type, cos, rows.m)

    def loss(self, z_y: Tensor, neg: Tensor, rows: Rows) -> Tensor:
        return self.lw / self.s * super().loss(z_y, neg, rows)

    def penalty(self, norm: Tensor, rows: Rows, points: Tensor) -> Tensor:
        return self.t * (norm - self.s).abs().mean()
