"""The main number against what is varied, on an axis that suits the values."""

import json
from dataclasses import dataclass
from typing import Any

from opensphere.report.columns import is_number, unit
from opensphere.report.figure import (
    DECADES,
    MOST_BANDS,
    Figure,
    Trace,
    area,
    axis,
    colour,
    line,
    numbers,
    plain,
    short,
    slug,
    symbol,
)
from opensphere.report.study.means import spelt
from opensphere.report.study.reading import Place, Row, Study

MOST = 8  # figures of a set


@dataclass(frozen=True)
class Sweep:
    """Settings, or arms, along one varied value.

    Attributes:
        title: of the axis.
        rest: what else is varied, and stays the same along it.
        steps: indices of settings, or of arms, with their places on the axis.
        ticks: what the places are called where they are only 0, 1, 2; None where they are the values.
        logarithmic: whether the axis is.
    """

    title: str
    rest: str
    steps: list[tuple[int, float]]
    ticks: list[str] | None
    logarithmic: bool


def sweep_figures(study: Study, first: int) -> list[Figure]:
    """The main column of each set against what is varied, a line an arm; or one line where the arms are the values."""
    found = []
    for dataset in study.sets:
        column = study.main(dataset)
        if not column:
            continue
        along = [(one, "setting") for one in _sweeps(study)[:MOST]] or [(one, "arm") for one in _over_arms(study)]
        found += [
            _sweep_figure(study, dataset, column, one, kind, number, first) for number, (one, kind) in enumerate(along)
        ]
    return found


def _sweeps(study: Study) -> list[Sweep]:
    """One for each value of all keys but the one that has the most."""
    keys = list(dict.fromkeys([*study.vary, *(key for values in study.values for key in values)]))
    if len(study.values) < 2 or not keys:
        return []
    distinct = {
        key: len({json.dumps(values.get(key), sort_keys=True, default=str) for values in study.values}) for key in keys
    }
    key = max(keys, key=lambda one: distinct[one])
    groups: dict[str, list[int]] = {}
    for number, values in enumerate(study.values):
        rest = ", ".join(f"{one.rpartition('.')[2]} {values.get(one)}" for one in keys if one != key)
        groups.setdefault(rest, []).append(number)
    return [
        _sweep(key, rest, [(number, study.values[number].get(key)) for number in own]) for rest, own in groups.items()
    ]


def _over_arms(study: Study) -> list[Sweep]:
    """Arms that are values of one thing: their names differ in a last word, which is a number."""
    split = [arm.rpartition(" ") for arm in study.arms]
    try:
        values = [(number, float(last)) for number, (_, _, last) in enumerate(split)]
    except ValueError:
        return []
    heads = {before for before, _, _ in split}
    return [_sweep(heads.pop(), "", values)] if len(heads) == 1 and len(values) > 1 else []


def _sweep(title: str, rest: str, values: list[tuple[int, Any]]) -> Sweep:
    known = [value for _, value in values]
    if all(is_number(value) for value in known):
        values = sorted(values, key=lambda pair: pair[1])
        positive = [value for value in known if value > 0]
        wide = bool(positive) and max(positive) / min(positive) >= DECADES
        if not wide or min(known) > 0:
            return Sweep(title, rest, [(number, float(value)) for number, value in values], None, wide)
    ticks = [f"{value:g}" if isinstance(value, float) else str(value) for _, value in values]
    return Sweep(title, rest, [(number, float(at)) for at, (number, _) in enumerate(values)], ticks, False)


def _sweep_figure(study: Study, dataset: str, column: str, sweep: Sweep, kind: str, number: int, first: int) -> Figure:
    traces: list[Trace] = []
    if kind == "setting":
        for index, arm in enumerate(study.arms):
            steps = [(at, study.mean(arm, Place(setting, dataset, column))) for setting, at in sweep.steps]
            singles = [(at, value) for setting, at in sweep.steps
                       for _, value in study.singles(arm, Place(setting, dataset, column))]  # fmt: skip
            traces += _curve(first + index, arm, steps, singles)
    else:
        place = Place(0, dataset, column)
        steps = [(at, study.mean(study.arms[arm], place)) for arm, at in sweep.steps]
        singles = [(at, value) for arm, at in sweep.steps for _, value in study.singles(study.arms[arm], place)]
        traces = [
            {key: value for key, value in one.items() if key != "meta"} for one in _curve(0, column, steps, singles)
        ]
    layout = {
        "xaxis": _ground(sweep),
        "yaxis": axis(f"{column}, {unit(column)}".rstrip(", ")),
        "hovermode": "closest",
    }
    caption = (
        f"Lines: means over the seeds. Bands: 95 % intervals that allow for {study.covered}, each value on its own. "
        "Dots: single trainings."
    )
    if kind == "setting" and len(study.arms) > MOST_BANDS:
        caption += f" Bands and dots show once {MOST_BANDS} arms or fewer are left: the buttons on top hide the others."
    said = f", {sweep.rest}" if sweep.rest else ""
    title = f"{column} on {dataset} against {sweep.title.rpartition('.')[2]}{said}"
    name = f"sweep-{slug(study.folder.name)}-{slug(dataset)}-{number}"
    return Figure(name, title, caption, traces, layout, 420, wide=True)


def _curve(run: int, arm: str, steps: list[tuple[float, Row]], singles: list[tuple[float, float]]) -> list[Trace]:
    """Band, line and dots of an arm."""
    known = [(at, row) for at, row in steps if is_number(row.get("value"))]
    banded = [(at, row) for at, row in known if is_number(row.get("low")) and is_number(row.get("high"))]
    aside = {"run": run, "aside": True}
    traces = []
    if len(banded) > 1:
        x, low, high = zip(*((at, row["low"], row["high"]) for at, row in banded), strict=True)
        traces.append({**area(run, arm, x, low, high), "meta": aside})
    hover = f"{plain(arm)}: %{{customdata}}<extra></extra>"
    curve = line(
        run, arm, [at for at, _ in known], [row["value"] for _, row in known], mode="lines+markers", hovertemplate=hover
    )
    traces.append({**curve, "customdata": [spelt(row) for _, row in known],
                   "marker": {"symbol": symbol(run), "size": 8, "color": colour(run)}})  # fmt: skip
    if singles:
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": plain(arm), "meta": aside, "showlegend": False,
                "x": numbers([at for at, _ in singles]), "y": numbers([value for _, value in singles]),
                "marker": {"symbol": "circle-open", "size": 5, "color": colour(run)}, "legendgroup": str(run),
                "hovertemplate": f"{plain(arm)}: one training %{{y:.2f}}<extra></extra>",
            }
        )  # fmt: skip
    return traces


def _ground(sweep: Sweep) -> dict[str, Any]:
    if sweep.ticks is not None:
        places = [at for _, at in sweep.steps]
        more = {"tickvals": places, "ticktext": [plain(short(tick)) for tick in sweep.ticks]}
        return axis(plain(sweep.title), **more, range=[-0.3, len(places) - 0.7])
    if sweep.logarithmic:
        values = [at for _, at in sweep.steps]
        ticks = (
            {"tickvals": values, "ticktext": [f"{value:g}" for value in values]} if len(values) <= 8 else {"dtick": 1}
        )
        return axis(f"{plain(sweep.title)}, logarithmic", type="log", **ticks)
    return axis(plain(sweep.title))
