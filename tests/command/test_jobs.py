"""Several processes at one study: their number, their cores, and how they are stopped."""

import argparse
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from opensphere.command import jobs
from opensphere.command.compare import words_of_job
from opensphere.command.jobs import Interrupted, claimed, count_jobs, is_claimed, read_shard, run_jobs, told, world_size
from opensphere.compare.reading import read_plan
from opensphere.engine.settings import Parallel
from opensphere.error import UserError


@pytest.mark.parametrize("text, found", [(None, (1, 1)), ("1/4", (1, 4)), ("4/4", (4, 4))])
def test_shards(text: str | None, found: tuple[int, int]) -> None:
    assert read_shard(text) == found


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "a/b", "1/0"])
def test_no_shards(text: str) -> None:
    with pytest.raises(UserError, match="write 1/4 for the first"):
        read_shard(text)


def test_the_number_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert (count_jobs(None), count_jobs(1), count_jobs(3)) == (1, 1, 3)
    for number in (0, -1):
        with pytest.raises(UserError, match=f"--jobs {number}: give 1 or more"):
            count_jobs(number)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert count_jobs(None) == 4
    monkeypatch.setenv("RANK", "1")
    assert (count_jobs(None), count_jobs(1)) == (1, 1)
    with pytest.raises(UserError, match="--jobs 2: under torchrun all processes make one run together"):
        count_jobs(2)


def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


def test_jobs_use_the_gpus_that_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = program(tmp_path, monkeypatch, 'echo "$CUDA_VISIBLE_DEVICES" > said.$$')
    four_gpus(monkeypatch)
    for ids, number in ((None, 4), ([3, 1], 2), (2, 1)):
        assert count_jobs(None, ids) == world_size(Parallel(device_ids=ids)) == number
    assert count_jobs(3, [3, 1]) == 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "a,b,c,d")
    for ids, number, seen in (([3, 1], 3, "bdd"), (2, 1, "c"), (None, 4, "abcd")):
        assert run_jobs(number, ["compare"], ids) == [0] * number
        assert "".join(sorted(path.read_text().strip() for path in place.glob("said.*"))) == seen
        for path in place.glob("said.*"):
            path.unlink()
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    run_jobs(1, ["compare"], [3, 1])
    assert [path.read_text() for path in place.glob("said.*")] == ["3\n"]
    with pytest.raises(UserError, match="parallel.device_ids: there is no GPU 4, 4 are visible"):
        count_jobs(None, [0, 4])


def test_a_job_knows_nothing_of_the_other_gpus_and_makes_the_same_runs() -> None:
    asked: dict[str, Any] = {"file": "config/compare/mhe.yml", "proj_dir": "p", "resamples": 50, "shard": None}
    arguments = argparse.Namespace(**asked, retry=False, overrides=["parallel.device_ids=[2, 3]"])
    plain, named = words_of_job(arguments, 1.5), words_of_job(arguments, 1.5, [2, 3])
    assert named == [*plain, "parallel.device_ids=null"]
    path = Path(arguments.file)
    given, alone = (read_plan(path, [word for word in words if "device" in word]).cells({}) for words in (plain, named))
    assert given[0].resolved["parallel"]["device_ids"] == [2, 3] and alone[0].resolved["parallel"]["device_ids"] is None
    assert [cell.name for cell in given] == [cell.name for cell in alone]


