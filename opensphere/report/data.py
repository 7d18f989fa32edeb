"""What was trained on: how many images people have, and pictures of some of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from opensphere.report.columns import spell
from opensphere.report.figure import DECADES, NEUTRAL, Figure, axis, numbers, slug
from opensphere.report.picture import data_uri
from opensphere.report.training_data import TrainingData

SIDE = 64  # pixels of the longer side of a picture
PEOPLE = 8  # with pictures, of a page in all
_LEAST_PEOPLE, _MOST_SHEETS = 2, 4  # of several data: people of each, and how many of them have pictures
_BARS = 40
_TALL = 100  # how many times the lowest bar the highest is, from which on their axis is logarithmic


@dataclass(frozen=True)
class Face:
    """An image's name, and a small picture of it as a data URI."""

    name: str
    picture: str


@dataclass(frozen=True)
class Data:
    """What some runs were trained on.

    Attributes:
        labels: of the runs.
        about: sentences on images and people.
        remarks: what was done to the set on purpose.
        figure: how many people have how many images; None where all have as many.
        some: the name of a person, the number of images, and some of them.
    """

    name: str
    labels: list[str]
    about: str
    remarks: tuple[str, ...]
    figure: Figure | None
    some: list[tuple[str, int, list[Face]]]


def shown_data(known: Iterable[tuple[str, TrainingData]], name: str, sheets: int, side: int = SIDE) -> list[Data]:
    """What a page shows of the data of runs; those of the same data share it.

    Args:
        known: runs by their labels.
        name: of the figures.
        sheets: how many different data the page has in all.
        side: pixels of a picture's longer side at most; 0 for no pictures.
    """
    labels: dict[TrainingData, list[str]] = {}
    for label, data in known:
        labels.setdefault(data, []).append(label)
    most = max(_LEAST_PEOPLE, PEOPLE // max(1, sheets))
    found = []
    for number, (data, own) in enumerate(labels.items()):
        pixels = min(side, SIDE) if number < _MOST_SHEETS else 0
        figure = _histogram(f"{name}-{number + 1}-{slug(data.name)}", data)
        found.append(Data(data.name, own, _about(data), data.remarks, figure, _pictures(data, most, pixels)))
    return found


def _about(data: TrainingData) -> str:
    lacking = data.people - sum(data.holders)
    rest = f" {lacking:,} people have none." if lacking else ""
    whole = f"{data.images:,} images of {data.people:,} people"
    fewest, most = data.counts[0], data.counts[-1]
    if fewest == most:
        return f"{whole}, {fewest:,} of each.{rest}"
    return f"{whole}: {fewest:,} to {most:,} of each, {spell(_median(data), 0)} in the middle (median).{rest}"


def _median(data: TrainingData) -> float:
    """Of the images that those people have who have any."""
    ends = np.cumsum(data.holders)
    middle = [(ends[-1] - 1) // 2, ends[-1] // 2]
    return float(np.mean(np.array(data.counts)[np.searchsorted(ends, middle, side="right")]))


def _histogram(name: str, data: TrainingData) -> Figure | None:
    counts, holders = np.array(data.counts), np.array(data.holders)
    if len(counts) < 2:
        return None
    wide = counts[-1] >= DECADES * counts[0]
    edges = _edges(int(counts[0]), int(counts[-1]), wide)
    people = np.histogram(counts, edges - 0.5, weights=holders)[0].astype(int)
    high = people.max() >= _TALL * people[people > 0].min()
    places = np.log10(edges - 0.5) if wide else edges - 0.5  # bars on a linear axis, which draws them alike everywhere
    trace = {
        "type": "bar", "x": numbers((places[1:] + places[:-1]) / 2), "y": people.tolist(),
        "width": numbers(np.diff(places)), "marker": {"color": NEUTRAL}, "name": "people",
        "customdata": [
            f"{low:,}" if low == last else f"{low:,} to {last:,}"
            for low, last in zip(edges[:-1].tolist(), (edges[1:] - 1).tolist(), strict=True)
        ],
        "hovertemplate": "people: %{y:,}<br>images of each: %{customdata}<extra></extra>",
    }  # fmt: skip
    upright = {
        "type": "log",
        "dtick": 1,
        "tickformat": ",d",
        "range": [float(np.log10(0.7)), float(np.log10(1.5 * people.max()))],
    }
    layout = {
        "xaxis": axis("images of a person, logarithmic", **_ticks(edges)) if wide else axis("images of a person"),
        "yaxis": axis("people, logarithmic", **upright) if high else axis("people", rangemode="tozero"),
        "hovermode": "closest",
        "bargap": 0,
        "showlegend": False,
    }
    caption = "How many people have how many images."
    return Figure(name, f"Images of each person in {data.name}", caption, [trace], layout, 300)


def _edges(fewest: int, most: int, wide: bool) -> np.ndarray:
    """(B + 1,) whole numbers: where each bar begins, and where the last one has ended."""
    if wide:
        return np.unique(np.rint(np.geomspace(fewest, most + 1, _BARS + 1)).astype(int))
    width = -(-(most + 1 - fewest) // _BARS)
    return np.arange(fewest, most + width + 1, width)


def _ticks(edges: np.ndarray) -> dict[str, object]:
    steps = (1, 2, 5) if edges[-1] < 300 * edges[0] else (1,)
    known = [step * 10**power for power in range(9) for step in steps]
    kept = [value for value in known if edges[0] <= value < edges[-1]]
    return {"tickvals": numbers(np.log10(kept)), "ticktext": [f"{value:,}" for value in kept]}


def _pictures(data: TrainingData, most: int, side: int) -> list[tuple[str, int, list[Face]]]:
    """Some people as they lie evenly from fewest images to most; nobody without pictures."""
    if not side or not data.some:
        return []
    places = np.unique(np.linspace(0, len(data.some) - 1, min(most, len(data.some))).round().astype(int))
    people = [data.some[place] for place in places]
    shown = [(one.name, one.images, _faces(one.pictures, side)) for one in people]
    return [(name, images, faces) for name, images, faces in shown if faces]


def _faces(pictures: Sequence[tuple[str, bytes]], side: int) -> list[Face]:
    """Encoded anew, so that nothing of a file but its pixels gets in."""
    decoded = [(name, cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)) for name, jpeg in pictures]
    return [Face(name, data_uri(pixels, side)) for name, pixels in decoded if pixels is not None]
