"""Random changes to training images, on the device that a batch is on.

What happens to an image is a function of (seed, epoch, index) alone: it depends neither on the other images of the
batch nor on the number of workers or processes, and no generator's state has to be saved.
"""

from opensphere.dataset.augment.batch import Augment, OnRead, normalise
from opensphere.dataset.augment.draw import uniform
from opensphere.dataset.augment.presets import PRESETS, written_out

__all__ = ["PRESETS", "Augment", "OnRead", "normalise", "uniform", "written_out"]
