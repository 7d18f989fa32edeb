import json
import string

import numpy as np
import pytest

from opensphere.metric import evidence
from opensphere.report.curves import curve_figures
from opensphere.report.differences import verdicts
from opensphere.report.figure import slug
from opensphere.report.hardest import PICTURED, hardest
from opensphere.report.page import build
from opensphere.report.results import read_results
from opensphere.report.sphere import nearest_angles, project, sphere_figures
from opensphere.report.training import spread_figures, thin, training_figures, validation_figures
from tests.report.material import write_comparison, write_evidence, write_run, write_table

KEPT = string.ascii_lowercase + string.digits + "-"


def test_training_has_a_figure_for_each_number_and_a_curve_for_each_run(tmp_path) -> None:
    runs = read_results([write_run(tmp_path / name, head) for name, head in (("a", "ArcFace"), ("b", "CosFace"))]).runs
    figures = {figure.name: figure for figure in training_figures(runs)}
    assert list(figures) == [
        "train-loss", "train-lr", "train-bkb-grad", "train-head-grad", "train-mag-mean", "train-images-per-second"
    ]  # fmt: skip
    loss = figures["train-loss"].data
    assert [trace["name"] for trace in loss] == ["ArcFace", "CosFace"]
    assert loss[0]["y"][:3] == [9.0, 8.0, 7.0] and loss[0]["x"][-1] == 59
    assert [trace["line"]["color"] for trace in loss] == ["#0072B2", "#D55E00"]
    (validation,) = validation_figures(runs)
    assert validation.title == "ACC on validation" and validation.data[0]["y"] == [91.5]


def test_the_spread_of_classes_is_drawn_over_updates(tmp_path) -> None:
    folders = [write_run(tmp_path / name, head) for name, head in (("a", "ArcFace"), ("b", "CosFace"))]
    with open(folders[1] / "metrics.jsonl", "a") as file:
        for step in (20, 40):
            file.write(json.dumps({"kind": "sphere", "iter": step, "energy": 0.5, "nearest": 60.0 + step}) + "\n")
    runs = read_results(folders).runs
    assert all(run.problems == [] for run in runs)
    energy, nearest = spread_figures(runs)
    (trace,) = nearest.data
    assert trace["x"] == [20, 40] and trace["y"] == [80, 100] and trace["meta"] == {"run": 1}
    assert [figure.name for figure in (energy, nearest)] == ["spread-energy", "spread-nearest"]
    assert spread_figures(runs[:1]) == []


@pytest.mark.parametrize("names", [("一", "二"), ("é", "è"), ("*", "?"), ("Übung", "bung")])
def test_names_of_other_alphabets_stay_apart(names: tuple[str, str]) -> None:
    found = [slug(name) for name in names]
    assert found[0] != found[1] and all(name.isascii() and set(name) <= set(KEPT) for name in found)
    assert slug("TPR@FPR=1e-4") == "tpr-fpr-1e-4"


def test_long_curves_are_thinned_to_means() -> None:
    x, y = thin(np.arange(1000), np.arange(1000) * 2.0, 10)
    np.testing.assert_allclose(x, np.arange(1000).reshape(10, 100).mean(axis=1))
    np.testing.assert_allclose(y, 2 * x)
    np.testing.assert_array_equal(thin([1, 2], [3, 4], 10)[1], [3, 4])


def test_verdicts_follow_the_direction_of_the_metric(tmp_path) -> None:
    folders = [write_run(tmp_path / name, head) for name, head in (("a", "ArcFace"), ("b", "CosFace"))]
    write_comparison(*folders, 2.0, 0.01)
    accuracy, error = verdicts(read_results(folders).comparisons[0])
    for one in (accuracy, error):  # the first has more accuracy and less error
        assert one.names == ["ArcFace", "CosFace"]
        assert [[kind for kind, _, _ in row] for row in one.cells] == [["self", "better"], ["worse", "self"]]
    (trace,) = accuracy.forest.data
    assert trace["x"] == [2.0] and trace["error_x"]["array"] == [1.0] and trace["name"] == "more than chance"
    assert "to the right the first is better" in accuracy.forest.caption
    assert "to the left the first is better" in error.forest.caption


def test_a_difference_that_may_be_chance_has_no_winner(tmp_path) -> None:
    folders = [write_run(tmp_path / name, head) for name, head in (("a", "ArcFace"), ("b", "CosFace"))]
    write_comparison(*folders, 2.0, 0.06)
    accuracy, _ = verdicts(read_results(folders).comparisons[0])
    assert accuracy.cells[0][1] == ("same", "not told apart", "ArcFace less CosFace: +2.00 [+1.00, +3.00], p 0.06")


