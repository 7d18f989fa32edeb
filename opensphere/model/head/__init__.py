"""The losses. This list is the registry: a config names one of them."""

from opensphere.model.head.adacos import AdaCos
from opensphere.model.head.adaface import AdaFace
from opensphere.model.head.arcface import ArcFace
from opensphere.model.head.circle import CircleLoss
from opensphere.model.head.circle_pair import CirclePairLoss
from opensphere.model.head.coco import CocoLoss
from opensphere.model.head.combined_margin import CombinedMargin
from opensphere.model.head.cosface import CosFace
from opensphere.model.head.curricularface import CurricularFace
from opensphere.model.head.elasticface import ElasticArcFace, ElasticCosFace
from opensphere.model.head.gasoftmax import GAsoftmax
from opensphere.model.head.magface import MagFace
from opensphere.model.head.mv_softmax import MVSoftmax
from opensphere.model.head.p2sgrad import P2SGrad
from opensphere.model.head.sface import SFace
from opensphere.model.head.simple import SimPLE
from opensphere.model.head.softmax import SoftmaxLoss
from opensphere.model.head.sphereface import SphereFace
from opensphere.model.head.sphereface2 import SphereFace2
from opensphere.model.head.sphereface_plus import SphereFacePlus
from opensphere.model.head.sphereface_r import SphereFaceR_H, SphereFaceR_N, SphereFaceR_S
from opensphere.model.head.subcenter_arcface import SubCenterArcFace
from opensphere.model.head.supcon import SupConLoss
from opensphere.model.head.triplet import TripletLoss
from opensphere.model.head.uniface import UniFace

__all__ = [
    "AdaCos",
    "AdaFace",
    "ArcFace",
    "CircleLoss",
    "CirclePairLoss",
    "CocoLoss",
    "CombinedMargin",
    "CosFace",
    "CurricularFace",
    "ElasticArcFace",
    "ElasticCosFace",
    "GAsoftmax",
    "MVSoftmax",
    "MagFace",
    "P2SGrad",
    "SFace",
    "SimPLE",
    "SoftmaxLoss",
    "SphereFace",
    "SphereFace2",
    "SphereFacePlus",
    "SphereFaceR_H",
    "SphereFaceR_N",
    "SphereFaceR_S",
    "SubCenterArcFace",
    "SupConLoss",
    "TripletLoss",
    "UniFace",
]
