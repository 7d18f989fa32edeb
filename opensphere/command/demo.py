"""`opensphere demo`: several losses on the same images, from the same initial weights, in the same order; one table."""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from opensphere import config as cfg
from opensphere import protocol
from opensphere.command import train
from opensphere.command.build import Sets, build_sets
from opensphere.command.comparing import Results, show_comparisons
from opensphere.command.evidence import write_evidence
from opensphere.command.report import offer_page
from opensphere.command.screen import Rows, load_images, make_console, print_table, write_tables
from opensphere.command.test import write_results
from opensphere.compare.plan import Cell, Plan
from opensphere.compare.reading import read_plan
from opensphere.dataset.augment import normalise
from opensphere.engine.checkpoint import find_weights, load_weights, read_weights
from opensphere.engine.extract import extract
from opensphere.engine.folder import make_run_folder, versions
from opensphere.engine.parallel import World, launch, own_device
from opensphere.engine.settings import DataLoader
from opensphere.error import UserError
from opensphere.interrupt import Requests, leave
from opensphere.metric.estimate import Estimate
from opensphere.protocol.measurement import Measurement

# what a study has for `compare`, and a demo does not do
_OF_STUDIES = ("vary", "seeds", "tune", "baseline", "metric")
TITLE = "Losses under identical conditions"
RESAMPLES = 1000  # of the people, for intervals


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `demo`."""
    parser.add_argument(
        "--config", metavar="FILE", default="config/demo/demo.yml", help="base, test and heads (%(default)s)"
    )
    parser.add_argument("--proj_dir", metavar="DIR", default="project/demo", help="where its folder goes (%(default)s)")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="for the base config: project.max_iters=200")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status.

    Raises:
        UserError: a config cannot be used.
    """
    console = make_console()
    began = time.perf_counter()
    path = Path(arguments.config)
    plan = read_plan(path, arguments.overrides, least=1)
    refuse_studies(plan, path)
    device = own_device()
    plan.settle_precision(device)
    cells = plan.cells({arm.name: arm.points[0] for arm in plan.arms})
    first = cells[0].resolved
    refuse_other_data(cells, path)
    sets = build_sets(first, plan.origin)
    view = cfg.view_of(first["data"]["train"]["dataset"])
    tests = [cfg.build_dataset(cfg.with_view(block["dataset"], view)) for block in plan.test["data"]["test"]]
    load_images([sets.train, *(dataset for dataset, _ in sets.val), *tests], console)

    folder = make_run_folder(arguments.proj_dir)
    rows: Rows = [{"model": "raw pixels", **columns(tests, measure(tests, [raw_pixels(dataset) for dataset in tests]))}]
    found: Results = {}
    for cell in cells:
        resolved = cell.resolved
        resolved["project"]["proj_dir"] = str(folder)
        loader = DataLoader(**resolved["data"]["train"]["dataloader"])
        with Requests(leave) as requests:
            outcome = train_one(resolved, replace(sets, loader=loader), plan.origin)
        if not outcome.finished or requests.asked:
            return train.INTERRUPTED
        if len(rows) == 1:
            untrained = measure(tests, features_of(None, resolved, tests))
            rows.append({"model": "untrained network", **columns(tests, untrained)})
        features = features_of(outcome.folder, resolved, tests)
        measured = measure(tests, features)
        step = resolved["project"]["max_iters"]
        for dataset, values, one in zip(tests, features, measured, strict=True):
            write_evidence(outcome.folder, dataset, values, step)
            table: Rows = [{"Iter": str(step), **one.estimates}]
            write_results(outcome.folder, dataset.name, f"{cell.arm} on {dataset.name}", table, one, RESAMPLES)
            found.setdefault(dataset.name, {})[outcome.folder] = one
        cost = {"seconds": round(outcome.seconds, 1), "images/s": round(outcome.images_per_second)}
        rows.append({"model": cell.arm, **columns(tests, measured), **cost, "folder": outcome.folder.name})
    write_tables(folder, "result", TITLE, rows, versions=versions())
    print_table(console, TITLE, rows)
    names = ", ".join(dataset.name for dataset in tests)
    console.print(
        f"in per cent, on people never seen in training ({names}): ten-fold accuracy ± standard error; "
        f"others with 95% intervals from {RESAMPLES:,} resamples of the people"
    )
    if len(cells) > 1:
        show_comparisons(found, folder, make_console(quiet=True), [arm.name for arm in plan.arms])
    offer_page([folder], console)
    console.print(f"{time.perf_counter() - began:,.0f} seconds in all; runs, logs and tables are in {folder}")
    return 0


