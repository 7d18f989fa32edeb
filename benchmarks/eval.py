"""How fast templates of IJB-C's size are measured, beside the usual way: python benchmarks/eval.py (make bench-eval).

Features and lists are drawn (`ijbc.py`): 469,375 images in 23,124 templates, 15,658,489 pairs, 19,593 probes in two
galleries. `plain_ijb.py` is the usual way. Each case runs in a process of its own, so that its memory can be told: the
most that the process ever held, less the features. Then 10,000 probes are searched for in a million entries, beside the
bare product, which no exact search can do without, and beside faiss where it is installed (pip install faiss-cpu).
Figures go to results/eval.json.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import metadata, util
from pathlib import Path
from typing import Any

import numpy as np
from ijbc import SMALL, Size, make, paths
from machine import machine
from rich.console import Console
from rich.table import Table

RESULT = Path(__file__).parent / "results/eval.json"
RESAMPLES = 1000
FPRS = [f"1e-{digits}" for digits in (6, 5, 4, 3, 2, 1)]
SEED_COLUMNS = [f"TPR(seed)@FPR={fpr}" for fpr in FPRS] + ["top-1", "top-5", "top-10"]
SEED_COLUMNS += [f"TPIR(seed)@FPIR={fpir}" for fpir in ("1e-2", "1e-1")]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds, and what the work gives."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def most_memory() -> int:
    """The most bytes that this process has held."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return 1024 * int(text.split("VmHWM:")[1].split()[0])


# ------------------------------------------------------------------------- cases, each in a process of its own


def open_set(folder: Path, order: str, metrics: list[str] | None = None) -> Any:
    from opensphere.dataset.ijb import IJBDataset

    pairs = paths(folder)["random pairs"] if order == "random" else None
    dataset = IJBDataset("IJB-C's size", folder / "loose_crop", folder / "meta", metrics, pair_path=pairs)
    return dataset


def read_ours(folder: Path, order: str) -> dict[str, Any]:
    """All lists, and what is kept of them for the next time."""
    import opensphere.dataset.ijb  # noqa: F401 what is imported once a process is not timed

    seconds, dataset = timed(lambda: open_set(folder, order))
    return {"seconds": seconds, "pairs": len(dataset.is_same)}


def read_plainly(folder: Path, order: str) -> dict[str, Any]:
    import plain_ijb

    seconds, rows = timed(lambda: plain_ijb.read(paths(folder)))
    return {"seconds": seconds, "pairs": rows["pairs"]}


def table_ours(folder: Path, order: str, resamples: int = 0) -> dict[str, Any]:
    """The whole table, then, untimed, OpenSphere's own readings to be compared."""
    from opensphere import protocol

    dataset, features = open_set(folder, order), np.load(folder / "features.npy")
    seconds, row = timed(lambda: protocol.measure(dataset, features, resamples))
    memory = most_memory() - features.nbytes
    found: dict[str, Any] = {"seconds": seconds, "bytes": memory, "row": row.values()}
    if resamples:
        found["intervals"] = {name: estimate.interval() for name, estimate in row.estimates.items()}
    else:
        dataset.metrics = ["TPR(seed)@FPR", "top", "TPIR(seed)@FPIR"]
        found["seed row"] = protocol.evaluate(dataset, features)
    return found


def intervals_ours(folder: Path, order: str) -> dict[str, Any]:
    return table_ours(folder, order, RESAMPLES)


def table_plainly(folder: Path, order: str) -> dict[str, Any]:
    """Templates, 1:1 and 1:N in the usual way."""
    import plain_ijb

    arrays = dict(np.load(folder / "arrays.npz"))
    people, features = Size(**json.loads((folder / "size.json").read_text())).people, np.load(folder / "features.npy")
    if order == "random":
        arrays["pairs"], arrays["is_same"] = arrays["pairs"][arrays["order"]], arrays["is_same"][arrays["order"]]
    images = [arrays[name] for name in ("template", "media", "faceness")]
    averaging, templates = timed(lambda: plain_ijb.templates(features, *images))
    fprs = [float(fpr) for fpr in FPRS]
    one, tprs = timed(lambda: plain_ijb.one_to_one(templates, arrays["pairs"], arrays["is_same"], fprs))
    many, (tops, tpirs) = timed(lambda: plain_ijb.one_to_many(templates, arrays["person"], people, [0.01, 0.1]))
    row = dict(zip(SEED_COLUMNS, (100 * value for value in [*tprs, *tops, *tpirs]), strict=True))
    return {
        "seconds": averaging + one + many,
        "parts": {"templates": averaging, "1:1": one, "1:N": many},
        "bytes": most_memory() - features.nbytes,
        "seed row": row,
    }


