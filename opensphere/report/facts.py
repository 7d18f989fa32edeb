"""Tables of a page as text: what each run was, and what it reached."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from opensphere.report.columns import is_number, lower_is_better, spell, unit
from opensphere.report.headline import training_data
from opensphere.report.results import Results
from opensphere.report.run import Run, Table

_STAMP = "%Y-%m-%d_%H-%M-%S"


@dataclass(frozen=True)
class Cell:
    """What a cell says; `sort` is what its column is ordered by."""

    text: str
    sort: str
    small: str = ""
    why: str = ""
    best: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table to show: `heads` with their units, rows of cells, reasons for dashes."""

    heads: list[tuple[str, str]]
    rows: list[list[Cell]]
    reasons: list[str]


def run_rows(runs: list[Run]) -> tuple[list[str], list[tuple[str, list[str]]]]:
    """What was trained on what: a row a fact, a column a run. Facts that no run has are left out."""
    facts = [
        ("loss", [_net(run, "model.head.net") for run in runs]),
        ("network", [_net(run, "model.backbone.net") for run in runs]),
        ("training data", [training_data(run) for run in runs]),
        ("people", [spell(run.get("model.head.net.num_class")) for run in runs]),
        ("batch", [_joined(_blocks(run, "data.train"), "dataloader", "batch_size") for run in runs]),
        ("updates", [_updates(run) for run in runs]),
        ("learning rate", [str(run.get("model.backbone.optimizer.lr", "–")) for run in runs]),
        ("precision", [str(run.get("project.precision", "–")) for run in runs]),
        ("seed", [str(run.get("project.seed", "–")) for run in runs]),
        ("time", [duration(run) for run in runs]),
        ("begun", [str(run.train[0].get("time", "–")).replace("_", " ") if run.train else "–" for run in runs]),
        ("machine", [_machine(run) for run in runs]),
        ("program", [_program(run) for run in runs]),
        ("folder", [str(run.folder) for run in runs]),
    ]
    return [run.label for run in runs], [(name, row) for name, row in facts if any(text != "–" for text in row)]


def duration(run: Run) -> str:
    """From the first report to the last; what a resumed run waited in between counts."""
    try:
        began, ended = (datetime.strptime(str(row["time"]), _STAMP) for row in (run.train[0], run.train[-1]))
    except (IndexError, KeyError, ValueError):
        return "–"
    seconds = int((ended - began).total_seconds())
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def result_sheet(results: Results, name: str) -> Sheet:
    """The last row of each run's table on a set: its only checkpoint, or the average over them."""
    tables = [(run, run.tables[name]) for run in results.runs if name in run.tables]
    rows = [(run.label, _what(table), table.rows[-1], table.uncertainty[-1]) for run, table in tables]
    return _sheet(rows, rows_are="run")


def checkpoint_sheet(results: Results, name: str) -> Sheet | None:
    """Every checkpoint of every run; None where no run has several."""
    tables = [(run, run.tables[name]) for run in results.runs if name in run.tables]
    if all(len(table.rows) <= 2 for _, table in tables):
        return None
    rows = [
        (run.label, str(row.get(table.key)), row, uncertain)
        for run, table in tables
        for row, uncertain in zip(table.rows, table.uncertainty, strict=True)
    ]
    return _sheet(rows, rows_are="run")


def summary_sheet(table: Table) -> Sheet:
    """A table of a folder that holds runs, as it is."""
    pairs = zip(table.rows, table.uncertainty, strict=True)
    rows = [(str(row.get(table.key)), "", row, uncertain) for row, uncertain in pairs]
    return _sheet(rows, rows_are=table.key, without=table.key)


