"""A random share of the classes, drawn anew each step: Partial FC (An et al. 2022)."""

import torch
from torch import Tensor


def draw(own: Tensor, num_class: int, rate: float) -> Tensor:
    """The classes that a step visits.

    The draw is from torch's generator on the CPU: the same seed gives the same classes, on any device.

    Args:
        own: (P,) the distinct classes of the batch, which are always among those visited.
        num_class: C, how many there are to draw from.
        rate: the share to visit.

    Returns:
        (S,) distinct classes in order: the P of the batch, and of the others the share `rate`, at least one if there is
        any.
    """
    others = num_class - len(own)
    keep = len(own) + min(others, max(1, round(rate * others)))
    chance = torch.rand(num_class)
    chance[own.cpu()] = 2.0
    return chance.topk(keep, sorted=False).indices.sort().values.to(own.device)


def weights_of_drawn(drawn: Tensor, own: Tensor, num_class: int) -> Tensor:
    """(S, 1) weights that let a sum over drawn classes stand for one over all: each class of the batch counts once,
    each other (C - P) / (S - P) times, so that the expected sum is that over all classes."""
    others = max(len(drawn) - len(own), 1)
    weights = torch.full((len(drawn), 1), (num_class - len(own)) / others, dtype=torch.float64, device=drawn.device)
    weights[torch.searchsorted(drawn, own)] = 1.0
    return weights