def test_the_map_of_verdicts_is_a_figure_for_files(tmp_path) -> None:
    folders = [write_run(tmp_path / name, head) for name, head in (("a", "ArcFace"), ("b", "CosFace"))]
    write_table(folders[0], 95.0)
    write_comparison(*folders, 2.0, 0.01)
    parts = build(read_results(folders))
    (printed, _) = [figure for figure in parts.drawings if figure.name.startswith("verdicts")]
    assert printed not in parts.figures and printed.layout["xaxis"]["ticktext"] == ["ArcFace", "CosFace"]
    assert printed.data[0]["text"] == [["", "better"], ["worse", ""]]
    assert [trace["name"] for trace in printed.data[1:]] == ["better", "worse"]


def test_curves_are_the_rates_of_the_evidence(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    arrays = write_evidence(folder)
    figures = {figure.name: figure for figure in curve_figures(read_results([folder]).runs, "pairs")}
    assert list(figures) == [f"{kind}-pairs" for kind in ("roc", "det", "scores", "angles", "cmc", "open-set")]
    _, roc = figures["roc-pairs"].data
    for fpr, tpr, threshold in list(zip(roc["x"], roc["y"], roc["customdata"], strict=True))[:20]:
        place = np.argmin(np.abs(arrays["thresholds"] - threshold))
        assert tpr == pytest.approx(100 * arrays["true_accepts"][place] / 300, abs=0.4)
        assert fpr == pytest.approx(100 * arrays["false_accepts"][place] / 300, abs=0.4)
    (slider,) = figures["scores-pairs"].sliders
    edge = slider["start"]
    fmr, fnmr = sum(slider["impostor"][edge:]) / 300, sum(slider["genuine"][:edge]) / 300
    assert abs(fmr - fnmr) < 0.03
    assert "95% intervals" in figures["roc-pairs"].caption


@pytest.mark.parametrize("pairs, width", [(20, 10), (700, 5), (200_000, 1)])
def test_few_pairs_are_drawn_in_wide_bins_and_counted_in_narrow_ones(tmp_path, pairs: int, width: int) -> None:
    folder = write_run(tmp_path / "run")
    same = np.arange(2 * pairs) < pairs
    rng = np.random.default_rng(0)
    scores = np.clip(rng.normal(np.where(same, 0.5, 0.0), 0.1), -0.98, 0.98)
    evidence.write(folder / "pairs_evidence.npz", evidence.collect(scores, same))
    figures = {figure.name: figure for figure in curve_figures(read_results([folder]).runs, "pairs")}
    shown = figures["scores-pairs"]
    assert shown.layout["yaxis"]["title"]["text"] == f"share of pairs, % per {width / 100:g}"
    for trace, own in zip(shown.data, (scores[same], scores[~same]), strict=True):
        edges = np.append(np.array(trace["x"]) - width / 200, trace["x"][-1] + width / 200)
        expected = np.histogram(own, edges)[0]
        np.testing.assert_allclose(trace["y"], 100 * expected / pairs, atol=100.1 / pairs)  # scores at an edge
        assert sum(trace["y"]) == pytest.approx(100) and trace["y"][0] == trace["y"][-1] == 0
        assert len(expected) <= 2 * pairs ** (1 / 3) + 4 or width == 1
    (slider,) = shown.sliders
    assert len(slider["genuine"]) == len(slider["edges"]) - 1 == 200 and sum(slider["genuine"]) == pairs
    for trace in figures["angles-pairs"].data:
        steps = np.diff(trace["x"])
        assert np.ptp(steps) < 1e-6 and sum(trace["y"]) * steps[0] == pytest.approx(100)


def test_scores_that_are_all_alike_are_drawn_as_a_peak(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    evidence.write(folder / "pairs_evidence.npz", evidence.collect(np.ones(60), np.arange(60) < 30))
    (_, _, scores, *_) = curve_figures(read_results([folder]).runs, "pairs")
    assert [trace["y"] for trace in scores.data] == [[0, 100, 0]] * 2


def test_figures_are_sound_json(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    write_table(folder, 95.0)
    write_evidence(folder)
    parts = build(read_results([folder]))
    assert len(parts.figures) > 10
    for figure in parts.figures:
        json.dumps([figure.data, figure.layout, figure.sliders], allow_nan=False)
    assert len({figure.name for figure in parts.figures}) == len(parts.figures)


def test_hardest_pairs_are_marked_by_the_best_threshold(tmp_path) -> None:
    arrays = write_evidence(write_run(tmp_path / "run"))
    found = hardest(arrays)
    assert found is not None and len(found.rejects) == len(found.accepts) == 3
    assert [pair.score for pair in found.rejects] == sorted(pair.score for pair in found.rejects)
    for pair in [*found.rejects, *found.accepts]:
        assert pair.pictures[0].startswith("data:image/jpeg;base64,") and pair.names == ("a.jpg", "a.jpg")
    assert all(pair.wrong == (pair.score >= found.threshold) for pair in found.accepts)
    assert all(pair.wrong == (pair.score < found.threshold) for pair in found.rejects)
    assert hardest({key: value for key, value in arrays.items() if "hard" not in key}) is None


def test_look_alikes_are_shown_beside_the_hardest_pairs(tmp_path) -> None:
    arrays = write_evidence(write_run(tmp_path / "run"))
    assert hardest(arrays).alike == []
    arrays |= {
        "alike": arrays["hard_impostor"][:2],
        "alike_scores": np.array([0.9, -0.9]),
        "alike_person": np.array([[0, 1], [0, 2]]),
        "alike_images": np.array(50),
    }
    found = hardest(arrays)
    assert [(pair.score, pair.wrong) for pair in found.alike] == [(0.9, True), (-0.9, False)] and found.compared == 50
    assert found.alike[0].pictures[0].startswith("data:image/jpeg")
    assert hardest(arrays, side=0).alike[0].pictures == ("", "")


def test_searches_are_shown_with_three_pictures_each(tmp_path) -> None:
    arrays = write_evidence(write_run(tmp_path / "run"))
    found = hardest(arrays)
    assert [(one.first, one.own) for one in found.searches] == [(0.7, 0.4), (0.6, 0.5), (0.55, 0.1), (0.5, 0.5)]
    assert all(len(one.pictures) == len(one.names) == 3 for one in found.searches)
    alone = hardest({key: value for key, value in arrays.items() if key not in ("hard_genuine", "hard_impostor")}, 2)
    assert alone.rejects == alone.accepts == [] and alone.searches == found.searches[:2]


def test_pictures_of_a_page_are_bounded(tmp_path) -> None:
    folders = [write_run(tmp_path / str(number), "ArcFace") for number in range(30)]
    for number, folder in enumerate(folders):
        write_table(folder, 90.0)
        write_evidence(folder, seed=number)
    (test,) = build(read_results(folders)).tests
    shown = sum(len(found.accepts) + len(found.rejects) + len(found.searches) for _, found in test.hardest)
    assert len(test.hardest) == 30 and shown <= max(PICTURED, 6 * 30)


def test_projection_keeps_three_numbers_and_what_lies_on_a_plane() -> None:
    rng = np.random.default_rng(0)
    three = rng.normal(size=(20, 3))
    points, share = project(three)
    np.testing.assert_allclose(points, three / np.linalg.norm(three, axis=1, keepdims=True))
    assert share == 1
    basis = np.linalg.qr(rng.normal(size=(16, 3)))[0]
    points, share = project(three @ basis.T)  # three dimensions hidden in sixteen
    assert share == pytest.approx(1)
    angles = three @ three.T / np.outer(np.linalg.norm(three, axis=1), np.linalg.norm(three, axis=1))
    np.testing.assert_allclose(points @ points.T, angles, atol=1e-9)


def test_classes_lie_among_the_features_turned_alike(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    write_evidence(folder)
    (run,) = read_results([folder]).runs
    features = run.evidence["pairs"]["sample"]
    run.head = 3.0 * features[:5]  # classes that point where some features do
    sphere, _ = sphere_figures([run])
    classes, first = sphere.data[1:3]
    assert (classes["name"], first["name"]) == ("a class", "person 0") and "directions of the classes" in sphere.caption
    for side in "xyz":
        np.testing.assert_allclose(classes[side], first[side])
    run.head = np.eye(7)  # of another length: a picture of their own
    assert [figure.name.split("-")[-1] for figure in sphere_figures([run])] == ["arcface", "room", "classes"]
    assert all(trace["name"] != "a class" for trace in sphere_figures([run])[0].data)


def test_nearest_angles_of_axes_are_right() -> None:
    np.testing.assert_allclose(nearest_angles(np.array([[1.0, 0], [0, 2.0], [-1.0, 0.0]])), [90, 90, 90])


def test_two_numbers_a_feature_are_drawn_on_the_plane(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    write_evidence(folder)
    (run,) = read_results([folder]).runs
    run.evidence["pairs"]["sample"] = run.evidence["pairs"]["sample"][:, :2]
    run.head = np.array([[1.0, 0], [0, 1.0], [-1.0, -1.0]])
    plane, room = sphere_figures([run])
    assert {trace["type"] for trace in plane.data} == {"scatter"} and plane.layout["yaxis"]["scaleanchor"] == "x"
    np.testing.assert_allclose(plane.data[1]["x"], run.evidence["pairs"]["sample"][:5, 0], rtol=1e-3)
    assert sum(room.data[0]["y"]) == 3
