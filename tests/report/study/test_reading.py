import json

import pytest

from opensphere.report.results import read_results
from opensphere.report.study.reading import Place, is_study, read_study
from tests.report.material import change_study, write_run, write_study


def test_a_study_is_read_whole(tmp_path) -> None:
    write_study(tmp_path, values=(0, 0.2, 0.4), evidence_of=True)
    study = read_study(tmp_path)
    assert study.problems == [] and study.arms == ["CocoLoss", "CosFace", "ArcFace"] and study.seeds == [0, 1, 2]
    assert study.names == ["share 0", "share 0.2", "share 0.4"] and study.main("unseen") == "ACC10"
    place = Place(2, "unseen", "EER")
    assert study.mean("CosFace", place)["value"] == 8.0
    assert study.singles("CosFace", place) == [(0, pytest.approx(8.1)), (1, 8.0), (2, pytest.approx(7.9))]
    assert [row["first"] for row in study.between("baseline", place)] == ["CosFace", "ArcFace"]
    assert len(study.between("pairs", place)) == 3 and study.cost("ArcFace", 1)["seconds"] == 62.0
    assert [(one.setting, one.column) for one in study.places()] == [
        (0, "ACC10"), (1, "ACC10"), (2, "ACC10"), (0, "EER"), (1, "EER"), (2, "EER"),
    ]  # fmt: skip


def test_curves_are_those_of_the_first_and_the_last_setting(tmp_path) -> None:
    write_study(tmp_path, values=(0, 0.2, 0.4), evidence_of=True)
    samples = read_study(tmp_path).samples
    assert {one.setting for one in samples} == {0, 2} and len(samples) == 18
    assert [bool(one.run.evidence) for one in samples[:3]] == [True, False, False]  # of the first seed
    assert len(samples[0].run.train) == 6 and len(samples[0].run.sphere) == 2


def test_a_study_is_no_run_and_its_runs_are_no_runs_of_the_page(tmp_path) -> None:
    write_study(tmp_path / "study")
    write_run(tmp_path / "run")
    results = read_results([tmp_path / "study"])
    assert results.runs == [] and [one.title for one in results.studies] == ["Losses"]
    both = read_results([tmp_path, tmp_path / "study"])
    assert len(both.runs) == 1 and len(both.studies) == 1 and both.summaries == []


@pytest.mark.parametrize("content", ["{", "[]", '{"arms": 3}', "{}"])
def test_what_is_damaged_becomes_a_sentence(tmp_path, content: str) -> None:
    (tmp_path / "study.json").write_text(content)
    study = read_study(tmp_path)
    assert study.problems and study.arms == [] and study.title == tmp_path.name


def test_a_study_that_goes_on(tmp_path) -> None:
    write_study(tmp_path)
    (tmp_path / "study.json").unlink()
    assert is_study(tmp_path)
    assert read_study(tmp_path).problems == ["There is no study.json yet: `opensphere compare` writes it."]


@pytest.mark.parametrize("key", ["arms", "seeds", "settings", "runs", "means", "differences", "costs", "sets"])
def test_missing_parts_are_named(tmp_path, key: str) -> None:
    write_study(tmp_path)
    change_study(tmp_path, lambda content: content.pop(key))
    study = read_study(tmp_path)
    assert any(key in problem for problem in study.problems)


@pytest.mark.parametrize(
    "key, row",
    [
        ("runs", {"arm": "Other", "setting": 0, "seed": 0}),
        ("runs", {"arm": "CosFace", "setting": 1, "seed": 0}),
        ("means", {"arm": "CosFace", "setting": 0, "set": "unseen", "column": None}),
        ("means", {"arm": ["CosFace"], "setting": 0, "set": "unseen", "column": "EER"}),
        ("differences", {"first": "CosFace", "second": "ArcFace", "family": "x", "setting": 0}),
        ("costs", 3),
        ("versions", "x"),
    ],
)
def test_rows_that_say_nothing_of_the_study_are_left_out(tmp_path, key: str, row) -> None:
    before = len(write_study(tmp_path)[key])
    change_study(tmp_path, lambda content: content[key].append(row))
    study = read_study(tmp_path)
    assert study.problems == [f"1 rows of `{key}` in study.json cannot be used and are left out."]
    assert len(getattr(study, key)) == before


def test_runs_outside_the_study_are_not_read(tmp_path) -> None:
    write_study(tmp_path / "study")
    run = write_run(tmp_path / "other")
    change_study(tmp_path / "study", lambda content: [row.update(folder="../other") for row in content["runs"]])
    assert run.is_dir() and read_study(tmp_path / "study").samples == []


def test_runs_without_curves_are_counted(tmp_path) -> None:
    write_study(tmp_path)
    (tmp_path / "runs" / "0-0-0" / "metrics.jsonl").unlink()
    assert read_study(tmp_path).problems == ["1 of the runs that are drawn have no training curves in metrics.jsonl."]


def test_numbers_that_are_not_known_are_no_numbers(tmp_path) -> None:
    write_study(tmp_path)
    change_study(tmp_path, lambda content: content["runs"][0]["values"]["unseen"].update(ACC10=None))
    study = read_study(tmp_path)
    assert [seed for seed, _ in study.singles("CocoLoss", Place(0, "unseen", "ACC10"))] == [1, 2]
    json.dumps(study.runs)
