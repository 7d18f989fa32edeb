"""`opensphere test`: the tables of one or more run folders on the sets of a test config."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from opensphere import config as cfg
from opensphere import protocol
from opensphere.command.screen import Rows, bar, load_images, make_console, opening, print_table, write_tables
from opensphere.command.train import parse_time, wait_until
from opensphere.engine.checkpoint import find_weights, load_weights, read_weights
from opensphere.engine.extract import extract
from opensphere.engine.folder import find_config
from opensphere.engine.parallel import World, launch, pick_precision
from opensphere.error import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `test`."""
    parser.add_argument("--config", metavar="FILE", required=True, help="such as config/test/lfw.yml")
    about = "run folders: what train made, or a run of OpenSphere"
    names = ("--proj_dir", "--proj_dirs", "--list")
    parser.add_argument(*names, dest="proj_dirs", nargs="+", action="extend", metavar="DIR", required=True, help=about)
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
    folders = [Path(word) for word in arguments.proj_dirs if word not in words]
    config = cfg.load(arguments.config, [*arguments.overrides, *words])
    resolved = cfg.check_test(config, arguments.config)
    for folder in folders:
        read_run(folder)
    _, parallel = cfg.settings(resolved)
    wait_until(start)
    launch(worker, parallel, resolved, folders)
    return 0


def worker(world: World, resolved: cfg.Config, folders: list[Path]) -> None:
    """One process of a test; the first writes the tables."""
    console = make_console(quiet=world.rank > 0)
    for folder in folders:
        for dataset, rows in test_folder(folder, resolved, world, console):
            title = f"{folder.name} on {dataset.name}"
            write_tables(folder, dataset.name, title, rows, dataset=dataset.name)
            print_table(console, title, rows)
            console.print(f"written: {folder / dataset.name}.txt, .csv, .json", markup=False, soft_wrap=True)


def test_folder(folder: Path, resolved: cfg.Config, world: World, console: Console) -> Any:
    """Test the checkpoints of one run folder; yields (data set, rows) on the first rank, the average as the last row.

    Raises:
        UserError: the folder is no run, or its weights do not fit its config.
    """
    net, view, weights = read_run(folder)
    backbone = cfg.build_backbone(**net).to(world.device)
    view["image_size"] = list(backbone.input_size)  # type: ignore[arg-type]
    dtype = pick_precision(resolved["project"]["precision"], world.device)
    for block in resolved["data"]["test"]:
        with opening(console):
            dataset = cfg.build_dataset(cfg.with_view(block["dataset"], view))
        if tuple(dataset.image_size) != tuple(backbone.input_size):  # type: ignore[arg-type]
            raise UserError(
                f"{folder}: its network takes images of {backbone.input_size}, but {dataset.name} gives "
                f"{dataset.image_size}: leave image_size out of the test config"
            )
        protocol.check(dataset)
        load_images([dataset], console)
        loader = block["dataloader"]
        rows: Rows = []
        with bar(console) as progress:
            task = progress.add_task(dataset.name, total=len(dataset) * len(weights))
            for step, path in weights.items():
                load_weights(backbone, read_weights(path), path)
                features = extract(
                    backbone, dataset, world, max(1, loader["batch_size"] // world.size), loader["num_workers"], dtype,
                    lambda count: progress.advance(task, count),  # noqa: B023  called before the next turn
                )  # fmt: skip
                if world.rank == 0:
                    rows.append({"Iter": str(step), **protocol.evaluate(dataset, features)})
        if world.rank == 0:
            yield dataset, [*rows, average_row(rows)]


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
    """The mean over checkpoints of each metric."""
    return {"Iter": "average", **{key: float(np.mean([row[key] for row in rows])) for key in rows[0] if key != "Iter"}}
