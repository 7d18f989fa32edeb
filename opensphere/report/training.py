"""The curves of training: a figure for each number that metrics.jsonl has, all runs in it."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from opensphere.report.columns import is_number, unit
from opensphere.report.figure import MOST_BANDS, Figure, Trace, area, axis, colour, line, slug
from opensphere.report.run import Run

MOST_POINTS = 400  # of a curve; more cannot be told apart on a screen

_KNOWN = (
    ("Loss", "Loss", "loss", "The mean between two reports. Different losses have different heights: compare shapes."),
    ("lr", "Learning rate", "learning rate", "As the optimiser of the network used it."),
    ("bkb_grad", "Gradient norm, network", "L2 norm", "Before clipping. Jumps mean that the learning rate is high."),
    ("head_grad", "Gradient norm, head", "L2 norm", "Of the class weights, before clipping."),
    (
        "Mag_mean",
        "Length of features",
        "L2 norm",
        "Mean over a batch; a band around it is one standard deviation each way.",
    ),
    ("images_per_second", "Speed", "images / s", "Images trained on in a second, validation left out."),
)
SPREAD = (
    (
        "energy",
        "Hyperspherical energy of the classes",
        "mean of angle⁻², radians",
        "How crowded the directions of the classes are, as SphereFace+ measures it: lower is more even.",
    ),
    (
        "nearest",
        "Angle to the nearest class",
        "degrees",
        "From the direction of a class to the nearest other one, in the mean over classes.",
    ),
)  # of lines that say how the directions of classes are spread


def training_figures(runs: list[Run]) -> list[Figure]:
    """A figure for each number that a run has written, and for each metric of each validation set."""
    found = []
    banded = len(runs) <= MOST_BANDS
    for key, title, label, caption in _KNOWN:
        traces = [trace for index, run in enumerate(runs) for trace in _curves(index, run, key, banded)]
        if traces:
            more = {"rangemode": "tozero"} if key in ("lr", "images_per_second") else {}
            found.append(_figure(f"train-{slug(key)}", title, caption, traces, axis(label, **more)))
    known = {key for key, *_ in _KNOWN} | {"Mag_std", "iter", "waiting"}
    for key in _keys(row for run in runs for row in run.train):
        if key not in known:
            traces = [trace for index, run in enumerate(runs) for trace in _curves(index, run, key)]
            found.append(_figure(f"train-{slug(key)}", key, "", traces, axis(key)))
    return found


def validation_figures(runs: list[Run]) -> list[Figure]:
    """A figure for each metric of each validation set."""
    found = []
    sets = dict.fromkeys(str(row.get("set", "validation")) for run in runs for row in run.val)
    for name in sets:
        own = [[row for row in run.val if str(row.get("set", "validation")) == name] for run in runs]
        for key in _keys(row for rows in own for row in rows):
            if key.endswith(" SE"):
                continue
            traces = [
                _dots(index, run, [(row["iter"], row[key]) for row in rows if is_number(row.get(key))])
                for index, (run, rows) in enumerate(zip(runs, own, strict=True))
            ]
            label = f"{key}, {unit(key)}".rstrip(", ")
            shown = [trace for trace in traces if trace["x"]]
            found.append(_figure(f"val-{slug(name)}-{slug(key)}", f"{key} on {name}", "", shown, axis(label)))
    return found


def spread_figures(runs: list[Run]) -> list[Figure]:
    """How the directions of classes spread while training goes on."""
    found = []
    for key, title, label, caption in SPREAD:
        points = [[(row["iter"], row[key]) for row in run.sphere if is_number(row.get(key))] for run in runs]
        traces = [_dots(index, run, own, 4) for index, (run, own) in enumerate(zip(runs, points, strict=True)) if own]
        if traces:
            found.append(_figure(f"spread-{key}", title, caption, traces, axis(label)))
    return found


def thin(x: Any, y: Any, most: int = MOST_POINTS) -> tuple[np.ndarray, np.ndarray]:
    """A long curve as means over even stretches; a short one as it is."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if len(x) <= most:
        return x, y
    starts = np.linspace(0, len(x), most, endpoint=False).astype(int)
    sizes = np.diff(np.append(starts, len(x)))
    return np.add.reduceat(x, starts) / sizes, np.add.reduceat(y, starts) / sizes


def _curves(index: int, run: Run, key: str, banded: bool = False) -> list[Trace]:
    rows = [row for row in run.train if is_number(row.get(key))]
    if not rows:
        return []
    x, y = thin([row["iter"] for row in rows], [row[key] for row in rows])
    hover = f"{key} %{{y:.4g}}<br>update %{{x:,.0f}}"
    curve = line(index, run.label, x, y, hovertemplate=hover)
    if len(rows) == 1:
        curve |= {"mode": "markers", "cliponaxis": False}  # whole, at update 0 too
    if key != "Mag_mean" or not banded or not all(is_number(row.get("Mag_std")) for row in rows):
        return [curve]
    spread = thin([row["iter"] for row in rows], [row["Mag_std"] for row in rows])[1]
    return [area(index, run.label, x, y - spread, y + spread), curve]


def _dots(index: int, run: Run, points: list[tuple[float, float]], digits: int = 2) -> Trace:
    x, y = zip(*points, strict=True) if points else ((), ())
    curve = line(
        index, run.label, *thin(x, y), mode="lines+markers", hovertemplate=f"%{{y:.{digits}f}} at update %{{x:,.0f}}"
    )
    return {**curve, "marker": {"size": 8, "color": colour(index)}}


def _figure(name: str, title: str, caption: str, traces: list[Trace], y: dict[str, Any]) -> Figure:
    return Figure(name, title, caption, traces, {"xaxis": axis("update", rangemode="tozero"), "yaxis": y}, height=300)


def _keys(rows: Iterable[dict[str, Any]]) -> list[str]:
    """The keys with numbers, in the order in which they are met."""
    return list(
        dict.fromkeys(key for row in rows for key, value in row.items() if is_number(value) and key not in ("iter",))
    )
