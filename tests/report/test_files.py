from opensphere.report.figure import Figure, area, line
from opensphere.report.files import dressed


def figure(runs: int) -> Figure:
    data = []
    for run in range(runs):
        aside = {"meta": {"run": run, "aside": True}}
        data += [{**area(run, f"run {run}", [0, 1], [0, 0], [1, 1]), **aside}]
        data += [line(run, f"run {run} with a name that is far too long", [0, 1], [seed, 1]) for seed in range(2)]
    return Figure("f", "a title", "", data, {})


def test_each_run_stands_once_in_the_legend_by_a_short_name() -> None:
    data = dressed(figure(3))["data"]
    listed = [trace["name"] for trace in data if trace.get("showlegend") is not False]
    assert listed == ["run 0 with a n…oo long", "run 1 with a n…oo long", "run 2 with a n…oo long"]
    assert len(data) == 9


def test_of_many_runs_the_bands_stand_aside_and_the_legend_goes_below() -> None:
    few, many = dressed(figure(3)), dressed(figure(12))
    assert sum(trace.get("fill") == "toself" for trace in few["data"]) == 3
    assert not any(trace.get("fill") == "toself" for trace in many["data"])
    assert "orientation" not in few["layout"]["legend"] and many["layout"]["legend"]["orientation"] == "h"
    assert many["layout"]["height"] > few["layout"]["height"]
