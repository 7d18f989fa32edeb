"""A run's network, ready to take features of images."""

from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from opensphere import config as cfg
from opensphere.command.screen import bar
from opensphere.command.test import read_run
from opensphere.engine.checkpoint import load_weights, read_weights
from opensphere.engine.extract import extract
from opensphere.engine.parallel import World, own_device
from opensphere.error import UserError

_BATCH = 64


class Trained:
    """The network of a run folder with the weights of one checkpoint, in fp32 on every machine, so that a threshold
    that was set on one holds on another.

    Args:
        folder: of the run.
        iteration: of the checkpoint; None takes the last.
        weights: the file of the weights instead.

    Attributes:
        weights: the file.
        image_size: (height, width) of the images that the network takes.
        crop: the part of each image that it was trained on, or None.

    Raises:
        UserError: it is no run folder, or has no such checkpoint.
    """

    def __init__(self, folder: Path, iteration: int | None = None, weights: Path | None = None):
        net, view, found = read_run(folder)
        if weights is None:
            iteration = max(found) if iteration is None else iteration
            if iteration not in found:
                known = ", ".join(map(str, found))
                raise UserError(f"{folder}: has no checkpoint of iteration {iteration}, but of {known}")
            weights = found[iteration]
        self.weights = weights
        self._device = own_device()
        self._backbone = cfg.build_backbone(**net)
        load_weights(self._backbone, read_weights(weights), weights)
        self._backbone.to(self._device)
        self.image_size: list[int] = list(self._backbone.input_size)  # type: ignore[arg-type]
        self.crop: list[int] | None = view.get("crop")

    def features(self, dataset: Any, console: Console) -> np.ndarray:
        """(N, D) float32 of a set's images, each with its mirror image, not normalised.

        Raises:
            UserError: an image cannot be read, or a feature is not finite.
        """
        workers = 8 if self._device.type == "cuda" else 0  # the loader takes no more than there are cores
        with bar(console) as progress:
            task = progress.add_task(dataset.name, total=len(dataset))
            features = extract(
                self._backbone, dataset, World(0, 1, self._device), _BATCH, workers,
                progress=lambda count: progress.advance(task, count),
            )  # fmt: skip
        broken = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(broken):
            raise UserError(f"{self.weights}: the feature of {dataset.path(int(broken[0]))} is not finite; try others")
        return features
