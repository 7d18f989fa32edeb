"""AdaCos."""

import math

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Head, Normalise, Rows

LEAST = 1.0  # of the scale: the formulas give 0 for two classes, and less where all others are far


class AdaCos(Head):
    """AdaCos (Zhang et al. 2019): softmax over s cos(theta_j), without a margin, with a scale that sets itself.

    Fixed: s = sqrt(2) log(C - 1). Dynamic: it begins there, and each training step first sets
    s = log(B_avg) / cos(min(pi / 4, median of theta_y)), where B_avg is the mean over the global batch of
    sum_{j != y} exp(s cos(theta_j)) under the scale before. The scale carries no gradient and is at least 1.
    It costs a second pass over the classes. Its scale is the buffer `scale`, updated in training only.

    Args:
        num_class: C.
        dynamic: whether the scale moves.
    """

    num_class: int
    scale: Tensor

    def __init__(self, num_class: int, dynamic: bool = True, normalise: Normalise = "in_graph"):
        super().__init__(normalise=normalise)
        self.num_class = int(self._number("num_class", num_class, least=1))
        self.needs_scan = dynamic
        self.s = max(math.sqrt(2.0) * math.log(max(self.num_class - 1, 1)), LEAST)
        if dynamic:
            self.register_buffer("scale", torch.tensor(self.s))

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        return Rows(cos_y, scale=self.scale.clone() if self.needs_scan else self.s)

    def rescale(self, rows: Rows, neg: Tensor) -> Rows:
        if self.training:
            log_mean = neg.logsumexp(0) - math.log(len(neg))
            median = sphere.angle(rows.cos_y.detach()).median()
            self.scale.copy_((log_mean / torch.cos(median.clamp_max(math.pi / 4))).clamp_min(LEAST))
        return Rows(rows.cos_y, scale=self.scale.clone())
