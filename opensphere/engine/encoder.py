"""A copy of the backbone that follows it slowly."""

import copy

import torch
from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn


class Encoder:
    """The encoder of keys, for losses that compare features with those of a steadier network (MoCo, SimPLE).

    Its weights are a moving average of the backbone's; it learns nothing by itself. It stays in training mode, as
    SimPLE's authors run it: BatchNorm takes the statistics of the batch, and keeps running ones of its own.

    Args:
        backbone: the bare module, as it begins.
        ema: the share of its own weights that the copy keeps at each update, in [0, 1].
    """

    def __init__(self, backbone: nn.Module, ema: float):
        self.module = copy.deepcopy(backbone).requires_grad_(False).train()
        self.ema = ema

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """(B, D) features without a gradient."""
        return self.module(images)

    def follow(self, backbone: nn.Module) -> None:
        """Take a step towards the weights of the bare backbone."""
        own, others = ([*module.parameters()] for module in (self.module, backbone))
        get_ema_multi_avg_fn(self.ema)(own, others, 0)
