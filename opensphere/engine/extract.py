"""Features of a whole data set."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn

from opensphere import collective
from opensphere.dataset.augment import normalise
from opensphere.dataset.loader import test_loader
from opensphere.engine.parallel import World


@torch.inference_mode()
def extract(
    backbone: nn.Module,
    dataset: Any,
    world: World,
    batch_size: int,
    num_workers: int = 0,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """The feature of each image plus that of its mirror image, added; the ranks share the work.

    Args:
        backbone: the bare module; it is put into evaluation mode, and back into the mode it was in.
        dataset: an image set of N images.
        batch_size: images at a time on this rank.
        progress: called with the number of images done.

    Returns:
        (N, D) float32, not normalised; the same on all ranks.
    """
    training = backbone.training
    backbone.eval()
    mine = np.arange(len(dataset))[world.rank :: world.size]
    features, indices = [], []
    for images, index in test_loader(dataset, batch_size, num_workers, indices=mine):
        batch = normalise(images.to(world.device, non_blocking=True))
        with torch.autocast(world.device.type, dtype, enabled=dtype != torch.float32):
            both = backbone(batch).float() + backbone(batch.flip(3)).float()
        features.append(both.cpu().numpy())
        indices.append(np.asarray(index))
        if progress:
            progress(len(images) * world.size)
    backbone.train(training)
    shares = collective.gather_objects((np.concatenate(indices), np.concatenate(features)) if features else None)
    return _in_order([share for share in shares if share is not None], len(dataset))


def _in_order(shares: list[tuple[np.ndarray, np.ndarray]], count: int) -> np.ndarray:
    gathered = np.empty((count, shares[0][1].shape[1]), np.float32)
    for index, features in shares:
        gathered[index] = features
    return gathered
