"""SFace."""

import math
from typing import Any

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Head, Normalise, Rows


class SFace(Head):
    """SFace (Zhong et al. 2021): -s r(theta_y) cos(theta_y) + sum_{j != y} s q(theta_j) cos(theta_j).

    r(theta) = sigmoid(k (theta - a)) lets go of a row that is nearer than a to its class, so that nobody is pressed
    onto a centre, and q(theta) = sigmoid(k (b - theta)) of a class that is further than b. They scale the gradient and
    have none of their own: the gradient is the loss, and its value, which may be below 0, measures nothing.
    Defaults as the authors' code.

    Args:
        k: steepness of the sigmoids, above 0.
        a, b: angles in radians, in [0, pi].
    """

    reduce = "sum"

    def __init__(
        self,
        s: float = 64.0,
        k: float = 80.0,
        a: float = 0.8,
        b: float = 1.23,
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, normalise=normalise)
        self.k = self._number("k", k, above=0.0)
        self.a = self._number("a", a, least=0.0, most=math.pi)
        self.b = self._number("b", b, least=0.0, most=math.pi)

    def positive(self, z_y: Tensor, rows: Rows) -> Tensor:
        return -torch.sigmoid(self.k * (sphere.angle(z_y.detach() / self.s) - self.a)) * z_y

    def negative(self, z: Tensor, rows: Any) -> Tensor:
        return self.slope(z.detach(), rows) * z

    def slope(self, z: Tensor, rows: Any) -> Tensor:
        return torch.sigmoid(self.k * (self.b - sphere.angle(z / self.s)))
