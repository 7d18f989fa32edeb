"""Means over seeds as figures: single values beside them, and what they cost."""

from typing import Any

from opensphere.report.columns import is_number, lower_is_better, spell, unit
from opensphere.report.figure import DECADES, Figure, Trace, axis, colour, numbers, plain, short, slug, symbol
from opensphere.report.forest import ROW, row_axis, row_names
from opensphere.report.study.reading import Place, Row, Study

_COSTS = (
    ("seconds", "training time, seconds", "how long a training took"),
    ("memory_mb", "memory, MB", "the memory that a training needed"),
    ("energy", "hyperspherical energy of the classes", "how evenly the classes lie on the sphere at the end"),
)


def singles_figure(study: Study, place: Place, first: int) -> Figure:
    """The value of each seed, and the mean with its interval, an arm a row."""
    count = len(study.arms)
    traces: list[Trace] = []
    for number, arm in enumerate(study.arms):
        height, run = count - number, first + number
        singles = study.singles(arm, place)
        tint, meta = colour(run), {"run": run}
        if singles:
            traces.append(
                {
                    "type": "scatter", "mode": "markers", "name": plain(arm), "meta": meta, "showlegend": False,
                    "x": numbers([value for _, value in singles]), "y": [height] * len(singles),
                    "customdata": [seed for seed, _ in singles],
                    "marker": {"symbol": "line-ns-open", "size": 16, "color": tint, "line": {"width": 1.5}},
                    "hovertemplate": "%{x:.2f}, seed %{customdata}",
                }
            )  # fmt: skip
        mean = study.mean(arm, place)
        if is_number(mean.get("value")):
            traces.append({**mean_mark(run, arm, [mean["value"]], [height], [mean], "x"), "showlegend": False})
    layout = {
        "xaxis": axis(f"{place.column}, {unit(place.column)}".rstrip(", ")),
        "yaxis": row_axis(count),
        "annotations": row_names([short(arm, 34) for arm in study.arms]),
        "hovermode": "closest",
        "showlegend": False,
    }
    name = f"seeds-{slug(study.folder.name)}-{slug(place.dataset)}-{slug(place.column)}-{place.setting}"
    caption = (
        "Strokes: single trainings, a seed each. Points: means over the seeds, with 95 % intervals that allow for "
        f"{study.covered}. {'Lower' if lower_is_better(place.column) else 'Higher'} is better."
    )
    return Figure(name, f"{study.said(place)}: each seed", caption, traces, layout, ROW * count + 130)


def mean_mark(run: int, arm: str, x: list[Any], y: list[Any], rows: list[Row], along: str) -> Trace:
    """Means as marks, with intervals along an axis."""
    ends = [_reach(row) for row in rows]
    bars = {
        "type": "data", "symmetric": False, "thickness": 2, "width": 5, "color": colour(run),
        "array": numbers([up for _, up in ends]), "arrayminus": numbers([down for down, _ in ends]),
    }  # fmt: skip
    return {
        "type": "scatter", "mode": "markers", "name": plain(arm), "meta": {"run": run}, "legendgroup": str(run),
        "x": numbers(x), "y": numbers(y), f"error_{along}": bars, "customdata": [spelt(row) for row in rows],
        "marker": {"symbol": symbol(run), "size": 10, "color": colour(run)},
        "hovertemplate": f"{plain(arm)}: %{{customdata}}<extra></extra>",
    }  # fmt: skip


def _reach(row: Row) -> tuple[float, float]:
    """How far an interval goes down and up from its value; nowhere where there is none."""
    if not is_number(row.get("low")) or not is_number(row.get("high")):
        return 0.0, 0.0
    return max(0.0, row["value"] - row["low"]), max(0.0, row["high"] - row["value"])


def spelt(row: Row) -> str:
    """A mean as pointing at it says."""
    ends = f" [{row['low']:.2f}, {row['high']:.2f}]" if is_number(row.get("low")) and is_number(row.get("high")) else ""
    return f"mean {spell(row.get('value'))}{ends} over {row.get('seeds', '?')} seeds"


def cost_figures(study: Study, first: int) -> list[Figure]:
    """The main column of the first set against what a training of the first setting costs."""
    dataset = next(iter(study.sets), "")
    column = study.main(dataset) if dataset else ""
    if not column:
        return []
    place = Place(0, dataset, column)
    figures = (_cost_figure(study, place, key, title, what, first) for key, title, what in _COSTS)
    return [figure for figure in figures if figure is not None]


def _cost_figure(study: Study, place: Place, key: str, title: str, what: str, first: int) -> Figure | None:
    """None where fewer than two arms are known, or all cost the same."""
    known: list[tuple[int, float]] = []
    for number, arm in enumerate(study.arms):
        cost = study.cost(arm, place.setting).get(key)
        if is_number(cost) and is_number(study.mean(arm, place).get("value")):
            known.append((number, float(cost)))
    lowest, highest = min((cost for _, cost in known), default=0.0), max((cost for _, cost in known), default=0.0)
    if len(known) < 2 or lowest == highest:
        return None
    traces = []
    for number, cost in known:
        row = study.mean(study.arms[number], place)
        trace = mean_mark(first + number, study.arms[number], [cost], [row["value"]], [row], "y")
        hover = f"{trace['name']}: %{{customdata}}<br>{cost:,.4g} {title}<extra></extra>"
        traces.append({**trace, "hovertemplate": hover})
    logarithmic = lowest > 0 and highest / lowest >= DECADES
    layout = {
        "xaxis": axis(f"{title}, logarithmic", type="log") if logarithmic else axis(title),
        "yaxis": axis(f"{place.column}, {unit(place.column)}".rstrip(", ")),
        "hovermode": "closest",
    }
    under = f" under {study.names[place.setting]}" if study.names[place.setting] else ""
    caption = f"{place.column} on {place.dataset} with 95 % intervals, and {what}: means over the seeds{under}."
    name = f"cost-{slug(study.folder.name)}-{slug(key)}"
    return Figure(name, f"{place.column} against {title}", caption, traces, layout)
