"""A run folder as it lies on disk. A damaged file becomes a sentence on the page: one must not hide the rest."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from opensphere.metric import evidence
from opensphere.report.training_data import FILE, TrainingData, read_training_data

_GIVEN, _EVIDENCE, COMPARISON = "config_given.yml", "_evidence.npz", "_comparison.json"


@dataclass
class Table:
    """A table of results: `rows` with values, and as many `uncertainty` rows with low, high, error, why and folds."""

    name: str
    rows: list[dict[str, Any]]
    uncertainty: list[dict[str, dict[str, Any]]]
    facts: dict[str, Any] = field(default_factory=dict)
    resamples: int = 0
    confidence: float = 0.95

    @property
    def key(self) -> str:
        """The first column, which says what a row is: Iter of checkpoints, model of a demo."""
        return next(iter(self.rows[0]))


@dataclass
class Run:
    """A run folder. What is not there is empty.

    Attributes:
        label: what tells it from the others on the page.
        train, val: lines of metrics.jsonl, by kind.
        warnings, sphere: lines of metrics.jsonl too; the latter say how the directions of classes are spread.
        tables: by set.
        evidence: arrays by set (`opensphere.metric.evidence`).
        data: what it was trained on, as far as it noted that.
        head: (C, D) directions of classes that the command read from the run's weights; None where there are none.
    """

    folder: Path
    label: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)
    train: list[dict[str, Any]] = field(default_factory=list)
    val: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    sphere: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    evidence: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    data: TrainingData | None = None
    head: np.ndarray | None = None
    problems: list[str] = field(default_factory=list)

    def get(self, path: str, default: Any = None) -> Any:
        """A value of the config by its dotted path."""
        place: Any = self.config
        for key in path.split("."):
            place = place.get(key) if isinstance(place, dict) else None
        return default if place is None else place

    @property
    def updates(self) -> int:
        """How many updates it is known to have done."""
        trained = max((int(row["iter"]) + 1 for row in self.train), default=0)
        return max(trained, max((int(row["iter"]) for row in self.val), default=0))

    @property
    def finished(self) -> bool | None:
        """Whether it did all updates of its config; None where that cannot be told."""
        planned = self.get("project.max_iters")
        return self.updates >= planned if isinstance(planned, int) and self.train else None


def is_run(folder: Path) -> bool:
    """Whether a folder has what a training leaves."""
    return (folder / "metrics.jsonl").is_file() or _config(folder) is not None


def _config(folder: Path) -> Path | None:
    """The resolved config: config.yml, else the first of another name (`project.cfg_fname`)."""
    paths = [folder / "config.yml", *sorted(folder.glob("*.yml"))]
    return next((path for path in paths if path.is_file() and path.name != _GIVEN), None)


def read_run(folder: Path) -> Run:
    """All of a run folder; what is damaged or missing is named in its `problems`."""
    run = Run(folder)
    read_config(run)
    versions = read_json(folder / "versions.json", run.problems)
    if isinstance(versions, list):
        run.versions = [entry for entry in versions if isinstance(entry, dict)]
    read_metrics(run)
    run.tables = read_tables(folder, run.problems)
    read_evidence(run)
    read_data(run)
    return run


def read_config(run: Run) -> None:
    """Its resolved config."""
    path = _config(run.folder)
    if path is None:
        run.problems.append("There is no config.yml, so what was trained is not known.")
        return
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        run.config = config if isinstance(config, dict) else {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        run.problems.append(f"{path.name} cannot be read: {first_line(error)}.")


def read_metrics(run: Run) -> None:
    """Sort the lines of a run's metrics.jsonl by kind; the last one may be half written."""
    path = run.folder / "metrics.jsonl"
    if not path.is_file():
        run.problems.append("There is no metrics.jsonl, so there are no training curves.")
        return
    bad = 0
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    kinds = {"train": run.train, "val": run.val, "warning": run.warnings, "sphere": run.sphere}
    for number, line in enumerate(lines):
        try:
            row = json.loads(line)
            kinds[row["kind"]].append({**row, "iter": int(row["iter"])})
        except (ValueError, TypeError, KeyError):
            bad += number + 1 < len(lines) and bool(line.strip())
    if bad:
        run.problems.append(f"{bad} lines of metrics.jsonl cannot be read and are left out.")
    if not run.train:
        run.problems.append("metrics.jsonl holds no update yet.")


def read_evidence(run: Run) -> None:
    """The arrays that tests left in a run's folder, by set."""
    for path in sorted(run.folder.glob(f"*{_EVIDENCE}")):
        try:
            run.evidence[path.name.removesuffix(_EVIDENCE)] = evidence.read(path)
        except ValueError as error:
            run.problems.append(str(error).replace(str(path), path.name) + ".")


def read_data(run: Run) -> None:
    """What a run noted of its training data; older runs noted nothing."""
    path = run.folder / FILE
    if path.is_file():
        try:
            run.data = read_training_data(path)
        except ValueError as error:
            run.problems.append(str(error).replace(str(path), path.name) + ".")


def read_tables(folder: Path, problems: list[str]) -> dict[str, Table]:
    """The tables of a folder by the names of their files."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if path.name == "versions.json" or path.name.endswith(COMPARISON):
            continue
        content = read_json(path, problems)
        rows = content.get("rows") if isinstance(content, dict) else None
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row for row in rows):
            continue
        uncertain = content.get("uncertainty")
        if not isinstance(uncertain, list) or len(uncertain) != len(rows):
            uncertain = [{} for _ in rows]
        facts = content.get("facts") if isinstance(content.get("facts"), dict) else {}
        resamples, confidence = content.get("resamples") or 0, content.get("confidence") or 0.95
        found[path.stem] = Table(str(content.get("dataset", path.stem)), rows, uncertain, facts, resamples, confidence)
    return found


def read_json(path: Path, problems: list[str]) -> Any:
    """What a file says; None where it is not there, or cannot be read, which `problems` then says."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} cannot be read: {first_line(error)}.")
        return None


def first_line(error: Exception) -> str:
    """What an error says, without a full stop."""
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
