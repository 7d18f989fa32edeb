"""SimPLE."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from opensphere.model.head.pair import PairHead


class SimPLE(PairHead):
    """SimPLE (Wen et al. 2023, eq. 8): is this pair one person? A logistic loss on pairs, without proxies and margin.

    The score of two features (eq. 6) is S = |x1| |x2| (cos - b_theta), lengths included. With a learnt bias b,
    lw (alpha mean_p softplus(-(S + b) / r) + (1 - alpha) mean_n softplus(r (S + b))) over the pairs of a feature and a
    key of the bank, of one class (p) and of two (n). The bank holds the keys of the latest images, the batch's own
    among them; a row and its own key are no pair. It is empty at first, and fills in training only. In evaluation the
    batch's keys stand beside it.

    As the authors' code: means over positives and negatives apart, `lw` and the first bias. Unlike it: a bank that is
    filling up counts for what it holds (theirs begins with random features of random classes); the own key is left out
    wherever the bank has it (theirs looks for it at the bank's beginning). Their option `polarlike` is left out: a
    feature that carries its length in its first coordinate would mean something else to all that reads features.
    For networks that end in a BatchNorm, whose features are about sqrt(D) long, scores are large: begin with a small
    learning rate.

    Args:
        feat_dim: D.
        bank: how many keys are kept, at least a global batch. The authors keep 524,288 for MS1M.
        ema: how slowly the encoder of the keys follows the network, in [0, 1]; it is the run's, not the head's.
        b_theta: cosine at which a score changes its sign, in [-1, 1].
        alpha: weight of positive pairs, in (0, 1).
        r: above 0; more than 1 looks at easy positives and hard negatives.
        lw: factor of the loss, above 0.
        init_bias: b at first.
    """

    ema: float
    feat_dim: int
    learns = True
    bank: Tensor
    bank_labels: Tensor
    seen: Tensor

    def __init__(
        self,
        feat_dim: int,
        bank: int = 65536,
        ema: float = 0.999,
        b_theta: float = 0.3,
        alpha: float = 0.001,
        r: float = 3.0,
        lw: float = 500.0,
        init_bias: float = -10.0,
    ):
        super().__init__()
        self.feat_dim = int(self._number("feat_dim", feat_dim, least=1))
        size = int(self._number("bank", bank, least=1))
        self.ema = self._number("ema", ema, least=0.0, most=1.0)
        self.b_theta = self._number("b_theta", b_theta, least=-1.0, most=1.0)
        self.alpha = self._number("alpha", alpha, above=0.0, below=1.0)
        self.r = self._number("r", r, above=0.0)
        self.lw = self._number("lw", lw, above=0.0)
        self.b = nn.Parameter(torch.tensor([self._number("init_bias", init_bias)]))
        self.register_buffer("bank", torch.zeros(size, self.feat_dim))
        self.register_buffer("bank_labels", torch.full((size,), -1))  # -1: the place is empty
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))  # keys that ever came in

    def forward(self, x: Tensor, y: Tensor, keys: Tensor | None = None, key_labels: Tensor | None = None) -> Tensor:
        """As `PairHead`. Without keys the features themselves are the keys: an encoder that follows at once.

        The bank is read again in the backward pass: it should come before the next forward.

        Raises:
            UserError: the batch is larger than the bank.
        """
        keys = (x if keys is None else keys).detach()
        key_labels = y if key_labels is None else key_labels
        bank, bank_labels, own = self._enqueue(keys, key_labels)
        same = y.unsqueeze(1) == bank_labels  # (B, bank)
        other = ~same & (bank_labels >= 0)
        same.scatter_(1, own.unsqueeze(1), False)
        bank = bank.to(x.dtype)
        length, lengths = (torch.linalg.vector_norm(side, dim=1) for side in (x, bank))
        z = x @ bank.mT - self.b_theta * length.unsqueeze(1) * lengths + self.b
        loss = -F.logsigmoid(torch.where(same, z / self.r, -self.r * z))
        positive = torch.where(same, loss, 0.0).sum() / same.sum().clamp_min(1)
        negative = torch.where(other, loss, 0.0).sum() / other.sum().clamp_min(1)
        return self.lw * (self.alpha * positive + (1.0 - self.alpha) * negative)

    def compared(self, batch: int) -> int:
        return len(self.bank)

    @torch.no_grad()
    def _enqueue(self, keys: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Put keys into the bank, in the place of the oldest. Returns keys (bank, D) and labels to hold features
        against, and where each row's own key is among them."""
        if len(keys) > len(self.bank):
            self._number("bank", len(self.bank), least=len(keys))
        places = torch.arange(len(keys), device=keys.device)
        if not self.training:
            return torch.cat([keys.to(self.bank), self.bank]), torch.cat([labels, self.bank_labels]), places
        places = (self.seen + places) % len(self.bank)
        self.bank.index_copy_(0, places, keys.to(self.bank))
        self.bank_labels.index_copy_(0, places, labels)
        self.seen += len(keys)
        return self.bank, self.bank_labels, places
