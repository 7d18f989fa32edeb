"""CocoLoss, also known as NormFace."""

from opensphere.model.head.head import Head, Normalise


class CocoLoss(Head):
    """COCO (Liu et al. 2017), NormFace (Wang et al. 2017): softmax over s cos(theta_j), without a margin."""

    def __init__(self, s: float = 30.0, normalise: Normalise = "in_place"):
        super().__init__(s, normalise=normalise)
