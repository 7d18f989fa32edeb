"""Several processes at one study: who is at which of its runs, on which cores and GPUs."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from filelock import FileLock, Timeout

from opensphere.engine.parallel import launched, spawns
from opensphere.engine.settings import Parallel
from opensphere.error import UserError

_ASKS = ("SIGINT", "SIGTERM", "SIGHUP")  # the last is not everywhere
_GLANCE = 0.2  # seconds that a claim waits for one who only looks whether there is one


class Interrupted(Exception):
    """Somebody asked to stop; what was done is saved."""


def read_shard(text: str | None) -> tuple[int, int]:
    """The part, from 1, and the number of parts.

    Raises:
        UserError: it is not written as 1/4.
    """
    if text is None:
        return 1, 1
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 1 <= part <= parts:
        raise UserError(f"--shard {text}: write 1/4 for the first of four parts, 4/4 for the last")
    return part, parts


def count_jobs(asked: int | None) -> int:
    """How many runs are made at a time: as asked, else one for each GPU, one on a CPU.

    Raises:
        UserError: there is no such number, or a launcher has started this process among others already.
    """
    if asked is not None and asked < 1:
        raise UserError(f"--jobs {asked}: give 1 or more, the number of runs at a time")
    if launched():
        if asked is not None and asked > 1:
            raise UserError(f"--jobs {asked}: under torchrun all processes make one run together; leave --jobs out")
        return 1
    return asked or max(1, torch.cuda.device_count())


def run_jobs(jobs: int, words: Sequence[str]) -> list[int]:
    """Let so many processes share the runs of a study; returns their exit statuses.

    Each takes the next run that nobody is at. They share the GPUs, or the cores, evenly.

    Args:
        words: the arguments of `opensphere` that make one of them.

    Raises:
        Interrupted: somebody asked this process to stop; it has passed that on, and waited.
    """
    gpus = torch.cuda.device_count()
    listed = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(gpus)))
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, _cores() // jobs))
    started: list[subprocess.Popen] = []
    with _passing_on(started) as asked:
        for job in range(jobs):
            environment = {**os.environ, "OMP_NUM_THREADS": threads}
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = listed.split(",")[job % gpus]
            if not asked:
                command = [sys.executable, "-m", "opensphere", *words]
                # in a group of their own, else a terminal's Ctrl-C reached them twice: a second one stops at once
                started.append(subprocess.Popen(command, env=environment, process_group=0))
        statuses = [process.wait() for process in started]
    if asked:
        raise Interrupted
    return statuses


@contextmanager
def _passing_on(processes: list[subprocess.Popen]) -> Iterator[list[int]]:
    """Pass requests to stop on to other processes, as SIGTERM; gives the list of those that came."""
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for process in processes:
            process.send_signal(signal.SIGTERM)

    previous = {}
    if threading.current_thread() is threading.main_thread():
        for number in (getattr(signal, name) for name in _ASKS if hasattr(signal, name)):
            if signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, pass_on)
    try:
        yield asked
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def world_size(parallel: Parallel, jobs: int = 1) -> int:
    """How many processes `launch` trains by.

    Args:
        jobs: processes that share the runs: of several, each has one GPU.
    """
    if launched():
        return int(os.environ.get("WORLD_SIZE", 1))
    if torch.cuda.is_available() and jobs > 1 or not spawns(parallel):
        return 1
    if not torch.cuda.is_available():
        return parallel.processes or 1
    ids = parallel.device_ids
    return len(ids) if isinstance(ids, list) else torch.cuda.device_count()


@contextmanager
def claimed(place: Path) -> Iterator[bool]:
    """Whether this process may work in a folder: no other one does, until the block ends.

    The ranks of one training come together, and are told so by their launcher.
    """
    if launched():
        yield True
        return
    lock = FileLock(f"{place}.lock", timeout=_GLANCE)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        yield False
        return
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{place.parent}: cannot be written to: {why}; name another folder with --proj_dir") from None
    try:
        yield True
    finally:
        lock.release()


def is_claimed(place: Path) -> bool:
    """Whether another process works in a folder."""
    if not Path(f"{place}.lock").is_file():
        return False
    try:
        with FileLock(f"{place}.lock", timeout=0):
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):  # not ours to write to: who would work there is told
        return False
