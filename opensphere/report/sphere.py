"""The hypersphere that losses shape: classes and features of some people, drawn on a sphere or, for two numbers a
feature, on the plane as the papers have them (Wen et al. 2016; Liu et al. 2017, figure 2)."""

from typing import Any

import numpy as np

from opensphere.report.figure import COLOURS, NEUTRAL, Figure, Trace, axis, numbers, plain, slug
from opensphere.report.run import Run

PEOPLE, CLASSES = 12, 600  # that are shown
MOST_RUNS = 6  # a browser draws no more than 16 such figures at a time
_SYMBOLS = ("circle", "diamond")  # people of one colour


def sphere_figures(runs: list[Run]) -> list[Figure]:
    """Figures of the first runs whose features or classes are known."""
    found = []
    known = [(i, run) for i, run in enumerate(runs) if run.head is not None or _samples(run)]
    for index, run in known[:MOST_RUNS]:
        figure = feature_figure(index, run)
        if figure is not None:
            found.append(figure)
        if run.head is not None and len(run.head) > 2:
            found.append(_neighbours(index, run, run.head))
            if not any(_beside(run, arrays["sample"]) for _, arrays in _samples(run)[:1]):
                found.append(_classes(index, run, run.head))
    return found


def feature_figure(index: int, run: Run) -> Figure | None:
    """Features of some people of a run's first set that has any: in the plane, or on the sphere.

    Args:
        index: of the run on the page.
    """
    samples = _samples(run)
    if not samples:
        return None
    name, arrays = samples[0]
    features, person = arrays["sample"].astype(np.float64), arrays["sample_person"]
    kept = np.isin(person, np.unique(person)[:PEOPLE])
    draw = _plane if features.shape[1] == 2 else _sphere
    return draw(index, run, name, features[kept], person[kept])


def project(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """Directions on the sphere in three dimensions, and the share of their variance that is kept.

    Vectors are put to unit length; those of more than three numbers are turned so that three principal axes (of the
    second moment about the origin, since a direction has no other) hold as much as they can, cut, and put to unit
    length again.

    Args:
        vectors: (N, D), D at least 1.

    Returns:
        (N, 3) of unit length, a row of zeros staying zero; and the share.
    """
    axes, share = _axes(vectors)
    return _turned(vectors, axes), share


def _axes(vectors: np.ndarray) -> tuple[np.ndarray, float]:
    """(D, 3) what `project` turns by, and the share."""
    unit = _unit(vectors)
    if unit.shape[1] <= 3:
        return np.eye(unit.shape[1], 3), 1.0
    values, axes = np.linalg.eigh(unit.T @ unit)
    return axes[:, :-4:-1], float(values[:-4:-1].sum() / max(values.sum(), 1e-30))


def _turned(vectors: np.ndarray, axes: np.ndarray) -> np.ndarray:
    return _unit(_unit(vectors) @ axes)


def nearest_angles(directions: np.ndarray) -> np.ndarray:
    """(C,) the angle of each class to its nearest other class, in degrees."""
    unit = _unit(directions)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -1)
    return np.rad2deg(np.arccos(np.clip(cosines.max(axis=1), -1, 1)))


def _unit(vectors: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros(vectors.shape, np.float64), where=length > 0)


def _beside(run: Run, features: np.ndarray) -> bool:
    """Whether classes have as many numbers as features, so that one picture holds both."""
    return run.head is not None and run.head.shape[1] == features.shape[1]


def _samples(run: Run) -> list[tuple[str, dict[str, np.ndarray]]]:
    """The sets of a run with features of some people."""
    return [(name, arrays) for name, arrays in run.evidence.items() if _sampled(arrays)]


def _sampled(arrays: dict[str, np.ndarray]) -> bool:
    sample, person = arrays.get("sample"), arrays.get("sample_person")
    return sample is not None and person is not None and sample.ndim == 2 and person.shape == sample.shape[:1] != (0,)


def _plane(index: int, run: Run, name: str, features: np.ndarray, person: np.ndarray) -> Figure:
    traces: list[Trace] = []
    for place, own in enumerate(np.unique(person).tolist()):
        points = features[person == own]
        mark = {"size": 6, "color": COLOURS[place % len(COLOURS)], "opacity": 0.75}
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": f"person {own}", "x": numbers(points[:, 0], 4),
                "y": numbers(points[:, 1], 4), "hovertemplate": f"person {own}<extra></extra>",
                "marker": {**mark, "symbol": _SYMBOLS[place // len(COLOURS) % len(_SYMBOLS)]},
            }
        )  # fmt: skip
    reach = float(np.linalg.norm(features, axis=1).max())
    if run.head is not None and _beside(run, features):
        ends = reach * _unit(run.head[:CLASSES])
        gaps = np.full(len(ends), np.nan)
        x, y = (np.stack([np.zeros(len(ends)), ends[:, side], gaps], axis=1).ravel() for side in (0, 1))
        thin = {"color": NEUTRAL, "width": 0.7}
        lines = {"type": "scatter", "mode": "lines", "name": "classes", "line": thin, "hoverinfo": "skip"}
        traces.insert(0, {**lines, "x": numbers(x, 4), "y": numbers(y, 4)})
    layout = {
        "xaxis": axis("first number of the feature"),
        "yaxis": axis("second number", scaleanchor="x"),
        "hovermode": "closest",
    }
    caption = "Features as the network gives them, a colour and shape a person. Lines: directions of classes."
    return Figure(_name(index, run), f"Features of {run.label} on {name}", caption, traces, layout, 420)


