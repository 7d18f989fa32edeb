"""The losses. This list is the registry: a config names one of them."""

from opensphere.model.head.adaface import AdaFace
from opensphere.model.head.arcface import ArcFace
from opensphere.model.head.coco import CocoLoss
from opensphere.model.head.combined_margin import CombinedMargin
from opensphere.model.head.cosface import CosFace
from opensphere.model.head.gasoftmax import GAsoftmax
from opensphere.model.head.softmax import SoftmaxLoss
from opensphere.model.head.sphereface import SphereFace
from opensphere.model.head.sphereface2 import SphereFace2
from opensphere.model.head.sphereface_plus import SphereFacePlus
from opensphere.model.head.sphereface_r import SphereFaceR_H, SphereFaceR_N, SphereFaceR_S

__all__ = [
    "AdaFace",
    "ArcFace",
    "CocoLoss",
    "CombinedMargin",
    "CosFace",
    "GAsoftmax",
    "SoftmaxLoss",
    "SphereFace",
    "SphereFace2",
    "SphereFacePlus",
    "SphereFaceR_H",
    "SphereFaceR_N",
    "SphereFaceR_S",
]
