"""What a study's numbers rest on beside its config, and the notes that say so."""

from collections.abc import Mapping, Sequence
from typing import Any

from opensphere.report.facts import spell_program, spell_revision

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


def revisions(versions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The revisions of the code that made runs, each once; the version where there is no revision."""
    return list(dict.fromkeys(spell_revision(entry) or spell_program(entry) for entry in versions))


def made_by(versions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The notes where runs were made by different code, or by code that no revision holds."""
    found = revisions(versions)
    notes = [f"runs were made by {len(found)} revisions of the code: {', '.join(found)}"] if len(found) > 1 else []
    dirty = [name for name in found if name.endswith("-dirty")]
    return notes + [f"{', '.join(dirty)}: with changes that no revision holds"] * bool(dirty)
