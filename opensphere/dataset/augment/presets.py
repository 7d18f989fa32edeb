"""Augmentations with a name.

`none`: the images as they are. `seed`: OpenSphere's, the mirror image of every second one. `strong`: everything, for
images to come that are unlike those of the training set; chosen by eye, not by results.

`adaface`: AdaFace's (Kim et al. 2022, and https://github.com/mk-minchul/AdaFace with the 0.2 of its training scripts):
a box alone in black, a low resolution that any of five filters makes and unmakes, changed colours, the mirror image.
Probabilities and distributions are theirs. Where it differs:

- Their order is box, resolution, colour, mirror image; ours is box, mirror image, colour, resolution. But for the
  cutting off at 0 and 255 all of these are linear, and a trace of the mean luma is all that it moves. The nearest pixel
  is found by rounding down, to the left: theirs of a mirror image lies to the right.
- They round to bytes and cut off after every step; we cut off after the colours and after each direction of a change
  of resolution, and never round to bytes.
- Their brightness, contrast and saturation come in a drawn order, which matters only where they cut off.
- Their images are BGR and their luma weighs them as RGB; our images are RGB.
"""

import copy
from collections.abc import Mapping
from typing import Any

from opensphere.error import UserError

# Arguments of `Augment`; what a preset does not name keeps its default.
PRESETS: dict[str, dict[str, Any]] = {
    "none": {"mirror": 0.0},
    "seed": {"mirror": 0.5},
    "adaface": {
        "mirror": 0.5,
        "crop": 0.2,
        "crop_area": [0.2, 1.0],
        "colour": 0.2,
        "brightness": 0.5,
        "contrast": 0.5,
        "saturation": 0.5,
        "low_resolution": 0.2,
        "low_resolution_side": [0.2, 1.0],
        "low_resolution_filter": "any",
    },
    "strong": {
        "mirror": 0.5,
        "geometry": 0.5,
        "shift": 0.05,
        "scale": 0.1,
        "rotate": 10.0,
        "crop": 0.2,
        "crop_area": [0.3, 1.0],
        "colour": 0.5,
        "brightness": 0.4,
        "contrast": 0.4,
        "saturation": 0.4,
        "gamma": 0.4,
        "grey": 0.1,
        "blur": 0.15,
        "blur_sigma": [0.3, 2.0],
        "low_resolution": 0.2,
        "low_resolution_side": [0.2, 1.0],
        "low_resolution_filter": "any",
        "jpeg": 0.2,
        "jpeg_quality": [20, 90],
        "erase": 0.2,
        "erase_area": [0.02, 0.2],
    },
}


def written_out(block: Any, where: str = "augment") -> Any:
    """The arguments of `Augment` that a config's block stands for.

    A preset has to be put in the place of its name before defaults are filled in: afterwards nobody could tell a
    default from what was asked for. A resolved config then says what is done, whatever becomes of the preset.

    Args:
        block: a preset's name, or a mapping that may name one under `preset`; its other keys override the preset's.
        where: what errors begin with.

    Returns:
        A mapping without `preset`. What is neither text nor a mapping, None for example, is given back as it is.

    Raises:
        UserError: there is no such preset.
    """
    if isinstance(block, str):
        return written_out({"preset": block}, where)
    if not isinstance(block, Mapping):
        return block
    own = {key: value for key, value in block.items() if key != "preset"}
    name = block.get("preset")
    if name is None:
        return own
    if not isinstance(name, str) or name not in PRESETS:
        raise UserError(f"{where}: there is no preset {name!r}; known: {', '.join(PRESETS)}")
    return copy.deepcopy(PRESETS[name]) | own
