"""The unit sphere: directions, cosines, angles. Pure functions of tensors."""

import math

import torch
from torch import Tensor


def unit(x: Tensor, dim: int = -1) -> Tensor:
    """Vectors along `dim`, divided by their length.

    A vector shorter than 1e-12 has no direction: it passes as it is, with its gradient, so that zero stays zero and
    nothing becomes infinite.
    """
    return x / divisor(x, dim)


def divisor(x: Tensor, dim: int = -1) -> Tensor:
    """What `unit` divides by: the lengths along `dim`, which is kept, and 1 for a vector that has no direction."""
    length = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return torch.where(length > 1e-12, length, torch.ones_like(length))


def cosines(x: Tensor, y: Tensor) -> Tensor:
    """The cosine of each of (N, D) vectors to each of (M, D): (N, M)."""
    return unit(x) @ unit(y).mT


def angle(cos: Tensor, margin: float = 1e-5) -> Tensor:
    """The angle of a cosine, in radians, the cosine clamped to [-1 + margin, 1 - margin].

    The slope of the arc cosine is infinite at the ends; the clamp makes it zero beyond the margin, and rounding may
    carry a computed cosine past 1. OpenSphere's heads clamp by 1e-5.
    """
    return torch.acos(cos.clamp(-1.0 + margin, 1.0 - margin))


def sine(cos: Tensor, floor: float = 1e-10) -> Tensor:
    """The sine, in (0, 1], of an angle in [0, pi] of which the cosine is given; the floor is on its square."""
    return torch.sqrt((1.0 - cos.square()).clamp_min(floor))


def psi(cos: Tensor, m: float | Tensor) -> Tensor:
    """SphereFace's mirrored cosine (Liu et al. 2017): (-1)^k cos(m theta) - 2k with k = floor(m theta / pi).

    It falls monotonically from 1 at theta = 0 over the whole of [0, pi], and equals cos(m theta) up to pi / m.
    """
    multiple = m * angle(cos)
    k = torch.floor(multiple.detach() / math.pi)
    return (1.0 - 2.0 * k.remainder(2.0)) * torch.cos(multiple) - 2.0 * k


def characteristic(cos: Tensor, value: Tensor) -> Tensor:
    """Characteristic gradient detachment (Liu et al. 2022, "SphereFace Revived"): `value`, with the gradient of `cos`.

    A margin then changes how much a sample counts, but not the direction in which it pulls.
    """
    return cos + (value - cos).detach()


def energy(points: Tensor) -> Tensor:
    """Hyperspherical energy (Liu et al. 2018, MHE; arc distance, s = 2): the mean of angle^-2 over all pairs.

    Args:
        points: (N, D) unit vectors; each pair of two of them counts once.

    Returns:
        A scalar; 0 where there is no pair.
    """
    if len(points) < 2:
        return points.new_zeros(())
    first, second = torch.triu_indices(len(points), len(points), offset=1, device=points.device)
    return angle((points @ points.mT)[first, second]).pow(-2).mean()
