"""ArcFace."""

import math

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class ArcFace(Head):
    """ArcFace (Deng et al. 2019, eq. 3): target s cos(min(theta_y + m, pi)); m in radians, in [0, pi]."""

    def __init__(
        self, s: float = 64.0, m: float = 0.5, gradient: Gradient = "detached", normalise: Normalise = "in_place"
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=0.0, most=math.pi)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return torch.cos((sphere.angle(cos_y) + self.m).clamp_max(math.pi))
