"""SphereFace+."""

from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class SphereFacePlus(Head):
    """SphereFace+ (Liu et al. 2018, MHE): SphereFace's loss + lambda_MHE mean_{i<j} angle(w_i, w_j)^-2.

    The pairs are those of the batch's distinct classes, each once: their vectors are pushed apart.
    """

    wants_batch_classes = True

    def __init__(
        self,
        s: float = 30.0,
        m: float = 1.5,
        lambda_MHE: float = 1.0,
        gradient: Gradient = "detached",
        normalise: Normalise = "in_place",
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=1.0)
        self.lambda_MHE = self._number("lambda_MHE", lambda_MHE, least=0.0)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return sphere.psi(cos_y, self.m)

    def penalty(self, norm: Tensor, rows: Rows, points: Tensor) -> Tensor:
        return self.lambda_MHE * sphere.energy(points)
