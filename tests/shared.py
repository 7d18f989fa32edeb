"""Test material that the project may not carry: real faces, golden values, protocols."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("OPENSPHERE_SHARED") or Path(__file__).resolve().parents[2] / "shared")


def shared(relative: str) -> Path:
    """The path of a file or folder of the shared test material; skips the test where it is absent."""
    path = ROOT / relative
    if not path.exists():
        pytest.skip(f"no shared test material at {path} (OPENSPHERE_SHARED names its folder)")
    return path
