"""A study from its file to its tables: made once, gone on with, shared, and told apart only where it should be."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from opensphere.command import compare as command
from opensphere.command import running
from opensphere.command.compare import versions_of
from opensphere.command.main import run_command
from opensphere.compare.notes import made_by
from opensphere.engine import loop
from tests.material import write_config

ROOT = Path(__file__).resolve().parents[2]
PLAIN = {"type": "CocoLoss", "s": 16.0}


def write_study(tmp_path: Path, **keys: Any) -> Path:
    """A study of a few seconds."""
    base = yaml.safe_load((ROOT / "config/demo/faces.yml").read_text())
    base["project"] |= {"max_iters": 4, "val_intvl": 2, "train_log": {"screen_intvl": 1}}
    base["data"]["base"]["dataloader"] |= {"batch_size": 16, "num_workers": 0}
    base["data"]["train"]["dataset"] |= {"people": 6, "images": 4, "image_size": 32}
    base["data"]["val"][0]["dataset"] |= {"people": 20, "images": 4, "pairs": 40}
    base["model"]["backbone"]["net"] |= {"type": "sfnet4", "width": 0.125, "out_channel": 16}
    test = yaml.safe_load((ROOT / "config/test/faces.yml").read_text())
    test["data"]["test"][0]["dataset"] |= {"people": 20, "images": 4, "pairs": 40, "metrics": ["ACC10", "ACC", "EER"]}
    paths = {key: str(write_config(tmp_path, block, f"{key}.yml")) for key, block in (("base", base), ("test", test))}
    heads = [PLAIN, {"type": "CosFace", "s": 16.0, "m": 0.2}]
    return write_config(tmp_path, {**paths, "heads": heads, "seeds": 2, **keys}, "study.yml")


def compare(path: Path, name: str, *words: str) -> tuple[int, Path]:
    parent = path.parent / name
    return run_command("compare", [str(path), "--proj_dir", str(parent), "--resamples", "50", *words]), parent / "study"


def results(folder: Path) -> dict[str, Any]:
    """study.json without what differs from call to call: times, and what the machine was busy with."""
    study = json.loads((folder / "study.json").read_text())
    for row in (*study["runs"], *study["costs"]):
        for key in ("seconds", "images/s", "memory_mb"):
            row.pop(key)
    return {key: value for key, value in study.items() if key not in ("seconds", "versions", "machine")}


@pytest.mark.slow
def test_a_study_from_file_to_tables(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    heads = [PLAIN, {"name": "twin", "net": PLAIN}, {"net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1, 0.3]}}]
    path = write_study(tmp_path, heads=heads, title="Two & one", metric="ACC", tune={"length": 0.5})
    status, folder = compare(path, "p")
    assert status == 0
    out = capsys.readouterr().out
    assert "[6/6]" in out and "0:00:00 left" in out and str(folder) in out
    study = json.loads((folder / "study.json").read_text())
    assert [run["status"] for run in study["runs"]] == ["finished"] * 6
    assert study["metric"] == "ACC" and study["sets"] == {"unseen": ["ACC", "ACC10", "EER"]}
    twins = [row for row in study["differences"] if {row["first"], row["second"]} == {"CocoLoss", "twin"}]
    assert twins and all(row["verdict"] == "not told apart" and row["difference"] == 0 for row in twins)
    (chosen,) = study["chosen"]
    scores = [row["score"] for row in chosen["tried"]]
    assert chosen["values"] == chosen["tried"][scores.index(max(scores))]["values"]  # the first of the best
    runs = [folder / run["folder"] for run in study["runs"]]
    config = yaml.safe_load((runs[-1] / "config.yml").read_text())
    assert config["model"]["head"]["net"]["m"] == chosen["values"]["model.head.net.m"]
    assert all((run / "unseen.json").is_file() and (run / "versions.json").is_file() for run in runs)
    assert study["runs"][0]["energy"] > 0 and study["runs"][0]["seconds"] > 0
    with open(folder / "table.csv") as file:
        assert {"CocoLoss", "twin", "CosFace"} <= {cell for row in csv.reader(file) for cell in row}
    assert r"Two \& one" in (folder / "table.tex").read_text() and "twin" in (folder / "table.txt").read_text()
    stamps = {run: (run / "outcome.json").stat().st_mtime_ns for run in runs}
    assert compare(path, "p")[0] == 0  # nothing is made twice
    assert stamps == {run: (run / "outcome.json").stat().st_mtime_ns for run in runs}
    assert (
        compare(path, "p", "data.test.0.dataset.metrics=[ACC, AUC]")[0] == 0
    )  # but measured, if something else is asked
    assert json.loads((folder / "study.json").read_text())["sets"] == {"unseen": ["ACC", "AUC"]}
    assert all(os.path.getmtime(run / "models/backbone_4.pth") < os.path.getmtime(run / "outcome.json") for run in runs)


@pytest.mark.slow
def test_interrupted_and_resumed_is_uninterrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path)
    status, whole = compare(path, "whole")
    assert status == 0
    asked = iter([False] * 8 + [True])  # Ctrl-C in the midst of the second run

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_asked_anywhere", lambda requests, run: next(asked, False))
        status, parts = compare(path, "parts")
        assert status == 130 and not (parts / "study.json").exists()
    logs = [log.read_text() for log in sorted(parts.glob("runs/*/metrics.jsonl"))]
    assert len(logs) == 2 and any('"iter": 3' not in log for log in logs)
    assert compare(path, "parts")[0] == 0
    assert results(parts) == results(whole)
    assert (parts / "table.tex").read_text() == (whole / "table.tex").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("grid", [False, True])
def test_a_request_at_the_very_end_of_a_run_is_no_less_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, grid: bool
) -> None:
    other = {"net": {"type": "CosFace", "s": 16.0}, **({"grid": {"m": [0.1, 0.2]}} if grid else {})}
    path = write_study(tmp_path, heads=[PLAIN, other], seeds=1)
    save = loop.checkpoint.save_weights

    def save_and_ask(*arguments: Any) -> None:  # the last update is done, the last validation is not
        save(*arguments)
        os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(loop.checkpoint, "save_weights", save_and_ask)
        status, folder = compare(path, "p")
    assert status == 130
    (made,) = folder.glob("*/*/metrics.jsonl")
    state = json.loads((made.parent / ("score.json" if grid else "outcome.json")).read_text())
    assert state["status"] == ("finished" if grid else "trained")
    assert '"val"' in made.read_text()  # and it came to its end
    stamp = made.stat().st_mtime_ns
    assert compare(path, "p")[0] == 0 and made.stat().st_mtime_ns == stamp


@pytest.mark.slow
def test_shards_and_jobs_make_what_one_process_makes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path)
    assert compare(path, "whole")[0] == 0
    assert compare(path, "shards", "--shard", "2/2")[0] == 0  # the other half is not its own
    half = json.loads((tmp_path / "shards/study/study.json").read_text())
    assert [run["status"] for run in half["runs"]].count("finished") == 2
    assert compare(path, "shards", "--shard", "1/2")[0] == 0
    assert results(tmp_path / "shards/study") == results(tmp_path / "whole/study")
    words = ["compare", str(path), "--proj_dir", str(tmp_path / "jobs"), "--resamples", "50", "--jobs", "2"]
    made = subprocess.run([sys.executable, "-m", "opensphere", *words], cwd=ROOT, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    assert results(tmp_path / "jobs/study") == results(tmp_path / "whole/study")


@pytest.mark.slow
def test_under_torchrun_each_run_has_several_processes(tmp_path: Path) -> None:
    heads = [PLAIN, {"net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1, 0.3]}}]
    path = write_study(tmp_path, heads=heads, seeds=1)
    launcher = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "-m", "opensphere"]
    words = ["compare", str(path), "--proj_dir", str(tmp_path / "p"), "--resamples", "50"]
    made = subprocess.run([sys.executable, *launcher, *words], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert made.returncode == 0, made.stderr
    study = json.loads((tmp_path / "p/study/study.json").read_text())
    assert [run["status"] for run in study["runs"]] == ["finished"] * 2
    for run in study["runs"]:
        assert json.loads((tmp_path / "p/study" / run["folder"] / "versions.json").read_text())[0]["world_size"] == 2


@pytest.mark.slow
def test_two_launchers_share_a_study(tmp_path: Path) -> None:
    heads = [PLAIN, {"net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1, 0.3]}}]
    path = write_study(tmp_path, heads=heads, seeds=1)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "opensphere"]
    words = ["compare", str(path), "--proj_dir", str(tmp_path / "p"), "--resamples", "50"]
    both = [
        subprocess.Popen([sys.executable, *launcher, *words, "--shard", shard], cwd=ROOT, stderr=subprocess.PIPE)
        for shard in ("1/2", "2/2")
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    made = [json.loads(file.read_text()) for file in (tmp_path / "p/study").glob("*/*/versions.json")]
    assert len(made) == 4 and all([entry["world_size"] for entry in entries] == [2] for entries in made)


@pytest.mark.slow
def test_one_run_that_fails_does_not_take_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    explodes = {"name": "explodes", "net": PLAIN, "overrides": ["model.base.optimizer.lr=1e30"]}
    breaks = {"name": "breaks", "net": {"type": "CosFace", "s": 16.0, "m": 0.1}}
    path = write_study(tmp_path, heads=[PLAIN, explodes, breaks], seeds=1)
    train = running.train.worker

    def broken(world: Any, resolved: dict, *rest: Any) -> Any:
        if resolved["model"]["head"]["net"]["type"] == "CosFace":
            raise RuntimeError("out of memory\nand pages of it")
        return train(world, resolved, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(running.train, "worker", broken)
        status, folder = compare(path, "p")
    assert status == 1
    runs = json.loads((folder / "study.json").read_text())["runs"]
    assert [run["status"] for run in runs] == ["finished", "diverged", "failed"]
    assert "the loss was nan at iteration 1" in runs[1]["why"] and runs[2]["why"] == "RuntimeError: out of memory"
    assert "failed: runs/breaks" in capsys.readouterr().out
    assert "in broken" in (folder / runs[2]["folder"] / "error.txt").read_text()
    assert compare(path, "p")[0] == 0  # what failed is tried again; what diverged would only diverge again
    runs = json.loads((folder / "study.json").read_text())["runs"]
    assert [run["status"] for run in runs] == ["finished", "diverged", "finished"]
    stamp = os.path.getmtime(folder / runs[1]["folder"] / "outcome.json")
    assert compare(path, "p", "--retry")[0] == 0
    assert os.path.getmtime(folder / runs[1]["folder"] / "outcome.json") > stamp


@pytest.mark.slow
def test_an_arm_whose_grid_fails_does_not_take_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    lost = {"name": "lost", "net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1]}}
    path = write_study(tmp_path, heads=[PLAIN, lost], seeds=1)
    train = running.Runner.train

    def broken(self: running.Runner, cell: Any, place: Path) -> dict[str, float]:
        if cell.arm == "lost":
            raise RuntimeError("out of memory")
        return train(self, cell, place)

    monkeypatch.setattr(running.Runner, "train", broken)
    status, folder = compare(path, "p")
    why = "no point of its grid has a ACC: RuntimeError: out of memory"
    assert status == 1 and f"failed: lost: {why}" in capsys.readouterr().out
    runs = json.loads((folder / "study.json").read_text())["runs"]
    assert [(run["status"], run["why"]) for run in runs] == [("finished", ""), ("failed", why)]
    assert compare(path, "p", "--dry-run")[0] == 0
    out = capsys.readouterr().out
    assert "failed   grid/lost" in out and "finished runs/CocoLoss" in out


@pytest.mark.slow
def test_jobs_that_are_killed_leave_tables_of_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = write_study(tmp_path, seeds=1)

    def two(jobs: int, words: list[str], device_ids: Any) -> list[int]:
        assert words[0] == "compare" and "--no-tables" in words and device_ids is None
        return [run_command(words[0], [*words[1:], "--shard=1/2"]), -9]

    monkeypatch.setattr(command, "run_jobs", two)
    status, folder = compare(path, "p", "--jobs", "2", "project.max_iters=3")
    assert status == 1 and "one of the 2 processes ended with status -9" in capsys.readouterr().out
    runs = json.loads((folder / "study.json").read_text())["runs"]
    assert [run["status"] for run in runs] == ["finished", "missing"]


@pytest.mark.long
def test_killed_at_any_time_it_goes_on(tmp_path: Path) -> None:
    path = write_study(tmp_path, heads=[PLAIN, {"net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1, 0.3]}}])
    words = ["-m", "opensphere", "compare", str(path), "--resamples", "50", "--proj_dir"]
    subprocess.run([sys.executable, *words, str(tmp_path / "whole")], cwd=ROOT, check=True, capture_output=True)
    for seconds in (4, 5, 6, 7, 8, 9):
        process = subprocess.Popen(
            [sys.executable, *words, str(tmp_path / "parts")], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run([sys.executable, *words, str(tmp_path / "parts")], cwd=ROOT, check=True, capture_output=True)
    assert results(tmp_path / "parts/study") == results(tmp_path / "whole/study")


def test_what_is_wrong_is_said_before_the_first_run(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert compare(write_study(tmp_path, metric="TPR"), "p")[0] == 2
    assert "metric: no test set has TPR; they have ACC10, ACC, EER" in capsys.readouterr().err
    heads = [PLAIN, {"net": {"type": "CosFace"}, "grid": {"m": [0.1, "x"]}}]
    assert compare(write_study(tmp_path, heads=heads), "p")[0] == 2
    assert "model.head.net.m: expected a number, got 'x'" in capsys.readouterr().err
    heads = [PLAIN, {"net": {"type": "CosFace"}, "grid": {"m": [0.1, 0.2]}}]
    assert compare(write_study(tmp_path, heads=heads, tune={"metric": "TPR@FPR=1e-9"}), "p")[0] == 2
    assert "tune.metric: the validation set validation has no TPR@FPR=1e-9; it has ACC" in capsys.readouterr().err
    assert compare(write_study(tmp_path), "p", "data.test.0.dataset.name=outcome")[0] == 2
    assert "outcome is also the name of a file of a run, outcome.json, which" in capsys.readouterr().err
    assert compare(write_study(tmp_path, vary={"data.train.subset.people": [4, 7]}), "p")[0] == 2
    assert "data.train.subset" in capsys.readouterr().err  # there are six
    assert compare(write_study(tmp_path), "p", "--jobs", "0")[0] == 2
    assert "--jobs 0: give 1 or more" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_a_test_set_chooses_nothing(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    heads = [PLAIN, {"net": {"type": "CosFace"}, "grid": {"m": [0.1, 0.2]}}]
    path = write_study(tmp_path, heads=heads)
    block = yaml.safe_load((tmp_path / "test.yml").read_text())["data"]["test"][0]["dataset"]
    block = {key: value for key, value in block.items() if key not in ("name", "metrics")}
    assert compare(path, "p", f"data.val=[{{dataset: {json.dumps({**block, 'name': 'other'})}}}]")[0] == 2
    assert "data.val: other is the test set unseen; grids choose on other people" in capsys.readouterr().err


def test_revisions_are_told(tmp_path: Path) -> None:
    first = {"git": "a" * 40, "from_update": 0}
    for name, entries in (("x", [first, {"git": "b" * 40, "from_update": 9}]), ("y", [{**first, "from_update": 4}])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "versions.json").write_text(json.dumps(entries))
    found = versions_of([tmp_path / "x", tmp_path / "y", tmp_path / "none"])
    assert found == [{"git": "a" * 40}, {"git": "b" * 40}]
    assert made_by(found) == ["runs were made by 2 revisions of the code: aaaaaaaaaa, bbbbbbbbbb"]
    assert made_by(found[:1]) == []
    assert made_by([{"git": "c" * 40 + "-dirty"}]) == ["cccccccccc-dirty: with changes that no revision holds"]
    assert made_by([{"git": None, "opensphere": "1.0"}]) == []


def test_a_list_of_runs(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    status, folder = compare(write_study(tmp_path), "p", "--dry-run")
    lines = capsys.readouterr().out.splitlines()
    assert status == 0 and len(lines) == 4 and all(line.startswith("missing  runs/") for line in lines)
    assert not folder.exists()
