import numpy as np

from opensphere.report.figure import Figure, area, line
from opensphere.report.thrift import THRIFTS, last, spec


def test_curves_have_fewer_points_and_keep_their_ends() -> None:
    x = np.arange(1000)
    curve = line(0, "a", x, 2 * x, customdata=list(range(1000)))
    short = line(0, "b", [0, 1], [2, 3])
    bars = {"type": "bar", "x": list(range(1000)), "y": list(range(1000))}
    figure = Figure("f", "", "", [curve, short, bars], {})
    one, other, third = spec(figure, 50)["data"]
    assert len(one["x"]) == len(one["y"]) == len(one["customdata"]) == 50 and one["x"][0] == 0 and one["x"][-1] == 999
    assert one["y"] == [2 * value for value in one["x"]] and other == short and third == bars
    assert spec(figure)["data"] == figure.data


def test_bands_stay_bands() -> None:
    x = np.arange(200)
    (band,) = spec(Figure("f", "", "", [area(0, "a", x, x - 1, x + 1)], {}), 20)["data"]
    assert len(band["x"]) == 20 and band["x"] == band["x"][::-1]
    assert band["y"][:10] == [value + 1 for value in band["x"][:10]]
    assert band["y"][10:] == [value - 1 for value in band["x"][10:]]


def test_the_last_figures_go_first() -> None:
    figures = [Figure(name, "", "", [line(0, "a", range(100), range(100))], {}) for name in "abc"]
    assert (
        last(figures, -1, 0) == frozenset() and last(figures, 10, 0) == {"c"} and last(figures, 10**9, 0) == set("abc")
    )


def test_each_step_does_with_less() -> None:
    for one, other in zip(THRIFTS, THRIFTS[1:], strict=False):
        assert other.pictures <= one.pictures and other.numbers <= one.numbers and other.configs <= one.configs
        assert other.said and other != one