def forget_most_memory() -> int:
    """Let `most_memory` begin anew, with what is held now, which is given back."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return most_memory()


def million(
    entries: int, probes: int, width: int, noise: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Probes, their people, a gallery of five entries a person, and their people."""
    rng = np.random.default_rng(0)
    gallery_person = np.arange(entries) % (entries // 5)
    centres = rng.standard_normal((entries // 5, width), np.float32)

    def near(person: np.ndarray) -> np.ndarray:
        made = np.empty((len(person), width), np.float32)
        for start in range(0, len(person), 1 << 14):
            rows = centres[person[start : start + (1 << 14)]]
            rows = rows + np.float32(noise) * rng.standard_normal(rows.shape, np.float32)
            made[start : start + len(rows)] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        return made

    gallery = near(gallery_person)
    probe_person = rng.integers(0, entries // 5, probes)
    return near(probe_person), probe_person, gallery, gallery_person


def search_million(entries: int, probes: int, width: int) -> dict[str, Any]:
    """Exact search, and the bare product over as many rows and columns as search holds at once, before and after."""
    from opensphere.metric import identification

    probe, probe_person, gallery, gallery_person = million(entries, probes, width, 2)
    rows, columns = identification._ROWS, identification._COLUMNS
    some, block = probe[:rows], np.empty((min(rows, probes), columns), np.float32)

    def product() -> None:
        for left in range(0, entries - columns + 1, columns):
            np.matmul(some, gallery[left : left + columns].T, out=block)

    work = 2e-9 * len(some) * width * (entries // columns) * columns
    before = timed(product)[0]
    held = forget_most_memory()
    seconds, found = timed(lambda: identification.search(probe, probe_person, gallery, gallery_person, 1000))
    memory = most_memory() - held
    after = timed(product)[0]
    limit = work / statistics.mean([before, after])
    reached = 2e-9 * probes * entries * width / seconds
    return {
        "entries": entries, "probes": probes, "seconds": seconds, "gflops": reached, "product_gflops": limit,
        "of_the_product": reached / limit, "extra_bytes": memory, "top-1": 100 * found.top(1),
    }  # fmt: skip


def roughly_million(entries: int, probes: int, width: int) -> dict[str, Any]:
    """Indices of faiss beside exact search for the ten nearest."""
    from opensphere.metric.nearest import index_roughly, nearest, recall

    probe, _, gallery, _ = million(entries, probes, width, 1)
    seconds, exact = timed(lambda: nearest(probe, gallery, 10)[0])
    found: dict[str, Any] = {"entries": entries, "probes": probes, "exact": {"search": seconds}}
    for kind in ("ivf", "hnsw"):
        building, index = timed(lambda kind=kind: index_roughly(gallery, kind))
        for effort in (16, 64, 256):
            seconds, rough = timed(lambda index=index, effort=effort: index.search(probe, 10, effort)[0])
            shares = {f"recall@{k}": recall(rough, exact, k) for k in (1, 10)}
            found[f"{kind}, effort {effort}"] = {"build": building, "search": seconds, **shares}
    return found


CASES: dict[str, Callable[[Path, str], dict[str, Any]]] = {
    "reading": read_ours,
    "usual reading": read_plainly,
    "table": table_ours,
    "usual table": table_plainly,
    "intervals": intervals_ours,
}


def run_case(name: str, folder: Path, order: str = "listed", numbers: tuple[int, ...] = ()) -> dict[str, Any]:
    """A case in a process of its own."""
    words = [sys.executable, __file__, "--case", name, "--folder", str(folder), "--order", order]
    words += ["--numbers", *map(str, numbers)] if numbers else []
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def answer(name: str, folder: Path, order: str, numbers: list[int]) -> dict[str, Any]:
    """What `run_case` asks this process for."""
    if name in ("search", "roughly"):
        entries, probes, width = numbers
        return (search_million if name == "search" else roughly_million)(entries, probes, width)
    found = CASES[name](folder, order)
    return {"bytes": most_memory(), **found}


# ------------------------------------------------------------------------------------------------ measuring


def measure(folder: Path, rounds: int, say: Callable[[str], Any]) -> dict[str, Any]:
    """Reading, tables in both orders of the pairs, intervals. Ours and the usual way in turn."""
    found: dict[str, Any] = {"usual reading": run_case("usual reading", folder)}
    for opening in ("first", "second"):
        say(f"reading, {opening} time")
        found[f"reading, {opening} time"] = run_case("reading", folder)
    run_case("reading", folder, "random")  # so that what follows finds both lists read
    for order in ("listed", "random"):
        say(f"tables, pairs in {order} order")
        mine, usual = [], []
        for _ in range(rounds):
            usual.append(run_case("usual table", folder, order))
            mine += [run_case("table", folder, order) for _ in range(3)]  # so short that a single one may mislead
        found[f"usual table, {order} order"] = middle(usual)
        found[f"table, {order} order"] = middle(mine)
    say(f"{RESAMPLES:,} resamples")
    found["intervals"] = run_case("intervals", folder)
    return found


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The run of the median time."""
    return sorted(runs, key=lambda run: run["seconds"])[(len(runs) - 1) // 2]


def ratios(found: dict[str, Any]) -> dict[str, float]:
    """How many times as long the usual way takes, and how far its readings are from ours, in per cent."""
    result = {
        name: found["usual reading"]["seconds"] / found[name]["seconds"]
        for name in ("reading, first time", "reading, second time")
    }
    for order in ("listed", "random"):
        mine, usual = found[f"table, {order} order"], found[f"usual table, {order} order"]
        result[f"table, {order} order"] = usual["seconds"] / mine["seconds"]
        away = [abs(usual["seed row"][name] - mine["seed row"][name]) for name in SEED_COLUMNS]
        result[f"largest difference of a reading, {order} order"] = max(away)
    return result


# -------------------------------------------------------------------------------------------------- telling


def table(found: dict[str, Any]) -> Table:
    """Seconds and memory beside the usual way."""
    result = Table(title="templates of IJB-C's size", title_justify="left")
    result.add_column("")
    for column in ("seconds", "memory", "usual way", "its memory", "times"):
        result.add_column(column, justify="right")
    beside = {
        "reading, first time": "usual reading",
        "reading, second time": "usual reading",
        "table, listed order": "usual table, listed order",
        "table, random order": "usual table, random order",
    }
    for name, other in beside.items():
        mine, usual = found["cases"][name], found["cases"][other]
        cells = [f"{run[what] / scale:.2f}{unit}" for run in (mine, usual) for what, scale, unit in _UNITS]
        result.add_row(name, *cells, f"{found['ratios'][name]:.1f}")
    run = found["cases"]["intervals"]
    result.add_row(f"with {RESAMPLES:,} resamples", *(f"{run[what] / scale:.2f}{unit}" for what, scale, unit in _UNITS))
    return result


_UNITS = (("seconds", 1, " s"), ("bytes", 1e9, " GB"))


def search_table(found: dict[str, Any]) -> Table:
    """Exact search beside the bare product, and faiss."""
    result = Table(title="search", title_justify="left")
    for column in ("", "entries", "probes", "build", "search", "recall@1", "recall@10", "of the product"):
        result.add_column(column, justify="left" if not column else "right")
    exact = found["search"]
    sizes = (f"{exact['entries']:,}", f"{exact['probes']:,}")
    result.add_row("exact", *sizes, "", f"{exact['seconds']:.1f} s", "1", "1", f"{exact['of_the_product']:.0%}")
    rough = found.get("faiss", {})
    for name, run in rough.items():
        if isinstance(run, dict):
            shares = [f"{run[share]:.3f}" if share in run else "1" for share in ("recall@1", "recall@10")]
            build = f"{run['build']:.1f} s" if "build" in run else ""
            result.add_row(
                name, f"{rough['entries']:,}", f"{rough['probes']:,}", build, f"{run['search']:.2f} s", *shares
            )
    return result


def versions() -> dict[str, str]:
    """Of what the figures rest on."""
    names = ("numpy", "scipy", "scikit-learn", "torch", "faiss-cpu")
    return {name: metadata.version(name) for name in names if util.find_spec(_MODULES.get(name, name))}


_MODULES = {"scikit-learn": "sklearn", "faiss-cpu": "faiss"}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true", help="a small set in seconds, to try the benchmark itself")
    parser.add_argument("--rounds", type=int, default=1, help="how often each table is timed; the middle one is told")
    parser.add_argument("--result", type=Path, default=RESULT, help="where the figures go")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--order", default="listed", help=argparse.SUPPRESS)
    parser.add_argument("--numbers", type=int, nargs=3, default=[], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.case:
        print(json.dumps(answer(given.case, given.folder, given.order, given.numbers)))
        return
    console = Console(width=120)
    with tempfile.TemporaryDirectory() as name, console.status("drawing features, writing lists") as status:
        folder = Path(name) / "ijbc"
        size = SMALL if given.small else Size()
        make(folder, size)
        cases = measure(folder, given.rounds, status.update)
        status.update("searching in a million")
        numbers = (20_000, 300, 64) if given.small else (1_000_000, 10_000, 512)
        found = {"cases": cases, "ratios": ratios(cases), "search": run_case("search", folder, numbers=numbers)}
        if util.find_spec("faiss"):
            status.update("searching roughly")
            numbers = (5_000, 300, 64) if given.small else (50_000, 10_000, 512)
            found["faiss"] = run_case("roughly", folder, numbers=numbers)
    console.print(table(found), search_table(found))
    found = {"machine": {**machine(), "load": os.getloadavg()[0]}, "versions": versions(), **found}
    given.result.parent.mkdir(exist_ok=True, parents=True)
    given.result.write_text(json.dumps(rounded(found), indent=1) + "\n")


def rounded(value: Any) -> Any:
    """Five figures are enough."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {name: rounded(part) for name, part in value.items()}
    return [rounded(part) for part in value] if isinstance(value, list | tuple) else value


if __name__ == "__main__":
    main()
