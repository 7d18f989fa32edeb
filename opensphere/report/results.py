"""What goes on a page: runs, what they differ by, comparisons over seeds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from opensphere.error import UserError
from opensphere.report.run import COMPARISON, Run, Table, is_run, read_json, read_run, read_tables
from opensphere.report.study.reading import Study, is_study, read_study


@dataclass
class Comparison:
    """What two runs at a time differ by on a set; runs by the labels that they have on this page."""

    dataset: str
    differences: list[dict[str, Any]]
    decisions: list[dict[str, Any]]


@dataclass
class Results:
    """Everything that goes on a page."""

    runs: list[Run]
    comparisons: list[Comparison]
    summaries: list[Table]  # of folders that hold runs, such as a demo's
    problems: list[str]
    studies: list[Study] = field(default_factory=list)

    @property
    def datasets(self) -> list[str]:
        """The sets that any run was tested on."""
        return list(dict.fromkeys(name for run in self.runs for name in run.tables))


def read_results(folders: Sequence[str | Path]) -> Results:
    """Read folders of runs and of comparisons over seeds, and folders that hold such folders.

    Raises:
        UserError: a folder is not there, or nothing of a run is in it.
    """
    places, parents, studied = _folders([Path(folder) for folder in folders])
    runs = [read_run(place) for place in places]
    for run, label in zip(runs, _labels(runs), strict=True):
        run.label = label
    problems: list[str] = []
    summaries = [table for parent in parents for table in read_tables(parent, problems).values()]
    comparisons: dict[str, Comparison] = {}
    for place in dict.fromkeys([*(Path(folder) for folder in folders), *parents, *places]):
        for path in sorted(place.glob(f"*{COMPARISON}")):
            found = _read_comparison(path, runs, problems)
            if found is not None:
                comparisons.setdefault(found.dataset, found)
    return Results(runs, list(comparisons.values()), summaries, problems, [read_study(place) for place in studied])


def _folders(given: list[Path]) -> tuple[list[Path], list[Path], list[Path]]:
    """The run folders, each once; the folders that hold others; the folders of comparisons over seeds, each once."""
    runs: dict[Path, Path] = {}
    studies: dict[Path, Path] = {}
    parents = []
    for folder in given:
        if not folder.is_dir():
            raise UserError(f"{folder}: is no folder; name run folders, such as project/20260422_031705")
        if is_study(folder):  # before runs: it has a .yml too
            studies.setdefault(folder.resolve(), folder)
        elif is_run(folder):
            runs.setdefault(folder.resolve(), folder)
        else:
            inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and (is_study(path) or is_run(path))]
            if not inside and not list(folder.glob("*.json")):
                raise UserError(f"{folder}: holds no run: no config.yml, no metrics.jsonl and no table of results")
            parents.append(folder)
            for path in inside:
                (studies if is_study(path) else runs).setdefault(path.resolve(), path)
    return list(runs.values()), parents, list(studies.values())


def _read_comparison(path: Path, runs: list[Run], problems: list[str]) -> Comparison | None:
    """A comparison with the labels of this page instead of its own names; None where it says nothing of these runs."""
    content = read_json(path, problems)
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
