"""`opensphere reproduce`: record what a config reaches, reach it again, notice where it is missed."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from opensphere import config as cfg
from opensphere.command import reproduce
from opensphere.command.main import run_command
from opensphere.compare.expectation import Expectation, fingerprint, machine_kind, path_of, write_expectation
from opensphere.engine.folder import versions
from tests.material import write_config

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """A training config of a second, and a test config."""
    train = yaml.safe_load((ROOT / "config/demo/faces.yml").read_text())
    train["project"] |= {"max_iters": 4, "proj_dir": str(tmp_path / "project")}
    train["data"]["base"]["dataloader"] |= {"batch_size": 16, "num_workers": 0}
    train["data"]["train"]["dataset"] |= {"people": 6, "images": 4, "image_size": 32}
    train["data"]["val"] = []
    train["model"]["backbone"]["net"] |= {"width": 0.125, "out_channel": 16}
    test = yaml.safe_load((ROOT / "config/test/faces.yml").read_text())
    test["data"]["test"][0]["dataset"] |= {"people": 20, "images": 4, "pairs": 40}
    return write_config(tmp_path, train, "small.yml"), write_config(tmp_path, test, "test.yml")


def refuse(words: list[str], text: str, capsys: pytest.CaptureFixture) -> None:
    assert run_command("reproduce", words) == 2
    found = capsys.readouterr().err
    assert text in found and found.count("\n") == 1


@pytest.mark.slow
def test_record_reach_and_miss(small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    config, test = small
    path = tmp_path / "small.expected.yml"
    words = [str(config), "--proj_dir", str(tmp_path / "runs")]
    assert run_command("reproduce", [*words, "--test", str(test)]) == 0
    assert "nothing is recorded" in capsys.readouterr().out and not path.is_file()
    for seed in "01":
        assert run_command("reproduce", [*words, "--test", str(test), "--record", "--seed", seed]) == 0
    block = yaml.safe_load(path.read_text())
    assert block["seeds"] == [0, 1] and len(block["commits"]) == 2 and block["test"] == str(test)
    assert "ACC10 SE" not in block["values"]["unseen"] and len(block["values"]["unseen"]["ACC10"]) == 2
    refuse([*words, "--record", "model.head.net.m=1.4"], "write the change into a config", capsys)

    # the tables of seed 0 are what was recorded, and running it again gives the same
    runs = sorted((tmp_path / "runs").iterdir())
    table = json.loads((runs[1] / "unseen.json").read_text())["rows"][-1]
    assert table["EER"] == pytest.approx(block["values"]["unseen"]["EER"][0], abs=1e-4)
    capsys.readouterr()
    assert run_command("reproduce", [*words, "--seed", "0"]) == 0
    text = capsys.readouterr().out
    assert "repeated exactly: every value is the same as recorded" in text and "--seed 2 says, which is new" in text

    # far off: the first column of the set decides
    block["values"]["unseen"]["ACC10"] = [10.0, 10.1]
    path.write_text(yaml.safe_dump(block))
    assert run_command("reproduce", [*words, "--seed", "7"]) == 1
    text = capsys.readouterr().out
    assert "outside" in text and "not as recorded: ACC10 on unseen" in text
    run = sorted((tmp_path / "runs").iterdir())[-1]
    assert "not as recorded: ACC10 on unseen" in (run / "reproduction.txt").read_text()
    assert (run / "report.html").is_file()
    assert yaml.safe_load((run / "config.yml").read_text())["project"]["seed"] == 7


@pytest.fixture
def recorded(small: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Reproduce a config of which seeds 0, 1, 2 reached 90, 91, 92 here: a function of seed, value and more words."""
    config, test = small
    settings = fingerprint(cfg.load(config), cfg.load(test))
    found = Expectation(str(test), settings, machine_kind(versions()), [], [], {})
    for seed, value in enumerate((90.0, 91.0, 92.0)):
        found = found.added(seed, "a revision", {"unseen": {"ACC10": value, "EER": 100 - value}})
    write_expectation(path_of(config), found)
    monkeypatch.setattr(reproduce, "launch", lambda *_: None)

    def ask(seed: int, value: float, *words: str, machine: str | None = None) -> int:
        if machine:
            write_expectation(path_of(config), replace(found, machine=machine))
        monkeypatch.setattr(reproduce, "_train", lambda *_: tmp_path)
        monkeypatch.setattr(reproduce, "read_values", lambda *_: {"unseen": {"ACC10": value, "EER": 100 - value}})
        return run_command("reproduce", [str(config), "--seed", str(seed), *words])

    return ask


