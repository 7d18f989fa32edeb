"""Two figures of differences: a forest with intervals, and a map of who is better than whom."""

from collections.abc import Sequence
from typing import Any

from opensphere.metric.comparison import LEVEL
from opensphere.report.columns import is_number, spell_p, unit
from opensphere.report.figure import COLOURS, NEUTRAL, Figure, Trace, axis, numbers, plain, short

ROW = 46  # pixels of a row that has its name above it
_KINDS = {True: "more than chance", False: "not told apart", None: "not tested"}
_SYMBOLS = {True: "circle", False: "circle-open", None: "diamond-open"}
BETTER, WORSE, SAME, UNKNOWN, SELF = "better", "worse", "same", "unknown", "self"
_WORDS = {BETTER: "better", WORSE: "worse", SAME: "not told apart", UNKNOWN: "cannot be said"}
_TINTS = {BETTER: "#a6cbe3", WORSE: "#f2bf99", SAME: "#eceff2", UNKNOWN: "#ffffff", SELF: "#d8dde3"}

# a cell of the map: its kind, what it says, and what pointing at it says
Cell = tuple[str, str, str]


def apart(row: dict[str, Any]) -> bool | None:
    """Whether a difference is more than chance; None where that is not known."""
    p = row.get("p (Holm)")
    return p <= LEVEL if isinstance(p, int | float) and is_number(p) else None


def signed(value: Any) -> str:
    """A difference with its sign; a dash where it is not known."""
    return f"{value:+.2f}" if is_number(value) else "–"


def interval(row: dict[str, Any]) -> str:
    """The ends of a difference's interval; a dash where there is none."""
    if not is_number(row.get("low")) or not is_number(row.get("high")):
        return "–"
    return f"[{row['low']:+.2f}, {row['high']:+.2f}]"


def numbers_of(row: dict[str, Any]) -> dict[str, str]:
    """A difference as the cells of a table: who, how much, and how sure that is."""
    return {
        "first": row["first"],
        "second": row["second"],
        "difference": signed(row.get("difference")),
        "interval": interval(row),
        "p": spell_p(row.get("p")),
        "p (Holm)": spell_p(row.get("p (Holm)")),
    }


def told(row: dict[str, Any]) -> str:
    """A difference in words."""
    ends = f"{signed(row.get('difference'))} {interval(row)}"
    return f"{row['first']} less {row['second']}: {ends}, p {spell_p(row.get('p (Holm)'))}"


def forest(
    name: str, title: str, column: str, rows: Sequence[dict[str, Any]], labels: list[str], caption: str
) -> Figure:
    """Differences with their intervals, one below the other.

    Args:
        rows: with difference, low, high and "p (Holm)".
        labels: of the rows.
    """
    count = len(rows)
    traces = []
    for kind in _KINDS:
        chosen = [place for place in range(count) if apart(rows[place]) is kind]
        chosen = [place for place in chosen if is_number(rows[place].get("difference"))]
        if chosen:
            traces.append(_marks(kind, [(count - place, rows[place], labels[place]) for place in chosen]))
    title_x = f"difference of {column}" + (" in percentage points" if unit(column) else "")
    layout = {
        "xaxis": axis(title_x, zeroline=True, zerolinewidth=2),
        "yaxis": row_axis(count),
        "annotations": row_names(labels),
        "shapes": [{"type": "line", "x0": 0, "x1": 0, "yref": "paper", "y0": 0, "y1": 1,
                    "line": {"color": NEUTRAL, "width": 1, "dash": "dot"}}],
        "showlegend": True,
    }  # fmt: skip
    return Figure(name, title, caption, traces, layout, ROW * count + 130)


