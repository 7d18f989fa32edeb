"""Sub-center ArcFace."""

import math

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.error import UserError
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class SubCenterArcFace(Head):
    """Sub-center ArcFace (Deng et al. 2020): ArcFace on K centres a class, cos(theta_j) = max_k x . w_jk.

    Mislabelled images gather at centres of their own and leave the main one clean. As published, the angle is not held
    below pi: at wide angles the target rises again, which "full" gradients, the authors' own, feel.

    Args:
        m: margin in radians, in [0, pi].
        centers: K, at least 1; the classifier's matrix grows K times.
    """

    def __init__(
        self,
        s: float = 64.0,
        m: float = 0.5,
        centers: int = 3,
        gradient: Gradient = "full",
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=0.0, most=math.pi)
        if not isinstance(centers, int) or isinstance(centers, bool) or centers < 1:
            raise UserError(f"SubCenterArcFace: centers must be a whole number, at least 1; got {centers!r}")
        self.centers = centers

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return torch.cos(sphere.angle(cos_y) + self.m)
