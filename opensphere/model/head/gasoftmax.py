"""GA-softmax."""

from typing import Any

from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows

# 2 / pi as published, 3e-7 off: the score falls from 1 at theta = 0 to -1 at pi.
SLOPE = 0.63662


class GAsoftmax(Head):
    """GA-softmax (Liu et al. 2017, SphereFace's generalised angular softmax): s (1 - (2 / pi) theta), target m theta_y.

    Args:
        gradient: "detached": through the arc cosine as if m were 1, as published. "full": with the factor m.
            Scores are angles here, not cosines: for `Head.gradient` both are "full", and the detachment is made here.
    """

    def __init__(
        self, s: float = 30.0, m: float = 1.5, gradient: Gradient = "detached", normalise: Normalise = "in_place"
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=1.0)
        self.gradient, self.detach_margin = "full", self.gradient == "detached"

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        theta = sphere.angle(cos_y)
        return 1.0 - SLOPE * (sphere.characteristic(theta, self.m * theta) if self.detach_margin else self.m * theta)

    def others(self, cos: Tensor, rows: Any) -> Tensor:
        return 1.0 - SLOPE * sphere.angle(cos)