def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: str) -> Path:
    """Let a shell script stand for Python; returns the folder that it may write to, its own."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\ncd {tmp_path}\n{lines}\n")
    path.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(path))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    return tmp_path


def test_cores_are_shared_and_statuses_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = program(tmp_path, monkeypatch, 'echo "$OMP_NUM_THREADS $@" > said.$$; [ "$4" ] && kill -9 $$; exit 3')
    monkeypatch.setattr(jobs.os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert run_jobs(2, ["compare"]) == [3, 3]
    assert [path.read_text() for path in place.glob("said.*")] == ["3 -m opensphere compare\n"] * 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # somebody knows better
    assert run_jobs(1, ["compare", "x"]) == [-9]
    assert "1 -m opensphere compare x\n" in [path.read_text() for path in place.glob("said.*")]


@contextmanager
def asking(place: Path, number: int, *signs: str) -> Iterator[None]:
    """Ask this process to stop each time that two files of a sign are there."""

    def ask() -> None:
        for sign in signs:
            until = time.monotonic() + 20
            while len(list(place.glob(sign))) < 2 and time.monotonic() < until:
                time.sleep(0.02)
            os.kill(os.getpid(), number)
            time.sleep(0.2)  # as a hand takes

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        thread.join()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_request_to_stop_reaches_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    lines = "trap 'echo stopped > end.$$; exit 0' TERM; touch begun.$$; while :; do sleep 0.05; done"
    place = program(tmp_path, monkeypatch, lines)
    before = signal.getsignal(number)
    with asking(place, number, "begun.*"), pytest.raises(Interrupted):
        run_jobs(2, ["compare"])
    assert len(list(place.glob("end.*"))) == 2 and signal.getsignal(number) is before


def test_a_second_ctrl_c_is_passed_on_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = """trap 'echo asked > asked.$$' TERM; trap 'echo at once > end.$$; exit 1' INT
touch begun.$$; for i in $(seq 200); do sleep 0.05; done"""
    place = program(tmp_path, monkeypatch, lines)
    with asking(place, signal.SIGINT, "begun.*", "asked.*"), pytest.raises(Interrupted):
        run_jobs(2, ["compare"])
    assert len(list(place.glob("end.*"))) == 2


def test_a_second_request_reaches_a_job_in_the_background_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "trap 'echo asked > asked.$$' TERM; touch begun.$$; for i in $(seq 400); do sleep 0.05; done; touch end.$$"
    place = program(tmp_path, monkeypatch, lines)
    monkeypatch.setattr(jobs.Requests, "SOON", 0.0)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell without a terminal starts it
    try:
        with asking(place, signal.SIGTERM, "begun.*", "asked.*"), pytest.raises(Interrupted):
            run_jobs(2, ["compare"])
    finally:
        signal.signal(signal.SIGINT, before)
    assert not list(place.glob("end.*"))


def test_where_not_all_can_be_started_none_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "trap 'echo stopped > end.$$; exit 0' TERM; touch begun.$$; for i in $(seq 400); do sleep 0.05; done"
    place = program(tmp_path, monkeypatch, lines)
    made: list[subprocess.Popen] = []

    class Popen(subprocess.Popen):
        def __init__(self, *args: Any, **more: Any) -> None:
            if made:
                raise OSError("no memory")
            super().__init__(*args, **more)
            made.append(self)
            until = time.monotonic() + 20
            while not list(place.glob("begun.*")) and time.monotonic() < until:
                time.sleep(0.02)

    monkeypatch.setattr(jobs.subprocess, "Popen", Popen)
    with pytest.raises(OSError, match="no memory"):
        run_jobs(2, ["compare"])
    made[0].wait(timeout=20)
    assert len(list(place.glob("end.*"))) == 1


def test_a_request_between_the_start_of_a_process_and_its_entry_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = "trap 'echo stopped > end.$$; exit 0' TERM; touch begun.$$; for i in $(seq 100); do sleep 0.05; done"
    place = program(tmp_path, monkeypatch, lines)

    class Popen(subprocess.Popen):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            until = time.monotonic() + 20
            while not (place / f"begun.{self.pid}").is_file() and time.monotonic() < until:
                time.sleep(0.02)
            if len(list(place.glob("begun.*"))) == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(jobs.subprocess, "Popen", Popen)
    with pytest.raises(Interrupted):
        run_jobs(3, ["compare"])
    assert len(list(place.glob("begun.*"))) == len(list(place.glob("end.*"))) == 2


def test_the_first_rank_claims_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, place = torch.distributed.HashStore(), tmp_path / "runs/a"
    monkeypatch.setattr(jobs, "launcher_store", lambda: store)
    monkeypatch.setenv("WORLD_SIZE", "2")

    def come_as(rank: int) -> None:
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setattr(jobs, "_TELLINGS", itertools.count())  # each process has its own

    come_as(0)
    with claimed(place) as mine:
        assert mine and is_claimed(place) and told({"found": [1, None]}) == {"found": [1, None]}
        monkeypatch.setattr(jobs, "launcher_store", torch.distributed.HashStore)  # of another launcher
        with claimed(place) as theirs:
            assert not theirs
        monkeypatch.setattr(jobs, "launcher_store", lambda: store)
        come_as(1)
        with claimed(place) as mine:
            assert mine and told("what this one would say") == {"found": [1, None]}
        assert is_claimed(place)
    monkeypatch.delenv("RANK")
    assert not is_claimed(place) and told("alone") == "alone"
