"""How fast images arrive, beside the decoder alone and beside a loader as most projects have it.

    make bench-data         # a quarter of an hour: images from files, .rec and shards, then ten million of them

All figures are images a second of 112 x 112 JPEGs of about 4.6 KB, from a warm page cache. Each case is timed in turn
with the decoder, on as many threads and from memory or from files as the case is, and with the usual loader; the
medians of the ratios are told. An epoch of the usual loader begins with the start of its processes, as each does.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from machine import machine
from rich.console import Console
from rich.table import Table
from torch.utils.data import DataLoader, Dataset

from opensphere.dataset import ClassDataset, SyntheticFaces
from opensphere.dataset.annotation import write_list
from opensphere.dataset.augment import Augment, normalise
from opensphere.dataset.loader import TrainBatches
from opensphere.dataset.reader.files import read_bytes
from opensphere.dataset.reader.record import write_records
from opensphere.dataset.reader.shard import write_shards
from opensphere.dataset.sampler import GlobalBatches, Plan

RESULT = Path(__file__).parent / "results" / "data.json"
BATCH = 128
PEOPLE, IMAGES = 320, 20  # a whole number of batches


# ------------------------------------------------------------------------------------------------ material


def make_material(folder: Path) -> None:
    """The same images as files with a list, as .rec and as shards."""
    faces = SyntheticFaces(people=PEOPLE, images=IMAGES, image_size=112)
    rows = []
    for index in range(len(faces)):
        name = faces.names[faces.labels[index]]
        pixels = cv2.cvtColor(faces.read(index), cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 93])[1].tobytes()
        rows.append((f"{name}/{index % IMAGES:02d}.jpg", name, data))
        path = folder / "images" / rows[-1][0]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    write_list(folder / "list.txt", [row[:2] for row in rows])
    write_records(folder / "faces.rec", rows)
    write_shards(folder / "shards", rows, images_per_shard=1000)


def open_sets(folder: Path) -> dict[str, ClassDataset]:
    """The three ways to the same images."""
    return {
        "files": ClassDataset("files", folder / "images", folder / "list.txt"),
        ".rec": ClassDataset("records", folder / "faces.rec"),
        "shards": ClassDataset("shards", folder / "shards"),
    }


# ------------------------------------------------------------------------------------------------ what is compared


def on_threads(work: Callable[[int], Any], count: int, threads: int) -> None:
    """Do the work of each index, on one thread or several."""
    if threads == 1:
        for index in range(count):
            work(index)
        return
    pieces = [range(first, min(count, first + 64)) for first in range(0, count, 64)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda piece: [work(index) for index in piece] and None, pieces))


class UsualDataset(Dataset):
    """One float image at a time, as most projects have it."""

    def __init__(self, paths: list[str], labels: list[int]):
        self.paths, self.labels = paths, labels

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = cv2.cvtColor(cv2.imread(self.paths[index]), cv2.COLOR_BGR2RGB)
        if np.random.random() > 0.5:
            image = np.fliplr(image)
        image = (image.transpose(2, 0, 1).astype(np.float32) - 127.5) / 127.5
        return torch.from_numpy(np.ascontiguousarray(image)), self.labels[index]


def usual(dataset: ClassDataset, workers: int) -> None:
    """An epoch of the usual loader."""
    reader: Any = dataset.reader
    paths = [reader.full_path(index) for index in range(len(dataset))]
    items = UsualDataset(paths, dataset.labels.tolist())
    for _ in DataLoader(items, BATCH, shuffle=True, drop_last=True, num_workers=workers):
        pass


def ours(dataset: ClassDataset, threads: int, change: Callable[..., Any] | None = None) -> None:
    """An epoch of ours; `change` is what is done to a batch on its device."""
    sampler = GlobalBatches(len(dataset), Plan(BATCH, stop_step=len(dataset) // BATCH))
    for images, index in TrainBatches(dataset, sampler, threads):
        if change:
            change(images, index)


def mirrored(images: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    """What the usual loader does to its images."""
    return Augment()(images, index, 0, 0)


# ------------------------------------------------------------------------------------------------ measuring


def rate(work: Callable[[], None], images: int) -> float:
    """Images a second."""
    start = time.perf_counter()
    work()
    return images / (time.perf_counter() - start)


def measure(folder: Path, rounds: int) -> dict[str, Any]:
    """All cases, each in turn with the decoder, on as many threads and from the same place, and the usual loader."""
    sets = open_sets(folder)
    files: Any = sets["files"].reader
    count = len(sets["files"])
    paths = [files.full_path(index) for index in range(count)]
    kept = [np.frombuffer(read_bytes(path), np.uint8) for path in paths]

    def decode_kept(index: int) -> None:
        cv2.imdecode(kept[index], cv2.IMREAD_COLOR)

    def decode_file(index: int) -> None:
        cv2.imdecode(np.fromfile(paths[index], np.uint8), cv2.IMREAD_COLOR)

    # name -> (what is decoded for comparison, threads, the work)
    cases: dict[str, tuple[Callable[[int], None], int, Callable[[], None]]] = {}
    for threads in (1, 2):
        on = f"{threads} thread{'s' * (threads > 1)}"
        for place, decode in (("memory", decode_kept), ("files", decode_file)):
            cases[f"decoder alone, {place}, {on}"] = decode, threads, partial(on_threads, decode, count, threads)
    cases["usual loader, files, 2 processes"] = decode_file, 2, partial(usual, sets["files"], 2)
    for name, dataset in sets.items():
        decode = decode_file if name == "files" else decode_kept
        for threads in (1, 2):
            on = f"{threads} thread{'s' * (threads > 1)}"
            cases[f"from {name}, {on}"] = decode, threads, partial(ours, dataset, threads)
    for name, change in (("normalised", lambda images, index: normalise(images)), ("and mirrored", mirrored)):
        cases[f"from files, 2 threads, {name}"] = decode_file, 2, partial(ours, sets["files"], 2, change)
    found: dict[str, Any] = {}
    for name, (decode, threads, work) in cases.items():
        rates, ratios, against = [], [], []
        for _ in range(rounds):
            limit = rate(partial(on_threads, decode, count, threads), count)
            other = rate(partial(usual, sets["files"], 2), count)
            rates.append(rate(work, count))
            ratios.append(rates[-1] / limit)
            against.append(rates[-1] / other)
        found[name] = {
            "images_per_second": round(statistics.median(rates)),
            "of_the_decoder": round(statistics.median(ratios), 3),
            "times_the_usual": round(statistics.median(against), 2),
        }
    return {"bytes_of_an_image": round(sum(map(len, kept)) / count), "cases": found}


# ------------------------------------------------------------------------------------------------ ten million


def write_many(folder: Path, count: int) -> None:
    """A list and a .rec of so many images: tiny ones, since it is the index that is measured."""
    tiny = cv2.imencode(".png", np.zeros((1, 1, 3), np.uint8))[1].tobytes()
    (folder / "images").mkdir()
    for number in range(1000):
        (folder / f"images/{number:03d}.png").write_bytes(tiny)
    with open(folder / "list.txt", "w") as file:
        for first in range(0, count, 100_000):
            numbers = range(first, min(count, first + 100_000))
            file.write("".join(f"{number % 1000:03d}.png person_{number // 20:07d}\n" for number in numbers))
    rows = (
        (f"person_{number // 20:07d}/{number % 20}.png", f"person_{number // 20:07d}", tiny) for number in range(count)
    )
    write_records(folder / "many.rec", rows)


def first_batch(kind: str, folder: Path) -> dict[str, float]:
    """Seconds from nothing to the first batch of a shuffled epoch, imports left out, and the most memory taken."""
    start = time.perf_counter()
    words = (folder / "many.rec",) if kind == ".rec" else (folder / "images", folder / "list.txt")
    dataset = ClassDataset("many", *words)
    next(iter(TrainBatches(dataset, GlobalBatches(len(dataset), Plan(BATCH, stop_step=1)), 2)))
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "images": len(dataset),
        "people": dataset.num_class,
        "seconds": round(seconds, 2),
        "gb": round(peak / 1e9, 2),
    }


def measure_many(folder: Path, console: Console) -> dict[str, Any]:
    """The first opening, which builds what is kept beside the data, and the second."""
    found: dict[str, Any] = {}
    for kind in ("list", ".rec"):
        for opening in ("first", "second"):
            words = [sys.executable, __file__, "--first-batch", kind, "--folder", str(folder)]
            done = subprocess.run(words, capture_output=True, text=True, check=True)
            found[f"{kind}, {opening} opening"] = json.loads(done.stdout)
            console.print(f"{kind}, {opening} opening: {done.stdout.strip()}", highlight=False)
    return found


# ------------------------------------------------------------------------------------------------ telling


def table(found: dict[str, Any]) -> Table:
    """The rates."""
    result = Table(title=f"112 x 112 JPEGs of {found['bytes_of_an_image']:,} bytes", title_justify="left")
    result.add_column("")
    for column in ("images/s", "of the decoder", "times the usual"):
        result.add_column(column, justify="right")
    for name, case in found["cases"].items():
        cells = (f"{case['images_per_second']:,}", f"{case['of_the_decoder']:.0%}", f"{case['times_the_usual']:.2f}")
        result.add_row(name, *cells)
    return result


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each case is timed")
    parser.add_argument("--many", type=int, default=10_000_000, help="images of the large index; 0 leaves it out")
    parser.add_argument("--first-batch", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.first_batch:
        print(json.dumps(first_batch(given.first_batch, given.folder)))
        return
    cv2.setNumThreads(1)
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "rates").mkdir()
        with console.status("drawing faces"):
            make_material(folder / "rates")
        with console.status("timing"):
            found = measure(folder / "rates", given.rounds)
        console.print(table(found))
        if given.many:
            (folder / "many").mkdir()
            with console.status(f"writing {given.many:,} images"):
                write_many(folder / "many", given.many)
            found["many"] = measure_many(folder / "many", console)
    if given.many:
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps({"machine": machine(), **found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
