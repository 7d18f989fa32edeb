"""How a page is kept small: what it does without, step by step."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opensphere.report.figure import Figure, Trace
from opensphere.report.picture import SIDE

LIMIT = 6_000_000  # bytes of a page


@dataclass(frozen=True)
class Thrift:
    """What a page does without.

    Attributes:
        pictures: pixels of the longer side of a picture; 0 for none.
        numbers: of a comparison over seeds whose differences are shown.
        configs: whether the configs of runs are shown.
        points: of a curve at most; 0 for all.
        pairs: whether the hardest pairs and searches are shown.
        dropped: names of figures that are left out.
        said: a sentence on it.
    """

    pictures: int = SIDE
    numbers: int = 24
    configs: bool = True
    points: int = 0
    pairs: bool = True
    dropped: frozenset[str] = frozenset()
    said: str = ""


_SMALL = f"To stay below {LIMIT / 1e6:g} MB this page"
PLENTY = Thrift()
THRIFTS = (
    PLENTY,
    Thrift(SIDE // 2, said=f"{_SMALL} has smaller pictures."),
    Thrift(0, said=f"{_SMALL} has no pictures."),
    Thrift(0, 6, False, said=f"{_SMALL} has no pictures, no configs, and the differences of few numbers."),
    Thrift(0, 6, False, 100, said=f"{_SMALL} has no pictures, no configs, few numbers, and coarse curves."),
    Thrift(
        0,
        2,
        False,
        40,
        False,
        said=f"{_SMALL} has no pictures, no hardest pairs, no configs, few numbers, coarse curves, and fewer figures.",
    ),
)


def spec(figure: Figure, points: int = 0) -> dict[str, Any]:
    """A figure as the page's script has it, its curves with so many points at most; 0 for all."""
    return {
        "name": figure.name,
        "data": [_coarse(trace, points) for trace in figure.data] if points else figure.data,
        "layout": figure.layout,
        "height": figure.height,
        "sliders": figure.sliders,
    }


def last(figures: Sequence[Figure], over: int, points: int) -> frozenset[str]:
    """The names of the last figures that together have more than so many bytes."""
    found: list[str] = []
    for figure in reversed(figures):
        if over < 0:
            break
        found.append(figure.name)
        over -= len(json.dumps(spec(figure, points), separators=(",", ":")))
    return frozenset(found)


def _coarse(trace: Trace, points: int) -> Trace:
    """A curve with fewer points; whatever is no curve stays."""
    x = trace.get("x", [])
    if trace.get("type") != "scatter" or "lines" not in str(trace.get("mode")) or len(x) <= points or None in x:
        return trace
    if trace.get("fill") == "toself":  # there along the upper edge, and back along the lower one
        upper = _chosen(len(x) // 2, points // 2)
        kept = [*upper, *(len(x) - 1 - place for place in reversed(upper))]
    else:
        kept = _chosen(len(x), points)
    lists = {
        key: [trace[key][place] for place in kept] for key in ("x", "y", "customdata") if _as_long(trace.get(key), x)
    }
    return {**trace, **lists}


def _chosen(count: int, most: int) -> list[int]:
    return np.unique(np.linspace(0, count - 1, max(2, min(count, most))).astype(int)).tolist()


def _as_long(value: Any, x: Sequence[Any]) -> bool:
    return isinstance(value, list) and len(value) == len(x)
