"""What is kept of a run beside its weights, so that no run of a study is made or measured twice."""

import json
import math
import time
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from opensphere import storage
from opensphere.compare.table import FINISHED, MISSING, Result
from opensphere.engine.folder import find_config, read_versions
from opensphere.error import UserError
from opensphere.metric.estimate import Estimate

STATE = "outcome.json"
TRAINED = "trained"  # a status beside those of tables: the test is missing
_ESTIMATES = "estimates.npz"
_COSTS = ("seconds", "images_per_second", "memory_mb", "energy")

Found = Mapping[str, Mapping[str, Estimate]]  # by set, by column


@dataclass(frozen=True)
class Origin:
    """What a training depends on and its config does not say.

    Attributes:
        world_size: how many processes train together; None: not known.
        sync_bn: whether they share BatchNorm's statistics; None: not known.
        data: a digest of the images and labels that are learnt; empty: not known.
        weights: a digest of the files that it begins with; empty: none, or not known.
    """

    world_size: int | None = 1
    sync_bn: bool | None = False
    data: str = ""
    weights: str = ""


def write_outcome(place: Path, result: Result, asked: str, origin: Origin = Origin(), images: str = "") -> None:
    """Keep what came of a run.

    Args:
        place: its folder.
        result: how it ended, what it cost, and what was measured.
        asked: a digest of the config that it was tested by.
        origin: what it was trained by and on.
        images: a digest of what is in the test sets; empty: not known.
    """
    if result.status == FINISHED:
        _write_estimates(place / _ESTIMATES, result.estimates, asked)
    state: dict[str, Any] = {"status": result.status, "why": result.why, "tested": asked, "test_data": images}
    for key in _COSTS:
        value = float(getattr(result, key))
        state[key] = value if math.isfinite(value) else None
    write_state(place / STATE, state, origin)


def write_state(path: Path, state: Mapping[str, Any], origin: Origin) -> None:
    """Write a file of what came of a training, with its origin and when this was."""
    storage.write_text(path, json.dumps({**state, **asdict(origin), "ended": time.time()}, indent=2) + "\n")


def state_of_run(place: Path) -> dict[str, Any]:
    """What `write_outcome` wrote; empty where nothing readable is there."""
    return storage.read_object(place / STATE)


def origin_of(state: Mapping[str, Any], place: Path) -> Origin:
    """The origin in what `write_state` wrote.

    What an older state does not say is looked for in the run's folder, `place`, and not known where it is not there.
    """
    data, weights = (str(state.get(key, "")) for key in ("data", "weights"))
    if state.get("world_size") is not None:
        return Origin(int(state["world_size"]), state.get("sync_bn"), data, weights)
    size, device = _last_start(place)
    if size is None:
        return Origin(None, None, data, weights)
    shared = _asked_for_sync_bn(place) if size > 1 and device.startswith("cuda") else False
    return Origin(size, shared, data, weights)


def _last_start(place: Path) -> tuple[int | None, str]:
    """How many processes trained a run when it was last begun or gone on with, and the device of the first."""
    try:
        last = read_versions(place)[-1]
        return int(last["world_size"]), str(last.get("device"))
    except (ValueError, LookupError, TypeError):
        return None, ""


def _asked_for_sync_bn(place: Path) -> bool | None:
    try:
        return bool(yaml.safe_load(find_config(place).read_text(encoding="utf-8"))["parallel"]["sync_bn"])
    except (UserError, OSError, ValueError, LookupError, TypeError, yaml.YAMLError):
        return None


def read_outcome(place: Path, blank: Result, asked: str, images: str = "") -> Result:
    """What came of a run.

    Args:
        blank: says which run it is.
        asked, images: as for `write_outcome`; images that are not known, here or there, are taken for the same.

    Returns:
        `blank` with what is known; its status "trained" where only the test is missing or was another one, "missing"
        where nothing, or nothing readable, is there.
    """
    state = state_of_run(place)
    try:
        seconds, rate, most, energy = (math.nan if state[key] is None else float(state[key]) for key in _COSTS)
        known = replace(blank, status=str(state["status"]), why=str(state["why"]), seconds=seconds, energy=energy)
        known = replace(known, images_per_second=rate, memory_mb=most)
    except (ValueError, KeyError, TypeError):
        return replace(blank, status=MISSING)
    if known.status != FINISHED:
        return known
    try:
        if state.get("tested") != asked or len({state.get("test_data", ""), images} - {""}) > 1:
            raise ValueError("tested on something else")
        return replace(known, estimates=_read_estimates(place / _ESTIMATES, asked))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return replace(known, status=TRAINED)


def _write_estimates(path: Path, found: Found, asked: str) -> None:
    rows = [(name, column, one) for name, columns in found.items() for column, one in columns.items()]
    index = [[name, column, repr(float(one.value)), one.why] for name, column, one in rows]
    arrays: dict[str, np.ndarray] = {"index": np.array(json.dumps(index)), "tested": np.array(asked)}
    for number, (_, _, one) in enumerate(rows):
        for part in ("replicates", "folds"):
            values = getattr(one, part)
            if values is not None:
                arrays[f"{part}{number}"] = np.asarray(values, np.float64)
    with storage.atomic_path(path) as place, open(place, "wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _read_estimates(path: Path, asked: str) -> dict[str, dict[str, Estimate]]:
    found: dict[str, dict[str, Estimate]] = {}
    with np.load(path, allow_pickle=False) as arrays:
        if str(arrays["tested"]) != asked:  # written, and then killed before the other file was
            raise ValueError("tested on something else")
        for number, (name, column, value, why) in enumerate(json.loads(str(arrays["index"]))):
            parts = [arrays.get(f"{part}{number}") for part in ("replicates", "folds")]
            found.setdefault(name, {})[column] = Estimate(float(value), why, *parts)
    return found


def last_energy(place: Path) -> float:
    """The hyperspherical energy of a run's class vectors at its end; NaN where it was not noted."""
    return _last(place, "sphere", "energy")


def last_validation(place: Path, column: str) -> float:
    """A metric of the first validation set at the end of a run; NaN where it has none."""
    return _last(place, "val", column)


def _last(place: Path, kind: str, key: str) -> float:
    """A number in the last line of a kind, where several sets have such lines that of the first; NaN where it has
    none."""
    rows = [line for line in lines(place) if line.get("kind") == kind]
    value = [row.get(key) for row in rows if row.get("set") == rows[0].get("set")][-1:]
    return float(value[0]) if value and isinstance(value[0], int | float) else math.nan


def lines(place: Path) -> Iterator[dict[str, Any]]:
    """The lines of a run's metrics.jsonl that can be read."""
    path = place / "metrics.jsonl"
    for text in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            line = json.loads(text)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line
