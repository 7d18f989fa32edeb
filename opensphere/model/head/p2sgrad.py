"""P2SGrad."""

from typing import Any

from torch import Tensor

from opensphere.model.head.head import Head, Normalise, Rows


class P2SGrad(Head):
    """P2SGrad (Zhang et al. 2019, eq. 11): gradient sum_j (cos(theta_j) - [j = y]) d cos(theta_j), free of parameters.

    The paper designs the gradient: what softmax does with probabilities it does with similarities. The loss of a row
    that has it is half the squared distance of its cosines to a one-hot vector,
    ((1 - cos(theta_y))^2 + sum_{j != y} cos(theta_j)^2) / 2.
    """

    reduce = "sum"

    def __init__(self, normalise: Normalise = "in_graph"):
        super().__init__(normalise=normalise)

    def positive(self, z_y: Tensor, rows: Rows) -> Tensor:
        return 0.5 * (1.0 - z_y).square()

    def negative(self, z: Tensor, rows: Any) -> Tensor:
        return 0.5 * z.square()

    def slope(self, z: Tensor, rows: Any) -> Tensor:
        return z