def _sphere(index: int, run: Run, name: str, features: np.ndarray, person: np.ndarray) -> Figure:
    axes, share = _axes(features)
    points = _turned(features, axes)
    traces: list[Trace] = [_globe()]
    grey = ""
    if run.head is not None and _beside(run, features):
        traces.append(_marks(_turned(run.head[:CLASSES], axes), "a class", NEUTRAL, "circle", 2))
        grey = " Small and grey: directions of the classes that training made, turned alike."
    for place, own in enumerate(np.unique(person).tolist()):
        colour, symbol = COLOURS[place % len(COLOURS)], _SYMBOLS[place // len(COLOURS) % len(_SYMBOLS)]
        traces.append(_marks(points[person == own], f"person {own}", colour, symbol, 4))
    caption = (
        f"Directions of features of {len(np.unique(person))} people, a colour and shape a person.{grey} Drag to turn. "
        f"{_kept(features.shape[1], share)}"
    )
    return Figure(_name(index, run), f"{run.label} on {name}", caption, traces, _space(), 420)


def _classes(index: int, run: Run, head: np.ndarray) -> Figure:
    points, share = project(head[:CLASSES])
    traces = [_globe(), _marks(points, "classes", COLOURS[index % len(COLOURS)], "circle", 3)]
    caption = f"Directions of the classes that training made. Drag to turn. {_kept(head.shape[1], share)}"
    return Figure(f"{_name(index, run)}-classes", f"Classes of {run.label}", caption, traces, _space(), 420)


def _neighbours(index: int, run: Run, head: np.ndarray) -> Figure:
    angles = nearest_angles(head[:CLASSES])
    counts, edges = np.histogram(angles, bins=min(40, max(8, len(angles) // 10)))
    trace = {
        "type": "bar", "x": numbers((edges[1:] + edges[:-1]) / 2), "y": [int(count) for count in counts],
        "marker": {"color": COLOURS[index % len(COLOURS)]}, "meta": {"run": index},
        "hovertemplate": "%{y} classes near %{x:.1f}°<extra></extra>", "name": plain(run.label),
    }  # fmt: skip
    layout = {
        "xaxis": axis("angle to the nearest other class, degrees"),
        "yaxis": axis("classes", rangemode="tozero"),
        "bargap": 0.05,
    }
    caption = f"How far the directions of {len(angles):,} classes keep from each other; further apart is better spread."
    title = f"Room between classes of {run.label}"
    return Figure(f"{_name(index, run)}-room", title, caption, [trace], layout, 420)


def _kept(dimensions: int, share: float) -> str:
    if dimensions <= 3:
        return "The features have three numbers, so the picture is exact."
    return f"Three principal axes of {dimensions} show {share:.0%} of the spread: angles look smaller than they are."


def _marks(points: np.ndarray, name: str, colour: str, symbol: str, size: int) -> Trace:
    x, y, z = (numbers(points[:, side], 3) for side in range(3))
    return {
        "type": "scatter3d", "mode": "markers", "name": name, "x": x, "y": y, "z": z,
        "hovertemplate": f"{name}<extra></extra>", "marker": {"size": size, "color": colour, "symbol": symbol},
    }  # fmt: skip


def _globe() -> Trace:
    """Meridians and parallels, for the eye."""
    turn = np.linspace(0, 2 * np.pi, 37)
    rings = []
    for angle in range(0, 180, 30):
        side = np.deg2rad(angle)
        rings.append(np.stack([np.cos(turn) * np.cos(side), np.cos(turn) * np.sin(side), np.sin(turn)], axis=1))
    for angle in (-60, -30, 0, 30, 60):
        up = np.deg2rad(angle)
        flat = np.cos(up)
        rings.append(np.stack([flat * np.cos(turn), flat * np.sin(turn), np.full(len(turn), np.sin(up))], axis=1))
    points = np.concatenate([np.concatenate([ring, np.full((1, 3), np.nan)]) for ring in rings])
    x, y, z = (numbers(points[:, side], 3) for side in range(3))
    return {
        "type": "scatter3d", "mode": "lines", "x": x, "y": y, "z": z, "hoverinfo": "skip", "showlegend": False,
        "line": {"color": NEUTRAL, "width": 1}, "opacity": 0.5, "name": "globe",
    }  # fmt: skip


def _space() -> dict[str, Any]:
    hidden = {"visible": False}
    scene = {"xaxis": hidden, "yaxis": hidden, "zaxis": hidden, "aspectmode": "cube"}
    return {"scene": {**scene, "camera": {"eye": {"x": 0.95, "y": 0.95, "z": 0.6}}}, "hovermode": "closest"}


def _name(index: int, run: Run) -> str:
    return f"sphere-{index + 1}-{slug(run.label)}"
