"""The folder of one run: made once, never shared, says what made it."""

import json
import platform
import subprocess
import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import numpy
import torch

import opensphere
from opensphere import storage
from opensphere.error import UserError

GIVEN, VERSIONS = "config_given.yml", "versions.json"


def make_run_folder(parent: str | Path) -> Path:
    """Make `<parent>/<yyyymmdd_hhmmss>`, a folder that no other run has.

    Raises:
        UserError: the parent cannot be written to.
    """
    parent = Path(parent)
    while True:
        folder = parent / datetime.now().strftime("%Y%m%d_%H%M%S")
        try:
            parent.mkdir(parents=True, exist_ok=True)
            folder.mkdir()
            return folder
        except FileExistsError:
            if not parent.is_dir():
                raise UserError(f"{parent}: is a file; name another folder with project.proj_dir") from None
            time.sleep(0.1)  # another run began within this second: wait for the next
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be made: {error.strerror}; name another with project.proj_dir"
            ) from error


def find_config(folder: Path) -> Path:
    """The resolved config of a run folder, whatever `project.cfg_fname` called it.

    Raises:
        UserError: the folder has none.
    """
    for path in (folder / "config.yml", *sorted(folder.glob("*.yml"))):
        if path.is_file() and path.name != GIVEN:
            return path
    raise UserError(f"{folder}: is no run folder, it has no config.yml")


def given_text(source: Path, overrides: Iterable[str]) -> str:
    """A config as it was given, with its overrides as remarks below."""
    text = source.read_text(encoding="utf-8-sig").rstrip("\n") + "\n"
    return text + "".join(f"# override: {override}\n" for override in overrides)


def describe_run(folder: Path, given: str, resolved: str, cfg_fname: str, facts: dict[str, Any]) -> None:
    """Write the config as resolved (`cfg_fname`), as given (`config_given.yml`), and `versions.json`.

    versions.json is a list: a run that is resumed adds what it goes on with.
    """
    path = folder / VERSIONS
    before = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    storage.write_text(folder / cfg_fname, resolved)
    storage.write_text(folder / GIVEN, given)
    storage.write_text(path, json.dumps([*before, {**versions(), **facts}], indent=2) + "\n")


def read_versions(folder: Path) -> list[dict[str, Any]]:
    """The entries of a run's versions.json; none where nothing readable is there."""
    try:
        entries = json.loads((folder / VERSIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def versions() -> dict[str, Any]:
    """What a run depends on beside its config: program, libraries, machine, revision."""
    return {
        "opensphere": opensphere.__version__,
        "git": _revision(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "opencv": cv2.__version__,
        "machine": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def _revision() -> str | None:
    """The git revision of this code, with a mark where files differ from it; None outside a checkout."""
    command = ["git", "-C", str(Path(opensphere.__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
