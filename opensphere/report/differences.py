"""Who is better than whom: a forest of differences and a map of verdicts, for each metric of a comparison."""

from dataclasses import dataclass
from typing import Any

from opensphere.report.columns import is_number, lower_is_better, meaning, spell, spell_p, unit
from opensphere.report.figure import COLOURS, NEUTRAL, Figure, axis, numbers, plain, slug
from opensphere.report.results import Comparison

LEVEL = 0.05
_ROW = 46  # pixels of a pair of runs


@dataclass(frozen=True)
class Verdicts:
    """One metric of a comparison.

    Attributes:
        forest: the figure of differences.
        names: of the runs, in the order of rows and columns.
        cells: for each row and column, the kind ("better", "worse", "same", "unknown", "self") and what to say.
        details: the rows of a table.
    """

    column: str
    about: str
    forest: Figure
    names: list[str]
    cells: list[list[tuple[str, str]]]
    details: list[dict[str, str]]


def verdicts(comparison: Comparison) -> list[Verdicts]:
    """Each metric of a comparison."""
    columns = dict.fromkeys(str(row.get("column")) for row in comparison.differences)
    return [
        _verdicts(comparison.dataset, column, [row for row in comparison.differences if row.get("column") == column])
        for column in columns
    ]


def apart(row: dict[str, Any]) -> bool | None:
    """Whether a difference is more than chance; None where that is not known."""
    p = row.get("p (Holm)")
    return p <= LEVEL if isinstance(p, int | float) and is_number(p) else None


def winner(row: dict[str, Any], column: str) -> str:
    """The better run of a difference that is more than chance; empty where none is."""
    if not apart(row) or not is_number(row.get("difference")) or row["difference"] == 0:
        return ""
    return row["first"] if (row["difference"] > 0) != lower_is_better(column) else row["second"]


def _verdicts(dataset: str, column: str, rows: list[dict[str, Any]]) -> Verdicts:
    names = list(dict.fromkeys(name for row in rows for name in (row["first"], row["second"])))
    about = {frozenset((row["first"], row["second"])): row for row in rows}
    cells = [[_cell(one, other, about.get(frozenset((one, other))), column) for other in names] for one in names]
    details = [
        {
            "first": row["first"],
            "second": row["second"],
            "difference": signed(row.get("difference")),
            "interval": interval(row),
            "p": spell_p(row.get("p")),
            "p (Holm)": spell_p(row.get("p (Holm)")),
            "method": str(row.get("method") or row.get("why") or "–"),
        }
        for row in rows
    ]
    return Verdicts(column, meaning(column), _forest(dataset, column, rows), names, cells, details)


def _cell(one: str, other: str, row: dict[str, Any] | None, column: str) -> tuple[str, str]:
    if one == other:
        return "self", ""
    if row is None or apart(row) is None or not is_number(row.get("difference")):
        return "unknown", "–"
    best = winner(row, column)
    if not best:
        return "same", "not told apart"
    return ("better", "better") if best == one else ("worse", "worse")


def _forest(dataset: str, column: str, rows: list[dict[str, Any]]) -> Figure:
    traces, notes = [], []
    count = len(rows)
    for kind, shape, colour in (
        (True, "circle", COLOURS[0]),
        (False, "circle-open", NEUTRAL),
        (None, "diamond-open", NEUTRAL),
    ):
        chosen = [(count - place, row) for place, row in enumerate(rows) if apart(row) is kind]
        chosen = [(place, row) for place, row in chosen if is_number(row.get("difference"))]
        if not chosen:
            continue
        ends = [_reach(row) for _, row in chosen]
        traces.append(
            {
                "type": "scatter", "mode": "markers",
                "name": {True: "more than chance", False: "not told apart", None: "not tested"}[kind],
                "x": numbers([row["difference"] for _, row in chosen]), "y": [place for place, _ in chosen],
                "error_x": {
                    "type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": colour,
                    "array": numbers([up for _, up in ends]), "arrayminus": numbers([down for down, _ in ends]),
                },
                "marker": {"symbol": shape, "size": 11, "color": colour, "line": {"width": 2, "color": colour}},
                "text": [plain(f"{row['first']} less {row['second']}") for _, row in chosen],
                "customdata": [[interval(row), spell_p(row.get("p (Holm)"))] for _, row in chosen],
                "hovertemplate": "%{text}<br>%{x:+.3f} %{customdata[0]}<br>p (Holm) %{customdata[1]}<extra></extra>",
            }
        )  # fmt: skip
    for place, row in enumerate(rows):
        text = f"{_short(row['first'])} − {_short(row['second'])}"
        notes.append(
            {
                "xref": "paper", "x": 0, "xanchor": "left", "yref": "y", "y": count - place, "yshift": 16,
                "showarrow": False, "text": text, "align": "left", "font": {"size": 12},
            }
        )  # fmt: skip
    better = "left" if lower_is_better(column) else "right"
    title = f"difference of {column}" + (" in percentage points" if unit(column) else "")
    layout = {
        "xaxis": axis(title, zeroline=True, zerolinewidth=2),
        "yaxis": {"visible": False, "range": [0.4, count + 0.75], "fixedrange": True},
        "annotations": notes,
        "shapes": [{"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
                    "line": {"color": NEUTRAL, "width": 1, "dash": "dot"}}],
        "showlegend": True,
    }  # fmt: skip
    caption = (
        f"The first run less the second on the same pairs and people, with 95 % intervals; to the {better} the first "
        "is better. Filled: more than chance at 5 %, after correction for the number of pairs of runs."
    )
    name = f"forest-{slug(dataset)}-{slug(column)}"
    return Figure(name, f"Differences of {column} on {dataset}", caption, traces, layout, _ROW * count + 130, True)


def _reach(row: dict[str, Any]) -> tuple[float, float]:
    """How far the interval goes down and up from the difference; nowhere where there is none."""
    if not is_number(row.get("low")) or not is_number(row.get("high")):
        return 0.0, 0.0
    return max(0.0, row["difference"] - row["low"]), max(0.0, row["high"] - row["difference"])


def signed(value: Any) -> str:
    return f"{value:+.2f}" if is_number(value) else "–"


def interval(row: dict[str, Any]) -> str:
    if not is_number(row.get("low")) or not is_number(row.get("high")):
        return "–"
    return f"[{row['low']:+.2f}, {row['high']:+.2f}]"


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


def _short(name: str, most: int = 22) -> str:
    """A name that leaves room for another."""
    return plain(name if len(name) <= most else name[: most - 8] + "…" + name[-7:])
