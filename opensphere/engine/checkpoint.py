"""Weights on disk: what a resume needs, and backbone files that OpenSphere can read too."""

import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from opensphere import storage
from opensphere.classifier import Classifier
from opensphere.engine.run import Run
from opensphere.error import UserError

NAME = "checkpoint.pth"


def save_checkpoint(run: Run, folder: Path) -> Path:
    """Write `checkpoint.pth`, whole or not at all: everything that the next update depends on. Call it on every rank.

    Order, augmentation and dropout are functions of (seed, step), so no generator's state is among it.
    """
    path = folder / NAME
    state = {
        "step": run.step,
        "backbone": run.bare_backbone.state_dict(),
        "classifier": run.classifier.whole_state(),
        "parts": {name: part.state_dict() for name, part in run.parts.items()},
        "scaler": run.scaler.state_dict(),
    }
    if run.encoder:
        state["encoder"] = run.encoder.module.state_dict()
    if run.world.rank == 0:
        _write(path, state)
    return path


def load_checkpoint(run: Run, folder: Path) -> None:
    """Put a run back to where `save_checkpoint` left it.

    Raises:
        UserError: the folder has no checkpoint, or it belongs to another config (names the keys that do not fit).
    """
    path = folder / NAME
    if not path.is_file():
        raise UserError(f"{folder}: has no {NAME}, the run ended before its first one; start it anew")
    state = read_weights(path)
    if set(state) - {"encoder"} != {"step", "backbone", "classifier", "parts", "scaler"}:
        raise UserError(f"{path}: is no checkpoint of a training")
    for leftover in folder.glob(f".{NAME}.*"):  # of a process that was killed while writing
        leftover.unlink(missing_ok=True)
    load_weights(run.bare_backbone, state["backbone"], path)
    load_weights(run.classifier, state["classifier"], path)
    if run.encoder:
        load_weights(run.encoder.module, state.get("encoder", {}), path)
    for name, part in run.parts.items():
        part.load_state_dict(state["parts"][name])
    run.scaler.load_state_dict(state["scaler"])
    run.step = state["step"]


def save_weights(run: Run, models: Path) -> Path:
    """Write `backbone_N.pth` and `head_N.pth` after N updates, in OpenSphere's layout. Call it on every rank.

    Returns:
        The backbone's path.
    """
    backbone = models / f"backbone_{run.step}.pth"
    head = run.classifier.whole_state()
    if run.world.rank == 0:
        _write(models / f"head_{run.step}.pth", head)
        _write(backbone, run.bare_backbone.state_dict())
    return backbone


def _write(path: Path, state: dict[str, Any]) -> None:
    with storage.atomic_path(path) as part:
        try:
            torch.save(state, part)
        except RuntimeError as error:  # how torch's writer says that the disk is full
            raise UserError(
                f"{path}: cannot be written, the disk may be full ({str(error).splitlines()[0]})"
            ) from error


def write_safetensors(weights: dict[str, torch.Tensor], path: Path) -> None:
    """Write weights as safetensors, whole or not at all."""
    with storage.atomic_path(path) as part:
        try:
            save_file({name: value.detach().cpu().contiguous() for name, value in weights.items()}, part)
        except SafetensorError as error:
            raise UserError(f"{path}: cannot be written, the disk may be full ({error})") from error


def read_weights(path: str | Path) -> dict[str, Any]:
    """Read a .pth or .safetensors file. Nothing in it can run: pickles are read by torch's weights-only reader.

    Raises:
        UserError: the file is missing, damaged, or holds more than weights.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: there is no such weights file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        # mapped, a file of all classes costs a process only those that it takes; old files know no mapping
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except Exception as error:  # torch raises a dozen kinds, each with pages of advice to allow running code
        reason = str(error).strip().split("\n")[0]
        raise UserError(f"{path}: is damaged, or holds more than weights ({type(error).__name__}: {reason})") from error
    if not isinstance(state, dict):
        raise UserError(f"{path}: holds no mapping from names to weights")
    return state


def load_weights(module: torch.nn.Module, weights: dict[str, Any], path: str | Path) -> None:
    """Load weights into a module; the prefix `module.`, which OpenSphere's files carry, is dropped.

    Raises:
        UserError: names the keys that are missing, left over, or of another shape.
    """
    weights = {name.removeprefix("module."): value for name, value in weights.items()}
    if isinstance(module, Classifier):
        weights = module.own_state(weights)
    expected = module.state_dict()
    missing = [name for name in expected if name not in weights and not name.endswith("num_batches_tracked")]
    extra = [name for name in weights if name not in expected]
    shapes = [
        f"{name} is {tuple(weights[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in weights and weights[name].shape != value.shape
    ]
    if missing or extra or shapes:
        found = [f"{what} {_some(names)}" for what, names in (("lacks", missing), ("also has", extra)) if names]
        found += [_some(shapes)] if shapes else []
        raise UserError(f"{path}: does not fit the config: {'; '.join(found)}")
    module.load_state_dict(weights, strict=False)


def find_weights(folder: Path, save_iters: list[int] | None = None) -> dict[int, Path]:
    """The backbone files of a run folder by number of updates, in order.

    Args:
        folder: a run folder; its `models` folder (or the folder itself) is searched.
        save_iters: only these, where the run names any that exist.

    Raises:
        UserError: there is none.
    """
    pattern = re.compile(r"backbone_(\d+)\.(?:pth|safetensors)")
    found: dict[int, Path] = {}
    for place in (folder / "models", folder, *sorted(path for path in folder.glob("*") if path.is_dir())):
        for path in sorted(place.glob("backbone_*")):
            if match := pattern.fullmatch(path.name):
                found.setdefault(int(match[1]), path)
        if found:
            break
    if not found:
        raise UserError(f"{folder}: no backbone_<iter>.pth or .safetensors in it or its models folder")
    listed = {step: path for step, path in found.items() if step in (save_iters or [])}
    return dict(sorted((listed or found).items()))


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
