"""What is measured on a data set. A protocol is a module of three functions, and `_PROTOCOLS` is the list of them:

suits(dataset) -> bool: whether it can measure on such a set;
columns(dataset) -> list[str]: what the table will hold, without having any features;
evaluate(dataset, features) -> dict[str, float]: the table's row, in per cent.
"""

from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.protocol import ijb, verification

_PROTOCOLS = (ijb, verification)


def check(dataset: Any) -> list[str]:
    """The columns that `evaluate` will give.

    Raises:
        UserError: nothing can be measured on such a set, or not what its `metrics` name.
    """
    return _protocol(dataset).columns(dataset)


def evaluate(dataset: Any, features: np.ndarray) -> dict[str, float]:
    """The metrics of features on a set, by column, in per cent.

    Args:
        dataset: an image set of N images.
        features: (N, D) float, image and mirror image added, not normalised.

    Raises:
        UserError: as `check`, or a feature is not finite.
        ValueError: there is not one feature an image.
    """
    protocol = _protocol(dataset)
    if features.ndim != 2 or len(features) != len(dataset):
        raise ValueError(f"features of shape {features.shape} for the {len(dataset)} images of {dataset.name}")
    broken = int(np.sum(~np.isfinite(features).all(axis=1)))
    if broken:
        raise UserError(
            f"{dataset.name}: the features of {broken} of {len(features)} images are not finite: "
            f"the network has diverged, or its weights are damaged; try a lower lr or another checkpoint"
        )
    return protocol.evaluate(dataset, features)


def _protocol(dataset: Any) -> Any:
    for protocol in _PROTOCOLS:
        if protocol.suits(dataset):
            return protocol
    raise UserError(f"{dataset.name}: nothing can be measured on {type(dataset).__name__}; give a set of pairs")
