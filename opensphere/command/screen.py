"""What the commands show while one waits, and the tables that they print and write."""

import csv
import io
import json
import math
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
from opensphere.metric.estimate import Estimate

# a table: the same keys in each row, in the order of the columns; values are text, numbers or estimates
Rows = list[dict[str, Any]]


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


def write_tables(folder: Path, name: str, title: str, rows: Rows, notes: Sequence[str] = (), **more: Any) -> None:
    """Write a table as `<folder>/<name>.txt`, `.csv` and `.json`.

    Args:
        notes: lines below the text.
        more: goes into the JSON beside its rows.

    The rows of the CSV and the JSON hold values; those of the CSV also `X low` and `X high`, the ends of the interval
    of X. The JSON has `uncertainty` for that: a row for each row, with low, high, the standard error, the reason why
    there is no value, and the values fold by fold.
    """
    storage.write_text(folder / f"{name}.txt", "\n".join([table_text(title, rows), *notes]) + "\n")
    table = io.StringIO()
    flat = [_with_interval(row) for row in rows]
    # the fullest row first: where a value is not known in a row, the row may have no interval either
    heads = dict.fromkeys(key for row in sorted(flat, key=len, reverse=True) for key in row)
    writer = csv.DictWriter(table, list(heads), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    storage.write_text(folder / f"{name}.csv", table.getvalue())
    uncertain = [{key: _known(value) for key, value in row.items() if isinstance(value, Estimate)} for row in rows]
    uncertainty = {"uncertainty": uncertain} if any(uncertain) else {}
    values = [
        {key: value.value if isinstance(value, Estimate) else value for key, value in row.items()} for row in rows
    ]
    storage.write_text(folder / f"{name}.json", json_text({**more, "rows": values, **uncertainty}))


def table_text(title: str, rows: Rows) -> str:
    """A table as lines of text, as wide as it needs."""
    text = Console(file=io.StringIO(), width=10_000)
    text.print(render_table(title, rows))
    lines = text.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in lines)


def json_text(content: Any) -> str:
    """JSON for people and programs; numbers that are not known are null."""

    def known(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: known(child) for key, child in value.items()}
        if isinstance(value, list):
            return [known(child) for child in value]
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps(known(content), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def reasons(rows: Rows) -> list[str]:
    """Why there are dashes in a table, one line for each column that has one."""
    found = {key: value.why for row in rows for key, value in row.items() if isinstance(value, Estimate) and value.why}
    return [f"–  {key}: {why}" for key, why in found.items()]


def print_table(console: Console, title: str, rows: Rows) -> None:
    """Print a table; where it is wider than the screen, lying on its side, in as many parts as it takes."""
    upright = render_table(title, rows)
    if _fits(console, upright):
        console.print(upright)
        return
    start = 0
    while start < len(rows):
        stop = start + 1
        while stop < len(rows) and _fits(console, render_table(title, rows[start : stop + 1], turned=True)):
            stop += 1
        console.print(render_table(title, rows[start:stop], turned=True))
        start = stop


def _fits(console: Console, table: Table) -> bool:
    unbound = console.options.update(max_width=10_000)  # else a table promises to fit any width
    return console.measure(table, options=unbound).maximum <= console.width


def render_table(title: str, rows: Rows, turned: bool = False) -> Table:
    """A table for a terminal or a text file; a column `X SE` is shown as ± behind the values of X, if that is a number.

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
    if isinstance(value, Estimate):
        return _estimate_cell(value)
    if not isinstance(value, float):
        return str(value)
    text = "–" if math.isnan(value) else f"{value:.2f}"
    return f"{text} ± {row[key + ' SE']:.2f}" if f"{key} SE" in row else text


def _estimate_cell(estimate: Estimate) -> str:
    """The value with the standard error over folds, else with the ends of the interval, where there is one."""
    if math.isnan(estimate.value):
        return "–"
    text = f"{estimate.value:.2f}"
    if estimate.folds is not None:
        return f"{text} ± {estimate.error:.2f}"
    low, high = estimate.interval()
    return text if math.isnan(low) else f"{text} [{low:.2f}, {high:.2f}]"


def _with_interval(row: dict[str, Any]) -> dict[str, Any]:
    """A row for CSV: what is not known is empty."""
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if isinstance(value, Estimate):
            flat[key] = value.value
            if value.folds is not None or value.replicates is not None:
                flat[f"{key} low"], flat[f"{key} high"] = value.interval()
        else:
            flat[key] = value
    return {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in flat.items()}


def _known(estimate: Estimate) -> dict[str, Any]:
    """What is known of an estimate's uncertainty."""
    low, high = estimate.interval()
    found = {"low": low, "high": high, "error": estimate.error}
    known: dict[str, Any] = {key: value for key, value in found.items() if math.isfinite(value)}
    if estimate.folds is not None:
        known["folds"] = estimate.folds.tolist()
    return {**known, "why": estimate.why} if estimate.why else known
