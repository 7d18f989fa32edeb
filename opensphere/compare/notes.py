"""What all runs of a study share though chance had a part in it, and the note that says so."""

from collections.abc import Mapping
from typing import Any

_DRAWN = ("data.train.corruption.", "data.train.subset.")  # whose values are drawn by a seed of their own


def drawn_in(data: Mapping[str, Any]) -> list[str]:
    """The keys of a training config by which its training data are drawn, once for all seeds.

    Args:
        data: the `data` block of a resolved training config.
    """
    train, val = data["train"], data["val"]
    values = {
        "data.train.corruption.share": train["corruption"]["share"],
        "data.train.corruption.exponent": train["corruption"]["exponent"],
        "data.train.subset.people": train["subset"]["people"],
        "data.train.subset.max_images": train["subset"]["max_images"],
        "data.train.dataset.noise_ratio": train["dataset"].get("noise_ratio"),
        "data.val.holdout": isinstance(val, Mapping),
    }
    return [key for key, value in values.items() if value]


def drawn_once(study: Mapping[str, Any]) -> list[str]:
    """The note on what no interval knows of; none where nothing was drawn.

    Args:
        study: as study.json reads; older ones do not say what was drawn, only what was varied.
    """
    keys = [*study.get("vary", ()), *(key for setting in study["settings"] for key in setting["values"])]
    varied = [key for key in keys if f"{key}.".startswith(_DRAWN)]
    drawn = dict.fromkeys(key.rpartition(".")[2] for key in [*varied, *study.get("drawn", ())])
    others = [f"another drawing of the training data ({', '.join(drawn)})"] if drawn else []
    others += ["another choice of the grids"] if study.get("chosen") else []
    return [f"no interval covers {' or '.join(others)}: made once, for all seeds"] if others else []
