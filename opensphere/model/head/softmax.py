"""Softmax."""

from opensphere.model.head.head import Head


class SoftmaxLoss(Head):
    """Softmax cross-entropy of x . w_j + b_j: no normalisation, no margin; where every paper starts."""

    space = "linear"

    def __init__(self) -> None:
        super().__init__()
