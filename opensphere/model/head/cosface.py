"""CosFace."""

from torch import Tensor

from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class CosFace(Head):
    """CosFace (Wang et al. 2018, eq. 4): target s (cos(theta_y) - m); also AM-Softmax. m is at least 0."""

    def __init__(
        self, s: float = 64.0, m: float = 0.35, gradient: Gradient = "detached", normalise: Normalise = "in_place"
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=0.0)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return cos_y - self.m