def _marks(kind: bool | None, chosen: list[tuple[int, dict[str, Any], str]]) -> Trace:
    """The rows of one kind, each at its height."""
    colour = COLOURS[0] if kind else NEUTRAL
    rows = [row for _, row, _ in chosen]
    ends = [_reach(row) for row in rows]
    return {
        "type": "scatter", "mode": "markers", "name": _KINDS[kind],
        "x": numbers([row["difference"] for row in rows]), "y": [height for height, _, _ in chosen],
        "error_x": {
            "type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": colour,
            "array": numbers([up for _, up in ends]), "arrayminus": numbers([down for down, _ in ends]),
        },
        "marker": {"symbol": _SYMBOLS[kind], "size": 11, "color": colour, "line": {"width": 2, "color": colour}},
        "text": [plain(label) for _, _, label in chosen],
        "customdata": [[interval(row), spell_p(row.get("p (Holm)"))] for row in rows],
        "hovertemplate": "%{text}<br>%{x:+.3f} %{customdata[0]}<br>p (Holm) %{customdata[1]}<extra></extra>",
    }  # fmt: skip


def _reach(row: dict[str, Any]) -> tuple[float, float]:
    """How far the interval goes down and up from the difference; nowhere where there is none."""
    if not is_number(row.get("low")) or not is_number(row.get("high")):
        return 0.0, 0.0
    return max(0.0, row["difference"] - row["low"]), max(0.0, row["high"] - row["difference"])


def row_axis(count: int) -> dict[str, Any]:
    """An axis of so many rows, the first on top at the height `count`."""
    return {"visible": False, "range": [0.4, count + 0.75], "fixedrange": True}


def row_names(labels: Sequence[str]) -> list[dict[str, Any]]:
    """Names above the rows, inside the figure: a margin for them would be half of a telephone's width."""
    return [
        {
            "xref": "paper", "x": 0, "xanchor": "left", "yref": "y", "y": len(labels) - place, "yshift": 16,
            "showarrow": False, "text": plain(label), "align": "left", "font": {"size": 12},
        }
        for place, label in enumerate(labels)
    ]  # fmt: skip


def verdict_map(name: str, title: str, names: Sequence[str], cells: Sequence[Sequence[Cell]], caption: str) -> Figure:
    """The row against the column, a colour a verdict and what each cell says; for files, since pages have tables."""
    count = len(names)
    labels = [plain(short(one)) for one in names]
    places = list(range(count))
    kinds = list(_TINTS)
    codes = [[kinds.index(kind) for kind, _, _ in row] for row in cells]
    steps = [edge / len(kinds) for edge in range(len(kinds) + 1)]
    scale = [
        [at, tint] for tint, low, high in zip(_TINTS.values(), steps, steps[1:], strict=False) for at in (low, high)
    ]
    few = count <= 12
    texts = [[_printed(cell, count) for cell in row] for row in cells]
    traces: list[Trace] = [
        {
            "type": "heatmap", "x": places, "y": places, "z": codes, "zmin": -0.5, "zmax": len(kinds) - 0.5,
            "colorscale": scale, "showscale": False, "xgap": 2, "ygap": 2, "text": texts, "texttemplate": "%{text}",
            "textfont": {"size": 11 if few else 8, "color": "#16191d"}, "hoverinfo": "skip",
        }
    ]  # fmt: skip
    found = {kind for row in cells for kind, _, _ in row}
    traces += [
        {
            "type": "scatter", "mode": "markers", "x": [None], "y": [None], "name": word, "showlegend": True,
            "marker": {"symbol": "square", "size": 13, "color": _TINTS[kind], "line": {"width": 1, "color": NEUTRAL}},
        }
        for kind, word in _WORDS.items()
        if kind in found
    ]  # fmt: skip
    ticks = {"tickvals": places, "ticktext": labels, "showgrid": False, "zeroline": False}
    layout = {
        "xaxis": axis("", **ticks, side="bottom", tickangle=-40 if count > 3 else 0, range=[-0.5, count - 0.5]),
        "yaxis": axis("", **ticks, range=[count - 0.5, -0.5]),
        "showlegend": True,
        "margin": {"l": 70, "r": 20, "t": 95, "b": 70},
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "xanchor": "left"},
    }
    return Figure(name, title, caption, traces, layout, max(260, (44 if few else 26) * count + 170))


def _printed(cell: Cell, count: int) -> str:
    """What fits into a cell of a map of so many rows."""
    kind, text, _ = cell
    if kind == SELF or count > 24:
        return ""
    return plain(text) if count <= 12 else text.split(" ")[-1] if kind != UNKNOWN else ""
