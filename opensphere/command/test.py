"""`opensphere test`: the tables of one or more run folders on the sets of a test config or of a known protocol."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from opensphere import collective, protocol
from opensphere import config as cfg
from opensphere.command import protocols
from opensphere.command.comparing import Results, show_comparisons
from opensphere.command.evidence import write_evidence
from opensphere.command.report import offer_page
from opensphere.command.screen import (
    Rows,
    bar,
    make_console,
    opening,
    print_table,
    reasons,
    write_tables,
)
from opensphere.command.train import parse_time, wait_until
from opensphere.engine.checkpoint import find_weights, load_weights, read_weights
from opensphere.engine.features import FeatureCache, features_of
from opensphere.engine.folder import find_config
from opensphere.engine.parallel import World, launch, pick_precision
from opensphere.engine.threshold import NAME as THRESHOLDS
from opensphere.error import UserError
from opensphere.metric.estimate import CONFIDENCE, mean
from opensphere.protocol.measurement import Measurement

# files of runs, of runs of a study and of points of its grids, which a table would replace or be taken for
_TAKEN = ("versions.json", THRESHOLDS, "config.yml", "training_data.npz", "reproduction.txt", "error.txt")
_TAKEN_BY_STUDIES = ("outcome.json", "estimates.npz", "score.json", "study.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `test`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", metavar="FILE", help="such as config/test/lfw.yml")
    what.add_argument("--protocol", metavar="NAME", help=f"one of {', '.join(protocols.NAMES)}")
    what.add_argument("--folder", metavar="DIR", help="your own folder of people, from which pairs are drawn")
    about = "run folders: what train made, or a run of OpenSphere"
    names = ("--proj_dir", "--proj_dirs", "--list")
    parser.add_argument(*names, dest="proj_dirs", nargs="+", action="extend", metavar="DIR", required=True, help=about)
    parser.add_argument("--data_dir", metavar="DIR", help="with --protocol: where its images are")
    parser.add_argument("--ann_path", metavar="FILE", help="with --protocol: its list of pairs, or its own file")
    parser.add_argument("--meta_dir", metavar="DIR", help="with --protocol ijbb or ijbc: the folder of its lists")
    parser.add_argument("--pairs", metavar="N", type=int, help="with --folder: how many to draw (all, at most 6000)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="fixes drawn pairs and resamples (0)")
    parser.add_argument(
        "--resamples", metavar="N", type=int, default=1000, help="of the people, for intervals; 0 for none (1000)"
    )
    parser.add_argument("--no-cache", action="store_true", help="keep no features in the run folders, and use none")
    parser.add_argument("--start_time", metavar="TIME", help="wait until then, as in 2022-04-22-03-17-05")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="as in data.test.0.dataset.data_dir=DIR")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status.

    Raises:
        UserError: the config, a run folder or the data do not allow it.
    """
    start = parse_time(arguments.start_time)
    # nargs="+" takes what follows the folders: an override is what holds a = and is no folder
    words = [word for word in arguments.proj_dirs if "=" in word and not Path(word).is_dir()]
    # a run that is named twice is measured once
    folders = [*{Path(word).resolve(): Path(word) for word in arguments.proj_dirs if word not in words}.values()]
    check_resampling(arguments.resamples, arguments.seed)
    resolved = read_config(arguments, [*arguments.overrides, *words])
    for folder in folders:
        read_run(folder)
    _, parallel = cfg.settings(resolved)
    wait_until(start)
    launch(worker, parallel, resolved, folders, arguments.resamples, arguments.seed, not arguments.no_cache)
    return 0


def check_resampling(resamples: int, seed: int = 0) -> None:
    """Raises UserError if `--resamples` or `--seed` are numbers that nothing can be drawn with."""
    if resamples < 0 or resamples == 1:
        raise UserError(f"--resamples {resamples}: give 0 for no intervals, or some hundreds")
    if not 0 <= seed < 1 << 64:
        raise UserError(f"--seed {seed}: give a whole number from 0, below 2^64")


def read_config(arguments: argparse.Namespace, overrides: list[str]) -> cfg.Config:
    """The resolved test config that the arguments ask for.

    Raises:
        UserError: it cannot be read, a protocol is unknown, or arguments do not belong together.
    """
    places = {key: getattr(arguments, key) for key in ("data_dir", "ann_path", "meta_dir")}
    given = [f"--{key}" for key, place in places.items() if place]
    if given and not arguments.protocol:
        raise UserError(f"{given[0]} belongs to --protocol; a config has data.test.0.dataset.{given[0][2:]}=...")
    if arguments.pairs is not None and not arguments.folder:
        raise UserError("--pairs belongs to --folder; a list has its own pairs")
    if arguments.config:
        return refuse_names(cfg.check_test(cfg.load(arguments.config, overrides), arguments.config))
    if arguments.protocol:
        block, origin = protocols.blocks(arguments.protocol, **places), f"--protocol {arguments.protocol}"
    else:
        block = protocols.folder(arguments.folder, arguments.pairs, arguments.seed)
        origin = f"--folder {arguments.folder}"
    return refuse_names(cfg.check_test(cfg.merge(block, overrides), origin))


def refuse_names(resolved: cfg.Config) -> cfg.Config:
    """Raises UserError if the table of a set would take the place of a file that a run folder has already."""
    taken = {Path(file).stem: file for file in _TAKEN + _TAKEN_BY_STUDIES}
    for number, block in enumerate(resolved["data"]["test"]):
        name = str(block["dataset"].get("name"))
        if name in taken:
            raise UserError(
                f"data.test.{number}.dataset.name: {name} is also the name of a file of a run, {taken[name]}, which "
                f"the table must not replace; add data.test.{number}.dataset.name=OTHER"
            )
    return resolved


