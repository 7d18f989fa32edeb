"""What runs left on disk. A damaged file becomes a sentence on the page: one must not hide the rest."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from opensphere.error import UserError
from opensphere.metric import evidence

_GIVEN, _EVIDENCE, _COMPARISON = "config_given.yml", "_evidence.npz", "_comparison.json"


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
class Comparison:
    """What two runs at a time differ by on a set; runs by the labels that they have on this page."""

    dataset: str
    differences: list[dict[str, Any]]
    decisions: list[dict[str, Any]]


@dataclass
class Run:
    """A run folder. What is not there is empty.

    Attributes:
        label: what tells it from the others on the page.
        train, val: lines of metrics.jsonl, by kind.
        warnings: lines of metrics.jsonl too.
        tables: by set.
        evidence: arrays by set (`opensphere.metric.evidence`).
        head: (C, D) directions of classes that the command read from the run's weights; None where there are none.
    """

    folder: Path
    label: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    versions: list[dict[str, Any]] = field(default_factory=list)
    train: list[dict[str, Any]] = field(default_factory=list)
    val: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, Table] = field(default_factory=dict)
    evidence: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
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


@dataclass
class Results:
    """Everything that goes on a page."""

    runs: list[Run]
    comparisons: list[Comparison]
    summaries: list[Table]  # of folders that hold runs, such as a demo's
    problems: list[str]

    @property
    def datasets(self) -> list[str]:
        """The sets that any run was tested on."""
        return list(dict.fromkeys(name for run in self.runs for name in run.tables))


def read_results(folders: Sequence[str | Path]) -> Results:
    """Read run folders, and folders that hold run folders.

    Raises:
        UserError: a folder is not there, or nothing of a run is in it.
    """
    places, parents = _run_folders([Path(folder) for folder in folders])
    runs = [_read_run(place) for place in places]
    for run, label in zip(runs, _labels(runs), strict=True):
        run.label = label
    problems: list[str] = []
    summaries = [table for parent in parents for table in _tables(parent, problems).values()]
    comparisons: dict[str, Comparison] = {}
    for place in dict.fromkeys([*(Path(folder) for folder in folders), *parents, *places]):
        for path in sorted(place.glob(f"*{_COMPARISON}")):
            found = _read_comparison(path, runs, problems)
            if found is not None:
                comparisons.setdefault(found.dataset, found)
    return Results(runs, list(comparisons.values()), summaries, problems)


def _run_folders(given: list[Path]) -> tuple[list[Path], list[Path]]:
    """The run folders, each once, and the folders that hold others."""
    runs: dict[Path, Path] = {}
    parents = []
    for folder in given:
        if not folder.is_dir():
            raise UserError(f"{folder}: is no folder; name run folders, such as project/20260422_031705")
        if _is_run(folder):
            runs.setdefault(folder.resolve(), folder)
            continue
        inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and _is_run(path)]
        if not inside and not list(folder.glob("*.json")):
            raise UserError(f"{folder}: holds no run: no config.yml, no metrics.jsonl and no table of results")
        parents.append(folder)
        for path in inside:
            runs.setdefault(path.resolve(), path)
    return list(runs.values()), parents


def _is_run(folder: Path) -> bool:
    return (folder / "metrics.jsonl").is_file() or _config(folder) is not None


def _config(folder: Path) -> Path | None:
    """The resolved config: config.yml, else the first of another name (`project.cfg_fname`)."""
    paths = [folder / "config.yml", *sorted(folder.glob("*.yml"))]
    return next((path for path in paths if path.is_file() and path.name != _GIVEN), None)


def _read_run(folder: Path) -> Run:
    run = Run(folder)
    path = _config(folder)
    if path is not None:
        try:
            config = yaml.safe_load(path.read_text(encoding="utf-8"))
            run.config = config if isinstance(config, dict) else {}
        except (OSError, ValueError, yaml.YAMLError) as error:
            run.problems.append(f"{path.name} cannot be read: {_first_line(error)}.")
    else:
        run.problems.append("There is no config.yml, so what was trained is not known.")
    versions = _read_json(folder / "versions.json", run.problems)
    if isinstance(versions, list):
        run.versions = [entry for entry in versions if isinstance(entry, dict)]
    _read_metrics(folder / "metrics.jsonl", run)
    run.tables = _tables(folder, run.problems)
    for path in sorted(folder.glob(f"*{_EVIDENCE}")):
        try:
            run.evidence[path.name.removesuffix(_EVIDENCE)] = evidence.read(path)
        except ValueError as error:
            run.problems.append(str(error).replace(str(path), path.name) + ".")
    return run


def _read_metrics(path: Path, run: Run) -> None:
    """Sort the lines of metrics.jsonl by kind; the last one may be half written."""
    if not path.is_file():
        run.problems.append("There is no metrics.jsonl, so there are no training curves.")
        return
    bad = 0
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    kinds = {"train": run.train, "val": run.val, "warning": run.warnings}
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


def _tables(folder: Path, problems: list[str]) -> dict[str, Table]:
    """The tables of a folder by the names of their files."""
    found = {}
    for path in sorted(folder.glob("*.json")):
        if path.name == "versions.json" or path.name.endswith(_COMPARISON):
            continue
        content = _read_json(path, problems)
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


def _read_comparison(path: Path, runs: list[Run], problems: list[str]) -> Comparison | None:
    """A comparison with the labels of this page instead of its own names; None where it says nothing of these runs."""
    content = _read_json(path, problems)
    if not isinstance(content, dict) or not isinstance(content.get("differences"), list):
        return None
    places = {run.folder.resolve(): run.label for run in runs}
    moved = {run.folder.name: run.label for run in runs}
    try:
        names = {
            name: places.get(Path(place).resolve()) or moved.get(Path(place).name)
            for name, place in content.get("runs", {}).items()
        }
        known = [
            [
                {**row, "first": names[row["first"]], "second": names[row["second"]]}
                for row in content.get(key) or []
                if names.get(row["first"]) and names.get(row["second"])
            ]
            for key in ("differences", "decisions")
        ]
    except (KeyError, TypeError, AttributeError):
        problems.append(f"{path.name} is no comparison of runs.")
        return None
    return Comparison(str(content.get("dataset", path.stem)), *known) if known[0] else None


def _read_json(path: Path, problems: list[str]) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        problems.append(f"{path.name} cannot be read: {_first_line(error)}.")
        return None


def _labels(runs: list[Run]) -> list[str]:
    """The losses of the runs where those tell them apart; else with as much of their paths as does."""
    heads = [str(run.get("model.head.net.type", "")) for run in runs]
    if all(heads) and len(set(heads)) == len(heads):
        return heads
    parts = [run.folder.resolve().parts for run in runs]
    depth = 1
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    names = ["/".join(part[-depth:]) for part in parts]
    counts = Counter(heads)
    return [
        head if head and counts[head] == 1 else f"{head} {name}".strip()
        for head, name in zip(heads, names, strict=True)
    ]


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
