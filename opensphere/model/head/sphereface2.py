"""SphereFace2."""

import math
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class SphereFace2(Head):
    """SphereFace2 (Wen et al. 2022): C binary logistic losses a row, on logits r g(cos theta) -+ margin + b.

    With g(c) = 2 ((c + 1) / 2)^t - 1, one learnt bias b for all classes, and the loss of a row
    lw / r (alpha softplus(-z_y) + (1 - alpha) sum_{j != y} softplus(z_j)), the scores are, by `magn_type`:
    "C": g(c_y) - m for the target and g(c_j) + m for the others. "A": g(cos(min(theta_y + m, pi))) for the target.
    "M": g(cos(min(m theta_y, pi))) for the target. In A and M the others have g(c_j).

    Args:
        num_class: C; it fixes the initial bias.
        alpha: weight of the own class against all others, in (0, 1).
        r: scale of the scores, above 0.
        m: the margin: at least 0, at least 1 for "M".
        t: exponent of g, at least 1.
        lw: factor of the loss. The default is that of OpenSphere's code, so that a config which leaves it out keeps its
            meaning; every config of the paper says 10.
    """

    reduce = "sum"
    num_class: int

    def __init__(
        self,
        num_class: int,
        magn_type: Literal["C", "A", "M"] = "C",
        alpha: float = 0.7,
        r: float = 40.0,
        m: float = 0.4,
        t: float = 3.0,
        lw: float = 50.0,
        gradient: Gradient = "detached",
        normalise: Normalise = "in_place",
    ):
        super().__init__(gradient=gradient, normalise=normalise)
        self.r = self._number("r", r, above=0.0)
        self.num_class = int(self._number("num_class", num_class, least=1))
        self.magn_type = self._one_of("magn_type", magn_type, ("C", "A", "M"))
        self.alpha = self._number("alpha", alpha, above=0.0, below=1.0)
        self.m = self._number("m", m, least=1.0 if magn_type == "M" else 0.0)
        self.t = self._number("t", t, least=1.0)
        self.lw = self._number("lw", lw, above=0.0)
        self.b = nn.Parameter(torch.tensor([self.initial_bias()]))

    def initial_bias(self) -> float:
        """The bias at which the loss is stationary while every cosine is 0, as with random class vectors."""
        if self.num_class == 1:
            return 0.0
        zero = torch.zeros(1, dtype=torch.float64)
        a_y = self.r * float(self.target(zero, Rows(zero)))
        a_i = self.r * float(self.others(zero, None))
        z = self.alpha / ((1.0 - self.alpha) * (self.num_class - 1))
        root = math.sqrt((1.0 - z) ** 2 + 4.0 * z * math.exp(a_y - a_i))
        if z <= 1.0:
            return math.log(2.0 * z) - a_i - math.log(1.0 - z + root)
        return math.log(0.5 * (z - 1.0 + root)) - a_y  # the same number, where 1 - z + root would cancel

    def g(self, cos: Tensor) -> Tensor:
        """The similarity that stretches high cosines apart; a cosine rounded below -1 counts as -1."""
        return self._stretch(cos, 1.0)

    def _stretch(self, cos: Tensor, less: float) -> Tensor:
        """2 ((c + 1) / 2)^t - less, in as few passes as may be: it goes over all classes."""
        return (cos + 1.0).clamp_min_(0.0).pow(self.t).mul_(2.0 ** (1.0 - self.t)).sub_(less)

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        return Rows(cos_y, scale=self.r, bias=self.b, weight=self.lw / (self.r * len(cos_y)))

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        if self.magn_type == "C":
            return self.g(cos_y) - self.m
        theta = sphere.angle(cos_y)
        return self.g(torch.cos((theta + self.m if self.magn_type == "A" else theta * self.m).clamp_max(math.pi)))

    def others(self, cos: Tensor, rows: Any) -> Tensor:
        return self._stretch(cos, 1.0 - self.m if self.magn_type == "C" else 1.0)

    def positive(self, z_y: Tensor, rows: Rows) -> Tensor:
        return -self.alpha * F.logsigmoid(z_y)

    def negative(self, z: Tensor, rows: Any) -> Tensor:
        return F.logsigmoid(-z).mul_(self.alpha - 1.0)

    def slope(self, z: Tensor, rows: Any) -> Tensor:
        return torch.sigmoid(z).mul_(1.0 - self.alpha)