def _sheet(rows: list[tuple[str, str, dict[str, Any], dict[str, Any]]], rows_are: str, without: str = "Iter") -> Sheet:
    keys = [key for key in dict.fromkeys(key for _, _, row, _ in rows for key in row) if key != without]
    columns = [key for key in keys if not (key.endswith(" SE") and key[:-3] in keys)]
    updates = any(what for _, what, _, _ in rows)
    heads = [(rows_are, "")] + ([("updates", "")] if updates else [])
    best = {key: _best(key, [row.get(key) for _, _, row, _ in rows]) for key in columns}
    reasons: dict[str, str] = {}
    cells = []
    for label, what, row, uncertain in rows:
        line = [Cell(label, label)] + ([Cell(what, what.rjust(12))] if updates else [])
        for key in columns:
            cell = _cell(row.get(key), uncertain.get(key) or {}, row.get(f"{key} SE"), best[key])
            line.append(cell)
            if cell.why:
                reasons.setdefault(f"{key}: {cell.why}", "")
        cells.append(line)
    return Sheet(heads + [(key, unit(key)) for key in columns], cells, list(reasons))


def _best(column: str, values: list[Any]) -> float | None:
    known = [value for value in values if is_number(value)]
    if len(known) < 2 or not unit(column) or column == "Iter":
        return None
    return min(known) if lower_is_better(column) else max(known)


def _cell(value: Any, known: dict[str, Any], error: Any, best: float | None) -> Cell:
    if value is None or isinstance(value, float) and not math.isfinite(value):
        return Cell("–", "-inf", why=str(known.get("why") or ""))
    if not is_number(value):
        return Cell(str(value), str(value))
    small = ""
    if known.get("folds") is not None and is_number(known.get("error")):
        small = f"± {known['error']:.2f}"
    elif is_number(error):
        small = f"± {error:.2f}"
    elif is_number(known.get("low")) and is_number(known.get("high")):
        small = f"[{known['low']:.2f}, {known['high']:.2f}]"
    return Cell(spell(value), f"{value:.9g}", small, best=best is not None and value == best)


def _what(table: Table) -> str:
    """Which checkpoints the last row is about."""
    steps = [str(row.get(table.key)) for row in table.rows if row.get(table.key) != "average"]
    return steps[0] if len(steps) == 1 else f"average of {len(steps)}"


def _net(run: Run, path: str) -> str:
    net = run.get(path)
    if not isinstance(net, dict):
        return "–"
    hidden = ("type", "num_class", "feat_dim", "gradient", "normalise")
    rest = ", ".join(f"{key} {value}" for key, value in net.items() if key not in hidden)
    return f"{net.get('type', '?')}" + (f" ({rest})" if rest else "")


def _updates(run: Run) -> str:
    planned = run.get("project.max_iters")
    if not run.train:
        return f"{planned:,} planned" if isinstance(planned, int) else "–"
    return f"{run.updates:,}" + (f" of {planned:,}" if isinstance(planned, int) else "")


def _blocks(run: Run, path: str) -> list[Any]:
    block = run.get(path, {})
    return block if isinstance(block, list) else [block]


def _joined(blocks: list[Any], *path: str) -> str:
    found = []
    for block in blocks:
        for key in path:
            block = block.get(key) if isinstance(block, dict) else None
        if block is not None:
            found.append(str(block))
    return ", ".join(found) or "–"


def _machine(run: Run) -> str:
    if not run.versions:
        return "–"
    last = run.versions[-1]
    gpus = last.get("gpus") or []
    if gpus:
        return f"{len(gpus)} x {gpus[0]}"
    threads = last.get("threads")
    return str(last.get("processor") or "–") + (f", {threads} thread{'s' * (threads != 1)}" if threads else "")


def _program(run: Run) -> str:
    if not run.versions:
        return "–"
    last = run.versions[-1]
    return f"{spell_program(last)}, torch {last.get('torch', '?')}"


def spell_program(versions: Mapping[str, Any]) -> str:
    """Which opensphere made a run, by an entry of its versions.json."""
    revision = spell_revision(versions)
    return f"opensphere {versions.get('opensphere', '?')}" + (f" ({revision})" if revision else "")


def spell_revision(versions: Mapping[str, Any]) -> str:
    """The first ten characters of the revision, and whether files differed from it; empty where there was none."""
    revision = str(versions.get("git") or "")
    return revision[:10] + ("-dirty" if revision.endswith("-dirty") else "")
