"""UniFace."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opensphere.model.head.head import Head, Normalise, Rows


class UniFace(Head):
    """UniFace (Zhou et al. 2023), marginal unified cross-entropy: softplus(b - s (cos(theta_y) - m)) against one b.

    Every other class adds l softplus(s cos(theta_j) - b). The bias b is learnt and shared by all rows and classes, so
    that s t = b is one threshold t for all; it begins at log(10 C). The mean is over rows, the sum over classes.
    The authors' code clamps each logit to [-s, s] against overflow, which also takes the gradient from the worst rows;
    here nothing overflows and nothing is clamped. With sampled classes their b begins at log(10 r C), r the share.

    Args:
        num_class: C; it fixes the initial bias.
        m: margin, at least 0.
        l: weight of each other class, above 0.
    """

    reduce = "sum"
    num_class: int

    def __init__(
        self,
        num_class: int,
        s: float = 64.0,
        m: float = 0.4,
        l: float = 1.0,  # noqa: E741 (the authors' name)
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, normalise=normalise)
        self.num_class = int(self._number("num_class", num_class, least=1))
        self.m = self._number("m", m, least=0.0)
        self.l = self._number("l", l, above=0.0)
        self.bias = nn.Parameter(torch.tensor([math.log(10.0 * self.num_class)]))

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        return Rows(cos_y, scale=self.s, bias=-self.bias)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return cos_y - self.m

    def negative(self, z: Tensor, rows: Any) -> Tensor:
        return -self.l * F.logsigmoid(-z)

    def slope(self, z: Tensor, rows: Any) -> Tensor:
        return self.l * torch.sigmoid(z)
