"""A figure as plotly's JSON, the same for the page and for a file; and the colours of runs."""

import zlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Okabe & Ito 2008, told apart by all common kinds of colour vision; its yellow and black vanish on one of our grounds
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dot", "dashdot")
SYMBOLS = ("circle", "square", "diamond", "triangle-up")
MOST_BANDS = 4  # runs whose bands can still be told apart in one figure
DECADES = 30  # how many times the smallest value the largest is, from which on an axis is logarithmic
NEUTRAL = "#808890"  # to be seen on white and on black

Trace = dict[str, Any]


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        name: of its file, and its place on the page; letters, digits, - and _.
        title, caption: what it shows, and how to read it.
        data, layout: as plotly has them, without what depends on the ground.
        height: pixels on the page.
        wide: takes the whole width of the page.
        sliders: the histograms of each run, over which a threshold is moved.
    """

    name: str
    title: str
    caption: str
    data: list[Trace]
    layout: dict[str, Any]
    height: int = 340
    wide: bool = False
    sliders: list[dict[str, Any]] = field(default_factory=list)


def colour(run: int) -> str:
    return COLOURS[run % len(COLOURS)]


def dash(run: int) -> str:
    """Runs of one colour have other dashes."""
    return DASHES[run // len(COLOURS) % len(DASHES)]


def symbol(run: int) -> str:
    """As `dash`, for points."""
    return SYMBOLS[run // len(COLOURS) % len(SYMBOLS)]


def line(run: int, label: str, x: Any, y: Any, **more: Any) -> Trace:
    """A curve of a run; `meta` is what the page's legend switches by."""
    style = {"color": colour(run), "dash": more.pop("dash", dash(run)), "width": more.pop("width", 2)}
    return {
        "type": "scatter", "mode": "lines", "name": plain(label), "x": numbers(x), "y": numbers(y), "line": style,
        "meta": {"run": run}, "legendgroup": str(run), **more,
    }  # fmt: skip


def area(run: int, label: str, x: Any, low: Any, high: Any) -> Trace:
    """The ground between two curves of a run."""
    x, low, high = (list(np.asarray(values, np.float64)) for values in (x, low, high))
    return {
        "type": "scatter", "mode": "lines", "name": plain(label), "x": numbers([*x, *x[::-1]]),
        "y": numbers([*high, *low[::-1]]), "fill": "toself", "fillcolor": colour(run) + "2e",
        "line": {"width": 0, "color": colour(run)}, "hoverinfo": "skip", "showlegend": False, "meta": {"run": run},
        "legendgroup": str(run),
    }  # fmt: skip


def axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title}, **more}


def log_axis(title: str, low: float, high: float) -> dict[str, Any]:
    """A logarithmic axis of rates in per cent, with a tick a decade."""
    decades = [power for power in range(-7, 3) if low <= 10.0**power * 1.0001 and 10.0**power <= high * 1.0001]
    ends = [float(np.log10(low)), float(np.log10(high))]
    ticks = {"tickvals": [10.0**power for power in decades], "ticktext": [f"{10.0**power:g}" for power in decades]}
    return axis(title, type="log", range=ends, **ticks)


def plain(text: str) -> str:
    """A text in which plotly finds no markup to obey."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def short(name: str, most: int = 22) -> str:
    """A name that leaves room for another."""
    return name if len(name) <= most else name[: most - 8] + "…" + name[-7:]


def numbers(values: Any, digits: int = 6) -> list[Any]:
    """As JSON has them, short: what is not finite is null."""
    found: list[Any] = []
    for value in values:
        if isinstance(value, str) or value is None:
            found.append(value)
        else:
            number = float(value)
            rounded = float(f"{number:.{digits}g}") if np.isfinite(number) else None
            found.append(int(rounded) if rounded is not None and rounded.is_integer() else rounded)
    return found


def slug(text: str) -> str:
    """A text as the name of a file and of a place on the page; texts of other alphabets stay apart by a number."""
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in text.lower())
    parts = [part for part in kept.split("-") if part]
    return "-".join(parts if parts and text.isascii() else [*parts, f"{zlib.crc32(text.encode()):08x}"])
