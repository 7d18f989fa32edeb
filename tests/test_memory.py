"""The most memory that a process had."""

import numpy as np
import pytest
import torch

from opensphere.memory import forget_peak, peak

CPU = torch.device("cpu")


def test_the_peak_is_that_of_what_came_since() -> None:
    forget_peak(CPU)
    before = peak(CPU)
    if np.isnan(before):
        pytest.skip("this system does not say how much memory a process has")
    block = np.ones(2**27, np.uint8)  # 128 MiB, touched
    block[0] = 2
    assert 100 * 2**20 < peak(CPU) - before < 200 * 2**20
    del block
    forget_peak(CPU)
    assert peak(CPU) - before < 64 * 2**20
