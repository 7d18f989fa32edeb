"""What the runs of a study say together: means over seeds, paired differences, costs, as study.json holds them."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any, NamedTuple

from opensphere.error import UserError
from opensphere.metric.comparison import LEVEL, holm
from opensphere.metric.estimate import Estimate
from opensphere.metric.seeds import Spread, over_seeds, paired
from opensphere.report.columns import lower_is_better

BETTER, WORSE, SAME, UNKNOWN = "better", "worse", "not told apart", "cannot be said"
FINISHED, DIVERGED, FAILED, MISSING = "finished", "diverged", "failed", "missing"

NAN = float("nan")
Row = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Result:
    """One run of a study.

    Attributes:
        arm, setting, seed: which run; the setting by its place.
        folder: of the run, as study.json names it.
        status: "finished", "diverged", "failed" or "missing".
        why: the reason where it did not finish and one is known.
        estimates: by set and column, in the units of tables; empty unless it finished.
        seconds, images_per_second, memory_mb, energy: what it cost; NaN where not known.
    """

    arm: str
    setting: int
    seed: int
    folder: str
    status: str
    why: str = ""
    estimates: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    seconds: float = NAN
    images_per_second: float = NAN
    memory_mb: float = NAN
    energy: float = NAN


def tabulate(
    arms: Sequence[str],
    settings: Sequence[Any],
    seeds: Sequence[int],
    baseline: str,
    metric: str,
    results: Sequence[Result],
) -> dict[str, Any]:
    """The keys `sets`, `runs`, `means`, `differences` and `costs` of study.json; what is not known is NaN.

    A difference is the first arm less the second, over the seeds that finished for both: seed by seed on the same
    people. The family "baseline" has each other arm less the baseline; the family "pairs" has every pair of arms, the
    later one of the study's order less the earlier one, where the baseline counts as the earliest. "p (Holm)" is
    corrected over all differences of one family in one column: all pairs of arms, settings and sets. The verdict is on
    the first arm, at 5 % of "p (Holm)", and minds columns where lower is better.

    Standard errors of other columns (`X SE` beside `X`) stand among the values of runs only.

    Args:
        arms: their names, in the order of tables.
        settings: what each setting is called; only their number matters here.
        seeds: those that every arm was to have in every setting.
        baseline: one of `arms`.
        metric: the column that comes first in each set that has it; "" for the order of the results.
        results: of runs, in any order; a run without one is "missing".

    Raises:
        ValueError: `baseline` is no arm, or two results are of one run.
        UserError: runs cannot be paired, because their sets were not measured on the same people.
    """
    if baseline not in arms:
        raise ValueError(f"the baseline {baseline!r} is none of the arms {', '.join(arms)}")
    runs = _complete(arms, len(settings), seeds, results)
    sets = _columns(runs, metric)
    values = _Values(runs, seeds)
    return {
        "sets": sets,
        "runs": [_run_row(run) for run in runs.values()],
        "means": list(_means(arms, len(settings), sets, values, len(seeds))),
        "differences": _differences(arms, len(settings), baseline, sets, values, len(seeds)),
        "costs": [_cost_row(arm, setting, runs, seeds) for setting in range(len(settings)) for arm in arms],
    }


def verdict(column: str, difference: float, p: float) -> str:
    """What is said of the first of two: "better", "worse", "not told apart" or "cannot be said".

    Args:
        difference: the first less the second, in that column.
        p: two-sided, corrected; NaN where it is not known.
    """
    if math.isnan(p) or math.isnan(difference):
        return UNKNOWN
    if p > LEVEL or difference == 0:
        return SAME
    return BETTER if (difference > 0) != lower_is_better(column) else WORSE


Runs = dict[tuple[str, int, int], Result]  # by arm, setting and seed


class _Place(NamedTuple):
    """Where a number stands: the values of one set and column in one setting."""

    setting: int
    set: str
    column: str


class _Values:
    """The estimates of the runs that have one, arm by arm."""

    def __init__(self, runs: Runs, seeds: Sequence[int]) -> None:
        self._runs, self._seeds = runs, seeds

    def of(self, arm: str, place: _Place) -> dict[int, Estimate]:
        """By seed; without those that did not finish, or were not measured there."""
        found = {}
        for seed in self._seeds:
            run = self._runs[arm, place.setting, seed]
            estimate = run.estimates.get(place.set, {}).get(place.column)
            if run.status == FINISHED and estimate is not None:
                found[seed] = estimate
        return found


def _complete(arms: Sequence[str], settings: int, seeds: Sequence[int], results: Sequence[Result]) -> Runs:
    """Every run of the study in the order of tables."""
    given: Runs = {}
    for run in results:
        key = (run.arm, run.setting, run.seed)
        if key in given:
            raise ValueError(f"two results of one run: {run.arm}, setting {run.setting}, seed {run.seed}")
        given[key] = run
    keys = [(arm, setting, seed) for setting in range(settings) for arm in arms for seed in seeds]
    return {key: given.get(key) or Result(*key, "", MISSING) for key in keys}


def _columns(runs: Runs, metric: str) -> dict[str, list[str]]:
    """The columns of each set that any run has, the metric first."""
    found: dict[str, dict[str, None]] = {}
    for run in runs.values():
        for name, row in run.estimates.items():
            found.setdefault(name, {}).update(dict.fromkeys(row))
    return {
        name: sorted(
            (column for column in columns if not (column.endswith(" SE") and column[:-3] in columns)),
            key=lambda column: column != metric,
        )
        for name, columns in found.items()
    }


def _run_row(run: Result) -> Row:
    return {
        "arm": run.arm,
        "setting": run.setting,
        "seed": run.seed,
        "folder": run.folder,
        "status": run.status,
        "why": run.why,
        **_costs(run),
        "values": {name: {key: one.value for key, one in row.items()} for name, row in run.estimates.items()},
    }


def _costs(run: Result) -> dict[str, float]:
    return {
        "seconds": run.seconds,
        "images/s": run.images_per_second,
        "memory_mb": run.memory_mb,
        "energy": run.energy,
    }


def _cost_row(arm: str, setting: int, runs: Runs, seeds: Sequence[int]) -> Row:
    """Means over the runs that finished; `runs` counts those that were started, however they ended."""
    own = [runs[arm, setting, seed] for seed in seeds]
    costs = [_costs(run) for run in own if run.status == FINISHED]
    means = {key: _mean([row[key] for row in costs]) for key in _costs(own[0])} if own else {}
    states = [run.status for run in own]
    started = len(states) - states.count(MISSING)
    ends = {"runs": started, "diverged": states.count(DIVERGED), "failed": states.count(FAILED)}
    return {"arm": arm, "setting": setting, **means, **ends}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else NAN


def _places(settings: int, sets: Mapping[str, Sequence[str]]) -> Iterator[_Place]:
    for name, columns in sets.items():
        for column in columns:
            for setting in range(settings):
                yield _Place(setting, name, column)


def _means(
    arms: Sequence[str], settings: int, sets: Mapping[str, Sequence[str]], values: _Values, asked: int
) -> Iterator[Row]:
    for place in _places(settings, sets):
        for arm in arms:
            found = list(values.of(arm, place).values())
            spread = _several(_spread(over_seeds, [found], f"{place.set}: the runs of {arm}"), asked)
            yield {
                "arm": arm,
                **place._asdict(),
                **_said("value", spread, "none of its runs was measured there"),
            }


def _differences(
    arms: Sequence[str], settings: int, baseline: str, sets: Mapping[str, Sequence[str]], values: _Values, asked: int
) -> list[Row]:
    """First the family "baseline", then the family "pairs"."""
    ordered = [baseline, *(arm for arm in arms if arm != baseline)]
    pairs: list[Row] = []
    for place in _places(settings, sets):
        for second, first in combinations(ordered, 2):
            one, other = values.of(first, place), values.of(second, place)
            shared = [seed for seed in one if seed in other]
            both = [[found[seed] for seed in shared] for found in (one, other)]
            spread = _several(_spread(paired, both, f"{place.set}: {first} and {second}"), asked)
            heads = {"first": first, "second": second, **place._asdict()}
            said = _said("difference", spread, "no seed was measured there for both")
            pairs.append({"family": "pairs", **heads, **said, "p": float(spread.p) if spread else NAN})
    against = [{**row, "family": "baseline"} for row in pairs if row["second"] == baseline]
    return [*_judged(against), *_judged(pairs)]


def _several(spread: Spread | None, asked: int) -> Spread | None:
    """Without interval and p where one seed is left of several: those would be of the people alone."""
    if spread is None or asked == 1 or spread.seeds > 1:
        return spread
    return replace(spread, low=NAN, high=NAN, p=NAN, why=f"one seed of {asked} is left, which says nothing of others")


def _judged(family: list[Row]) -> list[Row]:
    """With p corrected over the rows of a column, and the verdict on it."""
    for column in dict.fromkeys(row["column"] for row in family):
        rows = [row for row in family if row["column"] == column]
        for row, p in zip(rows, holm([row["p"] for row in rows]), strict=True):
            row["p (Holm)"] = float(p)
            row["verdict"] = verdict(column, row["difference"], row["p (Holm)"])
    return family


def _spread(measure: Callable[..., Spread], estimates: list[list[Estimate]], what: str) -> Spread | None:
    """What `measure` finds; None where no seed has a value."""
    if not estimates[0]:
        return None
    try:
        return measure(*estimates)
    except ValueError as error:
        raise UserError(f"{what} cannot be compared: {error}; delete their results of that set and run again") from None


def _said(name: str, spread: Spread | None, otherwise: str) -> Row:
    """A spread as keys of a row, its value under `name`; NaN with a reason where there is none."""
    if spread is None:
        nothing = dict.fromkeys((name, "low", "high", "seed_error", "people_error"), NAN)
        return {**nothing, "seeds": 0, "method": "", "why": otherwise}
    return {
        name: float(spread.value),
        "low": float(spread.low),
        "high": float(spread.high),
        "seed_error": float(spread.seed_error),
        "people_error": float(spread.people_error),
        "seeds": int(spread.seeds),
        "method": spread.method,
        "why": spread.why,
    }
