import base64
import json

import cv2
import numpy as np
import pytest

from opensphere.report.data import Data, shown_data
from opensphere.report.training_data import FILE, TrainingData, read_training_data
from tests.report.material import write_data


def noted(tmp_path, counts, **changes) -> TrainingData:
    write_data(tmp_path, counts, **changes)
    return read_training_data(tmp_path / FILE)


def shown(tmp_path, counts, **changes) -> Data:
    (found,) = shown_data([("run", noted(tmp_path, counts, **changes))], "data", 1)
    return found


def test_runs_of_the_same_data_share_it(tmp_path) -> None:
    one, other = noted(tmp_path, (2, 3)), noted(tmp_path, (2, 4))
    again = noted(tmp_path, (2, 3))
    found = shown_data([("a", one), ("b", other), ("c", again)], "data", 2)
    assert [data.labels for data in found] == [["a", "c"], ["b"]]
    assert [data.figure.name for data in found] == ["data-1-faces", "data-2-faces"]


@pytest.mark.parametrize(
    "counts, about",
    [
        ((20,) * 5, "100 images of 5 people, 20 of each."),
        ((2, 3, 40), "45 images of 3 people: 2 to 40 of each, 3 in the middle (median)."),
        ((1, 2000), "2,001 images of 2 people: 1 to 2,000 of each, 1,000 in the middle (median)."),
    ],
)
def test_a_sentence_says_how_many(tmp_path, counts, about: str) -> None:
    assert shown(tmp_path, counts).about == about


def test_people_without_images_are_said(tmp_path) -> None:
    assert shown(tmp_path, (2, 2), people=5).about == "4 images of 5 people, 2 of each. 3 people have none."


def people_in_bars(data: Data, counts) -> None:
    """Every bar has the people whose images are as many as pointing at it says, and all people are in one."""
    (trace,) = data.figure.data
    ranges = [[int(word.replace(",", "")) for word in text.split(" to ")] for text in trace["customdata"]]
    expected = [sum(bounds[0] <= count <= bounds[-1] for count in counts) for bounds in ranges]
    assert trace["y"] == expected and sum(expected) == len(counts)
    for bounds, other in zip(ranges, ranges[1:], strict=False):
        assert other[0] == bounds[-1] + 1
    json.dumps([data.figure.data, data.figure.layout], allow_nan=False)


@pytest.mark.parametrize("spread", [3, 30, 100, 900])
def test_bars_count_all_people(tmp_path, spread: int) -> None:
    counts = np.random.default_rng(spread).integers(40, 40 + spread, 60)
    data = shown(tmp_path, counts)
    people_in_bars(data, counts)
    assert len(data.figure.data[0]["y"]) <= 41 and data.figure.layout["xaxis"] == {
        "title": {"text": "images of a person"}
    }


def test_axes_are_logarithmic_where_numbers_span_decades(tmp_path) -> None:
    counts = [1] * 300 + [2] * 50 + [3, 7, 60, 900, 1234]
    data = shown(tmp_path, counts)
    people_in_bars(data, counts)
    layout, (trace,) = data.figure.layout, data.figure.data
    assert layout["yaxis"]["type"] == "log" and layout["xaxis"]["ticktext"] == ["1", "10", "100", "1,000"]
    assert layout["xaxis"]["tickvals"] == [0, 1, 2, 3]
    x, width = np.array(trace["x"]), np.array(trace["width"])
    for left, right, text in zip(x - width / 2, x + width / 2, trace["customdata"], strict=True):
        ends = [int(word.replace(",", "")) for word in text.split(" to ")]
        assert left < np.log10(ends[0]) and np.log10(ends[-1]) < right
    np.testing.assert_allclose((x + width / 2)[:-1], (x - width / 2)[1:], atol=1e-4)  # side by side


def test_people_who_all_have_as_many_make_no_figure(tmp_path) -> None:
    assert shown(tmp_path, (20, 20)).figure is None


def pixels(uri: str) -> np.ndarray:
    data = base64.b64decode(uri.removeprefix("data:image/jpeg;base64,"))
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_pictures_are_small_and_few(tmp_path) -> None:
    data = noted(tmp_path, range(1, 9))
    (found,) = shown_data([("a", data)], "data", 1)
    assert [(name, images, len(faces)) for name, images, faces in found.some] == [
        (f"person {number}", number + 1, min(2, number + 1)) for number in range(8)
    ]
    assert found.some[1][2][0].name == "1/1.jpg" and pixels(found.some[1][2][0].picture).shape == (48, 40, 3)
    (less,) = shown_data([("a", data)], "data", 4, 24)
    assert [images for _, images, _ in less.some] == [1, 8]  # both ends
    assert pixels(less.some[0][2][0].picture).shape == (24, 20, 3)
    (none,) = shown_data([("a", data)], "data", 1, 0)
    assert none.some == [] and none.figure is not None
    several = [(str(number), noted(tmp_path, (2, 3 + number))) for number in range(9)]
    assert [bool(one.some) for one in shown_data(several, "data", 9)] == [True] * 4 + [False] * 5


def test_people_without_pictures_are_not_shown(tmp_path) -> None:
    data = shown(tmp_path, (1, 1), picture_person=np.array([1, 1]))
    assert [name for name, _, _ in data.some] == ["person 1"]
