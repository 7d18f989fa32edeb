import json
import time

import numpy as np
import pytest

from opensphere.report import page
from opensphere.report.figure import colour
from opensphere.report.results import read_results
from opensphere.report.study.pairs import choices
from opensphere.report.study.reading import Place, read_study
from opensphere.report.study.section import build_section
from opensphere.report.study.sweep import sweep_figures
from opensphere.report.study.tables import (
    chosen_rows,
    made_rows,
    result_sheets,
    run_sheet,
    setting_sheets,
    unfinished_rows,
)
from opensphere.report.study.trainings import drawn
from opensphere.report.thrift import LIMIT
from tests.report.material import change_study, write_study

PLACE = Place(0, "unseen", "ACC10")


def test_figures_are_sound_and_each_has_its_own_name(tmp_path) -> None:
    write_study(tmp_path, values=(0, 0.2), evidence_of=True)
    section = build_section(read_study(tmp_path), 0, 24)
    names = [figure.name for figure in [*section.figures, *section.printed]]
    assert len(names) == len(set(names))
    for kind in ("sweep", "seeds", "forest", "cost", "curve", "roc", "verdicts"):
        assert any(name.startswith(kind) for name in names), kind
    for figure in [*section.figures, *section.printed]:
        json.dumps([figure.data, figure.layout], allow_nan=False)


def test_seeds_stand_beside_the_mean(tmp_path) -> None:
    write_study(tmp_path)
    (first, *_), left = choices(read_study(tmp_path), 2, 24)
    strokes, mean = first.singles.data[2:4]
    np.testing.assert_allclose(strokes["x"], [91.9, 92.0, 92.1])
    assert mean["x"] == [92.0] and mean["error_x"]["array"] == [1.0] and mean["marker"]["color"] == colour(3)
    assert mean["meta"] == {"run": 3} and left == ""


def test_verdicts_are_of_the_row_whichever_way_the_column_goes(tmp_path) -> None:
    write_study(tmp_path)
    accuracy, error = choices(read_study(tmp_path), 0, 24)[0]
    for one, sign in ((accuracy, "+"), (error, "-")):
        assert one.names == ["CocoLoss", "CosFace", "ArcFace"]
        kinds = [[kind for kind, _, _ in row] for row in one.cells]
        assert kinds == [["self", "worse", "same"], ["better", "self", "better"], ["same", "worse", "self"]]
        assert one.cells[1][0][1] == f"▲ {sign}2.00" and one.cells[1][2][1] == f"▲ {sign}1.70"
    assert accuracy.cells[0][1][1:] == ("▼ -2.00", "[-2.50, -1.50], p 0.002")
    assert error.printed is not None and error.printed.data[0]["z"][1] == [0, 4, 0]


def test_few_numbers_are_shown_where_few_are_wanted(tmp_path) -> None:
    write_study(tmp_path, values=(0, 0.2))
    found, left = choices(read_study(tmp_path), 0, 1)
    assert [one.label for one in found] == ["ACC10 on unseen, share 0"] and left.startswith("3 more numbers are")


@pytest.mark.parametrize(
    "values, kind, at, ticks",
    [
        ((0, 0.2, 0.4), None, [0, 0.2, 0.4], None),
        ((0.4, 0, 0.2), None, [0, 0.2, 0.4], None),
        ((1e-3, 1e-2, 1e-1), "log", [1e-3, 1e-2, 1e-1], ["0.001", "0.01", "0.1"]),
        ((0, 1e-3, 1e-1), None, [0, 1, 2], ["0", "0.001", "0.1"]),
        (("SGD", "Adam"), None, [0, 1], ["SGD", "Adam"]),
        ((None, True, [1]), None, [0, 1, 2], ["None", "True", "[1]"]),
    ],
)
def test_the_axis_suits_the_values(tmp_path, values, kind, at, ticks) -> None:
    write_study(tmp_path, values=values)
    (figure,) = sweep_figures(read_study(tmp_path), 0)
    lines = [trace for trace in figure.data if "lines" in trace["mode"] and trace.get("fill") is None]
    assert [line["name"] for line in lines] == ["CocoLoss", "CosFace", "ArcFace"] and lines[1]["x"] == at
    axis = figure.layout["xaxis"]
    assert axis.get("type") == kind and axis.get("ticktext") == ticks
    assert lines[1]["y"] == [92.0] * len(values)
    bands = [trace for trace in figure.data if trace.get("fill") == "toself"]
    assert len(bands) == 3 and set(bands[1]["y"]) == {91.0, 93.0}


