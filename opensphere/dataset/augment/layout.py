"""How a batch lies in memory: channel by channel, or all channels of a pixel together."""

import torch
from torch import Tensor


def put(batch: Tensor, where: Tensor, images: Tensor) -> None:
    """Set the images `where` of a batch (B, 3, H, W), in place."""
    together = batch.is_contiguous(memory_format=torch.channels_last)
    # Between unlike layouts `index_copy_` goes value by value, which takes twice as long as to change the layout first.
    layout = torch.channels_last if together else torch.contiguous_format
    batch.index_copy_(0, where, images.contiguous(memory_format=layout))
