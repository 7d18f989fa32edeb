import json

import pytest

from opensphere.error import UserError
from opensphere.report.results import read_results
from tests.report.material import write_comparison, write_evidence, write_run, write_table


def test_a_run_is_read_whole(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    write_table(folder, 95.0)
    write_evidence(folder)
    (run,) = read_results([folder]).runs
    assert run.label == "ArcFace" and run.updates == 60 and run.finished is True
    assert [row["iter"] for row in run.train] == [0, 10, 20, 30, 40, 50, 59]
    assert run.val[0]["ACC"] == 91.5 and list(run.tables) == ["pairs"] and list(run.evidence) == ["pairs"]
    assert run.tables["pairs"].rows[-1]["ACC"] == 95.0 and run.problems == []


def test_a_folder_of_runs_stands_for_them_and_its_table(tmp_path) -> None:
    write_run(tmp_path / "demo" / "a", "ArcFace")
    write_run(tmp_path / "demo" / "b", "CosFace")
    (tmp_path / "demo" / "result.json").write_text(json.dumps({"rows": [{"model": "ArcFace", "ACC10": 97.0}]}))
    results = read_results([tmp_path / "demo", tmp_path / "demo" / "a"])
    assert [run.label for run in results.runs] == ["ArcFace", "CosFace"]
    assert [table.name for table in results.summaries] == ["result"]


def test_labels_tell_runs_of_one_loss_apart(tmp_path) -> None:
    folders = [write_run(tmp_path / where / "run", "ArcFace") for where in ("one", "two")]
    other = write_run(tmp_path / "three", "CosFace")
    labels = [run.label for run in read_results([*folders, other]).runs]
    assert labels == ["ArcFace one/run", "ArcFace two/run", "CosFace"]


def test_comparisons_find_their_runs_and_no_others(tmp_path) -> None:
    first, second = (write_run(tmp_path / name, head) for name, head in (("a", "ArcFace"), ("b", "CosFace")))
    write_comparison(first, second, 2.0, 0.01)
    (comparison,) = read_results([first, second]).comparisons
    assert {(row["first"], row["second"]) for row in comparison.differences} == {("ArcFace", "CosFace")}
    assert read_results([first]).comparisons == []


def test_comparisons_find_runs_that_were_moved(tmp_path) -> None:
    first, second = (write_run(tmp_path / "old" / name, head) for name, head in (("a", "ArcFace"), ("b", "CosFace")))
    write_comparison(first, second, 2.0, 0.01)
    (tmp_path / "old").rename(tmp_path / "new")
    assert len(read_results([tmp_path / "new"]).comparisons) == 1


def test_an_unfinished_run_and_a_line_that_is_being_written(tmp_path) -> None:
    folder = write_run(tmp_path / "run", done=30)
    with open(folder / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "it')
    (run,) = read_results([folder]).runs
    assert run.finished is False and run.updates == 21 and run.problems == []


@pytest.mark.parametrize(
    "name, content, told",
    [
        ("config.yml", "a: [", "config.yml cannot be read"),
        ("versions.json", "{", "versions.json cannot be read"),
        ("pairs.json", "{]", "pairs.json cannot be read"),
        ("pairs_evidence.npz", "nothing", "pairs_evidence.npz: is damaged"),
        ("metrics.jsonl", 'x\n{"kind": "train", "iter": 0}\n[]\n{"kind":"val","iter":"q"}\n\n', "3 lines of metrics"),
    ],
)
def test_a_damaged_file_becomes_a_sentence(tmp_path, name: str, content: str, told: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / name).write_text(content)
    (run,) = read_results([folder]).runs
    assert any(told in problem for problem in run.problems), run.problems


@pytest.mark.parametrize(
    "content", ['{"differences": [3]}', '{"differences": [{"second": 1}]}', '{"differences": [{}], "runs": []}']
)
def test_a_damaged_comparison_becomes_a_sentence(tmp_path, content: str) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "pairs_comparison.json").write_text(content)
    results = read_results([folder])
    assert results.problems == ["pairs_comparison.json is no comparison of runs."]


def test_folders_without_a_run_are_refused(tmp_path) -> None:
    with pytest.raises(UserError, match="is no folder; name run folders"):
        read_results([tmp_path / "absent"])
    with pytest.raises(UserError, match="holds no run"):
        read_results([tmp_path])
