"""Training under each classifier: the same curve, and checkpoints that any other takes up."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from opensphere.classifier import blocks
from opensphere.command.main import run_command
from tests.command.test_train import train_process
from tests.material import tiny_config, write_config, write_pairs, write_people

KINDS = {
    "plain": "plain",
    "chunked": "{type: chunked, memory: 0}",
    "fused": "{type: chunked, fused: true}",
    "sharded": "sharded",
    "sampled": "{type: sampled, rate: 1.0}",
}
HEADS = [
    {"type": "ArcFace", "s": 16.0, "m": 0.2},
    {"type": "SphereFace2", "r": 16.0, "m": 0.2, "lw": 16.0},
    {"type": "AdaFace", "s": 16.0, "m": 0.2},
    {"type": "SoftmaxLoss"},
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_people(tmp_path)
    write_pairs(tmp_path)
    monkeypatch.setattr(blocks, "block_width", lambda batch, device: 4)  # two blocks for the six people
    return tmp_path


def config(folder: Path, head: dict[str, Any], **project: Any) -> Path:
    block = tiny_config(folder, train_log={"screen_intvl": 1}, **project)
    block["model"]["base"].pop("scheduler")
    block["model"]["head"] = {"net": head, "clip_grad_norm": 2.0}
    return write_config(folder, block)


def train(folder: Path, place: str, *words: str) -> Path:
    """The folder of a run under `folder/place`."""
    assert run_command("train", [f"project.proj_dir={folder / place}", *words]) == 0
    (run,) = (folder / place).iterdir()
    return run


def curve(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line["Loss"] for line in lines if line["kind"] == "train"]


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS, ids=lambda head: head["type"])
def test_all_follow_the_curve_of_plain(folder: Path, head: dict[str, Any]) -> None:
    """The loss over 50 updates from the same seed, to 1e-4 (it falls from 6 to 0.004), some updates clipped."""
    path = config(folder, head, max_iters=50, val_intvl=50)
    found = {
        name: curve(train(folder, name, "--config", str(path), f"model.head.classifier={text}"))
        for name, text in KINDS.items()
    }
    plain = found.pop("plain")
    assert len(plain) == 50 and plain[-1] < plain[0]
    for name, losses in found.items():
        assert losses == pytest.approx(plain, rel=1e-4, abs=1e-4), name


@pytest.mark.slow
@pytest.mark.parametrize("first, second", [("plain", "fused"), ("fused", "sharded"), ("sampled", "plain")])
def test_a_run_goes_on_under_another_classifier(folder: Path, first: str, second: str) -> None:
    """Twenty updates under one and twenty under another: weights and momentum of forty under plain."""
    path = config(folder, HEADS[1], max_iters=40, val_intvl=20, save_iters=[40])
    whole = train(folder, "whole", "--config", str(path), "model.head.classifier=plain")
    run = train(folder, "half", "--config", str(path), f"model.head.classifier={KINDS[first]}", "project.max_iters=20")
    words = [f"model.head.classifier={KINDS[second]}", "project.max_iters=40"]
    assert run_command("train", ["--resume", str(run), *words]) == 0
    assert_same_end(run, whole, 40)


def assert_same_end(run: Path, whole: Path, step: int) -> None:
    ends = [torch.load(each / f"models/head_{step}.pth", weights_only=True) for each in (run, whole)]
    assert ends[0].keys() == ends[1].keys()
    for key, value in ends[1].items():
        torch.testing.assert_close(ends[0][key], value, rtol=1e-4, atol=1e-5)
    states = [torch.load(each / "checkpoint.pth", weights_only=True)["parts"]["head"] for each in (run, whole)]
    for ours, theirs in zip(*(state["optimizer"]["state"].values() for state in states), strict=True):
        torch.testing.assert_close(ours["momentum_buffer"], theirs["momentum_buffer"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_two_processes_hand_over_to_one(folder: Path, capfd: pytest.CaptureFixture) -> None:
    """Two ranks with half of the classes each, chosen by itself, and back to one process.

    Ten updates: until then what rounding moves stays at 2e-7; later a kink of the network makes a hundred times more.
    """
    path = config(folder, HEADS[0], max_iters=10, val_intvl=5, save_iters=[10])
    whole = train(folder, "whole", "--config", str(path), "model.head.classifier=plain")
    place = f"project.proj_dir={folder / 'half'}"
    process = train_process(folder, "--config", str(path), place, "parallel.processes=2", "project.max_iters=5")
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0, output
    assert "classifier sharded: each of 2 processes holds and walks its share of the 6 classes" in output
    (run,) = (folder / "half").iterdir()
    assert torch.load(run / "models/head_5.pth", weights_only=True)["w"].shape == (16, 6)
    assert run_command("train", ["--resume", str(run), "project.max_iters=10", "parallel.processes=1"]) == 0
    assert_same_end(run, whole, 10)


def test_why_a_classifier_was_chosen_stands_in_the_log_and_the_config(folder: Path) -> None:
    path = config(folder, HEADS[0], max_iters=2, val_intvl=2)
    run = train(folder, "runs", "--config", str(path))
    assert "classifier plain: the scores of 16 rows and 6 classes take 0 MB in all" in (run / "train.log").read_text()
    assert "classifier:\n      type: plain\n" in (run / "config.yml").read_text()


@pytest.mark.parametrize(
    "words, message",
    [
        (["model.head.optimizer={type: Adam, lr: 0.1}"], "only SGD can be fused"),
        (["model.head.optimizer={type: SGD, lr: 0.1, momentum: 0.9, nesterov: true}"], "nesterov"),
        (["project.precision=fp16"], "fp16 scales the loss, which cannot be fused"),
    ],
)
def test_what_cannot_be_fused_is_said_at_the_start(
    folder: Path, words: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    path = config(folder, HEADS[0])
    words = ["--config", str(path), f"model.head.classifier={KINDS['fused']}", *words]
    assert run_command("train", words) == 2
    assert message in capsys.readouterr().err
