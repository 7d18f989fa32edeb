"""`opensphere compare`: losses (or anything else) under identical conditions, over several seeds, with statistics."""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from opensphere import config as cfg
from opensphere import protocol, storage
from opensphere.command.build import build_sets
from opensphere.command.jobs import Ids, Interrupted, count_jobs, read_shard, run_jobs
from opensphere.command.precision import keep_precision, refuse_precision, settle_precision
from opensphere.command.report import offer_page
from opensphere.command.running import RUNNING, Choice, Runner, choose, chosen, state_of_trial, trials_of
from opensphere.command.screen import json_text, make_console, opening, print_table, table_text
from opensphere.command.shelf import digest_of_sets
from opensphere.command.test import check_resampling, refuse_names
from opensphere.command.train import INTERRUPTED
from opensphere.compare import writing
from opensphere.compare.latex import latex_text
from opensphere.compare.notes import drawn_in
from opensphere.compare.plan import Cell, Plan
from opensphere.compare.reading import read_plan
from opensphere.compare.table import DIVERGED, FAILED, FINISHED, MISSING, Result, tabulate
from opensphere.engine.folder import given_text, read_versions
from opensphere.engine.parallel import is_first_rank
from opensphere.error import UserError

_NAMES = ("name", "metrics", "in_memory", "test_mode")  # of a set: what does not change its images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `compare`."""
    parser.add_argument("file", metavar="FILE", help="the study, such as config/compare/faces.yml")
    parser.add_argument(
        "--proj_dir", metavar="DIR", default="project/compare", help="where its folder is (%(default)s)"
    )
    parser.add_argument("--jobs", metavar="N", type=int, help="runs at a time (one for each GPU; one on a CPU)")
    parser.add_argument(
        "--shard", metavar="I/N", help="make the I-th of N parts of the runs, as for a cluster's scheduler"
    )
    parser.add_argument("--retry", action="store_true", help="make runs and points of grids that diverged again")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and what is known of them, train nothing")
    parser.add_argument("--resamples", metavar="N", type=int, default=1000, help="of the people, for intervals (1000)")
    # of one of several jobs, and when the call began that started them
    parser.add_argument("--no-tables", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--began", type=float, help=argparse.SUPPRESS)
    parser.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="for the base config; data.test.N... for set N of the tests, from 0 over all test configs",
    )


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status: 1 where runs failed or are missing.

    Raises:
        UserError: the study, the data or the machine do not allow it.
    """
    check_resampling(arguments.resamples)
    began = time.perf_counter()
    console = make_console(quiet=not is_first_rank())
    path = Path(arguments.file)
    plan = read_plan(path, arguments.overrides)
    part, parts = read_shard(arguments.shard)
    first = plan.arms[0]
    _, parallel = cfg.settings(plan.cell(first, 0, plan.seeds[0], first.points[0]).resolved)
    jobs = count_jobs(arguments.jobs, parallel.device_ids)
    folder = Path(arguments.proj_dir) / plan.name
    runner = prepare(plan, folder, arguments, jobs, (part, parts), console)
    if arguments.dry_run:
        return list_runs(runner, console)
    if is_first_rank() and not arguments.no_tables:
        storage.write_text(folder / "study.yml", given_text(path, arguments.overrides))
    ended = []
    try:
        if jobs > 1:
            words = words_of_job(arguments, runner.began, parallel.device_ids)
            ended = run_jobs(jobs, words, parallel.device_ids)
        choices = chosen(runner) if jobs > 1 else choose(runner)
        cells = cells_of(runner, choices)
        own = [cell for cell in cells[part - 1 :: parts] if cell.arm not in lost_arms(choices)]
        if jobs == 1:
            if choices and not arguments.no_tables:  # what grids chose was not known when all else was looked at
                runner.refuse_others([cell for cell in cells if cell.arm not in lost_arms(choices)], own=own)
            runner.make(own)
    except Interrupted:
        console.print(f"stopped and saved; the same command goes on: {folder}", markup=False, soft_wrap=True)
        return INTERRUPTED
    if arguments.no_tables or not is_first_rank():
        return 0
    status = conclude(runner, cells, own, choices, console, time.perf_counter() - began)
    for number in (number for number in ended if number):
        console.print(f"one of the {jobs} processes ended with status {number}", markup=False)
        status = status or 1
    return status


def words_of_job(arguments: argparse.Namespace, began: float, device_ids: Ids = None) -> list[str]:
    """The arguments of `opensphere` for one of several processes that make the runs of a call.

    Args:
        device_ids: the GPUs of them all, where they are named; each sees its own alone.
    """
    words = ["compare", arguments.file, f"--proj_dir={arguments.proj_dir}", f"--resamples={arguments.resamples}"]
    words += ["--jobs=1", "--no-tables", f"--began={began!r}"]
    words += [f"--shard={arguments.shard}"] * bool(arguments.shard) + ["--retry"] * arguments.retry
    alone = ["parallel.device_ids=null"] if device_ids is not None else []
    return [*words, *arguments.overrides, *alone]


def cells_of(runner: Runner, choices: Sequence[Choice]) -> list[Cell]:
    """All runs of the study; those of arms whose grid chose nothing are without its changes."""
    return runner.plan.cells({choice.arm: choice.point for choice in choices if choice.point is not None})


def lost_arms(choices: Sequence[Choice]) -> dict[str, str]:
    """The arms whose grids chose nothing, and why."""
    return {choice.arm: choice.why for choice in choices if choice.point is None}


def prepare(
    plan: Plan, folder: Path, arguments: argparse.Namespace, jobs: int, shard: tuple[int, int], console: Console
) -> Runner:
    """Check all that can be checked before the first run: configs, data, columns, and what is there already.

    Args:
        shard: the part of the runs that this call is to make, from 1, and the number of parts.

    Raises:
        UserError: one of them cannot be used.
    """
    refuse_names(plan.test)
    measured = settle_precision(plan, folder)
    cells, grids = plan.cells({arm.name: arm.points[0] for arm in plan.arms}), trials_of(plan)
    for _, trial in (point for points in grids.values() for point in points):
        refuse_test_people(trial, plan)
    runner = Runner(plan, folder, arguments.resamples, arguments.retry, jobs, arguments.began or time.time())
    runner.said = lambda text: console.print(text, markup=False, soft_wrap=True)
    with opening(console):
        view = cfg.view_of(cells[0].resolved["data"]["train"]["dataset"])
        tests = [runner.shelf.build(cfg.with_view(block["dataset"], view)) for block in plan.test["data"]["test"]]
        known = list(dict.fromkeys(column for dataset in tests for column in protocol.check(dataset)))
        if plan.metric and plan.metric not in known:
            raise UserError(f"{arguments.file}: metric: no test set has {plan.metric}; they have {', '.join(known)}")
        runner.plan, runner.images = replace(plan, metric=plan.metric or known[0]), digest_of_sets(tests)
        if not arguments.dry_run and not arguments.no_tables:
            check_trainings(runner, shard, arguments.file)
    if measured and not arguments.dry_run:
        plan.base["project"]["precision"] = keep_precision(folder, plan.base["project"]["precision"])
    return runner


def check_trainings(runner: Runner, shard: tuple[int, int], file: str) -> None:
    """Check the data and the precision of what a call is to train, and what is there already against it.

    Args:
        shard: as for `prepare`.
        file: the study's, for messages.

    Raises:
        UserError: one of them cannot be used.
    """
    grids, choices = trials_of(runner.plan), chosen(runner)
    left = {arm: trials for arm, points in grids.items() if (trials := runner.to_train([], [one for _, one in points]))}
    for trials in left.values():
        check_tune_metric(runner, trials[0][0], file)
    part, parts = shard
    points = {arm.name: arm.points[0] for arm in runner.plan.arms}  # until grids have chosen
    cells = runner.plan.cells(points | {choice.arm: choice.point for choice in choices if choice.point is not None})
    lost = lost_arms(choices).keys() - left.keys()
    there, own = ([cell for cell in some if cell.arm not in lost] for some in (cells, cells[part - 1 :: parts]))
    every = [trial for points in grids.values() for _, trial in points]
    if runner.to_train(own, every):
        refuse_precision(runner.plan, runner.folder)
    runner.refuse_others(there, every, own)


def check_tune_metric(runner: Runner, trial: Cell, file: str) -> None:
    """Raises UserError if the validation set that a grid chooses by has no such column."""
    sets = build_sets(trial.resolved, runner.plan.origin, runner.shelf.build)
    first, metric = sets.val[0][0], runner.plan.tune.metric
    columns = protocol.check(first)
    if metric not in columns:
        raise UserError(
            f"{file}: tune.metric: the validation set {first.name} has no {metric}; it has {', '.join(columns)}"
        )


def refuse_test_people(trial: Cell, plan: Plan) -> None:
    """Raises UserError if a grid would choose on a test set."""

    def images(block: cfg.Config) -> dict[str, Any]:
        return {key: value for key, value in block["dataset"].items() if key not in _NAMES and value is not None}

    val = trial.resolved["data"]["val"]
    view = cfg.view_of(trial.resolved["data"]["train"]["dataset"])
    for asked in val if isinstance(val, list) else ():
        for block in plan.test["data"]["test"]:
            if images(asked) == images({"dataset": cfg.with_view(block["dataset"], view)}):
                raise UserError(
                    f"{plan.origin}: data.val: {asked['dataset'].get('name')} is the test set "
                    f"{block['dataset'].get('name')}; grids choose on other people"
                )


def list_runs(runner: Runner, console: Console) -> int:
    """Print the runs of the study, those of grids first, and what is known of them."""
    trials = [trial for points in trials_of(runner.plan).values() for _, trial in points]
    states = [state_of_trial(runner, trial) for trial in trials]
    for trial, state in zip(trials, states, strict=True):
        console.print(f"{state:8} grid/{trial.name}", markup=False, soft_wrap=True)
    choices = chosen(runner)
    cells = [cell for cell in cells_of(runner, choices) if cell.arm not in lost_arms(choices)]
    if MISSING in states or RUNNING in states:
        console.print(f"and {len(runner.plan.cells({}))} runs with what the grids choose", markup=False)
        return 0
    for cell in cells:
        console.print(f"{runner.state(cell):8} runs/{cell.name}", markup=False, soft_wrap=True)
    for arm, why in lost_arms(choices).items():
        console.print(f"{FAILED:8} {arm}: {why}", markup=False, soft_wrap=True)
    return 0


def conclude(
    runner: Runner, cells: list[Cell], own: list[Cell], choices: list[Choice], console: Console, seconds: float
) -> int:
    """Write the tables and the page of what is there; returns the exit status.

    Args:
        own: the runs that this call was to make; others are no fault of it.
    """
    folder, lost = runner.folder, lost_arms(choices)
    states = {cell.name: runner.state(cell) for cell in cells if cell.arm not in lost}
    results = [
        as_result(runner, cell, states[cell.name])
        if cell.arm not in lost
        else Result(cell.arm, cell.setting, cell.seed, "", FAILED, lost[cell.arm])
        for cell in cells
    ]
    running = list(states.values()).count(RUNNING)
    if any(result.status in (FINISHED, DIVERGED) for result in results):
        write_tables_of(runner, results, choices, console, seconds)
    elif not running and len(own) == len(states):
        why = next((result.why for result in results if result.why), "no run was made")
        raise UserError(f"{folder}: there is nothing to compare: {why}")
    else:
        console.print("there is nothing to compare yet", markup=False)
    status = _say_what_is_missing(states, results, own, lost, console)
    if running:
        console.print(f"others are at work on {running} runs; the tables are of what is there", markup=False)
    console.print(f"tables, runs and all that is needed to repeat them: {folder}", markup=False, soft_wrap=True)
    return status


def _say_what_is_missing(
    states: dict[str, str], results: list[Result], own: list[Cell], lost: dict[str, str], console: Console
) -> int:
    """Print which runs are not there, and why; returns the exit status."""
    by_folder = {result.folder: result for result in results}
    missing = [cell.name for cell in own if states[cell.name] not in (FINISHED, DIVERGED, RUNNING)]
    for name in missing:
        why = by_folder[f"runs/{name}"].why
        said = f": {why}" if states[name] == FAILED else " yet" if states[name] == MISSING else ""
        console.print(f"{states[name]}: runs/{name}{said}", markup=False, soft_wrap=True)
    for arm, why in lost.items():
        console.print(f"{FAILED}: {arm}: {why}", markup=False, soft_wrap=True)
    mine = {cell.name for cell in own}
    others = sum(state not in (FINISHED, DIVERGED, RUNNING) and name not in mine for name, state in states.items())
    if others:
        console.print(f"{others} runs are of other parts, and not made yet", markup=False)
    return 1 if missing or lost else 0


def as_result(runner: Runner, cell: Cell, state: str) -> Result:
    """What is known of a run, as tables have it: one that is not at its end is missing, and says how it stands."""
    found = runner.known(cell)
    return found if found.status == state else replace(found, status=MISSING, why=state)


def write_tables_of(
    runner: Runner, results: list[Result], choices: list[Choice], console: Console, seconds: float
) -> None:
    """Write study.json, the tables and the page, and print the main tables."""
    plan, folder = runner.plan, runner.folder
    study = describe(plan, choices, results, folder, seconds)
    names = [setting.name for setting in plan.settings]
    study |= tabulate([arm.name for arm in plan.arms], names, plan.seeds, plan.baseline, plan.metric, results)
    text = json_text(study)
    storage.write_text(folder / "study.json", text)
    show(json.loads(text), folder, console)
    offer_page([folder], console)


def describe(plan: Plan, choices: list[Choice], results: list[Result], folder: Path, seconds: float) -> dict[str, Any]:
    """What study.json says beside results: `seconds` of this call and of those before it."""
    places = [folder / "grid" / trial.name for points in trials_of(plan).values() for _, trial in points]
    versions = versions_of([*places, *(folder / result.folder for result in results if result.folder)])
    choices = [choice for choice in choices if choice.point is not None]
    before = storage.read_object(folder / "study.json")
    cells = replace(plan, seeds=plan.seeds[:1]).cells({choice.arm: choice.point or () for choice in choices})
    return {
        "study": plan.name,
        "title": plan.title,
        "claim": plan.claim,
        "paper": plan.paper,
        "cut": plan.cut,
        "metric": plan.metric,
        "baseline": plan.baseline,
        "seeds": plan.seeds,
        "arms": [arm.name for arm in plan.arms],
        "vary": plan.vary,
        "settings": [{"name": setting.name, "values": dict(setting.changes)} for setting in plan.settings],
        "drawn": list(dict.fromkeys(key for cell in cells for key in drawn_in(cell.resolved["data"]))),
        "chosen": [
            {"arm": choice.arm, "values": dict(choice.point or ()), "tried": choice.tried} for choice in choices
        ],
        "versions": versions,
        "seconds": seconds + (before.get("seconds") or 0.0),
        "machine": ", ".join(dict.fromkeys(str(entry.get("processor")) for entry in versions)),
    }


def versions_of(places: Sequence[Path]) -> list[dict[str, Any]]:
    """What made runs, each only once: also what only went on with one."""
    found: dict[str, dict[str, Any]] = {}
    for place in places:
        for entry in read_versions(place):
            about = {key: value for key, value in entry.items() if key != "from_update"}  # of one run
            found.setdefault(json.dumps(about, sort_keys=True), about)
    return list(found.values())


def show(study: dict[str, Any], folder: Path, console: Console) -> None:
    """Print the main tables of study.json; write all of them as text, CSV, Markdown and LaTeX."""
    for title, rows in writing.main_tables(study):
        print_table(console, title, rows)
    notes = writing.notes(study)
    for note in notes:
        console.print(note, markup=False)
    whole = [table_text(title, rows) for title, rows in writing.all_tables(study)]
    storage.write_text(folder / "table.txt", "\n".join([*whole, *notes]) + "\n")
    storage.write_text(folder / "table.csv", writing.csv_text(study))
    storage.write_text(folder / "table.md", writing.markdown_text(study))
    storage.write_text(folder / "table.tex", latex_text(study))
