"""AdaFace."""

import math

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import Gradient, Head, Normalise, Rows

CLAMP = 1e-3  # the authors' distance of cosines and angles from the ends


class AdaFace(Head):
    """AdaFace (Kim et al. 2022): target s (cos(theta_y - m k) - m - m k), k = clip(h (|x| - mean) / std, -1, 1).

    The feature's norm stands for the quality of the image. `batch_mean` and `batch_std` are running estimates over the
    norms of global batches, started at 20 and 100 and updated in training only; the norms carry no gradient.
    Defaults as the authors' code: a full gradient, weights normalised in the graph. CVLface's later code detaches it.

    Args:
        m: margin, at least 0.
        h: how many standard deviations make the margin extreme: 1 / h.
        t_alpha: how fast the estimates follow, in [0, 1].
    """

    batch_mean: Tensor
    batch_std: Tensor

    def __init__(
        self,
        s: float = 64.0,
        m: float = 0.4,
        h: float = 0.333,
        t_alpha: float = 0.01,
        gradient: Gradient = "full",
        normalise: Normalise = "in_graph",
    ):
        super().__init__(s, gradient, normalise)
        self.m = self._number("m", m, least=0.0)
        self.h = self._number("h", h, least=0.0)
        self.t_alpha = self._number("t_alpha", t_alpha, least=0.0, most=1.0)
        self.register_buffer("batch_mean", torch.tensor(20.0))
        self.register_buffer("batch_std", torch.tensor(100.0))

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        norm = norm.detach().clamp(1e-3, 100.0)
        if self.training:
            self.batch_mean.lerp_(norm.mean().to(self.batch_mean), self.t_alpha)
            if len(norm) > 1:  # one norm alone has no deviation
                self.batch_std.lerp_(norm.std().to(self.batch_std), self.t_alpha)
        k = (self.h * (norm - self.batch_mean) / (self.batch_std + 1e-3)).clamp(-1.0, 1.0)
        return Rows(cos_y, scale=self.s, k=k)

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        shift = self.m * rows.k
        theta = (sphere.angle(cos_y, CLAMP) - shift).clamp(CLAMP, math.pi - CLAMP)
        return torch.cos(theta) - (self.m + shift)
