"""A study: which arms are compared, under which settings, over which seeds, where grids choose; what its runs are."""

import copy
import hashlib
import inspect
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import torch

from opensphere import config as cfg
from opensphere.config import aside
from opensphere.config.registry import SCHEDULERS
from opensphere.engine.parallel import choose_precision

Change = tuple[str, Any]  # a dotted key of the training config, and its value

# what does not change what a run learns
_ASIDE = {
    "project": (*aside.PROJECT, "val_intvl"),
    "dataloader": aside.LOADER,
    "dataset": aside.DATASET,
}
# the arguments of schedules that count updates
_COUNTS = (
    "milestones",
    "step_size",
    "step_size_up",
    "step_size_down",
    "T_0",
    "T_max",
    "total_iters",
    "total_steps",
)


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
        vary: the keys that settings differ in, or arms where one head is compared under several values.
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
    """Make a resolved training shorter, with its schedules and whatever else counts updates.

    Momenta and other rates of running means stay.
    """
    project = resolved["project"]
    project["max_iters"] = project["val_intvl"] = project["checkpoint_intvl"] = _shortened(project["max_iters"], share)
    project["save_iters"] = None
    for part in resolved["model"].values():
        if part.get("scheduler"):
            _shorten_schedule(part["scheduler"], share)
    net = resolved["model"]["head"]["net"]
    if "steps" in net:  # where margins grow
        net["steps"] = _shortened(net["steps"], share)


def _shorten_schedule(block: cfg.Config, share: float) -> None:
    """Let a schedule do in a share of the updates what it did in all."""
    parameters = inspect.signature(SCHEDULERS[block["type"]]).parameters
    if "epochs" in block and not block.get("total_steps"):
        block["total_steps"] = block.pop("epochs") * block.pop("steps_per_epoch", 1)
    for key in _COUNTS:
        count = block.get(key, parameters[key].default) if key in parameters else None
        if isinstance(count, int | float | list):
            block[key] = _shortened(count, share)
    if block["type"] == "ExponentialLR" or block.get("mode") == "exp_range":  # a factor for each update
        block["gamma"] = block.get("gamma", 1.0) ** (1 / share)


def _shortened(count: Any, share: float) -> Any:
    return [_shortened(one, share) for one in count] if isinstance(count, list) else max(1, round(share * count))


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
    plain = [re.sub(r"[^A-Za-z0-9.=]+", "_", word).strip("_").lstrip("._")[:40] for word in words]
    return "-".join([*filter(None, plain), digest(resolved)])
