"""Several processes at one study: their number, their cores, and how they are stopped."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import torch

from opensphere.command import jobs
from opensphere.command.jobs import Interrupted, count_jobs, read_shard, run_jobs
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_request_to_stop_reaches_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    lines = "trap 'echo stopped > end.$$; exit 0' TERM; touch begun.$$; while :; do sleep 0.05; done"
    place = program(tmp_path, monkeypatch, lines)
    before = signal.getsignal(number)

    def ask() -> None:
        until = time.monotonic() + 20
        while len(list(place.glob("begun.*"))) < 2 and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), number)

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(Interrupted):
        run_jobs(2, ["compare"])
    asking.join()
    assert len(list(place.glob("end.*"))) == 2 and signal.getsignal(number) is before
