"""Devices and processes: who runs where, and in which arithmetic."""

import os
import signal
import socket
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from opensphere.engine.settings import Parallel
from opensphere.error import UserError


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
        UserError: the devices asked for do not exist, or a worker ended with an error that it has printed.
    """
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        device = _devices(parallel, int(os.environ.get("LOCAL_WORLD_SIZE", size)))[
            int(os.environ.get("LOCAL_RANK", rank))
        ]
        return _member(World(rank, size, device), parallel, "env://", worker, arguments)
    devices = _devices(parallel, parallel.processes)
    if len(devices) == 1:
        _use(devices[0])
        return worker(World(0, 1, devices[0]), *arguments)
    url = parallel.dist_url
    if not url or url.endswith(":0") or not url.startswith("tcp://"):
        url = f"tcp://127.0.0.1:{_free_port()}"
    workers = mp.start_processes(
        _spawned, (devices, parallel, url, worker, arguments), len(devices), join=False, start_method="spawn"
    )
    _attend(workers)
    return None


def _attend(workers: Any) -> None:
    """Wait for the workers. Ctrl-C is passed on once as SIGTERM, which they take for "stop after the step"; the second
    one ends them."""
    asked = []

    def ask(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for process in workers.processes:
            process.kill() if len(asked) > 1 else process.terminate()

    previous = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while not workers.join():
            pass
    except mp.ProcessExitedException as error:
        raise SystemExit(error.exit_code if error.exit_code > 0 else 1) from None  # the worker has said what was wrong
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _spawned(rank: int, devices: list, parallel: Parallel, url: str, worker: Callable, arguments: tuple) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the terminal sends it to all: the parent decides
    try:
        _member(World(rank, len(devices), devices[rank]), parallel, url, worker, arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


def _member(world: World, parallel: Parallel, url: str, worker: Callable, arguments: tuple) -> Any:
    _use(world.device)
    backend = parallel.backend if world.device.type == "cuda" and parallel.backend else None
    backend = backend or ("nccl" if world.device.type == "cuda" else "gloo")
    dist.init_process_group(backend, init_method=url, rank=world.rank, world_size=world.size)
    try:
        return worker(world, *arguments)
    finally:
        dist.destroy_process_group()


def _devices(parallel: Parallel, processes: int | None) -> list[torch.device]:
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        chosen = parallel.device_ids if parallel.device_ids is not None else list(range(count))
        chosen = [chosen] if isinstance(chosen, int) else chosen
        wrong = [index for index in chosen if index >= count]
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
    return max(1, (os.cpu_count() or 1) // world.size)


def pick_precision(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of the backbone's arithmetic.

    `auto` measures: a processor may list bf16 among its flags and still multiply it a hundred times slower than fp32,
    so only a product that has been timed counts. bf16 is taken where it is at least 1.2 times as fast.
    """
    named = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision in named:
        return named[precision]
    try:
        fast = _seconds(torch.bfloat16, device) * 1.2 < _seconds(torch.float32, device)
    except RuntimeError:  # the device has no bf16 at all
        return torch.float32
    return torch.bfloat16 if fast else torch.float32


def _seconds(dtype: torch.dtype, device: torch.device) -> float:
    """The best of five timings of a small convolution, forward and backward: what a backbone is made of."""
    images = torch.ones(8, 64, 28, 28, device=device, dtype=dtype).contiguous(memory_format=torch.channels_last)
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
