"""Who is better than whom: a forest of differences and a map of verdicts, for each metric of a comparison."""

from dataclasses import dataclass, replace
from typing import Any

from opensphere.report.columns import is_number, lower_is_better, meaning, spell, spell_p
from opensphere.report.figure import Figure, short, slug
from opensphere.report.forest import (
    BETTER,
    SAME,
    SELF,
    UNKNOWN,
    WORSE,
    Cell,
    apart,
    forest,
    numbers_of,
    told,
    verdict_map,
)
from opensphere.report.results import Comparison


@dataclass(frozen=True)
class Verdicts:
    """One metric of a comparison.

    Attributes:
        forest: the figure of differences.
        printed: the map of verdicts as a figure, for files; the page has it as a table.
        names: of the runs, in the order of rows and columns.
        cells: the map; for each row and column.
        details: the rows of a table.
    """

    column: str
    about: str
    forest: Figure
    printed: Figure
    names: list[str]
    cells: list[list[Cell]]
    details: list[dict[str, str]]


def verdicts(comparison: Comparison) -> list[Verdicts]:
    """Each metric of a comparison."""
    columns = dict.fromkeys(str(row.get("column")) for row in comparison.differences)
    return [
        _verdicts(comparison.dataset, column, [row for row in comparison.differences if row.get("column") == column])
        for column in columns
    ]


def winner(row: dict[str, Any], column: str) -> str:
    """The better run of a difference that is more than chance; empty where none is."""
    if not apart(row) or not is_number(row.get("difference")) or row["difference"] == 0:
        return ""
    return row["first"] if (row["difference"] > 0) != lower_is_better(column) else row["second"]


def _verdicts(dataset: str, column: str, rows: list[dict[str, Any]]) -> Verdicts:
    names = list(dict.fromkeys(name for row in rows for name in (row["first"], row["second"])))
    about = {frozenset((row["first"], row["second"])): row for row in rows}
    cells = [[_cell(one, other, about.get(frozenset((one, other))), column) for other in names] for one in names]
    details = [{**numbers_of(row), "method": str(row.get("method") or row.get("why") or "–")} for row in rows]
    printed = verdict_map(
        f"verdicts-{slug(dataset)}-{slug(column)}", f"{column} on {dataset}: the row against the column", names, cells,
        "Who is better than whom, after correction for the number of pairs of runs.",
    )  # fmt: skip
    return Verdicts(column, meaning(column), _forest(dataset, column, rows), printed, names, cells, details)


def _cell(one: str, other: str, row: dict[str, Any] | None, column: str) -> Cell:
    if one == other:
        return SELF, "", ""
    if row is None or apart(row) is None or not is_number(row.get("difference")):
        return UNKNOWN, "–", "not tested"
    best = winner(row, column)
    said = told(row)
    if not best:
        return SAME, "not told apart", said
    return (BETTER, "better", said) if best == one else (WORSE, "worse", said)


def _forest(dataset: str, column: str, rows: list[dict[str, Any]]) -> Figure:
    better = "left" if lower_is_better(column) else "right"
    caption = (
        f"The first run less the second on the same pairs and people, with 95 % intervals; to the {better} the first "
        "is better. Filled: more than chance at 5 %, after correction for the number of pairs of runs."
    )
    labels = [f"{short(row['first'])} − {short(row['second'])}" for row in rows]
    title = f"Differences of {column} on {dataset}"
    return replace(forest(f"forest-{slug(dataset)}-{slug(column)}", title, column, rows, labels, caption), wide=True)


def decision_rows(comparison: Comparison) -> list[dict[str, str]]:
    """The rows of a table: pairs that only one of two runs decides rightly."""
    return [
        {
            "first": row["first"],
            "second": row["second"],
            "only the first right": spell(row.get("only the first right")),
            "only the second right": spell(row.get("only the second right")),
            "p": spell_p(row.get("p")),
            "p (Holm)": spell_p(row.get("p (Holm)")),
            "verdict": _decided(row),
        }
        for row in comparison.decisions
    ]


def _decided(row: dict[str, Any]) -> str:
    if not apart(row):
        return "not told apart" if apart(row) is False else "–"
    more = row["only the first right"] > row["only the second right"]
    return f"{row['first' if more else 'second']} is right more often"
