"""`opensphere compare`: losses (or anything else) under identical conditions, over several seeds, with statistics."""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from opensphere import config as cfg
from opensphere import protocol, storage
from opensphere.command.report import offer_page
from opensphere.command.running import Choice, Interrupted, Runner, choose
from opensphere.command.screen import json_text, make_console, print_table, table_text
from opensphere.command.test import check_resampling
from opensphere.command.train import INTERRUPTED
from opensphere.compare import writing
from opensphere.compare.latex import latex_text
from opensphere.compare.plan import Cell, Plan, read_plan
from opensphere.compare.table import DIVERGED, FINISHED, Result, tabulate
from opensphere.engine.folder import given_text
from opensphere.engine.parallel import is_first_rank, launched
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
    parser.add_argument("--retry", action="store_true", help="make runs that diverged again")
    parser.add_argument("--dry-run", action="store_true", help="list the runs and what is known of them, train nothing")
    parser.add_argument("--resamples", metavar="N", type=int, default=1000, help="of the people, for intervals (1000)")
    parser.add_argument("--no-tables", action="store_true", help=argparse.SUPPRESS)  # one of several jobs
    parser.add_argument(
        "overrides", nargs="*", metavar="key=value", help="for the base config, or data.test.0... for tests"
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
    folder = Path(arguments.proj_dir) / plan.name
    runner = prepare(plan, folder, arguments, console)
    if arguments.dry_run:
        return list_runs(runner, console)
    if is_first_rank():
        storage.write_text(folder / "study.yml", given_text(path, arguments.overrides))
    jobs = arguments.jobs or (1 if launched() else max(1, torch.cuda.device_count()))
    if jobs > 1:
        status = run_jobs(jobs)
        if status:
            return status
    try:
        choices = choose(runner)
        cells = runner.plan.cells({choice.arm: choice.point for choice in choices})
        runner.make(cells[part - 1 :: parts])
    except Interrupted:
        console.print(f"stopped and saved; the same command goes on: {folder}", markup=False, soft_wrap=True)
        return INTERRUPTED
    if arguments.no_tables or not is_first_rank():
        return 0
    return conclude(runner, cells, choices, console, time.perf_counter() - began)


def prepare(plan: Plan, folder: Path, arguments: argparse.Namespace, console: Console) -> Runner:
    """Check all that can be checked before the first run: configs, test sets, the column of the verdicts.

    Raises:
        UserError: one of them cannot be used.
    """
    plan.settle_precision(torch.device("cuda" if torch.cuda.is_available() else "cpu"))
    cells = plan.cells({arm.name: arm.points[0] for arm in plan.arms})
    for arm in plan.arms:
        for point in arm.points if arm.grid else ():
            refuse_test_people(plan.trial(arm, point), plan)
    runner = Runner(plan, folder, arguments.resamples, arguments.retry)
    runner.said = lambda text: console.print(text, markup=False, soft_wrap=True)
    view = cfg.view_of(cells[0].resolved["data"]["train"]["dataset"])
    columns: dict[str, list[str]] = {}
    for block in plan.test["data"]["test"]:
        dataset = runner.shelf.build(cfg.with_view(block["dataset"], view))
        columns[dataset.name] = protocol.check(dataset)
    known = list(dict.fromkeys(column for own in columns.values() for column in own))
    if plan.metric and plan.metric not in known:
        raise UserError(f"{arguments.file}: metric: no test set has {plan.metric}; they have {', '.join(known)}")
    runner.plan = replace(plan, metric=plan.metric or known[0])
    return runner


def refuse_test_people(trial: Cell, plan: Plan) -> None:
    """Raises UserError if a grid would choose on a test set."""

    def images(block: cfg.Config) -> dict[str, Any]:
        return {key: value for key, value in block["dataset"].items() if key not in _NAMES and value is not None}

    val = trial.resolved["data"]["val"]
    view = cfg.view_of(trial.resolved["data"]["train"]["dataset"])
    for chosen in val if isinstance(val, list) else ():
        for block in plan.test["data"]["test"]:
            if images(chosen) == images({"dataset": cfg.with_view(block["dataset"], view)}):
                raise UserError(
                    f"{plan.origin}: data.val: {chosen['dataset'].get('name')} is the test set "
                    f"{block['dataset'].get('name')}; grids choose on other people"
                )


def read_shard(text: str | None) -> tuple[int, int]:
    """The part, from 1, and the number of parts.

    Raises:
        UserError: it is not written as 1/4.
    """
    if text is None:
        return 1, 1
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise UserError(f"--shard {text}: write 1/4 for the first of four parts, 4/4 for the last")
    return part, parts


def run_jobs(jobs: int) -> int:
    """Let so many processes of this very command share the runs; returns the first status that is not 0.

    Each takes the next run that nobody is at. They share the GPUs, or the cores, evenly.
    """
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    gpus = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
    started = []
    for job in range(jobs):
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        if gpus:
            environment["CUDA_VISIBLE_DEVICES"] = listed.split(",")[job % gpus]
        command = [sys.executable, "-m", "opensphere", *sys.argv[1:], "--jobs", "1", "--no-tables"]
        started.append(subprocess.Popen(command, env=environment))
    try:
        found = [process.wait() for process in started]
    except KeyboardInterrupt:  # the terminal has told them too
        found = [process.wait() for process in started]
    return next((status for status in found if status), 0)


def list_runs(runner: Runner, console: Console) -> int:
    """Print the runs of the study, those of grids first, and what is known of them."""
    trials = [runner.plan.trial(arm, point).name for arm in runner.plan.arms if arm.grid for point in arm.points]
    for name in trials:
        done = (runner.folder / "grid" / name / "score.json").is_file()
        console.print(f"{'done' if done else 'to do':8} grid/{name}", markup=False)
    if trials:
        console.print(f"and {len(runner.plan.cells({}))} runs with what the grids choose", markup=False)
        return 0
    for cell in runner.plan.cells({}):
        console.print(f"{runner.known(cell).status:8} runs/{cell.name}", markup=False)
    return 0


def conclude(runner: Runner, cells: list[Cell], choices: list[Choice], console: Console, seconds: float) -> int:
    """Write the tables and the page of what is there; returns the exit status."""
    plan, folder = runner.plan, runner.folder
    results = [runner.known(cell) for cell in cells]
    if not any(result.status in (FINISHED, DIVERGED) for result in results):
        why = next((result.why for result in results if result.why), "no run was made")
        raise UserError(f"{folder}: there is nothing to compare: {why}")
    study = describe(plan, choices, results, folder, seconds)
    names = [setting.name for setting in plan.settings]
    study |= tabulate([arm.name for arm in plan.arms], names, plan.seeds, plan.baseline, plan.metric, results)
    text = json_text(study)
    storage.write_text(folder / "study.json", text)
    show(json.loads(text), folder, console)
    offer_page([folder], console)
    missing = [result for result in results if result.status not in (FINISHED, DIVERGED)]
    for result in missing:
        console.print(f"{result.status}: {result.folder}: {result.why or 'not made yet'}", markup=False, soft_wrap=True)
    console.print(f"tables, runs and all that is needed to repeat them: {folder}", markup=False, soft_wrap=True)
    return 1 if missing else 0


def describe(plan: Plan, choices: list[Choice], results: list[Result], folder: Path, seconds: float) -> dict[str, Any]:
    """What study.json says beside results: `seconds` of this call and of those before it."""
    made = [read_json(folder / result.folder / "versions.json") or [{}] for result in results]
    distinct = {json.dumps(entry[-1], sort_keys=True): entry[-1] for entry in made if entry[-1]}
    before = read_json(folder / "study.json") or {}
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
        "chosen": [{"arm": choice.arm, "values": dict(choice.point), "tried": choice.tried} for choice in choices],
        "versions": list(distinct.values()),
        "seconds": seconds + (before.get("seconds") or 0.0),
        "machine": ", ".join(dict.fromkeys(str(entry.get("processor")) for entry in distinct.values())),
    }


def read_json(path: Path) -> Any:
    """What a file of ours holds; None where it is not there or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


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
