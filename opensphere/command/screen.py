"""What the commands show while one waits, and the tables that they print and write."""

import csv
import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from opensphere import storage
from opensphere.dataset.reader import watched

Rows = list[dict[str, Any]]  # a table: the same keys in each row, in the order of the columns


def make_console(quiet: bool = False) -> Console:
    """A console; where the output is no terminal, wide enough for our tables."""
    console = Console(quiet=quiet, highlight=False)
    if not console.is_terminal:
        console.width = 120
    return console


def bar(console: Console) -> Progress:
    """A progress bar with the time left, gone when it is done; nothing where the output is no terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def opening(console: Console) -> Iterator[None]:
    """A bar for each data set that is opened inside for the first time, if it is large."""
    with bar(console) as progress:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = progress.add_task(f"read {name}", total=None)
            progress.update(tasks[name], completed=done, total=total or None)

        with watched(show):
            yield


def load_images(datasets: Sequence[Any], console: Console) -> None:
    """Bring the images of those sets that live there into memory, before anything waits for them."""
    kept = [dataset for dataset in datasets if dataset.in_memory]
    began = time.perf_counter()
    with bar(console) as progress:
        for dataset in kept:
            task = progress.add_task(f"read {dataset.name}", total=None)
            dataset.load(lambda done, total: progress.update(task, completed=done, total=total))  # noqa: B023
    seconds = time.perf_counter() - began
    if seconds > 2:
        count = sum(len(dataset) for dataset in kept)
        console.print(f"{count:,} images brought into memory in {seconds:.1f} s", highlight=False)


def write_tables(folder: Path, name: str, title: str, rows: Rows, **more: Any) -> None:
    """Write a table as `<folder>/<name>.txt`, `.csv` and `.json`; `more` goes into the JSON beside its rows."""
    text = Console(file=io.StringIO(), width=10_000)
    text.print(render_table(title, rows))
    lines = [line.rstrip() for line in text.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    storage.write_text(folder / f"{name}.txt", "\n".join(lines) + "\n")
    table = io.StringIO()
    writer = csv.DictWriter(table, list(rows[-1]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    storage.write_text(folder / f"{name}.csv", table.getvalue())
    storage.write_text(folder / f"{name}.json", json.dumps({**more, "rows": rows}, indent=2, ensure_ascii=False) + "\n")


def print_table(console: Console, title: str, rows: Rows) -> None:
    """Print a table; where it is wider than the screen, lying on its side."""
    upright = render_table(title, rows)
    unbound = console.options.update(max_width=10_000)  # else a table promises to fit any width
    wide = console.measure(upright, options=unbound).maximum > console.width
    console.print(render_table(title, rows, turned=True) if wide else upright)


def render_table(title: str, rows: Rows, turned: bool = False) -> Table:
    """A table for a terminal or a text file; a column `X SE` is shown as ± behind the values of X.

    Args:
        turned: rows become columns.
    """
    keys = [key for key in rows[-1] if not (key.endswith(" SE") and key[:-3] in rows[-1])]
    cells = [[Text(_cell(row, key)) for key in keys] for row in rows]
    table = Table(title=Text(title), title_justify="left", box=SIMPLE_HEAD)
    if turned:
        heads = [Text(""), *(row[0] for row in cells)]
        lines = [[Text(key), *column] for key, column in list(zip(keys, zip(*cells, strict=True), strict=True))[1:]]
    else:
        heads, lines = [Text(key.replace("=", "\n")) for key in keys], cells
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number else "left", no_wrap=True)
    for line in lines:
        table.add_row(*line)
    return table


def _cell(row: dict[str, Any], key: str) -> str:
    value = row.get(key, "")
    text = f"{value:.2f}" if isinstance(value, float) else str(value)
    return f"{text} ± {row[key + ' SE']:.2f}" if f"{key} SE" in row else text
