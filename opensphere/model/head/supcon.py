"""The supervised contrastive loss."""

import torch
from torch import Tensor

from opensphere import sphere
from opensphere.model.head.pair import PairHead, pairs_of, without_self


class SupConLoss(PairHead):
    """Supervised contrastive (Khosla et al. 2020, eq. 2, L_out): every positive against all others of the batch.

    For an anchor i, the mean over the others p of its class of -log(exp(cos_ip / t) / sum_{a != i} exp(cos_ia / t)).
    The mean over the anchors that have a positive; the paper's sum would make the step depend on the batch's size.
    One class alone is no special case, as in the equation: the features of the batch are then drawn evenly together.

    Args:
        temperature: t, above 0.
    """

    def __init__(self, temperature: float = 0.1):
        super().__init__()
        self.temperature = self._number("temperature", temperature, above=0.0)

    def forward(self, x: Tensor, y: Tensor, keys: Tensor | None = None, key_labels: Tensor | None = None) -> Tensor:
        u = sphere.unit(x)
        z = without_self(u @ u.mT / self.temperature)
        same, _ = pairs_of(y)
        positives = same.sum(1)
        loss = -torch.where(same, z - z.logsumexp(1, keepdim=True), 0.0).sum(1) / positives.clamp_min(1)
        return loss.sum() / (positives > 0).sum().clamp_min(1)
