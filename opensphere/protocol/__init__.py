"""What is measured on a data set. A protocol is a module of three functions, and `_PROTOCOLS` is the list of them:

suits(dataset) -> bool: whether it can measure on such a set;
columns(dataset) -> list[str]: what the table will hold, without having any features;
measure(dataset, features, resamples, seed) -> Measurement: the table's row with its uncertainty.
"""

from typing import Any

import numpy as np

from opensphere.error import Diverged, UserError
from opensphere.protocol import blufr, distractors, ijb, rfw, tinyface, verification
from opensphere.protocol.measurement import Measurement

_PROTOCOLS = (ijb, blufr, tinyface, rfw, distractors, verification)


def check(dataset: Any) -> list[str]:
    """The columns that `measure` will give.

    Raises:
        UserError: nothing can be measured on such a set, or not what its `metrics` name.
    """
    return _protocol(dataset).columns(dataset)


def measure(dataset: Any, features: np.ndarray, resamples: int = 0, seed: int = 0) -> Measurement:
    """The metrics of features on a set, by column, in per cent.

    Args:
        dataset: an image set of N images.
        features: (N, D) float, image and mirror image added, not normalised.
        resamples: how many resamples of the people the intervals rest on; 0 for none.
        seed: fixes the resamples.

    Raises:
        UserError: as `check`.
        Diverged: a feature is not finite.
        ValueError: there is not one feature an image.
    """
    protocol = _protocol(dataset)
    if features.ndim != 2 or len(features) != len(dataset):
        raise ValueError(f"features of shape {features.shape} for the {len(dataset)} images of {dataset.name}")
    suspects = np.flatnonzero(~np.isfinite(features.sum(axis=1)))  # quick; a sum of finite numbers may overflow too
    broken = suspects[~np.isfinite(features[suspects]).all(axis=1)]
    if len(broken):
        raise Diverged(
            f"{dataset.name}: the features of {len(broken)} of {len(features)} images are not finite, the first that "
            f"of {name_of(dataset, int(broken[0]))}: the network has diverged, or its weights are damaged; try a lower "
            f"lr or another checkpoint"
        )
    return protocol.measure(dataset, features, resamples, seed)


def evaluate(dataset: Any, features: np.ndarray) -> dict[str, float]:
    """The values alone, by column, NaN where one cannot be said. Arguments and errors as `measure`."""
    return measure(dataset, features).values()


def _protocol(dataset: Any) -> Any:
    for protocol in _PROTOCOLS:
        if protocol.suits(dataset):
            return protocol
    raise UserError(f"{dataset.name}: nothing can be measured on {type(dataset).__name__}; give a set of pairs")


def name_of(dataset: Any, image: int) -> str:
    """The path of an image; its number where a program draws it."""
    try:
        return str(dataset.path(image))
    except AttributeError:  # a set that reads no files
        return f"image {image}"
