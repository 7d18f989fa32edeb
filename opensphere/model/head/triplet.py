"""The triplet loss."""

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.pair import PairHead, pairs_of


class TripletLoss(PairHead):
    """FaceNet (Schroff et al. 2015, eq. 3): [d(a, p) - d(a, n) + m]_+ with d the squared distance of unit features.

    The mean over all ordered pairs (a, p) of one class in the batch, easy ones included. Each pair meets one negative,
    the semi-hard one (eq. 4): the nearest to the anchor of those that are farther than the positive. Where all are
    nearer, it is the farthest, as in TensorFlow's loss: the easiest of the hard ones, lest the network collapses.
    An anchor without any negative has no triplets.

    Args:
        margin: at least 0; distances go from 0 to 4.
    """

    def __init__(self, margin: float = 0.2):
        super().__init__()
        self.margin = self._number("margin", margin, least=0.0)

    def forward(self, x: Tensor, y: Tensor, keys: Tensor | None = None, key_labels: Tensor | None = None) -> Tensor:
        u = sphere.unit(x)
        length = u.square().sum(1)  # 1, or 0 for a feature without direction
        distance = length.unsqueeze(1) + length - 2.0 * (u @ u.mT)  # (B, B)
        same, other = pairs_of(y)
        with torch.no_grad():  # which negative: sorted, the first beyond the positive
            negatives, order = distance.masked_fill(~other, torch.inf).sort(1)
            place = torch.searchsorted(negatives, distance, right=True)
            farthest = other.sum(1, keepdim=True) - 1
            chosen = order.gather(1, place.minimum(farthest).clamp_min(0))
        hinge = (distance - distance.gather(1, chosen) + self.margin).clamp_min(0.0)
        pairs = same & other.any(1, keepdim=True)
        return torch.where(pairs, hinge, 0.0).sum() / pairs.sum().clamp_min(1)
