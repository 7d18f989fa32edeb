"""Negative Contrast: hyperspherical face recognition on PyTorch."""

from typing import TYPE_CHECKING, Any

from opensphere.error import UserError

if TYPE_CHECKING:
    from opensphere.config import build_backbone, build_head

__all__ = ["UserError", "build_backbone", "build_head"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Load the builders when they are first asked for: they bring torch, which takes seconds."""
    if name in ("build_backbone", "build_head"):
        from opensphere import config

        return getattr(config, name)
    raise AttributeError(f"module 'opensphere' has no attribute {name!r}")
