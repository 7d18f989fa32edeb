"""Several runs on one set: which differ by more than chance, as tables on the screen and in files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from opensphere import storage
from opensphere.command.screen import json_text, print_table, table_text
from opensphere.error import UserError
from opensphere.metric.comparison import LEVEL, compare
from opensphere.metric.estimate import Estimate
from opensphere.protocol.measurement import Measurement

Results = dict[str, dict[Path, Measurement]]  # by name of the set, then by run folder


def show_comparisons(results: Results, folder: Path, console: Console, names: Sequence[str] = ()) -> None:
    """Compare the runs set by set; print it, and write `<folder>/<set>_comparison.txt` and `.json`.

    `names` are those of the runs, each another; of their folders if not given.

    Estimates are the averages over a run's checkpoints; decisions on pairs are those of its last checkpoint.
    """
    for name, runs in results.items():
        names = names or distinct_names(list(runs))
        measured = list(runs.values())
        rows = [_compared(one.estimates) for one in measured]
        try:
            found = compare(names, rows, [one.correct for one in measured])
        except ValueError as error:
            raise UserError(f"{name}: the runs cannot be compared: {error}") from None
        tables = {
            f"{name}: differences between runs": [_difference_row(row) for row in found["differences"]],
            f"{name}: pairs that only one run decides rightly": [_decision_row(row) for row in found["decisions"]],
        }
        notes = [
            *_reasons(found["differences"]),
            "difference: the first run less the second, on the same pairs and people; [ ]  95% interval",
            f"p: two-sided; in the verdict corrected for the number of run pairs (Holm), at {LEVEL:.0%}",
        ]
        if found["decisions"]:
            notes.append("McNemar: the pairs as each run's last checkpoint decides them")
        shown = {title: rows for title, rows in tables.items() if rows}
        for title, rows in shown.items():
            print_table(console, title, rows)
        for note in notes:
            console.print(note, markup=False)
        path = folder / f"{name}_comparison"
        text = [*(table_text(title, rows) for title, rows in shown.items()), *notes]
        storage.write_text(f"{path}.txt", "\n".join(text) + "\n")
        places = dict(zip(names, map(str, runs), strict=True))
        storage.write_text(f"{path}.json", json_text({"dataset": name, "runs": places, **found}))
        console.print(f"written: {path}.txt, .json", markup=False, soft_wrap=True)


def distinct_names(folders: Sequence[Path]) -> list[str]:
    """The names of folders; where two have the same, as much of their paths as tells all apart."""
    parts = [folder.resolve().parts for folder in folders]
    depth = 1
    while len({part[-depth:] for part in parts}) < len(set(parts)):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def _compared(estimates: dict[str, Estimate]) -> dict[str, Estimate]:
    """Without the standard errors of other columns, which say nothing of which run is better."""
    return {key: one for key, one in estimates.items() if not (key.endswith(" SE") and key[:-3] in estimates)}


def _reasons(rows: list[dict[str, Any]]) -> list[str]:
    """Why nothing can be said of some differences, one line for each column and reason."""
    found = {(row["column"], row["why"]) for row in rows if row["why"]}
    order = [row["column"] for row in rows]
    return [f"–  {column}: {why}" for column, why in sorted(found, key=lambda pair: (order.index(pair[0]), pair[1]))]


def _difference_row(row: dict[str, Any]) -> dict[str, Any]:
    if math.isnan(row["difference"]):
        text = "–"
    elif math.isnan(row["low"]):
        text = f"{row['difference']:+.2f}"
    else:
        text = f"{row['difference']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]"
    return {"metric": row["column"], **_heads(row), "difference": text, **_verdict(row, row["difference"])}


def _decision_row(row: dict[str, Any]) -> dict[str, Any]:
    first, second = row["only the first right"], row["only the second right"]
    counts = {"only the first": str(first), "only the second": str(second)}
    return {"test": row["method"], **_heads(row), **counts, **_verdict(row, first - second)}


def _heads(row: dict[str, Any]) -> dict[str, str]:
    return {"first": row["first"], "second": row["second"]}


def _verdict(row: dict[str, Any], difference: float) -> dict[str, str]:
    if math.isnan(row["p"]):
        return {"p": "–", "verdict": "cannot be said"}
    apart = row["p (Holm)"] <= LEVEL
    return {
        "p": f"{row['p']:.2g}",
        "verdict": f"{'first' if difference > 0 else 'second'} is higher" if apart else "not told apart",
    }
