"""The most memory that a process had."""

import subprocess
import sys

import pytest

# in a process of its own: this one may use memory again that earlier tests have freed
_SCRIPT = """
import numpy as np, torch
from opensphere.memory import forget_peak, peak
cpu = torch.device("cpu")
forget_peak(cpu)
before = peak(cpu)
block = np.ones(2**27, np.uint8)  # 128 MiB, touched
with_block = peak(cpu)
del block
forget_peak(cpu)
print(before, with_block, peak(cpu))
"""


def test_the_peak_is_that_of_what_came_since() -> None:
    said = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True).stdout
    before, with_block, after = map(float, said.split())
    if before != before:
        pytest.skip("this system does not say how much memory a process has")
    assert 100 * 2**20 < with_block - before < 200 * 2**20
    assert after - before < 64 * 2**20
