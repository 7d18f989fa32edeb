"""Training by losses on pairs: without a class matrix, in groups, with an encoder that follows, resuming to the bit."""

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from opensphere.command.main import run_command
from tests.command.test_train import folder, refused, same, train, train_process, wait_for, wait_for_run, weights
from tests.material import only_run, tiny_config, write_config

__all__ = ["folder"]  # the fixture

TRIPLET: dict[str, Any] = {"type": "TripletLoss", "margin": 0.4}
SIMPLE: dict[str, Any] = {"type": "SimPLE", "bank": 40, "ema": 0.9, "alpha": 0.1, "r": 1.0, "lw": 2.0, "init_bias": 0.0}


def config_of(folder: Path, net: dict[str, Any], **project: Any) -> dict[str, Any]:
    config = tiny_config(folder, **project)
    config["model"]["head"] = {"net": net}
    config["data"]["base"]["dataloader"] |= {"batch_size": 12, "images_per_person": 4}
    return config


def lines_of(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["kind"] == kind]


@pytest.mark.parametrize(
    "net",
    [
        TRIPLET,
        SIMPLE,
        pytest.param({"type": "SupConLoss"}, marks=pytest.mark.slow),
        pytest.param({"type": "CirclePairLoss", "gamma": 20.0}, marks=pytest.mark.slow),
    ],
    ids=lambda net: net["type"],
)
def test_training_learns(folder: Path, net: dict[str, Any]) -> None:
    config = config_of(folder, net, max_iters=60, val_intvl=60)
    config["model"]["base"].pop("scheduler")
    assert train(folder, config) == 0
    run = only_run(folder)
    losses = [line["Loss"] for line in lines_of(run, "train")]
    assert losses[-1] < 0.7 * losses[0]
    assert lines_of(run, "val")[-1]["ACC"] >= 90
    resolved = yaml.safe_load((run / "config.yml").read_text())["model"]["head"]
    assert resolved["classifier"] == {"type": "none"} and resolved["net"]["num_class"] == 6
    assert ("optimizer" in resolved) == (net is SIMPLE)
    state = weights(run, 60, "head")
    assert list(state) == (["b", "bank", "bank_labels", "seen"] if net is SIMPLE else [])
    assert any(line["head_grad"] for line in lines_of(run, "train")) == (net is SIMPLE)
    if net is SIMPLE:
        assert state["seen"] == 60 * 12 and state["bank"].shape == (40, 16) and float(state["b"]) != 0.0


