"""`opensphere reproduce`: record what a config reaches, reach it again, notice where it is missed."""

import json
from pathlib import Path

import pytest
import yaml

from opensphere.command.main import run_command
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
    column = block["values"]["unseen"]["ACC10"]
    column[:] = [column[0], column[0] + 1.0]
    path.write_text(yaml.safe_dump(block))
    assert run_command("reproduce", [*words, "--seed", "0"]) == 0
    assert "every value is the same as recorded" in capsys.readouterr().out

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
    refuse([str(tmp_path / "none.yml"), "--test", str(test)], "none.yml: this config cannot be read", capsys)
    assert not (tmp_path / "project").exists()


def test_it_starts_its_own_processes(
    small: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv("RANK", "0")
    refuse([str(small[0])], "run it without torchrun", capsys)
