"""`opensphere train`: one training from a config, or the rest of one that stopped."""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shlex import quote

import torch

from opensphere import collective
from opensphere import config as cfg
from opensphere.command.build import Sets, build_run, build_sets, validator
from opensphere.command.cost import print_cost
from opensphere.command.screen import load_images, make_console, opening
from opensphere.command.training_data import write_training_data
from opensphere.config import aside
from opensphere.engine import checkpoint, loop
from opensphere.engine.convergence import Convergence, loss_of_guessing
from opensphere.engine.folder import GIVEN, describe_run, find_config, given_text, make_run_folder
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


# What may change when a run goes on: how long, how often, on which machine, how classes are held, from which folder.
RESUMABLE = (
    "project.max_iters",
    "project.save_iters",
    "project.val_intvl",
    "project.checkpoint_intvl",
    "project.train_log",
    "project.val_log",
    "parallel.",
    "model.head.classifier",
)
RESUMABLE_ENDS = tuple(f".{key}" for key in (*aside.LOADER, *aside.DATASET, *aside.PLACES))


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status.

    Raises:
        UserError: the config, the data or the machine do not allow it.
    """
    if bool(arguments.config) == bool(arguments.resume):
        raise UserError("train: give either --config FILE for a new run or --resume FOLDER to go on with one")
    start = parse_time(arguments.start_time)
    folder = Path(arguments.resume) if arguments.resume else None
    overrides = list(arguments.overrides)
    if folder:
        _check_resumable(overrides, arguments.proj_dir)
    elif arguments.proj_dir:
        overrides.append(f"project.proj_dir={json.dumps(arguments.proj_dir)}")
    source = find_config(folder) if folder else Path(arguments.config)
    resolved = cfg.check_train(cfg.load(source, overrides), str(source))
    if arguments.dry_run:
        print_cost(resolved, str(source))
        return 0
    given = given_text(folder / GIVEN if folder and (folder / GIVEN).is_file() else source, overrides)
    _, parallel = cfg.settings(resolved)
    wait_until(start)
    outcome = launch(worker, parallel, resolved, given, str(source), folder)
    return 0 if outcome is None or outcome.finished else INTERRUPTED


def _check_resumable(overrides: list[str], proj_dir: str | None) -> None:
    changed = [text.partition("=")[0] for text in overrides] + ["project.proj_dir"] * bool(proj_dir)
    for key in changed:
        if not key.startswith(RESUMABLE) and not key.endswith(RESUMABLE_ENDS):
            raise UserError(
                f"{key}: a run that goes on keeps what it learns by; to change it, start a new run "
                "(model.backbone.pretrained=FOLDER/models/backbone_N.pth begins with these weights)"
            )


def worker(
    world: World,
    resolved: cfg.Config,
    given: str,
    origin: str,
    folder: Path | None,
    sets: Sets | None = None,
    place: Path | None = None,
) -> Outcome:
    """One process of a training.

    Args:
        folder: of the run to resume; None makes a new one.
        sets: the data, where it is there already.
        place: the folder of a new run that is one of many, which then says no more than its bar; None: by the time.
    """
    project, _ = cfg.settings(resolved)
    if sets is None:
        console = make_console(quiet=world.rank > 0)
        if world.rank > 0:
            collective.barrier()  # what the first process finds out of large data, it keeps for the others
        with opening(console):
            sets = build_sets(resolved, origin)
        if world.rank == 0:
            collective.barrier()
        load_images([sets.train, *(dataset for dataset, _ in sets.val)], console)
    run = build_run(resolved, sets.train.num_class, world, origin)
    resuming = folder is not None
    if folder is not None:
        checkpoint.load_checkpoint(run, folder)
    stream = loop.batches_of(run, sets.train, sets.loader, sets.augment, project)
    if folder is None:
        made = (place or make_run_folder(project.proj_dir)) if world.rank == 0 else None
        folder = collective.gather_objects(made)[0]
    start = run.step
    facts = {"world_size": world.size, "device": str(world.device), "from_update": start}
    if world.rank == 0:
        describe_run(folder, given, cfg.dump(resolved), project.cfg_fname, facts)
        if not resuming:
            write_training_data(folder, sets, resolved["data"])
    record = Record(
        folder if world.rank == 0 else None,
        project,
        sets.loader.batch_size,
        start,
        title=resolved["model"]["head"]["net"]["type"],
        overflows=run.dtype == torch.float16,
        convergence=Convergence(
            stream.steps_per_epoch, resolved["model"], sets.train.num_class, loss_of_guessing(run.classifier)
        ),
        quiet=place is not None,
    )
    try:
        state = f"resuming after update {run.step}" if resuming else "training"
        for remark in (*sets.remarks, *([run.remark] if run.remark else [])):
            record.note(remark)
        where = f"{world.size} x {world.device}, {resolved['project']['precision']}"
        record.note(
            f"{state}: {len(sets.train):,} images of {sets.train.num_class:,} people, {project.max_iters:,} updates of "
            f"{sets.loader.batch_size} images, {where}, folder {folder}"
        )
        finished = loop.train(run, sets.train, stream, sets.augment, project, folder, validator(sets, record), record)
        broken = set().union(*collective.gather_objects(stream.broken.found))
        if broken:
            record.note(f"{len(broken):,} images could not be read; others took their place")
        if finished:
            record.note(f"finished after update {run.step}: {folder}")
        else:
            door = "python train.py" if Path("train.py").is_file() else "opensphere train"
            record.note(f"stopped after update {run.step}, saved; continue with: {door} --resume {quote(str(folder))}")
        collective.barrier()  # the end of one process ends the others: not before the first has saved
        if not finished and world.size > 1:
            sys.exit(INTERRUPTED)
        images = (run.step - start) * sets.loader.batch_size
        return Outcome(folder, finished, record.total_seconds, images / max(record.total_seconds, 1e-9))
    finally:
        record.close()


def parse_time(text: str | None) -> datetime | None:
    """The time written as 2022-04-22-03-17-05.

    Raises:
        UserError: the text is no such time.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%d-%H-%M-%S") if text else None
    except ValueError:
        raise UserError(f"--start_time {text}: write it as 2022-04-22-03-17-05") from None


def wait_until(start: datetime | None) -> None:
    """Sleep until then; a time that has passed is no wait."""
    seconds = (start - datetime.now()).total_seconds() if start else 0
    if seconds > 0:
        print(f"waiting until {start:%Y-%m-%d %H:%M:%S} ({seconds:,.0f} s)", flush=True)
        time.sleep(seconds)
