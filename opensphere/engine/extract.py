"""Features of the images of a data set, by all ranks together."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from opensphere import collective
from opensphere.dataset.augment import normalise
from opensphere.dataset.loader import test_loader
from opensphere.engine.parallel import World

Known = tuple[np.ndarray, np.ndarray]  # features (N, D) float32, and (N,) bool, of which images they are there
Keep = Callable[[np.ndarray, np.ndarray], None]  # called with the indices and the features of a batch

PIECE = 4096  # rows that ranks tell one another at a time


def extract(
    backbone: nn.Module,
    dataset: Any,
    world: World,
    batch_size: int,
    num_workers: int = 0,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int], None] | None = None,
    known: Known | None = None,
    keep: Keep | None = None,
) -> np.ndarray:
    """The feature of each image plus that of its mirror image, added; the ranks share the work.

    Of a set whose attribute `mirror` is False, the images themselves alone.

    Args:
        backbone: the bare module; it is put into evaluation mode, and back into the mode it was in.
        dataset: an image set of N images.
        batch_size: images at a time on this rank.
        progress: called with the number of images done, by all ranks together as far as this one can tell.
        known: features that are there already, the same images on every rank. The others are written among them.
        keep: called for each batch of this rank.

    Returns:
        (N, D) float32, not normalised; the same on all ranks. The features of `known`, if given.
    """
    features, missing = None, np.arange(len(dataset))
    if known is not None:
        features, missing = known[0], np.flatnonzero(~known[1])
    shares = np.array_split(missing, world.size)  # successive images: files of one folder are read together
    counted = _Counted(progress, len(shares[world.rank]), len(missing))
    pinned = world.device.type == "cuda"
    training = backbone.training
    backbone.eval()
    try:
        for images, index in test_loader(dataset, batch_size, num_workers, shares[world.rank], pinned):
            rows = _forward(backbone, images, world.device, dtype, getattr(dataset, "mirror", True))
            if features is None:
                features = np.empty((len(dataset), rows.shape[1]), np.float32)
            features[index.numpy()] = rows
            if keep is not None:
                keep(index.numpy(), rows)
            counted.add(len(rows))
    finally:
        backbone.train(training)
    counted.finish()
    return _exchanged(features, shares, len(dataset), world)


@torch.inference_mode()
def _forward(backbone: nn.Module, images: Tensor, device: torch.device, dtype: torch.dtype, mirror: bool) -> np.ndarray:
    """(B, D) float32 of images (B, H, W, 3) uint8."""
    batch = normalise(images.to(device, non_blocking=True))
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        found = backbone(batch).float()
        if mirror:  # after the image, and not beside it in a batch twice as large, which is slower on processors
            found = found + backbone(batch.flip(3)).float()
    return found.cpu().numpy()


class _Counted:
    """Tells of all ranks' images as this rank gets on with its own: all together are `total`."""

    def __init__(self, progress: Callable[[int], None] | None, own: int, total: int):
        self._progress, self._own, self._total = progress, own, total
        self._done = self._told = 0

    def add(self, images: int) -> None:
        self._done += images
        self._tell(self._done * self._total // self._own)

    def finish(self) -> None:
        self._tell(self._total)

    def _tell(self, count: int) -> None:
        if self._progress is not None and count > self._told:
            self._progress(count - self._told)
        self._told = count


def _exchanged(features: np.ndarray | None, shares: list[np.ndarray], count: int, world: World) -> np.ndarray:
    """The features of all ranks, in place; `features` is None on a rank that had nothing to do."""
    own = torch.tensor([0 if features is None else features.shape[1]], device=world.device)
    width = int(collective.maximum(own))
    if features is None:
        features = np.empty((count, width), np.float32)
    for source, rows in enumerate(shares):
        spread(features, rows, source, world)
    return features


def spread(features: np.ndarray, rows: np.ndarray, source: int, world: World) -> None:
    """Overwrite some rows of (N, D) float32 on every rank by those of rank `source`, a piece at a time."""
    if world.size == 1:
        return
    for start in range(0, len(rows), PIECE):
        piece = rows[start : start + PIECE]
        buffer = torch.empty(len(piece), features.shape[1], device=world.device)
        if world.rank == source:
            buffer.copy_(torch.from_numpy(features[piece]))
        collective.broadcast(buffer, source)
        if world.rank != source:
            features[piece] = buffer.cpu().numpy()
