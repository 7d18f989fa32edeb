"""MagFace."""

import math

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class MagFace(Head):
    """MagFace (Meng et al. 2021): target s cos(theta_y + m(a)), plus lambda_g mean g(a), g(a) = 1 / a + a / u_a^2.

    a is the feature's norm, held between l_a and u_a, and m(a) rises linearly from l_margin to u_margin in between:
    a longer feature, a better image. Outside the bounds a norm has no gradient.
    Defaults as the authors' script; their trainer alone says lambda_g 20. Their proof that norms converge wants at
    least s (u_margin - l_margin) / (u_a - l_a) l_a^2 u_a^2 / (u_a^2 - l_a^2), which is 22.6 here.

    Args:
        l_a, u_a: bounds of the norm, 0 < l_a < u_a.
        l_margin, u_margin: the margins at these bounds, in radians, 0 <= l_margin <= u_margin <= pi.
        lambda_g: weight of g, at least 0.
        easy_margin: what becomes of rows far from their class. True, as the authors train: without a margin where
            cos(theta_y) <= 0. False: cos(theta_y) - m(a) sin(m(a)) where theta_y + m(a) is over pi.
        gradient: "detached" takes the margin's gradient from the norms too; g keeps its own.
    """

    def __init__(
        self,
        s: float = 64.0,
        l_a: float = 10.0,
        u_a: float = 110.0,
        l_margin: float = 0.45,
        u_margin: float = 0.8,
        lambda_g: float = 35.0,
        easy_margin: bool = True,
        gradient: Gradient = "full",
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, gradient, normalise)
        self.l_a = self._number("l_a", l_a, above=0.0)
        self.u_a = self._number("u_a", u_a, above=self.l_a)
        self.l_margin = self._number("l_margin", l_margin, least=0.0, most=math.pi)
        self.u_margin = self._number("u_margin", u_margin, least=self.l_margin, most=math.pi)
        self.lambda_g = self._number("lambda_g", lambda_g, least=0.0)
        self.easy_margin = easy_margin

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        part = (norm.clamp(self.l_a, self.u_a) - self.l_a) / (self.u_a - self.l_a)
        return Rows(cos_y, scale=self.s, m=self.l_margin + (self.u_margin - self.l_margin) * part)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        wider = torch.cos(sphere.angle(cos_y) + rows.m)
        if self.easy_margin:
            return torch.where(cos_y > 0.0, wider, cos_y)
        return torch.where(cos_y > -torch.cos(rows.m), wider, cos_y - rows.m * torch.sin(rows.m))

    def penalty(self, norm: Tensor, rows: Rows, points: Tensor) -> Tensor:
        a = norm.clamp(self.l_a, self.u_a)
        return self.lambda_g * (1.0 / a + a / self.u_a**2).mean()