def test_two_keys_give_a_figure_for_each_value_of_the_shorter(tmp_path) -> None:
    write_study(tmp_path, values=(0, 1, 2, 3))

    def both(content) -> None:
        values = [{"data.share": share, "lr": lr} for lr in (0.1, 0.2) for share in (0, 0.5)]
        values[1]["data.share"], values[3]["data.share"] = 0.5, 0.7
        content["settings"] = [{"name": f"s{number}", "values": one} for number, one in enumerate(values)]
        content["vary"] = ["data.share", "lr"]

    change_study(tmp_path, both)
    one, other = sweep_figures(read_study(tmp_path), 0)
    assert one.title.endswith("against share, lr 0.1") and other.title.endswith("against share, lr 0.2")
    lines = [[trace for trace in figure.data if trace["mode"] == "lines+markers"][0] for figure in (one, other)]
    assert [line["x"] for line in lines] == [[0, 0.5], [0, 0.7]]


def test_arms_that_are_values_make_one_line(tmp_path) -> None:
    write_study(tmp_path, arms=("m 0.3", "m 0.1", "m 0.2"))
    (figure,) = sweep_figures(read_study(tmp_path), 0)
    (line,) = [trace for trace in figure.data if trace["mode"] == "lines+markers"]
    assert line["x"] == [0.1, 0.2, 0.3] and line["y"] == [92.0, 90.3, 90.0]
    assert all("meta" not in trace for trace in figure.data)  # no arm's button hides it
    write_study(tmp_path / "plain")
    assert sweep_figures(read_study(tmp_path / "plain"), 0) == []


def test_curves_have_a_line_a_seed_and_a_colour_an_arm(tmp_path) -> None:
    write_study(tmp_path)
    section = build_section(read_study(tmp_path), 0, 24)
    loss = next(figure for figure in section.training if figure.title == "Loss")
    assert len(loss.data) == 9 and {trace["line"]["color"] for trace in loss.data} == {colour(run) for run in range(3)}
    assert loss.data[0]["y"] == [9, 8, 7, 6, 5, 4] and loss.data[0]["line"]["width"] == 1
    titles = [figure.title for figure in section.training]
    assert titles == ["Loss", "ACC on holdout", "Hyperspherical energy of the classes", "Angle to the nearest class"]
    assert section.drawn == ""


def test_a_number_that_each_run_has_once_is_no_curve(tmp_path) -> None:
    write_study(tmp_path)
    for path in tmp_path.glob("runs/*/metrics.jsonl"):
        lines = [line for line in path.read_text().splitlines() if '"iter": 20' not in line or '"train"' in line]
        path.write_text("\n".join(lines) + "\n")
    section = build_section(read_study(tmp_path), 0, 24)
    assert [figure.title for figure in section.training] == ["Loss"]


def test_captions_say_what_one_seed_cannot(tmp_path) -> None:
    write_study(tmp_path / "one", seeds=(0,))
    write_study(tmp_path / "three")
    for name, told in (("one", "other people, but not for other seeds"), ("three", "other seeds and other people")):
        (first, *_), _ = choices(read_study(tmp_path / name), 0, 24)
        assert told in first.singles.caption and told in first.forest.caption


def test_the_page_says_which_curves_are_left_out(tmp_path) -> None:
    write_study(tmp_path, values=(0, 0.2, 0.4))
    study = read_study(tmp_path)
    study.samples = [one for one in study.samples if one.seed < 2]
    assert drawn(study) == "Shown are of 3 settings the first and the last, and of 3 seeds the first 2."


