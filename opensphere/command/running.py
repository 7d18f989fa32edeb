"""The runs of a study: each is trained, tested and kept once, whoever comes to it first."""

import copy
import json
import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch

from opensphere import config as cfg
from opensphere import memory, storage
from opensphere.command import train
from opensphere.command.build import build_sets
from opensphere.command.jobs import Interrupted, claimed, is_claimed, told, world_size
from opensphere.command.screen import Rows, load_images, make_console
from opensphere.command.shelf import Shelf, digest_of_files, digest_of_sets
from opensphere.command.test import test_folder, write_results
from opensphere.compare.outcome import (
    STATE,
    TRAINED,
    Origin,
    last_energy,
    last_validation,
    origin_of,
    read_outcome,
    state_of_run,
    write_outcome,
    write_state,
)
from opensphere.compare.plan import Cell, Change, Plan, digest_of
from opensphere.compare.table import DIVERGED, FAILED, FINISHED, MISSING, Result
from opensphere.engine import checkpoint
from opensphere.engine.parallel import World, is_first_rank, launch, own_device, spawns
from opensphere.error import Diverged, UserError
from opensphere.interrupt import Requests, leave
from opensphere.metric.estimate import Estimate
from opensphere.report.columns import lower_is_better

RUNNING, UNTESTED = "running", "trained, to be tested"  # beside the states of results

_POLL = 2.0  # seconds between two looks at what another process is at

T = TypeVar("T")


