"""MV-Softmax."""

import math
from typing import Any, Literal

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows


class MVSoftmax(Head):
    """MV-Softmax (Wang et al. 2020): a margin, and s ((t + 1) cos(theta_j) + t) for classes that misclassify the row.

    A class misclassifies a row where cos(theta_j) is over the margined target f: cos(theta_y) - m for "AM",
    cos(theta_y + m) for "Arc". Defaults as the authors' code; the paper's m for "Arc" is 0.5.

    Args:
        kind: of the margin.
        m: margin, at least 0; for "Arc" in radians, at most pi.
        t: how much more a misclassifying class counts, at least 0.
        adaptive: False is the paper's fixed weight, s (cos(theta_j) + t).
        easy_margin: True, as the authors train: the target is f only where cos(theta_y) > 0, else cos(theta_y).
            False: always f; a sum of angles over pi is not held there.
    """

    def __init__(
        self,
        kind: Literal["AM", "Arc"] = "AM",
        s: float = 32.0,
        m: float = 0.35,
        t: float = 0.2,
        adaptive: bool = True,
        easy_margin: bool = True,
        gradient: Gradient = "full",
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, gradient, normalise)
        self.kind = self._one_of("kind", kind, ("AM", "Arc"))
        self.m = self._number("m", m, least=0.0, most=math.pi if kind == "Arc" else math.inf)
        self.t = self._number("t", t, least=0.0)
        self.adaptive = adaptive
        self.easy_margin = easy_margin

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        margined = cos_y - self.m if self.kind == "AM" else torch.cos(sphere.angle(cos_y) + self.m)
        return Rows(cos_y, scale=self.s, margined=margined)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return torch.where(cos_y > 0.0, rows.margined, cos_y) if self.easy_margin else rows.margined

    def others(self, cos: Tensor, rows: Any) -> Tensor:
        counted = (self.t + 1.0) * cos + self.t if self.adaptive else cos + self.t
        return torch.where(cos > rows.margined, counted, cos)

    def bend(self, cos: Tensor, rows: Any) -> Tensor:
        return torch.where(cos > rows.margined, cos.new_tensor(self.t + 1.0 if self.adaptive else 1.0), 1.0)
