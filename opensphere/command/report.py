"""`opensphere report`: one HTML page of runs, their tests and how they compare, or of a comparison over seeds."""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from opensphere import storage
from opensphere.command.screen import bar, make_console
from opensphere.error import UserError
from opensphere.report.results import Results, read_results
from opensphere.report.run import Run
from opensphere.report.study.spheres import exact_samples

CLASSES = 2000  # of a head that are looked at, evenly chosen
_WATCHED = ("*.json", "*.jsonl", "*.npz", "*.yml")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `report`."""
    parser.add_argument(
        "folders", nargs="+", metavar="FOLDER",
        help="folders of runs or of comparisons over seeds, or folders that hold such folders",
    )  # fmt: skip
    parser.add_argument("--out", metavar="FILE", help="where the page goes (report.html in the first folder)")
    parser.add_argument("--figures", metavar="DIR", help="also write each figure there, as .svg, .png and .pdf")
    parser.add_argument(
        "--watch", nargs="?", type=int, const=10, metavar="SECONDS",
        help="look for new results every so many seconds (10) and write the page anew, until Ctrl-C",
    )  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status.

    Raises:
        UserError: a folder holds no run, a file cannot be written, or what draws pages is not installed.
    """
    folders = [Path(folder) for folder in arguments.folders]
    if arguments.watch is not None and arguments.watch < 1:
        raise UserError(f"--watch {arguments.watch}: give 1 second or more")
    out = Path(arguments.out) if arguments.out else folders[0] / "report.html"
    if out.is_dir():
        raise UserError(f"--out {out}: is a folder; name a file, such as {out / 'report.html'}")
    console = make_console()
    parts = write_page(folders, out, arguments.watch or 0)
    console.print(f"written: {out} ({out.stat().st_size / 1e6:.1f} MB)", markup=False, soft_wrap=True)
    if arguments.figures:
        from opensphere.report.files import write_figures

        with bar(console) as progress:
            figures = progress.track(parts.drawings, description="draw")
            written = write_figures(figures, Path(arguments.figures))
        console.print(f"written: {len(written)} files in {arguments.figures}", markup=False, soft_wrap=True)
    if arguments.watch:
        console.print("watching for new results; Ctrl-C ends", markup=False)
        watch(folders, out, arguments.watch)
    return 0


def write_page(folders: list[Path], out: Path, refresh: int = 0) -> Any:
    """Read the results and write the page; returns its parts. Raises UserError as `run`."""
    try:
        from opensphere.report import page
    except ModuleNotFoundError as error:
        if error.name not in ("plotly", "jinja2"):
            raise
        raise UserError(f"a page needs {error.name}: pip install 'opensphere[report]'") from None
    results = read_results(folders)
    _read_heads(results)
    html, parts = page.fit(results, refresh)
    storage.write_text(out, html)
    return parts


def offer_page(folders: list[Path], console: Console) -> None:
    """Write `report.html` into the first folder at the end of another command; where that cannot be, say why."""
    path = folders[0] / "report.html"
    try:
        write_page(folders, path)
        console.print(f"the page of these results: {path}", markup=False, soft_wrap=True)
    except UserError as error:
        console.print(f"no page was written: {error}", markup=False, soft_wrap=True)


def watch(folders: list[Path], out: Path, seconds: int) -> None:
    """Write the page anew whenever a result has changed; on Ctrl-C once more, as one that stays as it is."""
    known = _stamps(folders)
    try:
        while True:
            time.sleep(seconds)
            found = _stamps(folders)
            if found != known:
                known = found
                write_page(folders, out, seconds)
    except KeyboardInterrupt:
        write_page(folders, out)


def _stamps(folders: list[Path]) -> dict[Path, int]:
    """When each result was last changed."""
    found = {}
    for folder in folders:
        for pattern in _WATCHED:
            for path in [*folder.glob(pattern), *folder.glob(f"*/{pattern}"), *folder.glob(f"runs/*/{pattern}")]:
                try:
                    found[path] = path.stat().st_mtime_ns
                except OSError:  # replaced at this moment
                    continue
    return found


def _read_heads(results: Results) -> None:
    """The directions of classes from the last head that each run kept, where it kept any; of the runs of comparisons,
    for those whose features are drawn."""
    drawn = [sample.run for study in results.studies for sample in exact_samples(study)]
    for one in [*results.runs, *drawn]:
        paths = {path: _step(path) for path in one.folder.glob("models/head_*") if _step(path) >= 0}
        if not paths:
            continue
        try:
            one.head = _directions(max(paths, key=lambda path: paths[path]), one)
        except UserError as error:
            one.problems.append(f"{error}.")


def _step(path: Path) -> int:
    """The number of updates that a head's name says; -1 where it is no name of a head."""
    number = path.stem.removeprefix("head_")
    return int(number) if path.suffix in (".pth", ".safetensors") and number.isdecimal() else -1


def _directions(path: Path, one: Run) -> np.ndarray | None:
    """(C, D) float32, at most `CLASSES` of the classes; None where the head has no matrix of classes."""
    from opensphere.engine.checkpoint import read_weights  # torch takes seconds, and few pages need it

    dimensions = one.get("model.head.net.feat_dim") or one.get("model.backbone.net.out_channel")
    for name, value in read_weights(path).items():
        if name.split(".")[-1] != "w" or getattr(value, "ndim", 0) != 2 or dimensions not in value.shape:
            continue
        classes = value.T if value.shape[0] == dimensions else value
        step = max(1, -(-len(classes) // CLASSES))
        return classes[::step].float().numpy()
    return None
