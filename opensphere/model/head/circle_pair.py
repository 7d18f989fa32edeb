"""Circle loss, the form on pairs."""

import torch
import torch.nn.functional as F
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.head import NEVER
from opensphere.model.head.pair import PairHead, pairs_of


class CirclePairLoss(PairHead):
    """Circle loss (Sun et al. 2020, eq. 6) on pairs: each cosine is weighted by how far it is from where it should be.

    For an anchor, log(1 + sum_n exp(g [s_n + m]_+ (s_n - m)) sum_p exp(-g [1 + m - s_p]_+ (s_p - 1 + m))) over the
    cosines to the others of its class, s_p, and to those of other classes, s_n. The weights in brackets carry no
    gradient, as in the paper's eq. 10. The mean over anchors that have both a positive and a negative.

    Defaults: the paper's for pairs (retrieval). It trains faces on classes, with m = 0.25 and gamma = 256.

    Args:
        m: the relaxation, in [0, 1].
        gamma: g, the scale, above 0.
    """

    def __init__(self, m: float = 0.4, gamma: float = 80.0):
        super().__init__()
        self.m = self._number("m", m, least=0.0, most=1.0)
        self.gamma = self._number("gamma", gamma, above=0.0)

    def forward(self, x: Tensor, y: Tensor, keys: Tensor | None = None, key_labels: Tensor | None = None) -> Tensor:
        u = sphere.unit(x)
        cos = u @ u.mT
        fixed = cos.detach()
        same, other = pairs_of(y)
        pull = -self.gamma * (1.0 + self.m - fixed).clamp_min(0.0) * (cos - (1.0 - self.m))
        push = self.gamma * (fixed + self.m).clamp_min(0.0) * (cos - self.m)
        z = torch.where(same, pull, NEVER).logsumexp(1) + torch.where(other, push, NEVER).logsumexp(1)
        anchors = same.any(1) & other.any(1)  # of the rest, z is NEVER and the loss 0
        return -F.logsigmoid(-z).sum() / anchors.sum().clamp_min(1)
