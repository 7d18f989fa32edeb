"""Cores of this machine."""

import os


def usable_cores() -> int:
    """How many this process may use, which a scheduler or a container can make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
