"""Devices and processes: who runs where, and in which arithmetic."""

import gc
import logging
import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from opensphere.cores import usable_cores
from opensphere.engine.settings import Parallel
from opensphere.error import UserError
from opensphere.interrupt import Requests

LAUNCHER = "env://"  # where torchrun says that its processes meet
_LAUNCHES = count()  # groups that this process was part of, one after another


@dataclass(frozen=True)
class World:
    """One process among those of a run.

    Attributes:
        rank, size: this process and the number of all.
        device: where its tensors live.
    """

    rank: int
    size: int
    device: torch.device


def launch(worker: Callable[..., Any], parallel: Parallel, *arguments: Any) -> Any:
    """Run `worker(world, *arguments)` once per device; with one device in this very process, without a group.

    Under torchrun (RANK and WORLD_SIZE set) this process is one of the launcher's world. Otherwise one process per GPU
    of CUDA_VISIBLE_DEVICES (narrowed by `device_ids`), or `processes` on the CPU.

    Returns:
        What the worker returns, where it ran in this process; None after several.

    Raises:
        UserError: the devices asked for do not exist, or what a worker raised.
    """
    if launched() and "WORLD_SIZE" in os.environ:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        local = int(os.environ.get("LOCAL_RANK", rank))
        devices = _devices(parallel, int(os.environ.get("LOCAL_WORLD_SIZE", size)))
        if local >= len(devices):
            raise UserError(f"torchrun started process {local + 1} here, but there are {len(devices)} devices to use")
        device = devices[local]
        return _member(World(rank, size, device), parallel, LAUNCHER, worker, arguments)
    devices = _devices(parallel, parallel.processes)
    if len(devices) == 1:
        _use(devices[0])
        return worker(World(0, 1, devices[0]), *arguments)
    url = parallel.dist_url
    if not url or url.endswith(":0") or not url.startswith("tcp://"):
        url = f"tcp://127.0.0.1:{_free_port()}"
    messages = mp.get_context("spawn").SimpleQueue()
    call = (devices, parallel, url, messages, worker, arguments)
    _attend(lambda: mp.start_processes(_spawned, call, len(devices), join=False, start_method="spawn"), messages)
    return None


def launched() -> bool:
    """Whether torchrun, or another launcher that speaks like it, started this process among others."""
    return "RANK" in os.environ


def is_first_rank() -> bool:
    """Whether this process writes for all that a launcher started, also where no group is there yet."""
    return not launched() or int(os.environ["RANK"]) == 0


