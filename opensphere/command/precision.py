"""The arithmetic of a study: measured once, kept for all of its processes."""

import json
from pathlib import Path

import torch
from filelock import FileLock

from opensphere import storage
from opensphere.compare.plan import Plan
from opensphere.engine.parallel import NAMES, own_device
from opensphere.error import UserError

_PRECISION = "precision.json"


def settle_precision(plan: Plan, folder: Path) -> bool:
    """Put what `auto` comes to into the base config: what the study was begun with, else what is measured here and now.

    It is one for the whole study, on whatever kind of device it was begun: it names the runs.

    Returns:
        Whether the base config leaves it open.
    """
    project, device = plan.base.setdefault("project", {}), own_device()
    if (project.get("precision") or "auto") != "auto":
        return False
    project["precision"] = _begun_with(folder)[1]
    if not project["precision"]:
        project["precision"] = "auto"
        plan.settle_precision(device)
    return True


def keep_precision(folder: Path, measured: str) -> str:
    """What the first process of a study measured, for all others: it names their runs.

    Raises:
        UserError: the folder cannot be written to.
    """
    path = folder / _PRECISION
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock"):
            if not _begun_with(folder)[1]:
                storage.write_text(path, json.dumps({own_device().type: measured}) + "\n")
            return _begun_with(folder)[1]
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{folder}: cannot be written to: {why}; name another folder with --proj_dir") from None


def refuse_precision(plan: Plan, folder: Path) -> None:
    """Raises UserError if the precision that a study was begun with, on another kind of device, cannot be used here."""
    device, (kind, precision) = own_device(), _begun_with(folder)
    if kind in ("", device.type) or plan.base["project"]["precision"] != precision:
        return
    try:
        images = torch.ones(1, 8, 8, 8, device=device, dtype=NAMES[precision], requires_grad=True)
        torch.nn.functional.conv2d(images, images[:, :, :3, :3]).sum().backward()
    except RuntimeError:
        raise UserError(
            f"{folder}: this study was begun with {precision} on {kind}, which cannot be used on {device.type}: "
            f"go on on {kind}, or give project.precision and another --proj_dir"
        ) from None


def _begun_with(folder: Path) -> tuple[str, str]:
    """The kind of device that a study was begun on, and its precision; both empty where it is not known.

    Older studies have one for each kind: then this device's own.
    """
    kept = {kind: name for kind, name in storage.read_object(folder / _PRECISION).items() if name in NAMES}
    kind = own_device().type if own_device().type in kept else next(iter(kept), "")
    return kind, kept.get(kind, "")