def test_a_recorded_seed_must_repeat_its_numbers(
    recorded: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    assert recorded(1, 91.0) == 0
    assert "repeated exactly" in (tmp_path / "reproduction.txt").read_text()
    assert recorded(1, 91.5) == 1  # well inside of what other seeds let expect
    text = capsys.readouterr().out
    assert "not repeated: ACC10 on unseen: 0.5 apart; code (a revision then), a library" in text
    assert recorded(1, float("nan")) == 1
    assert "not repeated: ACC10 on unseen: one of them has no value" in capsys.readouterr().out


def test_a_new_seed_is_held_against_those_recorded(recorded: Callable[..., int], capsys: pytest.CaptureFixture) -> None:
    """90, 91, 92: 91 +- 4.302653 sqrt(4 / 3) = 4.968."""
    assert recorded(3, 95.9) == 0
    assert "recorded (seeds 0, 1, 2)" in " ".join(capsys.readouterr().out.split())
    assert recorded(3, 96.0) == 1
    assert recorded(3, float("nan")) == 1
    text = capsys.readouterr().out
    assert "cannot be said: ACC10 on unseen" in text


def test_elsewhere_a_recorded_seed_is_held_against_the_others(
    recorded: Callable[..., int], capsys: pytest.CaptureFixture
) -> None:
    """Its own value would be part of the interval. Of 90 and 91: 90.5 +- 12.7062 sqrt(0.5) sqrt(3 / 2) = 11.0."""
    assert recorded(2, 92.0, machine="another machine") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "recorded (seeds 0, 1)" in text and "recorded on another machine; this is" in text
    assert "79.50 to 101.50" in text and "seed 2 was recorded too: it is left out of what is expected" in text
    assert recorded(2, 79.0, machine="another machine") == 1


def test_a_changed_training_is_no_repetition(recorded: Callable[..., int], capsys: pytest.CaptureFixture) -> None:
    assert recorded(1, 91.5, "model.head.net.m=1.4") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "model.head.net.m: this is not the training that was recorded" in text and "(seeds 0, 2)" in text
    assert recorded(1, 91.0, "data.base.dataloader.num_workers=1", "project.train_log.screen_intvl=1") == 0
    assert "repeated exactly" in capsys.readouterr().out


def test_a_training_that_was_stopped_is_not_judged(
    small: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(reproduce, "launch", lambda *_: None)  # leaves no answer
    config, test = small
    assert run_command("reproduce", [str(config), "--test", str(test), "--record"]) == 130
    assert "stopped: nothing is judged or recorded" in capsys.readouterr().out
    assert not path_of(config).exists()


def test_data_that_are_not_there_are_missed_before_training(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config, test = small
    words = [str(config), "--test", str(test)]
    missing = {"type": "PairDataset", "name": "LFW", "data_dir": "none", "ann_path": "none/pairs.txt"}
    other = write_config(tmp_path, {"data": {"test": [{"dataset": missing}]}}, "lfw.yml")
    refuse([str(config), "--test", str(other)], "none/pairs.txt: is not there: fetch the data", capsys)
    block = "{type: ClassDataset, name: mine, data_dir: none, ann_path: none/list.txt, image_size: 32}"
    refuse([*words, f"data.train.dataset={block}"], "data.train.dataset.ann_path=FILE", capsys)
    folder = write_config(
        tmp_path, {"data": {"test": [{"dataset": {"type": "FolderPairs", "name": "x", "data_dir": "none"}}]}}, "x.yml"
    )
    refuse([str(config), "--test", str(folder)], "none: ", capsys)
    assert not (tmp_path / "project").exists()


def test_nothing_is_trained_that_could_not_be_judged(
    small: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    config, test = small
    path = tmp_path / "small.expected.yml"
    refuse([str(config)], "small.expected.yml: is not there: name a test config", capsys)
    refuse(
        [str(config), "--test", str(test), "--record", "project.max_iters=2"],
        "project.max_iters: --record keeps what",
        capsys,
    )
    block = {"test": str(test), "settings": "000000000000", "machine": "m", "seeds": [0], "commits": [None]}
    path.write_text(yaml.safe_dump({**block, "values": {"unseen": {"ACC10": [90.0]}}}))
    refuse([str(config)], "has changed since: delete it and record it anew", capsys)
    refuse([str(config), "--test", "other.yml"], "leave --test out", capsys)
    for words in ([], ["--test", str(test)]):
        refuse([str(tmp_path / "none.yml"), *words], "none.yml: this config cannot be read", capsys)
    refuse([str(path)], "is what was recorded of a config; give the config itself", capsys)
    refuse([str(config), "--seed", "-1"], "--seed -1: give a whole number", capsys)
    assert not (tmp_path / "project").exists()


def test_it_starts_its_own_processes(
    small: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("RANK", "0")
    refuse([str(small[0])], "run it without torchrun", capsys)
