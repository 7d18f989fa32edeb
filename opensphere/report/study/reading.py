"""A comparison over seeds as it lies on disk. What is missing or damaged becomes a sentence on the page."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from opensphere.report.columns import is_number, main_column
from opensphere.report.run import Run, read_config, read_data, read_evidence, read_json, read_metrics
from opensphere.report.training_data import TrainingData

FILE = "study.json"
BASELINE, PAIRS = "baseline", "pairs"  # families of differences
MOST_CURVES = 60  # trainings of a setting that are drawn

Row = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """One number: a column of a set under a setting, which is an index."""

    setting: int
    dataset: str
    column: str


@dataclass(frozen=True)
class Sample:
    """A run whose curves are drawn, by the indices of its arm and setting."""

    arm: int
    setting: int
    seed: int
    run: Run


@dataclass
class Study:
    """What `study.json` says, without what cannot be used.

    Attributes:
        names: of the settings; one that is empty where nothing is varied.
        values: of the settings, by the key that is varied.
        sets: the columns of each set.
        runs, means, differences, costs, chosen, versions: rows, as `opensphere compare` wrote them.
        samples: runs whose curves are drawn: some seeds of the first and of the last setting.
        data: what the first run that noted it was trained on, and which that is; none, or one.
        plan: the study file as text, empty where it is not there.
    """

    folder: Path
    title: str = ""
    claim: str = ""
    paper: str = ""
    cut: str = ""
    metric: str = ""
    baseline: str = ""
    machine: str = ""
    seconds: float | None = None
    seeds: list[int] = field(default_factory=list)
    arms: list[str] = field(default_factory=list)
    vary: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=lambda: [""])
    values: list[Row] = field(default_factory=lambda: [{}])
    sets: dict[str, list[str]] = field(default_factory=dict)
    runs: list[Row] = field(default_factory=list)
    means: list[Row] = field(default_factory=list)
    differences: list[Row] = field(default_factory=list)
    costs: list[Row] = field(default_factory=list)
    chosen: list[Row] = field(default_factory=list)
    versions: list[Row] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    data: list[tuple[str, TrainingData]] = field(default_factory=list)
    plan: str = ""
    problems: list[str] = field(default_factory=list)

    @property
    def covered(self) -> str:
        """What the intervals of means and differences allow for."""
        return "other seeds and other people" if len(self.seeds) > 1 else "other people, but not for other seeds"

    def main(self, dataset: str) -> str:
        """The column that speaks for a set."""
        columns = self.sets[dataset]
        return self.metric if self.metric in columns else main_column(columns) or ""

    def mean(self, arm: str, place: Place) -> Row:
        """The mean over seeds; empty where it is not known."""
        return self._means.get((arm, place.setting, place.dataset, place.column), {})

    def cost(self, arm: str, setting: int) -> Row:
        """What the runs of an arm cost; empty where it is not known."""
        return next((row for row in self.costs if row["arm"] == arm and row["setting"] == setting), {})

    def singles(self, arm: str, place: Place) -> list[tuple[int, float]]:
        """Seeds with their values."""
        found = []
        for row in self.runs:
            values = row.get("values") if row["arm"] == arm and row["setting"] == place.setting else None
            value = (values.get(place.dataset) or {}).get(place.column) if isinstance(values, dict) else None
            if is_number(value):
                found.append((row["seed"], float(value)))
        return found

    def between(self, family: str, place: Place) -> list[Row]:
        """The differences of a family."""
        return self._differences.get((family, place.setting, place.dataset, place.column), [])

    def places(self) -> list[Place]:
        """Every number that the study has: the main column of each set first, setting by setting."""
        main = [(name, self.main(name)) for name in self.sets if self.sets[name]]
        rest = [(name, column) for name, columns in self.sets.items() for column in columns]
        return [
            Place(setting, name, column)
            for name, column in dict.fromkeys([*main, *rest])
            for setting in range(len(self.names))
        ]

    def said(self, place: Place) -> str:
        """A place as people read it: ACC10 on faces, share 0.2."""
        name = self.names[place.setting]
        return f"{place.column} on {place.dataset}" + (f", {name}" if name else "")

    @cached_property
    def _means(self) -> dict[tuple[str, int, str, str], Row]:
        return {(row["arm"], row["setting"], row["set"], row["column"]): row for row in self.means}

    @cached_property
    def _differences(self) -> dict[tuple[str, int, str, str], list[Row]]:
        found: dict[tuple[str, int, str, str], list[Row]] = {}
        for row in self.differences:
            found.setdefault((row["family"], row["setting"], row["set"], row["column"]), []).append(row)
        return found


def is_study(folder: Path) -> bool:
    """Whether a folder has what `opensphere compare` leaves, be it unfinished."""
    return (folder / FILE).is_file() or ((folder / "study.yml").is_file() and (folder / "runs").is_dir())


def read_study(folder: Path) -> Study:
    """Read a comparison, and some of its runs."""
    study = Study(folder, title=folder.name)
    content = read_json(folder / FILE, study.problems)
    if content is None and not study.problems:
        study.problems.append(f"There is no {FILE} yet: `opensphere compare` writes it.")
    elif content is not None and not isinstance(content, dict):
        study.problems.append(f"{FILE} is no comparison over seeds.")
    elif content is not None:
        _fill(study, content)
        study.samples = _samples(study)
        study.data = _data(study)
    path = folder / "study.yml"
    if path.is_file():
        study.plan = path.read_text(encoding="utf-8", errors="replace")
    return study


def _fill(study: Study, content: Row) -> None:
    """Take over what can be used."""
    for key in ("title", "claim", "paper", "cut", "metric", "baseline", "machine"):
        if isinstance(content.get(key), str) and content[key]:
            setattr(study, key, content[key])
    study.seconds = float(content["seconds"]) if is_number(content.get("seconds")) else None
    study.arms = _texts(study, content, "arms")
    study.vary = [key for key in content.get("vary") or [] if isinstance(key, str)]
    seeds = _listed(study, content, "seeds")
    study.seeds = [seed for seed in seeds if isinstance(seed, int)]
    settings = [one for one in _listed(study, content, "settings") if isinstance(one, dict)] or [{}]
    study.names = [str(one.get("name") or "") for one in settings]
    study.values = [one["values"] if isinstance(one.get("values"), dict) else {} for one in settings]
    sets = content.get("sets")
    if not isinstance(sets, dict):
        study.problems.append(f"{FILE} names no sets.")
    study.sets = {
        str(name): [str(column) for column in columns]
        for name, columns in (sets.items() if isinstance(sets, dict) else ())
        if isinstance(columns, list)
    }
    arm = _one_of(study.arms)
    setting = _one_of(list(range(len(settings))))
    cell = {"set": _one_of(list(study.sets)), "column": _text}
    study.runs = _rows(study, content, "runs", {"arm": arm, "setting": setting, "seed": _whole})
    study.means = _rows(study, content, "means", {"arm": arm, "setting": setting, **cell})
    two = {"first": arm, "second": arm, "family": _one_of([BASELINE, PAIRS])}
    study.differences = _rows(study, content, "differences", {**two, "setting": setting, **cell})
    study.costs = _rows(study, content, "costs", {"arm": arm, "setting": setting})
    study.chosen = _rows(study, content, "chosen", {"arm": _text}, needed=False)
    study.versions = _rows(study, content, "versions", {}, needed=False)


Check = Callable[[Any], bool]


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _one_of(known: list[Any]) -> Check:
    return lambda value: isinstance(value, str | int) and not isinstance(value, bool) and value in known


def _rows(study: Study, content: Row, key: str, checks: dict[str, Check], needed: bool = True) -> list[Row]:
    """The rows of a table that say what they are about; a sentence on the others."""
    rows = _listed(study, content, key, needed)
    good = [
        row for row in rows if isinstance(row, dict) and all(known(row.get(name)) for name, known in checks.items())
    ]
    if len(good) < len(rows):
        study.problems.append(f"{len(rows) - len(good)} rows of `{key}` in {FILE} cannot be used and are left out.")
    return good


def _listed(study: Study, content: Row, key: str, needed: bool = True) -> list[Any]:
    value = content.get(key)
    if isinstance(value, list):
        return value
    if needed or value is not None:
        study.problems.append(f"{FILE} has no list of `{key}`.")
    return []


def _texts(study: Study, content: Row, key: str) -> list[str]:
    return list(dict.fromkeys(value for value in _listed(study, content, key) if isinstance(value, str)))


def _samples(study: Study) -> list[Sample]:
    """The runs whose curves are drawn, with the evidence of each arm's first seed."""
    most = max(1, MOST_CURVES // max(1, len(study.arms)))
    found: list[Sample] = []
    absent = 0
    for setting in dict.fromkeys((0, len(study.names) - 1)):
        for arm, name in enumerate(study.arms):
            own = [
                row for row in study.runs if row["arm"] == name and row["setting"] == setting and _folder(study, row)
            ]
            for number, row in enumerate(sorted(own, key=lambda row: row["seed"])[:most]):
                run = Run(_folder(study, row) or study.folder, label=name)
                read_metrics(run)
                if number == 0:
                    read_evidence(run)
                    read_config(run)
                absent += not run.train
                found.append(Sample(arm, setting, row["seed"], run))
    if absent:
        study.problems.append(f"{absent} of the runs that are drawn have no training curves in metrics.jsonl.")
    return found


def _data(study: Study) -> list[tuple[str, TrainingData]]:
    for row in study.runs:
        run = Run(_folder(study, row) or study.folder)
        read_data(run)
        study.problems += [f"{row.get('folder')}: {problem}" for problem in run.problems]
        if run.data is not None:
            place = (row["arm"], study.names[row["setting"]], f"seed {row['seed']}")
            return [(", ".join(part for part in place if part), run.data)]
    return []


def _folder(study: Study, row: Row) -> Path | None:
    """Where a run lies, if that is inside the study."""
    name = row.get("folder")
    path = study.folder / name if isinstance(name, str) and name else None
    inside = path is not None and path.is_dir() and path.resolve().is_relative_to(study.folder.resolve())
    return path if inside else None
