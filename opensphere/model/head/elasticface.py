"""ElasticFace: a margin drawn anew for every row, in an angle or in a cosine."""

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


def _margins(m: float, std: float, plus: bool, cos_y: Tensor, random: torch.Generator | None) -> Tensor:
    """(B,) draws of a normal distribution; with `plus` the larger the margin, the further a row is from its class."""
    margins = m + std * torch.randn(len(cos_y), generator=random).to(cos_y)  # on the CPU: the same on every device
    if plus:
        order = cos_y.detach().argsort(descending=True)
        margins = torch.empty_like(margins).scatter(0, order, margins.sort().values)
    return margins


class ElasticArcFace(Head):
    """ElasticFace-Arc (Boutros et al. 2022): target s cos(theta_y + e), e drawn from N(m, std) for each row and step.

    Out of training e is m. As published, theta_y + e is not held below pi.
    The defaults are those of the authors' config; their class alone says std 0.0125.

    Args:
        m: mean of the margins, radians, at least 0.
        std: their standard deviation, at least 0.
        plus: ElasticFace-Arc+: the draws of a batch are handed out in order, the larger to rows further from their
            class. As the paper words it; the authors' code indexes with the sorting order instead of its inverse.
    """

    draws = True

    def __init__(
        self,
        s: float = 64.0,
        m: float = 0.5,
        std: float = 0.05,
        plus: bool = False,
        gradient: Gradient = "full",
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=0.0)
        self.std = self._number("std", std, least=0.0)
        self.plus = plus

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        drawn = _margins(self.m, self.std, self.plus, cos_y, self.random) if self.training else self.m
        return Rows(cos_y, scale=self.s, m=drawn)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return torch.cos(sphere.angle(cos_y) + rows.m)


class ElasticCosFace(Head):
    """ElasticFace-Cos (Boutros et al. 2022): target s (cos(theta_y) - e), e drawn from N(m, std) for each row and step.

    Everything else as ElasticArcFace. A margin that is subtracted leaves the gradient alone: there is no choice of it.
    """

    draws = True

    def __init__(
        self,
        s: float = 64.0,
        m: float = 0.35,
        std: float = 0.05,
        plus: bool = False,
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, normalise=normalise)
        self.m = self._number("m", m, least=0.0)
        self.std = self._number("std", std, least=0.0)
        self.plus = plus

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        drawn = _margins(self.m, self.std, self.plus, cos_y, self.random) if self.training else self.m
        return Rows(cos_y, scale=self.s, m=drawn)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return cos_y - rows.m
