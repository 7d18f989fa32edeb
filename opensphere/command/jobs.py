"""Several processes at one study: who is at which of its runs, on which cores and GPUs."""

import itertools
import os
import pickle
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import torch
from filelock import FileLock, Timeout

from opensphere.cores import usable_cores
from opensphere.engine.parallel import is_first_rank, launched, launcher_store, spawns
from opensphere.engine.settings import Parallel
from opensphere.error import UserError
from opensphere.interrupt import Requests

_GLANCE = 0.2  # seconds that a claim waits for one who only looks whether there is one
_TELLINGS = itertools.count()  # what the first rank told the others, one after another

T = TypeVar("T")
Ids = list[int] | int | None


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


def count_jobs(asked: int | None, device_ids: Ids = None) -> int:
    """How many runs are made at a time: as asked, else one for each GPU that may be used, one on a CPU.

    Args:
        device_ids: as `Parallel` has them.

    Raises:
        UserError: there is no such number or no such GPU, or a launcher has started this process among others already.
    """
    if asked is not None and asked < 1:
        raise UserError(f"--jobs {asked}: give 1 or more, the number of runs at a time")
    if launched():
        if asked is not None and asked > 1:
            raise UserError(f"--jobs {asked}: under torchrun all processes make one run together; leave --jobs out")
        return 1
    return asked or max(1, len(_gpus(device_ids)))


def _gpus(ids: Ids) -> list[int]:
    """The GPUs that may be used, by their places among the visible ones. Raises UserError if one is not there."""
    count = torch.cuda.device_count()
    if ids is None or not count:
        return list(range(count))
    spawns(Parallel(device_ids=ids))  # refuses what is not there
    return [ids] if isinstance(ids, int) else ids


def run_jobs(jobs: int, words: Sequence[str], device_ids: Ids = None) -> list[int]:
    """Let so many processes share the runs of a study; returns their exit statuses.

    Each takes the next run that nobody is at. They share the GPUs, or the cores, evenly.

    Args:
        words: the arguments of `opensphere` that make one of them; each sees one GPU, whatever its number is here.
        device_ids: the GPUs to share, as `Parallel` has them.

    Raises:
        Interrupted: somebody asked this process to stop; it has passed that on, and waited.
    """
    gpus = _gpus(device_ids)
    listed = os.environ.get("CUDA_VISIBLE_DEVICES") or ",".join(map(str, range(torch.cuda.device_count())))
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, usable_cores() // jobs))
    started: list[subprocess.Popen] = []

    # a job in the background was started to ignore Ctrl-C, and so are those that it starts
    last = signal.SIGKILL if signal.getsignal(signal.SIGINT) == signal.SIG_IGN else signal.SIGINT

    def pass_on(at_once: bool) -> None:
        for process in started:
            process.send_signal(last if at_once else signal.SIGTERM)

    with Requests(pass_on) as requests, _stopping_at_errors(pass_on):
        for job in range(jobs):
            environment = {**os.environ, "OMP_NUM_THREADS": threads}
            if gpus:
                environment["CUDA_VISIBLE_DEVICES"] = listed.split(",")[gpus[job % len(gpus)]]
            if not requests.asked:
                command = [sys.executable, "-m", "opensphere", *words]
                # in a group of their own, else a terminal's Ctrl-C reached them twice: a second one stops at once
                started.append(subprocess.Popen(command, env=environment, process_group=0))
        if requests.asked:  # the last may have been begun just then; the others take it for the same request
            pass_on(at_once=False)
        statuses = [process.wait() for process in started]
    if requests.asked:
        raise Interrupted
    return statuses


@contextmanager
def _stopping_at_errors(pass_on: Callable[[bool], None]) -> Iterator[None]:
    """Leave no process behind, which no Ctrl-C would reach, where not all of them can be started."""
    try:
        yield
    except BaseException:
        pass_on(False)
        raise


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
    return len(_gpus(parallel.device_ids))


def told(value: T) -> T:
    """What the first of a launcher's processes says, on all of them, which call this equally often; else the value."""
    if not launched() or int(os.environ.get("WORLD_SIZE", 1)) == 1:
        return value
    store, key = launcher_store(), f"told {next(_TELLINGS)}"
    if is_first_rank():
        store.set(key, pickle.dumps(value))
    return pickle.loads(store.get(key))


@contextmanager
def claimed(place: Path) -> Iterator[bool]:
    """Whether this process may work in a folder: no other one does, until the block ends.

    The ranks of one training come together: the first claims for all.
    """
    lock = FileLock(f"{place}.lock", timeout=_GLANCE)
    mine = told(_take(lock, place) if is_first_rank() else False)
    try:
        yield mine
    finally:
        if is_first_rank():
            lock.release()


def _take(lock: FileLock, place: Path) -> bool:
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(f"{place.parent}: cannot be written to: {why}; name another folder with --proj_dir") from None
    return True


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
