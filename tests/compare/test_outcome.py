"""What is kept of a run."""

import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from opensphere.compare.outcome import (
    Origin,
    last_energy,
    last_validation,
    origin_of,
    read_outcome,
    state_of_run,
    write_outcome,
)
from opensphere.compare.table import Result
from opensphere.metric.estimate import Estimate

BLANK = Result("CosFace", 1, 3, "runs/a", "missing")


def finished() -> Result:
    rng = np.random.default_rng(0)
    found = {
        "LFW": {
            "ACC": Estimate(90.1, replicates=rng.normal(size=50)),
            "ACC10": Estimate(1 / 3, folds=rng.normal(size=10)),
        },
        "other": {"EER": Estimate(math.nan, "no pairs")},
    }
    return Result("CosFace", 1, 3, "runs/a", "finished", "", found, 61.5, 2000.0, 800.0, math.nan)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_outcome(tmp_path, finished(), "asked")
    found, wanted = read_outcome(tmp_path, BLANK, "asked"), finished()
    assert (found.status, found.seconds, found.images_per_second, found.memory_mb) == ("finished", 61.5, 2000.0, 800.0)
    assert math.isnan(found.energy)
    for name, columns in wanted.estimates.items():
        assert list(found.estimates[name]) == list(columns)
        for column, one in columns.items():
            other = found.estimates[name][column]
            assert repr(other.value) == repr(one.value) and other.why == one.why
            for part in ("replicates", "folds"):
                values, read = getattr(one, part), getattr(other, part)
                assert (values is None and read is None) or np.array_equal(values, read)


def test_another_test_needs_no_other_training(tmp_path: Path) -> None:
    write_outcome(tmp_path, finished(), "asked")
    found = read_outcome(tmp_path, BLANK, "asked something else")
    assert found.status == "trained" and found.seconds == 61.5 and not found.estimates
    (tmp_path / "estimates.npz").write_bytes(b"PK damaged")
    assert read_outcome(tmp_path, BLANK, "asked").status == "trained"


def test_other_images_need_another_test_where_both_are_known(tmp_path: Path) -> None:
    for written, read, status in (("a", "a", "finished"), ("a", "b", "trained"), ("", "b", "finished")):
        write_outcome(tmp_path, finished(), "asked", images=written)
        assert read_outcome(tmp_path, BLANK, "asked", read).status == status
        assert read_outcome(tmp_path, BLANK, "asked").status == "finished"


def test_an_origin_is_kept_with_its_time(tmp_path: Path) -> None:
    before, origin = time.time(), Origin(4, True, "data", "weights")
    write_outcome(tmp_path, finished(), "asked", origin)
    state = state_of_run(tmp_path)
    assert origin_of(state, tmp_path) == origin and before <= state["ended"] <= time.time()
    assert state_of_run(tmp_path / "none") == {}


def test_an_older_origin_is_what_the_folder_says(tmp_path: Path) -> None:
    older = {"status": "finished"}
    assert origin_of(older, tmp_path) == Origin(None, None, "", "")

    def began(*starts: dict[str, Any]) -> Origin:
        (tmp_path / "versions.json").write_text(json.dumps(starts))
        return origin_of(older, tmp_path)

    assert began({"world_size": 2, "device": "cpu"}) == Origin(2, False)
    assert began({"world_size": 2, "device": "cpu"}, {"world_size": 1, "device": "cuda:0"}) == Origin(1, False)
    assert began({"world_size": 4, "device": "cuda:0"}) == Origin(4, None)
    for asked in (True, False):
        (tmp_path / "config.yml").write_text(json.dumps({"parallel": {"sync_bn": asked}}))
        assert began({"world_size": 4, "device": "cuda:0"}) == Origin(4, asked)
    for text in ("{}", "[]", "[3]", "["):
        (tmp_path / "versions.json").write_text(text)
        assert origin_of(older, tmp_path) == Origin(None, None)
    unknown = Origin(None, None, "data")
    write_outcome(tmp_path, finished(), "asked", unknown)
    assert origin_of(state_of_run(tmp_path), tmp_path) == unknown


@pytest.mark.parametrize("text", [None, "", "{", "[]", json.dumps({"status": "finished"})])
def test_what_cannot_be_read_is_missing(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "outcome.json").write_text(text)
    assert read_outcome(tmp_path, BLANK, "asked").status == "missing"


def test_a_run_that_diverged_is_a_result(tmp_path: Path) -> None:
    write_outcome(tmp_path, Result("CosFace", 1, 3, "runs/a", "diverged", "the loss was nan"), "asked")
    found = read_outcome(tmp_path, BLANK, "asked something else")
    assert (found.status, found.why) == ("diverged", "the loss was nan") and math.isnan(found.seconds)


def test_the_last_numbers_of_a_log(tmp_path: Path) -> None:
    assert math.isnan(last_energy(tmp_path)) and math.isnan(last_validation(tmp_path, "ACC"))
    rows = [
        {"kind": "sphere", "iter": 1, "energy": 0.5},
        {"kind": "val", "iter": 1, "set": "A", "ACC": 70.0},
        {"kind": "val", "iter": 2, "set": "A", "ACC": 80.0},
        {"kind": "val", "iter": 2, "set": "B", "ACC": 99.0, "EER": None},
        {"kind": "sphere", "iter": 2, "energy": 0.4},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)) + '\n{"kind": "val", "AC')
    assert last_energy(tmp_path) == 0.4 and last_validation(tmp_path, "ACC") == 80.0
    assert math.isnan(last_validation(tmp_path, "EER"))


def test_the_last_number_may_be_unknown(tmp_path: Path) -> None:
    rows = [
        {"kind": "sphere", "iter": 1, "energy": 0.5},
        {"kind": "val", "iter": 1, "set": "A", "ACC": 70.0},
        {"kind": "val", "iter": 1, "set": "B", "EER": 9.0},
        {"kind": "val", "iter": 2, "set": "A", "ACC": None},
        {"kind": "sphere", "iter": 2, "energy": None},
    ]
    (tmp_path / "metrics.jsonl").write_text("\n".join(map(json.dumps, rows)))
    assert math.isnan(last_validation(tmp_path, "ACC")) and math.isnan(last_energy(tmp_path))
    assert math.isnan(last_validation(tmp_path, "EER"))  # of another set than the first
