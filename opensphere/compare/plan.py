"""A study file: which arms are compared, under which settings, over which seeds, and where grids choose."""

import copy
import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from opensphere import config as cfg
from opensphere.config.schema import arguments, known_keys, nearest
from opensphere.engine.parallel import choose_precision
from opensphere.error import UserError

Change = tuple[str, Any]  # a dotted key of the training config, and its value

# What does not change what a run learns: where it is written, what it says meanwhile, who computes it.
_ASIDE = {
    "project": ("proj_dir", "model_dir", "cfg_fname", "train_log", "val_log", "val_intvl", "checkpoint_intvl"),
    "dataloader": ("num_workers", "max_broken", "pin_memory"),
    "dataset": ("in_memory",),
}
_LONGER = ("milestones", "steps")  # counts of updates in schedules and heads, which shrink with the length of a run


@dataclass(frozen=True)
class Arm:
    """One of the things that are compared.

    Attributes:
        name: in tables.
        changes: to the base config.
        grid: values to choose from by key, on validation people; empty where nothing is to choose.
    """

    name: str
    changes: tuple[Change, ...]
    grid: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def points(self) -> list[tuple[Change, ...]]:
        """All combinations of the grid's values."""
        return [tuple(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]


@dataclass(frozen=True)
class Setting:
    """A condition under which all arms are compared; without a name, the only one."""

    name: str = ""
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Tune:
    """How the points of grids are run: as the study's runs, but shorter, and on other people.

    Attributes:
        length: the share of the updates.
        seed: of these runs.
        metric: a column of the validation set that the base config names first, or of `people` held out of training.
        people: how many of the training people are held out where the base has no validation set; None: by its size.
    """

    length: float = 1 / 3
    seed: int = 1000
    metric: str = "ACC"
    people: int | None = None


@dataclass(frozen=True)
class Cell:
    """One run of a study: a training, found again by its name.

    Attributes:
        setting: the index of its setting.
        name: of its folder; holds a digest of all that its training depends on.
        resolved: its training config.
    """

    arm: str
    setting: int
    seed: int
    name: str
    resolved: cfg.Config


@dataclass(frozen=True)
class Plan:
    """What a study file says.

    Attributes:
        name: of the study: the file's.
        title, claim, paper, cut: for people, maybe empty.
        base: the training config that all share, with the study's own changes.
        origin: the file that the base was read from.
        test: the resolved test config, with the sets of all files.
        vary: the keys that settings differ in.
        baseline: the arm that the others are held against.
        metric: the column that verdicts are about; empty: the first of the first set.
    """

    name: str
    title: str
    claim: str
    paper: str
    cut: str
    base: cfg.Config
    origin: str
    test: cfg.Config
    arms: list[Arm]
    settings: list[Setting]
    vary: list[str]
    seeds: list[int]
    baseline: str
    metric: str
    tune: Tune

    def settle_precision(self, device: torch.device) -> None:
        """Put what `auto` comes to on a device into the base config: once, for all runs."""
        project = self.base.setdefault("project", {})
        project["precision"] = choose_precision(project.get("precision") or "auto", device)

    def cells(self, chosen: dict[str, tuple[Change, ...]]) -> list[Cell]:
        """All runs, seed by seed, so that a study that is cut short has whole seeds.

        Args:
            chosen: by arm, what its grid chose.

        Raises:
            UserError: a config cannot be used.
        """
        return [
            self.cell(arm, number, seed, chosen.get(arm.name, ()))
            for seed in self.seeds
            for number in range(len(self.settings))
            for arm in self.arms
        ]

    def cell(self, arm: Arm, setting: int, seed: int, point: tuple[Change, ...]) -> Cell:
        """One run. Raises UserError if its config cannot be used; says of which arm."""
        place = self.settings[setting]
        resolved = self._resolve([*arm.changes, *point, *place.changes, ("project.seed", seed)], arm.name)
        return Cell(arm.name, setting, seed, run_name([arm.name, place.name, f"seed{seed}"], resolved), resolved)

    def trial(self, arm: Arm, point: tuple[Change, ...]) -> Cell:
        """The run of a point of a grid, on validation people, without any setting."""
        changes = [*arm.changes, *point, ("project.seed", self.tune.seed)]
        resolved = self._resolve(changes, arm.name)
        if not resolved["data"]["val"]:
            holdout = {"holdout": {"people": self.tune.people}}
            resolved = self._resolve([*changes, ("data.val", holdout)], arm.name)
        shorter(resolved, self.tune.length)
        words = [arm.name, *(f"{key.rpartition('.')[2]}{value}" for key, value in point)]
        return Cell(arm.name, 0, self.tune.seed, run_name(words, resolved), resolved)

    def _resolve(self, changes: Iterable[Change], arm: str) -> cfg.Config:
        config = copy.deepcopy(self.base)
        for key, value in changes:
            cfg.put(config, key, copy.deepcopy(value))
        return cfg.check_train(cfg.merge(config), f"{self.origin} with {arm}")


def shorter(resolved: cfg.Config, share: float) -> None:
    """Make a resolved training shorter, with its schedules and whatever else counts updates."""

    def scale(node: Any) -> None:
        for key, value in node.items() if isinstance(node, dict) else ():
            if key in _LONGER and isinstance(value, list):
                node[key] = [max(1, round(share * step)) for step in value]
            elif key in ("T_max", "total_steps") and isinstance(value, int):
                node[key] = max(1, round(share * value))
            else:
                scale(value)

    project = resolved["project"]
    project["max_iters"] = project["val_intvl"] = project["checkpoint_intvl"] = max(
        1, round(share * project["max_iters"])
    )
    project["save_iters"] = None
    scale(resolved["model"])


def digest(resolved: cfg.Config) -> str:
    """Eight hexadecimal digits of all in a resolved config that changes what is learnt."""

    def kept(node: Any, name: str = "") -> Any:
        if isinstance(node, dict):
            return {key: kept(value, key) for key, value in node.items() if key not in _ASIDE.get(name, ())}
        return [kept(item) for item in node] if isinstance(node, list) else node

    learnt = {key: kept(value, key) for key, value in resolved.items() if key != "parallel"}
    return digest_of(learnt)


def digest_of(content: Any) -> str:
    """Eight hexadecimal digits of something that JSON can hold."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


def run_name(words: Sequence[str], resolved: cfg.Config) -> str:
    """The folder's name of a run: words that people know it by, and the digest of its config."""
    said = "-".join(re.sub(r"[^A-Za-z0-9.=]+", "_", word).strip("_")[:40] for word in words if word)
    return f"{said}-{digest(resolved)}"


_KEYS = (
    "title",
    "claim",
    "paper",
    "cut",
    "base",
    "overrides",
    "test",
    "heads",
    "vary",
    "seeds",
    "baseline",
    "metric",
    "tune",
)


def read_plan(path: Path, overrides: Sequence[str] = (), least: int = 2) -> Plan:
    """Read a study file.

    Args:
        path: of the file.
        overrides: `key=value` for the base config; those that begin with `data.test.` are for each test config.
        least: how many arms it must have.

    Raises:
        UserError: names the key that is missing, unknown or cannot be used.
    """
    given = cfg.load_plain(path)
    known_keys(given, _KEYS, str(path), required=("base", "test"))
    arms = [read_arm(entry, f"{path}: heads.{i}") for i, entry in enumerate(_listed(given.get("heads"), path, "heads"))]
    of_test = [text for text in overrides if text.startswith("data.test.")]
    texts = [*_listed(given.get("overrides"), path, "overrides"), *(t for t in overrides if t not in of_test)]
    base = cfg.load_plain(given["base"])
    for text in texts:
        cfg.put(base, *cfg.parse_override(str(text)))
    vary = _vary(given.get("vary"), path)
    settings = [
        Setting(", ".join(f"{key.rpartition('.')[2]} {spell(value)}" for key, value in point), point)
        for point in (tuple(zip(vary, values, strict=True)) for values in product(*vary.values()))
    ]
    if len(arms) < 2 and vary:  # one head under several values: these are what is compared
        first = arms[0] if arms else Arm("", ())
        arms = [replace(first, name=setting.name, changes=(*first.changes, *setting.changes)) for setting in settings]
        settings, vary = [Setting()], {}
    names = [arm.name for arm in arms]
    if len(arms) < least:
        wanted = "two or more are needed, or one and `vary`" if least > 1 else "one or more is needed"
        raise UserError(f"{path}: heads: {wanted}")
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(
            f"{path}: heads: two are called {twice}; give them a name, as {{name: ..., net: {{type: ...}}}}"
        )
    baseline = str(given.get("baseline", names[0]))
    if baseline not in names:
        raise UserError(
            f"{path}: baseline: {baseline} is none of the arms{nearest(baseline, names)}: {', '.join(names)}"
        )
    tune = Tune(**arguments(given.get("tune"), Tune, f"{path}: tune"))
    if not 0 < tune.length <= 1:
        raise UserError(f"{path}: tune.length: a share of the updates in (0, 1], got {tune.length:g}")
    said = {key: " ".join(str(given.get(key) or "").split()) for key in ("title", "claim", "paper", "cut")}
    return Plan(
        name=path.stem,
        **{**said, "title": said["title"] or path.stem},
        base=base,
        origin=str(given["base"]),
        test=_test(given["test"], of_test, path),
        arms=arms,
        settings=settings,
        vary=list(vary),
        seeds=_seeds(given.get("seeds", 1), path),
        baseline=baseline,
        metric=str(given.get("metric", "")),
        tune=tune,
    )


def read_arm(entry: Any, where: str) -> Arm:
    """A head of a study: a net alone, `{type: ArcFace, m: 0.3}`, or as `net` beside `name`, `overrides` and `grid`.

    Raises:
        UserError: it is neither.
    """
    block = entry if isinstance(entry, dict) and "net" in entry else {"net": entry}
    known_keys(block, ("net", "name", "overrides", "grid"), where)
    net = block["net"]
    if not isinstance(net, dict) or "type" not in net:
        raise UserError(
            f"{where}: give a net such as {{type: ArcFace}}, alone or as net beside name, overrides and grid"
        )
    changes = [("model.head.net", net), *(cfg.parse_override(str(text)) for text in block.get("overrides") or [])]
    grid = block.get("grid") or {}
    if not isinstance(grid, dict) or not all(isinstance(values, list) and values for values in grid.values()):
        raise UserError(f"{where}.grid: give a list of values for each key, such as {{m: [0.1, 0.2]}}")
    return Arm(str(block.get("name", net["type"])), tuple(changes), {full_key(key): grid[key] for key in grid})


def full_key(key: Any) -> str:
    """A dotted key; one without a dot is an argument of the head."""
    return str(key) if "." in str(key) else f"model.head.net.{key}"


def spell(value: Any) -> str:
    """A value as people read it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _test(files: Any, overrides: Sequence[str], path: Path) -> cfg.Config:
    """One resolved test config with the sets of all files."""
    files = [str(file) for file in (files if isinstance(files, list) else [files])]
    first, *others = [cfg.check_test(cfg.load(file, overrides), file) for file in files]
    first["data"]["test"] += [block for other in others for block in other["data"]["test"]]
    names = [str(block["dataset"]["name"]) for block in first["data"]["test"]]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"{path}: test: two sets are called {twice}; give one of them another name")
    return first


def _vary(block: Any, path: Path) -> dict[str, list[Any]]:
    block = {} if block is None else block
    if not isinstance(block, dict) or not all(isinstance(values, list) and values for values in block.values()):
        raise UserError(f"{path}: vary: give a list of values for each key, such as {{model.head.net.m: [0.1, 0.2]}}")
    return {full_key(key): values for key, values in block.items()}


def _listed(value: Any, path: Path, key: str) -> list[Any]:
    if not isinstance(value, list | None):
        raise UserError(f"{path}: {key}: expected a list, got {value!r}")
    return value or []


def _seeds(value: Any, path: Path) -> list[int]:
    seeds = list(range(value)) if isinstance(value, int) and not isinstance(value, bool) else value
    whole = isinstance(seeds, list) and all(isinstance(seed, int) and seed >= 0 for seed in seeds)
    if not whole or not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"{path}: seeds: give their number, or a list of different ones, got {value!r}")
    return seeds
