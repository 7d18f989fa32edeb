"""`opensphere train`: one training from a config, or the rest of one that stopped."""

import argparse
import shlex
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import torch

from opensphere import collective
from opensphere import config as cfg
from opensphere.command.build import Sets, build_run, build_sets, validator
from opensphere.command.cost import print_cost
from opensphere.command.screen import load_images, make_console
from opensphere.engine import checkpoint, loop
from opensphere.engine.folder import describe_run, make_run_folder
from opensphere.engine.parallel import World, launch
from opensphere.engine.record import Record
from opensphere.error import UserError


@dataclass(frozen=True)
class Outcome:
    """What a training came to.

    Attributes:
        folder: of the run.
        finished: whether training reached its end.
        seconds: spent training, without validation and start-up.
        images_per_second: while training, over all ranks.
    """

    folder: Path
    finished: bool
    seconds: float
    images_per_second: float


INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `train`."""
    parser.add_argument("--config", metavar="FILE", help="the training config, such as config/demo/faces.yml")
    parser.add_argument("--proj_dir", metavar="DIR", help="the folder that will hold the run's own folder (project)")
    parser.add_argument("--start_time", metavar="TIME", help="wait until then, as in 2022-04-22-03-17-05")
    parser.add_argument("--resume", metavar="FOLDER", help="go on with the run in this folder, with its own config")
    parser.add_argument("--dry-run", action="store_true", help="build everything, print what it costs, train nothing")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as in model.head.net.m=0.4")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status.

    Raises:
        UserError: the config, the data or the machine do not allow it.
    """
    if bool(arguments.config) == bool(arguments.resume):
        raise UserError("train: give either --config FILE for a new run or --resume FOLDER to go on with one")
    wait_until(arguments.start_time)
    folder = Path(arguments.resume) if arguments.resume else None
    source = _config_of(folder) if folder else Path(arguments.config)
    config = cfg.load(source, arguments.overrides)
    if arguments.proj_dir:
        config.setdefault("project", {})["proj_dir"] = arguments.proj_dir
    resolved = cfg.check_train(config, str(source))
    if arguments.dry_run:
        print_cost(resolved, str(source))
        return 0
    given = source.read_text(encoding="utf-8-sig") + "".join(f"# override: {text}\n" for text in arguments.overrides)
    _, parallel = cfg.settings(resolved)
    outcome = launch(worker, parallel, resolved, given, str(source), folder)
    return 0 if outcome is None or outcome.finished else INTERRUPTED


def worker(
    world: World, resolved: cfg.Config, given: str, origin: str, folder: Path | None, sets: Sets | None = None
) -> Outcome:
    """One process of a training.

    Args:
        folder: of the run to resume; None makes a new one.
        sets: the data, where it is there already.
    """
    project, _ = cfg.settings(resolved)
    if sets is None:
        sets = build_sets(resolved, origin)
        load_images([sets.train, *(dataset for dataset, _ in sets.val)], make_console(quiet=world.rank > 0))
    run = build_run(resolved, sets.train.num_class, world, origin)
    resuming = folder is not None
    if resuming:
        checkpoint.load_checkpoint(run, folder)  # type: ignore[arg-type]
    else:
        folder = make_run_folder(project.proj_dir) if world.rank == 0 else None
        folder = collective.gather_objects(folder)[0]
    assert folder is not None
    start = run.step
    facts = {"world_size": world.size, "device": str(world.device), "precision": str(run.dtype).removeprefix("torch.")}
    if world.rank == 0 and not resuming:
        describe_run(folder, given, cfg.dump(resolved), project.cfg_fname, facts)
    record = Record(
        folder if world.rank == 0 else None,
        project,
        sets.loader.batch_size,
        start,
        title=resolved["model"]["head"]["net"]["type"],
        overflows=run.dtype == torch.float16,
    )
    try:
        state = f"resuming after update {run.step}" if resuming else "training"
        record.note(
            f"{state}: {len(sets.train):,} images of {sets.train.num_class:,} people, {project.max_iters:,} updates of "
            f"{sets.loader.batch_size} images, {world.size} x {facts['device']}, {facts['precision']}, folder {folder}"
        )
        finished = loop.train(
            run, sets.train, sets.loader, sets.augment, project, folder, validator(sets, record), record
        )
        if finished:
            record.note(f"finished after update {run.step}: {folder}")
        else:
            command = f"python train.py --resume {shlex.quote(str(folder))}"
            record.note(f"stopped after update {run.step}, saved; continue with: {command}")
        if not finished and world.size > 1:
            sys.exit(INTERRUPTED)
        images = (run.step - start) * sets.loader.batch_size
        return Outcome(folder, finished, record.total_seconds, images / max(record.total_seconds, 1e-9))
    finally:
        record.close()


def _config_of(folder: Path) -> Path:
    """The resolved config of a run folder."""
    for path in (folder / "config.yml", *sorted(folder.glob("*.yml"))):
        if path.is_file() and path.name != "config_given.yml":
            return path
    raise UserError(f"{folder}: is no run folder, it has no config.yml")


def wait_until(text: str | None) -> None:
    """Sleep until a time written as 2022-04-22-03-17-05; a time that has passed is no wait.

    Raises:
        UserError: the text is no such time.
    """
    if not text:
        return
    try:
        start: Any = datetime.strptime(text, "%Y-%m-%d-%H-%M-%S")
    except ValueError:
        raise UserError(f"--start_time {text}: write it as 2022-04-22-03-17-05") from None
    seconds = (start - datetime.now()).total_seconds()
    if seconds > 0:
        print(f"waiting until {start:%Y-%m-%d %H:%M:%S} ({seconds:,.0f} s)", flush=True)
        time.sleep(seconds)
