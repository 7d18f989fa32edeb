"""Devices and arithmetic."""

import pytest
import torch

from opensphere.engine.parallel import World, launch, pick_precision, spawns, threads_per_process
from opensphere.engine.settings import Parallel
from opensphere.error import UserError

no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="this is about machines without a GPU")


@no_gpu
def test_listed_gpus_that_are_not_there_give_one_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.warns(UserWarning, match="CUDA_VISIBLE_DEVICES=0,1, but no GPU is usable") as caught:
        world = launch(lambda world: world, Parallel(device_ids=[0, 1]))
    assert len(caught) == 1
    assert (world.rank, world.size) == (0, 1) and world.device.type in ("cpu", "mps")


@no_gpu
def test_one_process_has_no_group() -> None:
    assert launch(lambda world, value: (torch.distributed.is_initialized(), value), Parallel(), 7) == (False, 7)


@no_gpu
def test_no_process_is_no_number() -> None:
    with pytest.raises(UserError, match="parallel.processes: at least 1, got 0"):
        launch(lambda world: world, Parallel(processes=0))


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_named_precisions_are_taken_at_their_word(name: str) -> None:
    dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
    assert pick_precision(name, torch.device("cpu")) is dtypes[name]


def test_auto_takes_bf16_only_if_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    from opensphere.engine import parallel

    for seconds, expected in ((0.01, torch.bfloat16), (0.99, torch.float32), (100.0, torch.float32)):
        monkeypatch.setattr(
            parallel, "_seconds", lambda dtype, device, s=seconds: s if dtype == torch.bfloat16 else 1.0
        )
        assert pick_precision("auto", torch.device("cpu")) is expected


def test_auto_measures() -> None:
    assert pick_precision("auto", torch.device("cpu")) in (torch.float32, torch.bfloat16)


def test_processes_share_the_cores() -> None:
    assert threads_per_process(World(0, 1000, torch.device("cpu"))) == 1


def test_who_starts_processes_of_his_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert spawns(Parallel(processes=2)) and not spawns(Parallel(processes=1)) and not spawns(Parallel())
    monkeypatch.setenv("RANK", "0")
    assert not spawns(Parallel(processes=2))
