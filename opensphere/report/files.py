"""Figures as files: SVG, PDF and PNG, in the light colours of the page, drawn by plotly through kaleido."""

import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from opensphere import storage
from opensphere.error import UserError
from opensphere.report.figure import MOST_BANDS, Figure, Trace, plain, short

FORMATS = ("svg", "png", "pdf")
WIDTH, SCALE = 760, 2
_MOST_BESIDE = 8  # names that have room at the side of a figure
_INK, _GRID = "#16191d", "#dfe3e8"


def write_figures(figures: Iterable[Figure], folder: Path) -> list[Path]:
    """Write each figure as `<folder>/<name>.svg`, `.png` and `.pdf`; returns the files.

    Raises:
        UserError: kaleido or the browser that it needs is not there, or a file cannot be written.
    """
    if find_spec("kaleido") is None:
        raise UserError("--figures needs kaleido: pip install 'opensphere[report]'")
    import kaleido
    from plotly import io

    written = []
    with _browser(kaleido), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # options that a running browser does not take
        for figure in figures:
            content = dressed(figure)
            for kind in FORMATS:
                path = folder / f"{figure.name}.{kind}"
                try:
                    size = {"width": WIDTH, "height": content["layout"]["height"], "scale": SCALE}
                    data = io.to_image(content, format=kind, validate=False, **size)
                except Exception as error:  # kaleido passes on whatever its browser says
                    raise UserError(f"{figure.name}: cannot be drawn: {_reason(error)}") from None
                storage.write_bytes(path, data)
                written.append(path)
    return written


@contextmanager
def _browser(kaleido: ModuleType) -> Iterator[None]:
    """One browser for all figures, rather than one for each."""
    try:
        kaleido.start_sync_server(silence_warnings=True)
    except Exception as error:  # as above
        raise UserError(
            f"--figures needs Chrome or Chromium ({_reason(error)}): install the package chromium, or name one with "
            "BROWSER_PATH"
        ) from None
    try:
        yield
    finally:
        kaleido.stop_sync_server(silence_warnings=True)


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def dressed(figure: Figure) -> dict[str, Any]:
    """A figure with its title and all that the page gives it otherwise."""
    data = _listed_once(figure)
    named = len({trace.get("legendgroup", trace.get("name")) for trace in data})
    rows = -(-named // 4) if named > _MOST_BESIDE else 0
    below = {"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"} if rows else {}
    layout = {
        "font": {"family": "sans-serif", "size": 13, "color": _INK},
        "paper_bgcolor": "white",
        "plot_bgcolor": "white",
        "margin": {"l": 70, "r": 20, "t": 60, "b": 70},
        "title": {"text": plain(figure.title), "font": {"size": 16}, "x": 0.02},
        "height": figure.height + 60 + 24 * rows,
        "showlegend": named > 1,
        "legend": {"bgcolor": "rgba(255,255,255,0.7)", **below},
        **{key: value for key, value in figure.layout.items() if key not in ("xaxis", "yaxis")},
    }
    if "scene" not in figure.layout:
        for name in ("xaxis", "yaxis"):
            axis = figure.layout.get(name, {})
            layout[name] = {
                "gridcolor": _GRID, "zerolinecolor": _GRID, "linecolor": _GRID, "automargin": True, **axis,
                "title": {"standoff": 10, **axis.get("title", {})},
            }  # fmt: skip
    return {"data": data, "layout": layout}


def _listed_once(figure: Figure) -> list[Trace]:
    """The traces, of many runs without what stands aside; each run once in the legend, by a short name."""
    runs = {trace["meta"]["run"] for trace in figure.data if trace.get("meta")}
    kept: list[Trace] = []
    groups: set[str] = set()
    for trace in figure.data:
        if len(runs) > MOST_BANDS and trace.get("meta", {}).get("aside"):
            continue
        group = trace.get("legendgroup")
        again = {"showlegend": False} if group in groups else {}
        if group is not None and trace.get("showlegend") is not False:
            groups.add(group)
        named = {"name": short(trace["name"])} if "name" in trace else {}
        kept.append({**trace, **named, **again})
    return kept
