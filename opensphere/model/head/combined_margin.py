"""The margins of SphereFace, ArcFace and CosFace in one formula."""

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class CombinedMargin(Head):
    """Combined margin (Deng et al. 2019, ArcFace, eq. 4): target s (cos(m1 theta_y + m2) - m3).

    As published, the angle is not held below pi: at wide angles the target rises again, which "full" gradients feel.
    Defaults as the authors' code (InsightFace): ArcFace's margin, a detached gradient, weights normalised in the graph.
    m1 is at least 1, m2 (radians) and m3 at least 0.
    """

    def __init__(
        self,
        s: float = 64.0,
        m1: float = 1.0,
        m2: float = 0.5,
        m3: float = 0.0,
        gradient: Gradient = "detached",
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, gradient, normalise)
        self.m1 = self._number("m1", m1, least=1.0)
        self.m2 = self._number("m2", m2, least=0.0)
        self.m3 = self._number("m3", m3, least=0.0)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return torch.cos(self.m1 * sphere.angle(cos_y) + self.m2) - self.m3
