"""The runs of a study: each is trained, tested and kept once, whoever comes to it first."""

import copy
import json
import math
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import torch
from filelock import FileLock, Timeout

from opensphere import config as cfg
from opensphere import memory, storage
from opensphere.command import train
from opensphere.command.build import build_sets
from opensphere.command.screen import Rows, load_images, make_console
from opensphere.command.shelf import Shelf
from opensphere.command.test import test_folder, write_results
from opensphere.compare.outcome import last_energy, last_validation, read_outcome, write_outcome
from opensphere.compare.plan import Arm, Cell, Change, Plan, digest_of
from opensphere.compare.table import DIVERGED, FAILED, FINISHED, MISSING, Result
from opensphere.engine import checkpoint
from opensphere.engine.parallel import World, is_first_rank, launch, launched, spawns
from opensphere.error import Diverged, UserError
from opensphere.metric.estimate import Estimate
from opensphere.report.columns import lower_is_better

_POLL = 2.0  # seconds between two looks at what another process is at


class Interrupted(Exception):
    """Somebody asked a training to stop; what it did is saved."""


@dataclass
class Runner:
    """Makes the runs of a study in its folder.

    Attributes:
        plan: the study.
        folder: of the study.
        resamples: of the people, for intervals.
        retry: make runs again that failed or diverged.
        said: told a line for each run.
    """

    plan: Plan
    folder: Path
    resamples: int
    retry: bool = False
    said: Callable[[str], None] = print
    shelf: Shelf = field(default_factory=Shelf)

    @property
    def asked(self) -> str:
        """A digest of what runs are tested on."""
        return digest_of({"test": self.plan.test, "resamples": self.resamples})

    def known(self, cell: Cell) -> Result:
        """What came of a run, if it was made before."""
        blank = Result(cell.arm, cell.setting, cell.seed, f"runs/{cell.name}", MISSING)
        return read_outcome(self.folder / blank.folder, blank, self.asked)

    def to_do(self, cells: Sequence[Cell]) -> list[tuple[Cell, str]]:
        """Those whose result is not there yet, and what they are now; one that failed may have failed for want of
        something, and is tried again."""
        again = (MISSING, "trained", FAILED, *((DIVERGED,) if self.retry else ()))
        return [(cell, status) for cell in cells if (status := self.known(cell).status) in again]

    def make(self, cells: Sequence[Cell]) -> None:
        """Make those runs that are not there; those that another process is at are left to it.

        Raises:
            Interrupted: somebody asked to stop.
        """
        wanted = self.to_do(cells)
        began = time.perf_counter()
        for number, (cell, status) in enumerate(wanted):
            with _claimed(self.folder / "runs" / cell.name) as mine:
                if not mine:
                    continue
                before = self.known(cell)
                if before.status != status:
                    continue  # another process was at it meanwhile
                result = self._run(cell, before)
                if is_first_rank():
                    write_outcome(self.folder / result.folder, result, self.asked)
            left = (time.perf_counter() - began) / (number + 1) * (len(wanted) - number - 1)
            place, rest = f"[{number + 1}/{len(wanted)}]", timedelta(seconds=round(left))
            self.said(f"{place} {cell.name}: {self._spell(result)}; {rest} left")

    def _run(self, cell: Cell, before: Result) -> Result:
        place = self.folder / before.folder
        try:
            if before.status == DIVERGED:  # its last checkpoint would lead there again
                (place / checkpoint.NAME).unlink(missing_ok=True)
            if before.status != "trained":
                seconds, rate, most = self.train(cell, place)
                before = replace(before, seconds=seconds, images_per_second=rate, memory_mb=most)
            found = self._test(cell, place) if is_first_rank() else {}
            return replace(before, status=FINISHED, why="", estimates=found, energy=last_energy(place))
        except (KeyboardInterrupt, Interrupted):
            raise
        except Diverged as error:
            return replace(before, status=DIVERGED, why=str(error))
        except UserError as error:
            return replace(before, status=FAILED, why=str(error))
        except Exception as error:  # one run must not take the others with it
            storage.write_text(place / "error.txt", traceback.format_exc())
            return replace(before, status=FAILED, why=f"{type(error).__name__}: {error}".strip().split("\n")[0])

    def train(self, cell: Cell, place: Path) -> tuple[float, float, float]:
        """Train a run to its end; returns what it cost: seconds, images a second, and MiB at most.

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
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        memory.forget_peak(device)
        outcome = launch(
            train.worker, parallel, resolved, cfg.dump(cell.resolved), self.plan.origin, resumed, sets, place
        )
        if outcome is None:  # by several processes, which keep their figures to themselves
            return math.nan, math.nan, math.nan
        if not outcome.finished:
            raise Interrupted
        images = resolved["project"]["max_iters"] * resolved["data"]["train"]["dataloader"]["batch_size"]
        rate = outcome.images_per_second or math.nan  # nothing was left to do of a run that was killed at its end
        return images / rate, rate, memory.peak(device) / 2**20

    def _test(self, cell: Cell, place: Path) -> dict[str, dict[str, Estimate]]:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
        point: the changes; empty where nothing was to choose.
        tried: each point with its score on validation people (NaN where there is none) and why it has none.
    """

    arm: str
    point: tuple[Change, ...]
    tried: Rows


