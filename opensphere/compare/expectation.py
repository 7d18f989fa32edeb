"""What the trainings of a config reached, seed by seed, and whether one more training of it agrees with them.

An expectation stands beside its config: `small.yml` has `small.expected.yml`. It is data beside the code, as a golden
value is: whoever changes what a training does sees which numbers move.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from scipy import stats

from opensphere import config as cfg
from opensphere import storage
from opensphere.config import aside
from opensphere.error import UserError
from opensphere.metric.estimate import CONFIDENCE

Values = dict[str, dict[str, float]]  # what one run reached, by set and column; NaN where it cannot be said
SUFFIX = ".expected.yml"  # in the place of the config's own
DIGITS = 4  # that a file keeps, two more than tables show
_SAME = 0.51 * 10.0**-DIGITS  # two values that a file cannot tell apart
# keys of a training config that no number depends on
FREE = (*aside.PROJECT, "seed")


@dataclass(frozen=True)
class Expectation:
    """What the trainings of one config reached.

    Attributes:
        test: path of the test config.
        settings: the `fingerprint` of training and test config.
        machine: the kind of machine, as `machine_kind` says it.
        seeds: of the trainings.
        commits: the revision of the code for each seed; None outside a checkout.
        values: by set and column a value for each seed; None where it could not be said.
    """

    test: str
    settings: str
    machine: str
    seeds: list[int]
    commits: list[str | None]
    values: dict[str, dict[str, list[float | None]]]

    def of_seed(self, seed: int) -> Values | None:
        """What the recorded training with this seed reached; None if there was none."""
        if seed not in self.seeds:
            return None
        place = self.seeds.index(seed)
        return {
            name: {column: _number(values[place]) for column, values in columns.items()}
            for name, columns in self.values.items()
        }

    def without(self, seed: int) -> "Expectation":
        """What trainings with other seeds reached."""
        kept = [place for place, number in enumerate(self.seeds) if number != seed]
        values = {
            name: {column: [one[place] for place in kept] for column, one in columns.items()}
            for name, columns in self.values.items()
        }
        seeds, commits = [self.seeds[place] for place in kept], [self.commits[place] for place in kept]
        return replace(self, seeds=seeds, commits=commits, values=values)

    def added(self, seed: int, commit: str | None, values: Values) -> "Expectation":
        """With the run of one more seed, in the order of the seeds; in the place of the run that had this seed.

        Raises:
            UserError: the run has other sets or columns than those before it.
        """
        if self.seeds and columns_of(values) != columns_of(self.values):
            raise UserError(f"the recorded runs have the columns {columns_of(self.values)}, not {columns_of(values)}")
        before = {number: self.of_seed(number) or {} for number in self.seeds}
        runs = dict(sorted({**before, seed: values}.items()))
        commits = {**dict(zip(self.seeds, self.commits, strict=True)), seed: commit}
        merged = {
            name: {column: [_kept(run[name][column]) for run in runs.values()] for column in columns}
            for name, columns in values.items()
        }
        return replace(self, seeds=list(runs), commits=[commits[number] for number in runs], values=merged)


@dataclass(frozen=True)
class Judgement:
    """Whether a value agrees with those of other seeds.

    Attributes:
        mean: of the recorded values.
        low, high: ends of the interval in which the value of one more seed is expected; NaN where there is none.
        verdict: on the value.
        why: it cannot be said.
    """

    mean: float
    low: float
    high: float
    verdict: Literal["inside", "outside", "cannot be said"]
    why: str = ""


def judge(recorded: Sequence[float | None], value: float, confidence: float = CONFIDENCE) -> Judgement:
    """Hold the value of one more training against those of other seeds.

    The interval is the prediction interval of Student's t for one more draw from a normal distribution whose mean and
    deviation are both unknown: mean +- t_{n-1} s sqrt(1 + 1/n). It holds the chance of the seed alone: the people of
    the test set are the same each time, and so is what their choice does to the numbers. A value that is among those
    recorded would be inside nearly by itself: leave its seed out first.

    Args:
        recorded: (n,) values, a seed each, none of them that of `value`.
        value: of the training in question.
        confidence: share of further trainings that fall inside.
    """
    known = np.array([_number(one) for one in recorded], dtype=float)
    unknown = float("nan")
    if np.isnan(known).any() or math.isnan(value):
        return Judgement(unknown, unknown, unknown, "cannot be said", "there is no value for each seed")
    mean = float(known.mean()) if len(known) else unknown
    if len(known) < 2:
        return Judgement(mean, unknown, unknown, "cannot be said", "an interval needs two seeds or more")
    deviation = float(known.std(ddof=1))
    if deviation < _SAME:
        if abs(value - mean) < _SAME:
            return Judgement(mean, mean, mean, "inside")
        return Judgement(
            mean, unknown, unknown, "cannot be said", "all seeds reached one value: how others vary is open"
        )
    quantile = float(stats.t.ppf((1 + confidence) / 2, len(known) - 1))
    reach = quantile * deviation * math.sqrt(1 + 1 / len(known))
    inside = mean - reach <= value <= mean + reach
    return Judgement(mean, mean - reach, mean + reach, "inside" if inside else "outside")


def largest_difference(first: Values, second: Values) -> tuple[float, str]:
    """How far two runs with the same columns are apart at most, and where; 0.0 if no file could tell them apart."""
    found = [
        (abs(first[name][column] - second[name][column]), f"{column} on {name}")
        for name in first
        for column in first[name]
        if not (math.isnan(first[name][column]) and math.isnan(second[name][column]))
    ]
    gap, where = max(found, key=lambda pair: math.inf if math.isnan(pair[0]) else pair[0], default=(0.0, ""))
    return (0.0, "") if gap < _SAME else (gap, where)


def columns_of(values: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """The columns of each set, in an order of their own."""
    return {name: sorted(values[name]) for name in sorted(values)}


def path_of(config: Path) -> Path:
    """Where the expectation of a config stands."""
    return config.with_name(f"{config.stem}{SUFFIX}")


def fingerprint(train: cfg.Config, test: cfg.Config) -> str:
    """Twelve letters that change when a merged training or test config asks for something else.

    Seed, folders, logs and the number of workers do not count: what is measured does not depend on them.
    """
    project = {key: value for key, value in (train.get("project") or {}).items() if key not in FREE}
    content = [_learnt({**train, "project": project}), _learnt(test)]
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:12]


def machine_kind(versions: Mapping[str, Any]) -> str:
    """What rounding depends on, of `engine.folder.versions()`: processor and threads, or GPUs, and torch."""
    gpus = versions["gpus"]
    threads = versions["threads"]
    where = ", ".join(gpus) if gpus else f"{versions['processor']}, {threads} thread{'s' * (threads > 1)}"
    return f"{where}, torch {versions['torch']}"


def read_expectation(path: Path) -> Expectation:
    """Read what was recorded.

    Raises:
        UserError: the file cannot be read, or lacks something; names it.
    """
    block = cfg.load_plain(path)
    names = [field.name for field in fields(Expectation)]
    if missing := [name for name in names if name not in block]:
        raise UserError(f"{path}: {missing[0]}: this key is needed; delete the file and record it anew with --record")
    found = Expectation(**{name: block[name] for name in names})
    try:
        lists = {f"values.{name}.{key}": one for name, columns in found.values.items() for key, one in columns.items()}
        numbers = {key: [_number(one) for one in values] for key, values in lists.items()}
        lengths = {"commits": len(found.commits), **{key: len(one) for key, one in numbers.items()}}
        wrong = [key for key, length in lengths.items() if length != len(found.seeds)]
    except (AttributeError, TypeError, ValueError):
        raise UserError(f"{path}: values: holds a list of numbers for each column of each set, a seed each") from None
    if wrong or not numbers:
        raise UserError(f"{path}: {(wrong or ['values'])[0]}: needs an entry for each of the {len(found.seeds)} seeds")
    return found


def write_expectation(path: Path, found: Expectation) -> None:
    """Write the file, whole or not at all. Raises UserError as `storage.write_text`."""
    block = {field.name: getattr(found, field.name) for field in fields(Expectation)}
    text = yaml.safe_dump(block, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
    storage.write_text(
        path, "# Written by `opensphere reproduce --record`: what trainings reached, a value a seed.\n" + text
    )


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _kept(value: float) -> float | None:
    return None if math.isnan(value) else round(value, DIGITS)


def _learnt(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _learnt(child) for key, child in node.items() if key not in (*aside.LOADER, *aside.DATASET)}
    return [_learnt(child) for child in node] if isinstance(node, list) else node