def test_tables_hold_means_costs_and_verdicts(tmp_path) -> None:
    write_study(tmp_path)
    study = read_study(tmp_path)
    ((name, sheet),) = result_sheets(study)
    assert name == "unseen" and [head for head, _ in sheet.heads] == [
        "arm", "ACC10", "EER", "against CocoLoss", "time", "images/s", "memory", "energy"
    ]  # fmt: skip
    rows = [[cell.text for cell in row] for row in sheet.rows]
    assert rows[0][:4] == ["CocoLoss", "90.00", "10.00", "baseline"] and rows[0][4:] == [
        "60.0",
        "2,000",
        "800",
        "0.500",
    ]
    assert rows[1][3] == "better" and rows[2][3] == "not told apart"
    assert [cell.best for cell in sheet.rows[1]] == [False, True, True] + [False] * 5  # ahead of all others
    assert sheet.rows[1][1].small == "[91.00, 93.00]" and setting_sheets(study) == []


def test_nothing_is_bold_that_is_not_ahead_of_all(tmp_path) -> None:
    write_study(tmp_path, gaps=(0.0, 2.0, 1.5))
    ((_, sheet),) = result_sheets(read_study(tmp_path))
    assert not any(cell.best for row in sheet.rows for cell in row)


def test_settings_are_columns_of_the_main_number(tmp_path) -> None:
    write_study(tmp_path, values=(0, 0.2))
    study = read_study(tmp_path)
    ((name, sheet),) = setting_sheets(study)
    assert name == "ACC10 on unseen" and [head for head, _ in sheet.heads] == ["arm", "share 0", "share 0.2"]
    assert [[cell.text for cell in row] for row in sheet.rows][1] == ["CosFace", "92.00", "92.00"]
    assert len(result_sheets(study)[0][1].rows) == 6


def test_runs_without_a_result_and_missing_means(tmp_path) -> None:
    write_study(tmp_path)

    def lose(content) -> None:
        content["runs"][3].update(status="diverged", why="the loss is nan", values={})
        for row in content["means"]:
            if row["arm"] == "CosFace":
                row.update(seeds=2)
            if row["arm"] == "ArcFace":
                row.update(value=None, low=None, high=None, seeds=0, why="no run finished")
        content["costs"][1]["diverged"] = 1

    change_study(tmp_path, lose)
    study = read_study(tmp_path)
    (row,) = unfinished_rows(study)
    assert (row["arm"], row["seed"], row["ended"], row["why"]) == ("CosFace", "0", "diverged", "the loss is nan")
    ((_, sheet),) = result_sheets(study)
    assert [head for head, _ in sheet.heads][4] == "seeds" and sheet.heads[-1] == ("diverged", "")
    assert [row[4].text for row in sheet.rows] == ["3", "2", "0"] and sheet.rows[2][1].text == "–"
    assert sheet.reasons == ["ACC10: no run finished", "EER: no run finished"]
    assert run_sheet(study).rows[3][3].text == "–" and dict(made_rows(study))["runs"] == "9: 8 finished, 1 diverged"


def test_what_grids_tried(tmp_path) -> None:
    write_study(tmp_path)
    chosen, tried = chosen_rows(read_study(tmp_path))
    assert chosen == [{"arm": "CosFace", "chosen": "m 0.2", "score": "82.00", "tried": "2"}]
    assert [(row["values"], row["score"]) for row in tried] == [("m 0.1", "81.00"), ("m 0.2", "82.00")]


@pytest.mark.slow
def test_two_hundred_runs_stay_small_and_quick(tmp_path) -> None:
    arms = [f"Loss{number:02d}" for number in range(20)]
    gaps = [number / 4 for number in range(20)]
    write_study(tmp_path, arms=arms, values=(0, 0.5), seeds=range(5), gaps=gaps, evidence_of=True)
    began = time.perf_counter()
    html, _ = page.fit(read_results([tmp_path]))
    assert len(html.encode()) < LIMIT and time.perf_counter() - began < 20