def worker(
    world: World, resolved: cfg.Config, folders: list[Path], resamples: int = 0, seed: int = 0, cached: bool = True
) -> None:
    """One process of a test; the first writes the tables."""
    console = make_console(quiet=world.rank > 0)
    found: Results = {}
    for folder in folders:
        for dataset, rows, last in test_folder(folder, resolved, world, console, resamples, seed, cached):
            title = f"{folder.name} on {dataset.name}"
            notes = write_results(folder, dataset.name, title, rows, last, resamples)
            print_table(console, title, rows)
            for note in notes:
                console.print(note, markup=False)
            console.print(f"written: {folder / dataset.name}.txt, .csv, .json", markup=False, soft_wrap=True)
            average = {key: value for key, value in rows[-1].items() if key != "Iter"}
            found.setdefault(dataset.name, {})[folder] = Measurement(average, last.correct, last.facts)
    if world.rank == 0:
        if len(folders) > 1:
            show_comparisons(found, folders[0], console)
        offer_page(folders, console)


def write_results(folder: Path, name: str, title: str, rows: Rows, last: Measurement, resamples: int) -> list[str]:
    """Write the tables of a run on a set into its folder; returns the notes below them.

    Args:
        rows: of its checkpoints and their average.
        last: what was measured with the last checkpoint.
    """
    notes = [*legend(last, resamples), *reasons(rows)]
    about = {"dataset": name, "facts": last.facts, "resamples": resamples, "confidence": CONFIDENCE}
    write_tables(folder, name, title, rows, notes, **about)
    return notes


def test_folder(
    folder: Path,
    resolved: cfg.Config,
    world: World,
    console: Console,
    resamples: int,
    seed: int,
    cached: bool,
    evidence: bool = True,
    build: Callable[[cfg.Config], Any] = cfg.build_dataset,
) -> Iterator[tuple[Any, Rows, Measurement]]:
    """Test the checkpoints of one run folder.

    Args:
        evidence: whether to keep what the page shows beside the tables.
        build: makes a data set of its block; another keeps what several tests share.

    Yields on the first rank, for each set: the set, its rows with the average as the last one, and what was measured
    with the last checkpoint.

    Raises:
        UserError: the folder is no run, or its weights do not fit its config.
    """
    net, view, weights = read_run(folder)
    backbone = cfg.build_backbone(**net).to(world.device)
    view["image_size"] = list(backbone.input_size)  # type: ignore[arg-type]
    # the first rank's choice, where one is measured: all must make the same features
    dtype = collective.gather_objects(pick_precision(resolved["project"]["precision"], world.device))[0]
    for block in resolved["data"]["test"]:
        with opening(console):
            dataset = build(cfg.with_view(block["dataset"], view))
        if tuple(dataset.image_size) != tuple(backbone.input_size):  # type: ignore[arg-type]
            raise UserError(
                f"{folder}: its network takes images of {backbone.input_size}, but {dataset.name} gives "
                f"{dataset.image_size}: leave image_size out of the test config"
            )
        protocol.check(dataset)
        batch = max(1, block["dataloader"]["batch_size"] // world.size)
        workers = block["dataloader"]["num_workers"]
        rows: Rows = []
        with bar(console) as progress:
            task = progress.add_task(dataset.name, total=len(dataset) * len(weights))
            for step, path in weights.items():
                load_weights(backbone, read_weights(path), path)
                cache = FeatureCache(folder / "features", backbone, net, dtype) if cached else None
                features = features_of(
                    backbone, dataset, world, batch, workers, dtype,
                    lambda count: progress.advance(task, count), cache,  # noqa: B023  called before the next turn
                )  # fmt: skip
                if world.rank == 0:
                    last = protocol.measure(dataset, features, resamples, seed)
                    rows.append({"Iter": str(step), **last.estimates})
        if world.rank == 0:
            if evidence:
                write_evidence(folder, dataset, features, step, resamples, seed)
            yield dataset, [*rows, average_row(rows)], last


def read_run(folder: Path) -> tuple[cfg.Config, cfg.Config, dict[int, Path]]:
    """What is needed to test a run folder, ours or OpenSphere's, wherever it has been moved to.

    Returns:
        The network's block, how its training images were shown (`config.view_of`), and the weights.

    Raises:
        UserError: it is no run folder.
    """
    path = find_config(folder)
    config = cfg.load(path)
    try:
        net = dict(config["model"]["backbone"]["net"])
        cfg.check_net(net, f"{path}: model.backbone.net")
    except (KeyError, TypeError):
        raise UserError(f"{path}: has no model.backbone.net") from None
    saves = (config.get("project") or {}).get("save_iters")
    train = (config.get("data") or {}).get("train") or {}
    return net, cfg.view_of(train.get("dataset") or {}), find_weights(folder, saves)


def average_row(rows: Rows) -> dict[str, Any]:
    """The mean over checkpoints of each metric, resample by resample."""
    return {"Iter": "average", **{key: mean([row[key] for row in rows]) for key in rows[0] if key != "Iter"}}


def legend(measured: Measurement, resamples: int) -> list[str]:
    """How to read the uncertainty in a table."""
    lines = []
    if any(estimate.folds is not None for estimate in measured.estimates.values()):
        lines.append("±  standard error over the folds")
    if any(estimate.replicates is not None for estimate in measured.estimates.values()):
        people = f" of the {measured.facts['people']:,} people" if "people" in measured.facts else " of the people"
        lines.append(f"[ ]  {CONFIDENCE:.0%} interval from {resamples:,} resamples{people}")
    return lines
