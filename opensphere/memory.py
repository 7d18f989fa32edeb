"""Memory that is used again, and how much there was at most."""

from pathlib import Path

import torch


def keep_freed_blocks() -> None:
    """Let the allocator of a CPU hold on to large pieces that were freed, such as a block of scores or a batch of
    images, rather than give them back to the system and ask for them again, at a fault a page.

    glibc learns from the largest piece that it has seen freed, up to 32 MiB, what is worth keeping: it is shown one.
    Other allocators lose nothing by it.
    """
    torch.empty(2**25 - 2**12, dtype=torch.uint8, device="cpu")


_PEAK = Path("/proc/self/clear_refs"), Path("/proc/self/status")


def forget_peak(device: torch.device) -> None:
    """Let `peak` begin anew."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        _PEAK[0].write_text("5")  # the kernel's way to reset the high-water mark
    except OSError:  # another system, or not allowed: `peak` then counts from the start of the process
        return


def peak(device: torch.device) -> float:
    """Bytes that were in use at most since `forget_peak`: of a GPU, else of this process; NaN where nobody says."""
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated(device))
    try:
        lines = _PEAK[1].read_text(encoding="ascii").splitlines()
    except OSError:
        return float("nan")
    return next((1024.0 * float(line.split()[1]) for line in lines if line.startswith("VmHWM:")), float("nan"))
