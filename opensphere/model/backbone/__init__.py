"""The networks. This list is the registry: a config names one of them, with the arguments of its signature."""

from opensphere.model.backbone.iresnet import iresnet18, iresnet34, iresnet50, iresnet100
from opensphere.model.backbone.mobilefacenet import mobilefacenet
from opensphere.model.backbone.sfnet import (
    sfnet4,
    sfnet4_deprecated,
    sfnet10,
    sfnet10_deprecated,
    sfnet20,
    sfnet20_deprecated,
    sfnet36,
    sfnet36_deprecated,
    sfnet64,
    sfnet64_deprecated,
)

__all__ = [
    "iresnet18",
    "iresnet34",
    "iresnet50",
    "iresnet100",
    "mobilefacenet",
    "sfnet4",
    "sfnet4_deprecated",
    "sfnet10",
    "sfnet10_deprecated",
    "sfnet20",
    "sfnet20_deprecated",
    "sfnet36",
    "sfnet36_deprecated",
    "sfnet64",
    "sfnet64_deprecated",
]