@dataclass
class Runner:
    """Makes the runs of a study in its folder.

    Attributes:
        plan: the study.
        folder: of the study.
        resamples: of the people, for intervals.
        retry: make runs again that diverged.
        jobs: processes that share the runs, and so the devices.
        began: when the call that this is a part of began, in seconds since 1970: what failed since is not tried again.
        images: a digest of what is in the test sets; empty: not known.
        said: told a line for each run.
    """

    plan: Plan
    folder: Path
    resamples: int
    retry: bool = False
    jobs: int = 1
    began: float = field(default_factory=time.time)
    images: str = ""
    said: Callable[[str], None] = print
    shelf: Shelf = field(default_factory=Shelf)
    _digests: dict[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> str:
        """A digest of what runs are tested on."""
        return digest_of({"test": self.plan.test, "resamples": self.resamples})

    def known(self, cell: Cell) -> Result:
        """What came of a run, if it was made before."""
        blank = Result(cell.arm, cell.setting, cell.seed, f"runs/{cell.name}", MISSING)
        return read_outcome(self.folder / blank.folder, blank, self.asked, self.images)

    def state(self, cell: Cell) -> str:
        """How a run stands: the status of its result, or `RUNNING` or `UNTESTED`."""
        status = self.known(cell).status
        if status not in (FINISHED, DIVERGED) and is_claimed(self.folder / "runs" / cell.name):
            return RUNNING
        return UNTESTED if status == TRAINED else status

    def wants(self, cell: Cell) -> bool:
        """Whether a run is to be made, or only to be tested; one that failed may have failed for want of something."""
        status = self.known(cell).status
        if status in (FAILED, DIVERGED):
            before = state_of_run(self.folder / "runs" / cell.name).get("ended", 0.0) < self.began
            return before and (status == FAILED or self.retry)
        return status in (MISSING, TRAINED)

    def make(self, cells: Sequence[Cell]) -> None:
        """Make those runs that are not there; those that another process is at are left to it.

        Raises:
            Interrupted: somebody asked to stop.
        """
        wanted = told([cell for cell in cells if self.wants(cell)])
        began = time.perf_counter()
        for number, cell in enumerate(wanted):
            with claimed(self.folder / "runs" / cell.name) as mine:
                if not mine or not told(self.wants(cell)):
                    continue  # another process is at it, or was meanwhile
                result = self._run(cell, told(self.known(cell)))
            left = (time.perf_counter() - began) / (number + 1) * (len(wanted) - number - 1)
            place, rest = f"[{number + 1}/{len(wanted)}]", timedelta(seconds=round(left))
            self.said(f"{place} {cell.name}: {self._spell(result)}; {rest} left")

    def _run(self, cell: Cell, before: Result) -> Result:
        """Make what is missing of a run, and keep what came of each step."""
        place = self.folder / before.folder
        if before.status == TRAINED:
            origin = origin_of(state_of_run(place), place)
        else:
            self.refuse_others([cell])
            origin = self.origin(cell)
            if before.status == DIVERGED:  # its last checkpoint would lead there again
                (place / checkpoint.NAME).unlink(missing_ok=True)
            self._keep(replace(before, status=MISSING), origin)  # whoever goes on with it then knows how it began
            with Requests(leave) as requests:
                costs, status, why = self.attempt(lambda: self.train(cell, place), place)
            before = replace(before, status=status, why=why, **(costs or {}))  # type: ignore[arg-type]
            self._keep(replace(before, status=before.status if costs is None else TRAINED), origin)
            if told(requests.asked):
                raise Interrupted
            if costs is None:
                return before
        found, status, why = self.attempt(lambda: self._test(cell, place) if is_first_rank() else {}, place)
        result = replace(before, status=status, why=why, estimates=found or {})
        result = replace(result, energy=last_energy(place)) if status == FINISHED else result
        self._keep(result, origin)
        return result

    def _keep(self, result: Result, origin: Origin) -> None:
        if is_first_rank():
            write_outcome(self.folder / result.folder, result, self.asked, origin, self.images)

    def attempt(self, work: Callable[[], T], place: Path) -> tuple[T | None, str, str]:
        """What some work comes to, how it ended and why: one run must not take the others with it.

        Args:
            place: the folder that is told of errors that are not meant for people.
        """
        try:
            return work(), FINISHED, ""
        except Interrupted:
            raise
        except Diverged as error:
            return None, DIVERGED, str(error)
        except UserError as error:
            return None, FAILED, str(error)
        except Exception as error:
            storage.write_text(place / "error.txt", traceback.format_exc())
            return None, FAILED, f"{type(error).__name__}: {error}".strip().split("\n")[0]

    def origin(self, cell: Cell, chooses: bool = False, look: bool = True) -> Origin:
        """What a run would be trained by and on, now.

        Args:
            chooses: it is a point of a grid, which depends on the validation sets too.
            look: at files that were not looked at yet; else they are not known.

        Raises:
            UserError: its data or the weights that it begins with cannot be used.
        """
        _, parallel = cfg.settings(cell.resolved)
        size = world_size(parallel, self.jobs)
        shared = size > 1 and parallel.sync_bn and torch.cuda.is_available()
        train = cell.resolved["data"]["train"]
        learnt = [train["dataset"], train["subset"], train["corruption"], cell.resolved["data"]["val"], chooses]
        data = self._digest(learnt, look, lambda: self._digest_of_data(cell, chooses))
        parts = [cell.resolved["model"][part].get("pretrained") for part in ("backbone", "head")]
        paths = [path for path in parts if path]
        return Origin(size, shared, data, self._digest(paths, look, lambda: digest_of_files(paths)))

    def _digest(self, about: object, look: bool, find: Callable[[], str]) -> str:
        key = json.dumps(about, sort_keys=True)
        if look and key not in self._digests:
            self._digests[key] = find()
        return self._digests.get(key, "")

    def _digest_of_data(self, cell: Cell, chooses: bool) -> str:
        sets = build_sets(cell.resolved, self.plan.origin, self.shelf.build)
        return digest_of_sets([sets.train, *(dataset for dataset, _ in sets.val if chooses)])

    def to_train(self, cells: Sequence[Cell], trials: Sequence[Cell] = ()) -> list[tuple[Cell, bool]]:
        """Those that this call is to train, points of grids first; each with whether it is one."""
        runs = [cell for cell in cells if self.wants(cell) and self.known(cell).status != TRAINED]
        return [(trial, True) for trial in trials if is_open(self, trial)] + [(cell, False) for cell in runs]

    def refuse_others(
        self, cells: Sequence[Cell], trials: Sequence[Cell] = (), own: Sequence[Cell] | None = None
    ) -> None:
        """Refuse to train beside runs that were made by other means, or of other data, than are there now.

        Only the data that are still to be learnt are looked at, so where nothing is to be trained nothing is refused.

        Args:
            cells, trials: the runs of the study and the points of its grids.
            own: the runs that this call is to make; None: all.

        Raises:
            UserError: a run or a point that is begun was made otherwise, or what is to be learnt cannot be used.
        """
        wanted = self.to_train(cells if own is None else own, trials)
        for cell, chooses in wanted:
            self.origin(cell, chooses)
        every = [(trial, True) for trial in trials] + [(cell, False) for cell in cells]
        for cell, chooses in every if wanted else ():
            path = _score_path(self, cell) if chooses else self.folder / "runs" / cell.name / STATE
            place, state = path.parent, storage.read_object(path)
            if _status(state) in (FINISHED, DIVERGED, TRAINED) or (place / checkpoint.NAME).is_file():
                _refuse_other(origin_of(state, place), self.origin(cell, chooses, look=False), place)

    def train(self, cell: Cell, place: Path) -> dict[str, float]:
        """Train a run to its end; returns what is known of its costs, as `Result` calls them.

        Raises:
            Diverged, UserError: as training does.
            Interrupted: somebody asked to stop.
        """
        resolved = copy.deepcopy(cell.resolved)
        resolved["project"]["proj_dir"] = str(place.parent)
        _, parallel = cfg.settings(resolved)
        sets = None
        if not spawns(parallel):
            sets = build_sets(resolved, self.plan.origin, self.shelf.build)
            load_images([sets.train, *(dataset for dataset, _ in sets.val)], make_console(quiet=not is_first_rank()))
        resumed = place if (place / checkpoint.NAME).is_file() else None
        device = own_device()
        memory.forget_peak(device)
        outcome = launch(
            train.worker, parallel, resolved, cfg.dump(cell.resolved), self.plan.origin, resumed, sets, place
        )
        if outcome is None:  # by several processes, which keep their figures to themselves
            return {}
        if not outcome.finished:
            raise Interrupted
        rate = outcome.images_per_second
        if not rate:
            return {}  # nothing was left to do of a run that was ended at its end
        images = resolved["project"]["max_iters"] * resolved["data"]["train"]["dataloader"]["batch_size"]
        most = memory.peak(device) / 2**20
        return {"seconds": images / rate, "images_per_second": rate, "memory_mb": most}

    def _test(self, cell: Cell, place: Path) -> dict[str, dict[str, Estimate]]:
        device = own_device()
        found: dict[str, dict[str, Estimate]] = {}
        quiet, first = make_console(quiet=True), cell.seed == self.plan.seeds[0]
        asked = (World(0, 1, device), quiet, self.resamples, 0, False, first, self.shelf.build)
        for dataset, rows, last in test_folder(place, self.plan.test, *asked):
            write_results(place, dataset.name, f"{cell.name} on {dataset.name}", rows, last, self.resamples)
            found[dataset.name] = {key: value for key, value in rows[-1].items() if key != "Iter"}
        return found

    def _spell(self, result: Result) -> str:
        if result.status != FINISHED:
            return f"{result.status}: {result.why}"
        column = self.plan.metric
        values = [f"{name} {column} {one[column].value:.2f}" for name, one in result.estimates.items() if column in one]
        return ", ".join([*values, f"{result.seconds:,.0f} s"])


@dataclass(frozen=True)
class Choice:
    """What a grid chose.

    Attributes:
        point: the changes; None where no point has a score.
        tried: each point with its score on validation people (NaN where there is none) and why it has none.
        why: the reason where nothing could be chosen.
    """

    arm: str
    point: tuple[Change, ...] | None
    tried: Rows
    why: str = ""


def choose(runner: Runner) -> list[Choice]:
    """Run the grids of a study on validation people, and choose; waits for points that another process is at.

    Raises:
        Interrupted: somebody asked to stop.
    """
    for trials in trials_of(runner.plan).values():
        while left := told([trial for _, trial in trials if is_open(runner, trial)]):
            for trial in left:
                _score(runner, trial)
            if told(any(is_open(runner, trial) for trial in left)):
                time.sleep(_POLL)
    return told(chosen(runner))


def chosen(runner: Runner) -> list[Choice]:
    """What the grids of a study choose by the points that are there."""
    return [_chosen(runner, arm, trials) for arm, trials in trials_of(runner.plan).items()]


def trials_of(plan: Plan) -> dict[str, list[tuple[tuple[Change, ...], Cell]]]:
    """The points of grids with their runs, by arm. Raises UserError if a config cannot be used."""
    return {arm.name: [(point, plan.trial(arm, point)) for point in arm.points] for arm in plan.arms if arm.grid}


def _chosen(runner: Runner, arm: str, trials: Sequence[tuple[tuple[Change, ...], Cell]]) -> Choice:
    metric = runner.plan.tune.metric
    tried: Rows = []
    for point, trial in trials:
        path = _score_path(runner, trial)
        why = storage.read_object(path).get("why", "not made yet")
        score = math.nan if why else last_validation(path.parent, metric)
        if math.isnan(score):
            why = why or f"its last validation has no {metric}"
        tried.append({"values": dict(point), "score": score, "why": why})
    scored = [number for number, row in enumerate(tried) if not math.isnan(row["score"])]
    if not scored:
        reasons = "; ".join(dict.fromkeys(row["why"] for row in tried))
        return Choice(arm, None, tried, f"no point of its grid has a {metric}: {reasons}")
    sign = -1 if lower_is_better(metric) else 1
    best = max(scored, key=lambda number: sign * tried[number]["score"])
    return Choice(arm, trials[best][0], tried)


def state_of_trial(runner: Runner, trial: Cell) -> str:
    """How the run of a point of a grid stands, as `Runner.state` says it."""
    status = _status(storage.read_object(_score_path(runner, trial)))
    return RUNNING if status == MISSING and is_claimed(_score_path(runner, trial).parent) else status


def _status(state: dict[str, Any]) -> str:
    """How a training ended by what is kept of it; the first scores of grids said only why they have none."""
    return str(state.get("status", DIVERGED if state.get("why") else FINISHED)) if state else MISSING


def is_open(runner: Runner, trial: Cell) -> bool:
    """Whether a point is to be run: it was not, or what it came to before this call is to be tried again."""
    state = storage.read_object(_score_path(runner, trial))
    if _status(state) in (FAILED, DIVERGED) and state.get("ended", 0.0) < runner.began:
        return _status(state) == FAILED or runner.retry
    return _status(state) == MISSING


def _score_path(runner: Runner, trial: Cell) -> Path:
    return runner.folder / "grid" / trial.name / "score.json"


def _score(runner: Runner, trial: Cell) -> None:
    """Train a point of a grid and keep how it ended, unless another process is at it or was."""
    path = _score_path(runner, trial)
    with claimed(path.parent) as mine:
        if not mine or not told(is_open(runner, trial)):
            return
        origin = runner.origin(trial, chooses=True)
        if told(_status(storage.read_object(path))) == DIVERGED:  # its last checkpoint would lead there again
            (path.parent / checkpoint.NAME).unlink(missing_ok=True)
        if is_first_rank():  # whoever goes on with it then knows how it began
            write_state(path, {"status": MISSING, "why": "not made yet"}, origin)
        with Requests(leave) as requests:
            _, status, why = runner.attempt(lambda: runner.train(trial, path.parent), path.parent)
        if is_first_rank():  # not the score itself: another metric may be asked for later
            write_state(path, {"status": status, "why": why}, origin)
        if told(requests.asked):
            raise Interrupted
        metric = runner.plan.tune.metric
        score = f"{metric} {last_validation(path.parent, metric):.2f}"
        runner.said(f"grid: {trial.name}: {f'{status}: {why}' if why else score}")


def _refuse_other(before: Origin, now: Origin, place: Path) -> None:
    spelt = [_spell_means(one, before.sync_bn is not None) for one in (before, now)]
    if before.world_size is not None and spelt[0] != spelt[1]:
        raise UserError(
            f"{place}: was trained by {spelt[0]}, and this call would train by {spelt[1]}: runs of one study are "
            "trained alike; start it with as many, or name another --proj_dir"
        )
    for key, what in (("data", "training data"), ("weights", "pretrained weights")):
        known = {getattr(one, key) for one in (before, now)} - {""}
        if len(known) > 1:
            raise UserError(
                f"{place}: its {what} have changed since, under the same names: bring the old ones back, name another "
                "--proj_dir, or delete this run"
            )


def _spell_means(one: Origin, with_sync_bn: bool) -> str:
    shared = " with sync_bn" if one.sync_bn and with_sync_bn else ""
    return f"{one.world_size} process{'' if one.world_size == 1 else 'es'}{shared}"
