"""SphereFace."""

from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class SphereFace(Head):
    """SphereFace (Liu et al. 2017): target s psi(theta_y) = s ((-1)^k cos(m theta_y) - 2k), k = floor(m theta_y / pi).

    The features are normalised and scaled by s, as in the authors' later code; m is at least 1.
    """

    def __init__(
        self, s: float = 30.0, m: float = 1.5, gradient: Gradient = "detached", normalise: Normalise = "in_place"
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=1.0)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return sphere.psi(cos_y, self.m)
