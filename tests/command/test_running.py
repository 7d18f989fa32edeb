"""What a study knows of its runs: by what and on what they were made, who is at them, which are tried again."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from filelock import FileLock

from opensphere import config as cfg
from opensphere import protocol
from opensphere.command import running
from opensphere.command.jobs import claimed, world_size
from opensphere.command.running import RUNNING, UNTESTED, Runner, choose
from opensphere.command.shelf import Shelf, digest_of_files, digest_of_sets
from opensphere.compare.outcome import Origin, state_of_run, write_outcome, write_state
from opensphere.compare.plan import Plan
from opensphere.compare.reading import read_plan
from opensphere.compare.table import DIVERGED, FAILED, FINISHED, MISSING, Result
from opensphere.dataset.class_set import ClassDataset
from opensphere.dataset.synthetic.faces import SyntheticFaces, SyntheticPairs, write_folder
from opensphere.dataset.view import Subset
from opensphere.engine.settings import Parallel
from opensphere.error import Diverged, UserError
from opensphere.metric.estimate import Estimate
from tests.command.test_compare import PLAIN, compare, write_study
from tests.material import write_config

FOUND = {"unseen": {"ACC10": Estimate(90.0, folds=np.arange(10.0))}}


def plan_of(path: Path) -> Plan:
    plan = read_plan(path)
    plan.base["project"]["precision"] = "fp32"
    return plan


def runner_of(path: Path, name: str = "p", **more: Any) -> Runner:
    """As `compare` has it, before anything was checked."""
    return Runner(plan_of(path), path.parent / name / "study", 50, **more)


def pretend(runner: Runner, status: str = FINISHED, **origin: Any) -> None:
    """Let all runs of a study have come to the same."""
    for cell in runner.plan.cells({}):
        blank = Result(cell.arm, cell.setting, cell.seed, f"runs/{cell.name}", status, "", FOUND, 5.0, 100.0, 9.0)
        write_outcome(runner.folder / blank.folder, blank, runner.asked, Origin(**origin), runner.images)


def lose(runner: Runner) -> Path:
    """Let the last run of a study be still to be made; returns the folder of the first."""
    first, *_, last = (runner.folder / "runs" / cell.name for cell in runner.plan.cells({}))
    (last / "outcome.json").unlink()
    return first


def write_images(folder: Path, seed: int = 0) -> dict[str, Any]:
    write_folder(SyntheticFaces("f", 4, 3, seed, image_size=32), folder)
    return {"type": "ClassDataset", "name": "f", "data_dir": str(folder), "image_size": 32}


def test_another_number_of_processes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path = write_study(tmp_path)
    runner = runner_of(path)
    pretend(runner, world_size=2)
    assert compare(path, "p", "project.precision=fp32")[0] == 0  # nothing is to be trained
    capsys.readouterr()
    first = lose(runner)
    assert compare(path, "p", "project.precision=fp32", "--dry-run")[0] == 0
    capsys.readouterr()
    assert compare(path, "p", "project.precision=fp32")[0] == 2
    said = capsys.readouterr().err
    assert "runs/CocoLoss-seed0" in said and said.count("\n") == 1
    assert "was trained by 2 processes, and this call would train by 1 process: " in said
    assert compare(path, "p", "project.precision=fp32", "parallel.processes=2", "--dry-run")[0] == 0
    pretend(runner)
    lose(runner)
    cells = runner.plan.cells({})
    (first / "outcome.json").write_text('{"status": "finished"}')  # of before: not known
    runner.refuse_others(cells)
    (first / "versions.json").write_text('[{"world_size": 2, "device": "cpu"}]')
    with pytest.raises(UserError, match="was trained by 2 processes, and this call would train by 1 process: "):
        runner.refuse_others(cells)
    capsys.readouterr()
    assert compare(path, "p", "project.precision=fp32", "parallel.processes=2")[0] == 2
    assert "was trained by 1 process, and this call would train by 2 processes" in capsys.readouterr().err
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert world_size(Parallel()) == 4


def test_a_run_that_is_begun_anew_may_have_other_processes(tmp_path: Path) -> None:
    runner = runner_of(write_study(tmp_path))
    pretend(runner, MISSING, world_size=2)  # killed before its first checkpoint
    cells = runner.plan.cells({})
    runner.refuse_others(cells)
    (runner.folder / "runs" / cells[0].name / "checkpoint.pth").touch()
    with pytest.raises(UserError, match=f"{cells[0].name}: was trained by 2 processes"):
        runner.refuse_others(cells)


def test_data_that_changed_in_place_are_noticed(tmp_path: Path) -> None:
    block = write_images(tmp_path / "images")
    path = write_study(tmp_path)
    base = yaml.safe_load((tmp_path / "base.yml").read_text())
    base["data"]["train"]["dataset"] = block
    write_config(tmp_path, base, "base.yml")
    runner = runner_of(path)
    cells = runner.plan.cells({})
    pretend(runner, data=runner.origin(cells[0]).data)
    lose(runner)
    runner_of(path).refuse_others(cells)
    write_images(tmp_path / "images", seed=1)  # other people under the same names
    with pytest.raises(UserError, match=f"{cells[0].name}: its training data have changed since, under the same names"):
        runner_of(path).refuse_others(cells)
    runner_of(path).refuse_others(cells, own=cells[:-1])  # another call is to make what is left
    with pytest.raises(UserError, match="its training data have changed since"):
        runner_of(path).refuse_others(cells[:1], own=cells[-1:])
    pretend(runner)
    lose(runner)
    runner_of(path).refuse_others(cells)  # of before: not known


def test_a_finished_study_needs_no_training_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path, heads=[PLAIN], vary={"data.train.subset.people": [4, 5]})
    runner, built = runner_of(path), []
    pretend(runner, data="of another machine")
    monkeypatch.setattr(running, "build_sets", lambda resolved, *_: built.append(resolved) or 1 / 0)
    status, folder = compare(path, "p", "project.precision=fp32")
    assert status == 0 and (folder / "table.txt").is_file() and not built
    first = lose(runner)
    cells = runner.plan.cells({})
    monkeypatch.setattr(Runner, "_digest_of_data", lambda self, cell, chooses: built.append(cell.name) or "now")
    runner_of(path).refuse_others([cell for cell in cells if cell.resolved["data"] == cells[0].resolved["data"]])
    assert not built  # all of this set are there
    with pytest.raises(UserError, match="its training data have changed since"):
        runner_of(path).refuse_others(cells)
    assert built == [cells[-1].name] and first.name not in built


def test_weights_that_changed_in_place_are_noticed(tmp_path: Path) -> None:
    path, file = write_study(tmp_path), tmp_path / "weights.pth"
    base = yaml.safe_load((tmp_path / "base.yml").read_text())
    base["model"]["backbone"]["pretrained"] = str(file)
    write_config(tmp_path, base, "base.yml")
    cells = runner_of(path).plan.cells({})
    with pytest.raises(UserError, match=r"weights\.pth: weights to begin with cannot be read: No such file"):
        runner_of(path).origin(cells[0])
    file.write_bytes(b"one")
    pretend(runner_of(path), weights=digest_of_files([str(file)]))
    lose(runner_of(path))
    runner_of(path).refuse_others(cells)
    file.write_bytes(b"two")
    with pytest.raises(UserError, match="its pretrained weights have changed since"):
        runner_of(path).refuse_others(cells)


def test_other_test_images_are_measured_anew(tmp_path: Path) -> None:
    runner = runner_of(write_study(tmp_path), images="before")
    pretend(runner)
    cell = runner.plan.cells({})[0]
    assert runner.state(cell) == FINISHED and not runner.wants(cell)
    runner.images = "after"
    assert runner.state(cell) == UNTESTED and runner.wants(cell)
    runner.images = ""  # not known
    assert runner.state(cell) == FINISHED


def test_a_digest_of_sets_needs_no_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    block = write_images(tmp_path / "images")
    monkeypatch.setattr("opensphere.dataset.image_set.decode", None)
    monkeypatch.setattr("opensphere.dataset.synthetic.album.render", None)

    def faces(**more: Any) -> Any:
        return cfg.build_dataset({**block, **more})

    first = digest_of_sets([faces()])
    assert digest_of_sets([faces(in_memory=True)]) == first
    assert digest_of_sets([faces(noise_ratio=1.0)]) != first  # other labels
    assert digest_of_sets([Subset(faces(), np.arange(11))]) != first
    drawn = SyntheticPairs(people=6, images=4, pairs=20, folds=5, image_size=32)
    assert digest_of_sets([drawn]) != digest_of_sets([SyntheticPairs(people=6, images=4, pairs=40, folds=5)])
    (tmp_path / "images/person_000003/0002.png").write_bytes(b"")
    assert digest_of_sets([faces()]) != first


def test_the_shelf_keeps_the_last_sets_to_learn_from() -> None:
    shelf = Shelf()
    pairs = {"type": "SyntheticPairs", "people": 6, "images": 4, "pairs": 20, "folds": 5, "image_size": 32}
    tested = shelf.build(pairs)
    sets = [{"type": "SyntheticFaces", "people": people, "images": 2, "image_size": 32} for people in range(2, 8)]
    first, *_, third, _ = (shelf.build(block) for block in (sets[0], sets[1], sets[2], sets[3]))
    assert shelf.build(sets[0]) is first  # used again, so not the oldest
    for block in sets[4:]:
        shelf.build(block)
    assert shelf.build(sets[0]) is first and shelf.build(sets[2]) is not third and shelf.build(pairs) is tested


def test_a_claimed_run_is_running(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_study(tmp_path)
    runner = runner_of(path)
    place = runner.folder / "runs" / runner.plan.cells({})[0].name
    with claimed(place) as mine:
        assert mine and runner.state(runner.plan.cells({})[0]) == RUNNING
        with claimed(place) as theirs:
            assert not theirs
        assert compare(path, "p", "project.precision=fp32", "--dry-run")[0] == 0
        assert f"running  runs/{place.name}" in capsys.readouterr().out
    assert runner.state(runner.plan.cells({})[0]) == MISSING
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: cannot be written to: .*; name another folder with --proj_dir"):
        with claimed(tmp_path / "file/runs"):
            pass


def test_where_others_are_at_all_runs_there_is_no_error(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_study(tmp_path, seeds=1)
    runner = runner_of(path)
    (runner.folder / "runs").mkdir(parents=True)
    locks = [FileLock(runner.folder / "runs" / f"{cell.name}.lock") for cell in runner.plan.cells({})]
    for lock in locks:
        lock.acquire()
    status, folder = compare(path, "p", "project.precision=fp32")
    out = capsys.readouterr().out
    assert status == 0 and not (folder / "study.json").exists()
    assert "there is nothing to compare yet" in out and "others are at work on 2 runs" in out
    for lock in locks:
        lock.release()
    assert compare(path, "p", "project.precision=fp32", "project.max_iters=x")[0] == 2


def test_what_failed_is_tried_once_in_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, tried = write_study(tmp_path, seeds=1), []

    def fails(self: Runner, cell: Any, place: Path) -> dict[str, float]:
        tried.append(cell.name)
        raise RuntimeError("no memory")

    monkeypatch.setattr(Runner, "train", fails)
    runner = runner_of(path, began=time.time())
    cells = runner.plan.cells({})
    runner.make(cells)
    runner_of(path, began=runner.began).make(cells)  # another process of the same call
    assert len(tried) == 2
    runner_of(path).make(cells)
    assert len(tried) == 4
    pretend(runner, DIVERGED)
    assert not runner_of(path).wants(cells[0]) and runner_of(path, retry=True).wants(cells[0])
    assert not runner_of(path, retry=True, began=runner.began).wants(cells[0])


def test_a_failed_test_keeps_what_training_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path, seeds=1)
    costs = iter([{"seconds": 7.0, "images_per_second": 70.0, "memory_mb": 700.0}, {}])
    monkeypatch.setattr(Runner, "train", lambda self, cell, place: next(costs))

    def breaks(self: Runner, cell: Any, place: Path) -> Any:
        assert self.known(cell).status == "trained"  # a process that is killed here leaves a run that is only tested
        raise UserError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(Runner, "_test", breaks)
        runner = runner_of(path)
        cell = runner.plan.cells({})[0]
        runner.make([cell])
    found = runner.known(cell)
    assert (found.status, found.why, found.seconds, found.memory_mb) == (FAILED, "no space", 7.0, 700.0)
    monkeypatch.setattr(Runner, "_test", lambda self, cell, place: FOUND)
    later = runner_of(path)
    later.make([cell])  # nothing was left to train
    assert (later.known(cell).status, later.known(cell).seconds) == (FINISHED, 7.0)
    place = later.folder / "runs" / cell.name
    assert state_of_run(place)["world_size"] == 1 and state_of_run(place)["data"] == later.origin(cell).data


def test_a_point_of_a_grid_may_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = [PLAIN, {"net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1, 0.3]}}]
    path, broken = write_study(tmp_path, heads=heads, seeds=1), {"0.1"}

    def train(self: Runner, cell: Any, place: Path) -> dict[str, float]:
        m = str(cell.resolved["model"]["head"]["net"]["m"])
        if m in broken:
            raise (RuntimeError if m == "0.1" else Diverged)(f"{m} is too much")
        place.mkdir(parents=True, exist_ok=True)
        (place / "metrics.jsonl").write_text('{"kind": "val", "set": "val", "ACC": 80.0}\n')
        return {}

    monkeypatch.setattr(Runner, "train", train)
    (choice,) = choose(runner_of(path))
    assert choice.point == (("model.head.net.m", 0.3),)
    assert [row["why"] for row in choice.tried] == ["RuntimeError: 0.1 is too much", ""]
    assert math.isnan(choice.tried[0]["score"]) and choice.tried[1]["score"] == 80.0
    broken.clear()
    (choice,) = choose(runner_of(path))  # another call tries what failed again
    assert [row["score"] for row in choice.tried] == [80.0, 80.0]
    broken |= {"0.1", "0.3"}
    (choice,) = choose(runner_of(path, "q"))
    assert choice.point is None
    assert choice.why == "no point of its grid has a ACC: RuntimeError: 0.1 is too much; 0.3 is too much"


GRID = [PLAIN, {"net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1, 0.3]}}]


def points_of(runner: Runner) -> tuple[list[Any], list[Path]]:
    """The points of the only grid of a study, and the files that say how they ended."""
    trials = [trial for _, trial in running.trials_of(runner.plan)["CosFace"]]
    return trials, [runner.folder / "grid" / trial.name / "score.json" for trial in trials]


def test_points_of_a_grid_are_held_against_what_they_were_begun_by(tmp_path: Path) -> None:
    runner = runner_of(write_study(tmp_path, heads=GRID))
    trials, (path, _) = points_of(runner)
    path.parent.mkdir(parents=True)
    path.write_text('{"why": ""}')
    runner.refuse_others([], trials)  # of before: not known
    assert running.state_of_trial(runner, trials[0]) == FINISHED
    (path.parent / "versions.json").write_text('[{"world_size": 2, "device": "cpu"}]')
    with pytest.raises(UserError, match="was trained by 2 processes"):
        runner.refuse_others([], trials)
    write_state(path, {"status": FINISHED, "why": ""}, Origin(2))
    with pytest.raises(UserError, match="was trained by 2 processes"):
        runner.refuse_others([], trials)
    runner.refuse_others([], trials[:1])  # and nothing is to be trained
    write_state(path, {"status": MISSING, "why": "not made yet"}, Origin(2))
    runner.refuse_others([], trials)  # it begins anew
    (path.parent / "checkpoint.pth").touch()
    with pytest.raises(UserError, match=f"{trials[0].name}: was trained by 2 processes"):
        runner.refuse_others([], trials)


def test_a_point_of_a_grid_says_how_it_was_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_study(tmp_path, heads=GRID, seeds=1)
    runner = runner_of(path)
    trials, scores = points_of(runner)

    def stops(self: Runner, cell: Any, place: Path) -> dict[str, float]:
        assert running.state_of_trial(self, trials[0]) == RUNNING
        place.mkdir(parents=True, exist_ok=True)
        (place / "metrics.jsonl").write_text('{"kind": "val", "set": "val", "ACC": 80.0}\n')
        (place / "checkpoint.pth").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(Runner, "train", stops)
    with pytest.raises(KeyboardInterrupt):
        choose(runner)
    state = json.loads(scores[0].read_text())
    assert (state["world_size"], state["data"]) == (1, runner.origin(trials[0], chooses=True).data)
    assert running.state_of_trial(runner, trials[0]) == MISSING and running.is_open(runner, trials[0])
    (choice,) = running.chosen(runner)
    assert [row["why"] for row in choice.tried] == ["not made yet"] * 2 and choice.point is None
    monkeypatch.setattr(running, "digest_of_sets", lambda sets: "other")
    with pytest.raises(UserError, match=f"{trials[0].name}: its training data have changed since"):
        runner_of(path).refuse_others([], trials)


def test_retry_reaches_points_that_diverged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, made = write_study(tmp_path, heads=GRID, seeds=1), []

    def train(self: Runner, cell: Any, place: Path) -> dict[str, float]:
        place.mkdir(parents=True, exist_ok=True)
        made.append((place / "checkpoint.pth").exists())
        (place / "checkpoint.pth").touch()
        raise Diverged("the loss was nan")

    monkeypatch.setattr(Runner, "train", train)
    began = time.time()
    assert choose(runner_of(path))[0].point is None
    choose(runner_of(path))
    assert len(made) == 2
    choose(runner_of(path, retry=True, began=began))  # another process of a call that tried them already
    assert len(made) == 2
    choose(runner_of(path, retry=True))
    assert made == [False] * 4  # from the first update


def test_an_image_without_a_path_has_a_number() -> None:
    drawn = SyntheticPairs(people=6, images=4, pairs=20, folds=5, image_size=32)
    features = np.ones((len(drawn), 2))
    features[3] = np.nan
    with pytest.raises(Diverged, match="the first that of image 3: the network has diverged"):
        protocol.measure(drawn, features)


def test_a_set_of_files_says_its_path(tmp_path: Path) -> None:
    write_images(tmp_path)
    assert protocol.name_of(ClassDataset("f", tmp_path), 3) == "person_000001/0000.png"
