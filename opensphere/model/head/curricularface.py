"""CurricularFace."""

import math
from typing import Any

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class CurricularFace(Head):
    """CurricularFace (Huang et al. 2020): target s cos(theta_y + m), hard classes s cos(theta_j) (t + cos(theta_j)).

    A class is hard for a row where cos(theta_j) > cos(theta_y + m). `t` is a running mean of cos(theta_y) over global
    batches, started at 0 and updated in training only: hard classes count little at first, and more with success.
    As in the authors' code, the target is cos(theta_y) - m sin(m) where theta_y + m is over pi, which the paper leaves
    open, and t moves by a hundredth a step.

    Args:
        m: margin in radians, in [0, pi].
        alpha: how fast t follows, in [0, 1].
    """

    t: Tensor

    def __init__(
        self,
        s: float = 64.0,
        m: float = 0.5,
        alpha: float = 0.01,
        gradient: Gradient = "full",
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=0.0, most=math.pi)
        self.alpha = self._number("alpha", alpha, least=0.0, most=1.0)
        self.register_buffer("t", torch.zeros(1))  # of the shape in the authors' files

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        if self.training:
            self.t.lerp_(cos_y.detach().mean().to(self.t), self.alpha)
        return Rows(cos_y, scale=self.s, t=self.t.clone(), wider=torch.cos(sphere.angle(cos_y) + self.m))

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return torch.where(cos_y > -math.cos(self.m), rows.wider, cos_y - self.m * math.sin(self.m))

    def others(self, cos: Tensor, rows: Any) -> Tensor:
        return torch.where(cos > rows.wider, cos * (rows.t + cos), cos)

    def bend(self, cos: Tensor, rows: Any) -> Tensor:
        return torch.where(cos > rows.wider, torch.add(rows.t, cos, alpha=2.0), 1.0)