def test_a_loss_on_pairs_without_groups_says_so(folder: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["data.base.dataloader.images_per_person=null", "project.max_iters=1"]
    assert train(folder, config_of(folder, TRIPLET), *words) == 0
    assert "images_per_person puts several into each batch" in capsys.readouterr().out.replace("\n", " ")


def test_dry_run_counts_what_is_compared(folder: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_config(folder, config_of(folder, SIMPLE))
    assert run_command("train", ["--config", str(path), "--dry-run", "model.head.net.bank=1000000"]) == 0
    output = capsys.readouterr().out
    assert "1 parameters" in output and "275 scores" in output
    words = ["--config", str(path), "--dry-run", "data.train.dataloader.images_per_person=5"]
    assert run_command("train", words) == 2
    assert "12 images are no whole number of groups of 5 (images_per_person)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "word, message",
    [
        ("model.head={net: {type: TripletLoss}, classifier: plain}", "classifier: TripletLoss compares pairs"),
        ("model.head.classifier=none", "none is for losses on pairs .*; CosFace needs its classes"),
        ("data.base.dataloader.images_per_person=5", "16 images are no whole number of groups of 5"),
        ("data.base.dataloader={batch_size: 16, images_per_person: 2}", "8 people .* more than the 6 people"),
        (
            "model.head={net: {type: SimPLE, bank: 8}}",
            r"model.head.net.bank: 8 keys are fewer than the 16 images of a batch",
        ),
    ],
)
def test_what_does_not_fit_together(folder: Path, capsys: pytest.CaptureFixture, word: str, message: str) -> None:
    line = refused(folder, capsys, word)
    assert re.search(message, line), line


def test_a_learning_head_needs_its_optimizer(folder: Path, capsys: pytest.CaptureFixture) -> None:
    config = config_of(folder, SIMPLE)
    for part in ("backbone", "head"):
        config["model"][part] |= config["model"]["base"] if part == "backbone" else {}
    config["model"].pop("base")
    assert train(folder, config) == 2
    assert "model.head.optimizer: this block is needed" in capsys.readouterr().err
    config["model"]["head"] = {"net": TRIPLET}
    assert train(folder, config, "project.max_iters=1") == 0


def test_the_encoder_is_the_moving_average(folder: Path) -> None:
    """Of the weights after each update, begun at the first ones; BatchNorm's statistics are its own."""
    config = config_of(folder, SIMPLE, max_iters=4, save_iters=[1, 2, 3, 4])
    config["model"]["backbone"]["net"]["norm_layer"] = "BatchNorm2d"
    assert train(folder, config) == 0
    unmoved = ["project.max_iters=1", "model.base.optimizer.lr=0", f"project.proj_dir={folder / 'unmoved'}"]
    assert train(folder, config, *unmoved) == 0
    (start,) = (folder / "unmoved").iterdir()
    average, run = weights(start, 1), only_run(folder)
    encoder = torch.load(run / "checkpoint.pth", weights_only=True)["encoder"]
    learnt = [name for name in encoder if "running" not in name and "num_batches" not in name]
    for step in (1, 2, 3, 4):
        now = weights(run, step)
        average = {name: average[name].lerp(now[name], 0.1) for name in learnt}
    for name in learnt:
        torch.testing.assert_close(encoder[name], average[name], rtol=1e-5, atol=1e-6)
    assert any(not torch.equal(encoder[name], now[name]) for name in learnt)
    assert all(int(value) == 4 for name, value in encoder.items() if "num_batches" in name)


def test_a_run_goes_on_to_the_bit(folder: Path) -> None:
    """Weights, bank, encoder and momentum after eight updates and four more, as after twelve."""
    config = config_of(folder, SIMPLE, save_iters=[12])
    config["model"]["backbone"]["net"] |= {"norm_layer": "BatchNorm2d", "dropout": 0.2}
    config["model"]["base"].pop("scheduler")
    states = []
    for place, words in (("whole", []), ("parts", ["project.max_iters=8"])):
        assert train(folder, config, *words, f"project.proj_dir={folder / place}") == 0
        (run,) = (folder / place).iterdir()
        if words:
            assert run_command("train", ["--resume", str(run), "project.max_iters=12"]) == 0
        states.append(
            (torch.load(run / "checkpoint.pth", weights_only=True), weights(run, 12), weights(run, 12, "head"))
        )
    (one, *rest), (two, *others) = states
    assert all(same(a, b) for a, b in zip(rest, others, strict=True))
    assert one.keys() == two.keys() and one["step"] == two["step"] == 12
    assert all(same(one[name], two[name]) for name in ("backbone", "classifier", "encoder"))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_run_resumes_to_the_bit(folder: Path, number: int) -> None:
    project: dict[str, Any] = {"val_intvl": 50, "save_iters": [300], "checkpoint_intvl": 20}
    config = config_of(folder, SIMPLE, max_iters=300, train_log={"screen_intvl": 1}, **project)
    config["model"]["backbone"]["net"] |= {"norm_layer": "BatchNorm2d", "dropout": 0.2}
    path = write_config(folder, config)
    assert run_command("train", ["--config", str(path), f"project.proj_dir={folder / 'whole'}"]) == 0
    process = train_process(folder, "--config", str(path))
    run = wait_for_run(folder, process)
    wait_for(run / "train.log", "Iter: 60,")
    os.kill(process.pid, number)
    process.communicate(timeout=60)
    assert not (run / "models" / "backbone_300.pth").exists()
    assert run_command("train", ["--resume", str(run)]) == 0
    (reference,) = (folder / "whole").iterdir()
    for what in ("backbone", "head"):
        assert same(weights(run, 300, what), weights(reference, 300, what))
    curves = [[(line["iter"], line["Loss"]) for line in lines_of(path, "train")] for path in (run, reference)]
    assert curves[0] == curves[1]


@pytest.mark.slow
@pytest.mark.parametrize("net", [TRIPLET, SIMPLE], ids=["TripletLoss", "SimPLE"])
def test_two_processes_follow_one(folder: Path, net: dict[str, Any]) -> None:
    """The loss curve of one process on the same global batch, to 1e-4 over 30 steps, without BatchNorm."""
    config = config_of(folder, net, max_iters=30, val_intvl=30, train_log={"screen_intvl": 1})
    config["data"]["base"]["dataloader"]["batch_size"] = 16
    config["model"]["base"].pop("scheduler")
    path = write_config(folder, config)
    curves = []
    for processes in (1, 2):
        place = folder / str(processes)
        words = ["--config", str(path), f"project.proj_dir={place}", f"parallel.processes={processes}"]
        process = train_process(folder, *words)
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        curves.append([line["Loss"] for line in lines_of(next(place.iterdir()), "train")])
    assert len(curves[0]) == 30
    assert curves[1] == pytest.approx(curves[0], abs=1e-4, rel=1e-4)
