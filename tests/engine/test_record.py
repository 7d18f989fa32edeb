"""The record of a training: lines, averages, and the end where a loss is not finite."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from opensphere.engine.record import Record
from opensphere.engine.run import StepResult
from opensphere.engine.settings import Project, TrainLog
from opensphere.error import UserError


def result(loss: float, grad: float = 1.0) -> StepResult:
    norms = {"backbone": torch.tensor(grad), "head": torch.tensor(2.0)}
    return StepResult(torch.tensor(loss), torch.tensor([3.0, 5.0]), norms, 0.1)


def make(folder: Path, start: int = 0, overflows: bool = False) -> Record:
    return Record(folder, Project(max_iters=100, train_log=TrainLog(screen_intvl=4)), 8, start, overflows=overflows)


def lines(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_averages_are_over_the_updates_since_the_last(tmp_path: Path) -> None:
    record = make(tmp_path)
    for number in range(9):
        record.step(result(float(number)))
    record.flush()
    record.report()
    record.close()
    assert [(line["iter"], line["Loss"]) for line in lines(tmp_path)] == [(0, 0.0), (4, 2.5), (8, 6.5)]
    assert lines(tmp_path)[0]["Mag_mean"] == 4.0 and lines(tmp_path)[0]["Mag_std"] == 1.0
    assert (tmp_path / "train.log").read_text().count("[DEBUG]") == 9


@pytest.mark.parametrize("terminal", [False, True])
def test_output_that_nobody_reads_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    reader, writer = os.openpty() if terminal else os.pipe()
    with os.fdopen(writer, "w") as output:
        monkeypatch.setattr(sys, "stdout", output)
        record = make(tmp_path)
        assert (record.bar is not None) == terminal
        record.note("read")
        os.close(reader)  # a closed terminal, or an ended `tee`
        record.step(result(1.0))
        with record.task("validation", 3):
            record.note("not read")
        record.close()
        assert "not read" in (tmp_path / "train.log").read_text()


@pytest.mark.parametrize(
    ("loss", "grad", "what"), [(float("nan"), 1.0, "loss was nan"), (1.0, float("inf"), "bkb_grad was inf")]
)
def test_what_is_not_finite_ends_the_run(tmp_path: Path, loss: float, grad: float, what: str) -> None:
    record = make(tmp_path)
    record.step(result(1.0))
    record.step(result(loss, grad))
    with pytest.raises(UserError, match=f"{what} at iteration 1 with lr 0.1"):
        record.flush()
    record.close()
    assert (tmp_path / "train.log").read_text().count("[DEBUG]") == 2


def test_gradients_may_overflow_under_fp16(tmp_path: Path) -> None:
    record = make(tmp_path, overflows=True)
    for grad in (1.0, float("inf"), 3.0):
        record.step(result(1.0, grad))
    record.flush()
    record.report()
    record.close()
    assert lines(tmp_path)[-1]["bkb_grad"] == 3.0


def test_a_resumed_run_forgets_what_it_does_again(tmp_path: Path) -> None:
    record = make(tmp_path)
    for number in range(9):
        record.step(result(float(number)))
    record.validation(4, {"LFW": {"ACC": 90.0}})
    record.close()
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"kind": "train", "it')  # the process was killed while writing
    make(tmp_path, start=4).close()
    assert [(line["kind"], line["iter"]) for line in lines(tmp_path)] == [("train", 0)]


def test_the_spread_of_classes_is_a_line_of_its_own(tmp_path: Path) -> None:
    record = make(tmp_path)
    record.sphere(6, 0.41, 74.5)
    record.sphere(9, float("nan"), 74.5)
    record.close()
    first, second = lines(tmp_path)
    assert {**first, "time": ""} == {"kind": "sphere", "iter": 6, "energy": 0.41, "nearest": 74.5, "time": ""}
    assert second["energy"] is None and (tmp_path / "val.log").read_text() == ""


class Events:
    """Stands in for TensorBoard's writer."""

    def __init__(self) -> None:
        self.scalars: list[tuple[str, float, int]] = []

    def add_scalar(self, *row: Any) -> None:
        self.scalars.append(row)

    def close(self) -> None:
        pass


def test_tensorboard_gets_the_spread_too(tmp_path: Path) -> None:
    record = make(tmp_path)
    record.events = events = Events()
    record.sphere(6, 0.41, 74.5)
    record.close()
    assert events.scalars == [("sphere/energy", 0.41, 6), ("sphere/nearest", 74.5, 6)]


def test_ranks_without_a_folder_write_nothing_but_watch(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    record = Record(None, Project(max_iters=10), 8)
    record.note("nothing")
    with pytest.raises(UserError, match="loss was inf"):
        record.step(result(float("inf")))
    record.close()
    assert capsys.readouterr().out == "" and not list(tmp_path.iterdir())


def test_logs_of_the_reference_keep_their_names_only(tmp_path: Path) -> None:
    log = TrainLog(path="project/20220422_031705/train.log")
    Record(tmp_path, Project(max_iters=1, train_log=log), 8).close()
    assert (tmp_path / "train.log").is_file() and not (tmp_path / "project").exists()