def choose(runner: Runner) -> list[Choice]:
    """Run the grids of a study on validation people, and choose; waits for points that another process is at.

    Raises:
        UserError: no point of an arm could be trained, or the validation set has no such column.
        Interrupted: somebody asked to stop.
    """
    return [_choose(runner, arm) for arm in runner.plan.arms if arm.grid]


def _choose(runner: Runner, arm: Arm) -> Choice:
    trials = [(point, runner.plan.trial(arm, point)) for point in arm.points]
    metric = runner.plan.tune.metric
    while left := [trial for _, trial in trials if not _score_path(runner, trial).is_file()]:
        for trial in left:
            _score(runner, trial, metric)
        if any(not _score_path(runner, trial).is_file() for trial in left):
            time.sleep(_POLL)
    tried: Rows = []
    for point, trial in trials:
        why = json.loads(_score_path(runner, trial).read_text(encoding="utf-8"))["why"]
        score = math.nan if why else last_validation(_score_path(runner, trial).parent, metric)
        if math.isnan(score):
            why = why or f"the validation set has no {metric}; name another with tune.metric"
        tried.append({"values": dict(point), "score": score, "why": why})
    known = [number for number, row in enumerate(tried) if not math.isnan(row["score"])]
    if not known:
        raise UserError(f"{arm.name}: no point of its grid has a {metric}: {tried[0]['why']}")
    sign = -1 if lower_is_better(metric) else 1
    best = max(known, key=lambda number: sign * tried[number]["score"])
    return Choice(arm.name, trials[best][0], tried)


def _score_path(runner: Runner, trial: Cell) -> Path:
    return runner.folder / "grid" / trial.name / "score.json"


def _score(runner: Runner, trial: Cell, metric: str) -> None:
    """Train a point of a grid and keep its score, unless another process is at it or was."""
    path = _score_path(runner, trial)
    with _claimed(path.parent) as mine:
        if not mine or path.is_file():
            return
        score, why = math.nan, ""
        try:
            runner.train(trial, path.parent)
            score = last_validation(path.parent, metric)
        except Diverged as error:
            why = str(error)
        if is_first_rank():  # not the score itself: another metric may be asked for later
            storage.write_text(path, json.dumps({"why": why}, indent=2) + "\n")
        runner.said(f"grid: {trial.name}: {why or f'{metric} {score:.2f}'}")


@contextmanager
def _claimed(place: Path) -> Iterator[bool]:
    """Whether this process may work in a folder: no other one does, until the block ends.

    The ranks of one training come together, and are told so by their launcher.
    """
    if launched():
        yield True
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{place}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()
