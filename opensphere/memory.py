"""Memory that is used again."""

import torch


def keep_freed_blocks() -> None:
    """Let the allocator of a CPU hold on to large pieces that were freed, such as a block of scores or a batch of
    images, rather than give them back to the system and ask for them again, at a fault a page.

    glibc learns from the largest piece that it has seen freed, up to 32 MiB, what is worth keeping: it is shown one.
    Other allocators lose nothing by it.
    """
    torch.empty(2**25 - 2**12, dtype=torch.uint8, device="cpu")