def own_device() -> torch.device:
    """The device of a process that works by itself: the first GPU that it sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def spawns(parallel: Parallel) -> bool:
    """Whether `launch` would start processes of its own, which cannot share what this one has in memory."""
    return not launched() and len(_devices(parallel, parallel.processes)) > 1


def _attend(start: Callable[[], Any], messages: Any) -> None:
    """Start the workers and wait for them. A request to stop is passed on as SIGTERM, which they take for "stop after
    the step"; a second one ends them.

    Raises:
        UserError: the first that a worker raised, or a worker was ended from outside.
        SystemExit: with the status of a worker that ended otherwise.
    """
    logging.getLogger("torch.multiprocessing.spawn").setLevel(logging.ERROR)  # it would announce each end
    processes: list[Any] = []

    def pass_on(at_once: bool) -> None:
        for process in processes:
            process.kill() if at_once else process.terminate()

    with Requests(pass_on) as requests:
        workers = start()
        processes += workers.processes
        if requests.asked:  # while they were being started
            pass_on(at_once=False)
        try:
            while not workers.join():
                pass
        except mp.ProcessExitedException as error:
            if not messages.empty():
                raise messages.get() from None
            if error.exit_code > 0 or requests.asked:
                raise SystemExit(130 if requests.asked else error.exit_code) from None
            raise UserError(
                f"process {error.error_index} was ended by {error.signal_name}, perhaps for want of memory; "
                "a training that has a checkpoint goes on with --resume"
            ) from None


def _spawned(
    rank: int, devices: list, parallel: Parallel, url: str, messages: Any, worker: Callable, arguments: tuple
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all: the parent decides
    if hasattr(mp, "_prctl_pr_set_pdeathsig"):  # torch arms SIGINT, ignored here: without the parent, stop and save
        mp._prctl_pr_set_pdeathsig(signal.SIGTERM)
    status: Any = 0
    try:
        _member(World(rank, len(devices), devices[rank]), parallel, url, worker, arguments)
    except UserError as error:
        messages.put(error)
        status = 2
    except KeyboardInterrupt:
        status = 130
    except SystemExit as leaving:
        status = leaving.code
    sys.stdout.flush()
    sys.stderr.flush()
    # Not through the interpreter's own end: a thread of the process group that wants the interpreter's lock then
    # aborts the process, now and then, after all the work is done.
    os._exit(status)


def _member(world: World, parallel: Parallel, url: str, worker: Callable, arguments: tuple) -> Any:
    _use(world.device)
    if world.device.type == "cpu":
        torch.set_num_threads(threads_per_process(world))
    backend = parallel.backend if world.device.type == "cuda" and parallel.backend else None
    backend = backend or ("nccl" if world.device.type == "cuda" else "gloo")
    if url == LAUNCHER:
        store = dist.PrefixStore(f"launch {next(_LAUNCHES)}", launcher_store())
        dist.init_process_group(backend, store=store, rank=world.rank, world_size=world.size)
    else:
        dist.init_process_group(backend, init_method=url, rank=world.rank, world_size=world.size)
    try:
        return worker(world, *arguments)
    finally:
        gc.collect()  # what holds the group (DistributedDataParallel) goes first, so that its threads end with it
        dist.destroy_process_group()


@cache
def launcher_store() -> Any:
    """Where the processes of a launcher meet. It outlives a group: the next one needs names of its own in it."""
    return next(dist.rendezvous(LAUNCHER))[0]


def _devices(parallel: Parallel, processes: int | None) -> list[torch.device]:
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        chosen = parallel.device_ids if parallel.device_ids is not None else list(range(count))
        chosen = [chosen] if isinstance(chosen, int) else chosen
        if not chosen:
            raise UserError("parallel.device_ids: an empty list names no GPU; null takes all")
        wrong = [index for index in chosen if not 0 <= index < count]
        if wrong:
            raise UserError(
                f"parallel.device_ids: there is no GPU {wrong[0]}, {count} are visible (CUDA_VISIBLE_DEVICES)"
            )
        return [torch.device("cuda", index) for index in chosen]
    listed = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if listed not in ("", "-1"):
        warnings.warn(f"CUDA_VISIBLE_DEVICES={listed}, but no GPU is usable here: running on the CPU", stacklevel=3)
    if torch.backends.mps.is_available() and (processes or 1) == 1:
        return [torch.device("mps")]
    if processes is not None and processes < 1:
        raise UserError(f"parallel.processes: at least 1, got {processes}")
    return [torch.device("cpu")] * (processes or 1)


def _use(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.backends.cudnn.benchmark = True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def threads_per_process(world: World) -> int:
    """Threads that one of several CPU processes may use, so that together they fill the cores once."""
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world.size))  # set by torchrun, where there are several machines
    return max(1, usable_cores() // local)


def free_memory(device: torch.device) -> float | None:
    """Bytes that are free on a device; None where nobody says."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable:")]
    return 1024.0 * float(found[0]) if found and device.type == "cpu" else None


NAMES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def choose_precision(precision: str, device: torch.device) -> str:
    """`fp32`, `bf16` or `fp16`: the name of what `pick_precision` picks."""
    dtype = pick_precision(precision, device)
    return next(name for name, value in NAMES.items() if value == dtype)


def pick_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of the backbone's arithmetic.

    `auto` measures: a processor may list bf16 among its flags and still multiply it a hundred times slower than fp32,
    so only a product that has been timed counts. bf16 is taken where it is at least 1.2 times as fast.
    """
    if precision in NAMES:
        return NAMES[precision]
    try:
        fast = _seconds(torch.bfloat16, device) * 1.2 < _seconds(torch.float32, device)
    except RuntimeError:  # the device has no bf16 at all
        return torch.float32
    return torch.bfloat16 if fast else torch.float32


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    """The best of five timings of a small convolution, forward and backward: what a backbone is made of."""
    batch = 8 if device.type == "cpu" else 256  # a GPU must be given enough to be busy
    images = torch.ones(batch, 64, 28, 28, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.ones(64, 64, 3, 3, device=device, dtype=dtype, requires_grad=True)
    best = float("inf")
    for _ in range(5):
        _wait(device)
        start = time.perf_counter()
        torch.nn.functional.conv2d(images, kernel, padding=1).sum().backward()
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return best


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        getattr(torch, device.type).synchronize(device)