def refuse_studies(plan: Plan, path: Path) -> None:
    """Raises UserError if a file asks for what `compare` does: here each head is trained once, on the same images."""
    asked = [key for key in _OF_STUDIES if key in cfg.load_plain(path)]
    asked += [f"heads.{number}.grid" for number, arm in enumerate(plan.arms) if arm.grid]
    if asked:
        raise UserError(
            f"{path}: {asked[0]}: the demo trains each head once; take it out, or run: opensphere compare {path}"
        )


def refuse_other_data(cells: list[Cell], path: Path) -> None:
    """Raises UserError if a head asks for images of its own; only how batches are made of them may differ."""

    def images(cell: Cell) -> Any:
        data = cell.resolved["data"]
        blocks = [data["train"], *([data["val"]] if isinstance(data["val"], dict) else data["val"])]
        return [{key: value for key, value in block.items() if key != "dataloader"} for block in blocks]

    if other := next((cell.arm for cell in cells if images(cell) != images(cells[0])), None):
        raise UserError(
            f"{path}: heads: {other}: its overrides change the images, which all heads of the demo share; put the "
            "change under `overrides` of the file"
        )


def train_one(resolved: cfg.Config, sets: Sets, origin: str) -> train.Outcome:
    """Train one head on the shared images, in this process."""
    _, parallel = cfg.settings(resolved)
    parallel.processes = 1
    parallel.device_ids = 0 if torch.cuda.is_available() else None
    return launch(train.worker, parallel, resolved, cfg.dump(resolved), origin, None, sets)


def features_of(folder: Path | None, resolved: cfg.Config, tests: list[Any]) -> list[np.ndarray]:
    """Features of the last weights in a run folder; without a folder, of the network as it was before training."""
    torch.manual_seed(resolved["project"]["seed"])
    backbone = cfg.build_backbone(**resolved["model"]["backbone"]["net"])
    if folder:
        path = list(find_weights(folder).values())[-1]
        load_weights(backbone, read_weights(path), path)
    else:
        settle_statistics(backbone, tests[0])
    return [extract(backbone, dataset, World(0, 1, torch.device("cpu")), 256) for dataset in tests]


def settle_statistics(backbone: torch.nn.Module, dataset: Any) -> None:
    """Let BatchNorm see images: a network that never did would look worse than untrained weights are."""
    images = torch.stack([dataset[index][0] for index in range(min(256, len(dataset)))])
    backbone.train()
    with torch.no_grad():
        for _ in range(20):
            backbone(normalise(images))


def raw_pixels(dataset: Any) -> np.ndarray:
    """The images themselves as features, (N, H*W*3), less their mean image."""
    pixels = np.stack([np.asarray(dataset[index][0]).reshape(-1) for index in range(len(dataset))]).astype(np.float32)
    return pixels - pixels.mean(axis=0)


def measure(tests: list[Any], features: list[np.ndarray]) -> list[Measurement]:
    """What each test set says of the features of its images."""
    return [protocol.measure(dataset, values, RESAMPLES) for dataset, values in zip(tests, features, strict=True)]


def columns(tests: list[Any], measured: list[Measurement]) -> dict[str, Estimate]:
    """The metrics of all test sets in a row; with several, their names stand before the columns."""
    found: dict[str, Estimate] = {}
    for dataset, one in zip(tests, measured, strict=True):
        prefix = f"{dataset.name} " if len(tests) > 1 else ""
        found.update({prefix + key: estimate for key, estimate in one.estimates.items()})
    return found
