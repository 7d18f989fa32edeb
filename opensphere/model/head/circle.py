"""Circle loss with class labels."""

from typing import Any

from torch import Tensor

from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class CircleLoss(Head):
    """Circle loss (Sun et al. 2020), class form: gamma a_y (cos(theta_y) - 1 + m) against gamma a_j (cos(theta_j) - m).

    Each score has a pace of its own, the further from its optimum the faster: a_y = max(1 + m - cos(theta_y), 0) and
    a_j = max(cos(theta_j) + m, 0).

    Args:
        gamma: the scale, above 0.
        m: relaxation of the optima, at least 0.
        gradient: "detached": paces are constants, which is what makes them paces. "full": differentiated too.
            For `Head.gradient` both are "full": scores are no cosines, and the detachment is made here.
    """

    def __init__(
        self,
        gamma: float = 256.0,
        m: float = 0.25,
        gradient: Gradient = "detached",
        normalise: Normalise = "in_graph",
    ):
        super().__init__(gradient=gradient, normalise=normalise)
        self.s = self._number("gamma", gamma, above=0.0)
        self.m = self._number("m", m, least=0.0)
        self.gradient, self.detach_pace = "full", self.gradient == "detached"

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return self._pace(1.0 + self.m - cos_y) * (cos_y - (1.0 - self.m))

    def others(self, cos: Tensor, rows: Any) -> Tensor:
        return self._pace(cos + self.m) * (cos - self.m)

    def bend(self, cos: Tensor, rows: Any) -> Tensor:
        pace = self._pace(cos + self.m)
        return pace if self.detach_pace else pace + (cos + self.m >= 0.0) * (cos - self.m)

    def _pace(self, distance: Tensor) -> Tensor:
        return (distance.detach() if self.detach_pace else distance).clamp_min(0.0)
