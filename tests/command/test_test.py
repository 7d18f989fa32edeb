"""Testing from the command: our own runs, several at a time, and folders that OpenSphere's trainer wrote."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from opensphere.command.main import run_command
from opensphere.config import build_backbone
from opensphere.engine.checkpoint import write_safetensors
from tests.material import only_run, tiny_config, write_config, write_pairs, write_people, write_test_config


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_people(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Path:
    path = write_config(folder, tiny_config(folder, save_iters=[6, 12], max_iters=12))
    assert run_command("train", ["--config", str(path)]) == 0
    return only_run(folder)


def seed_run(folder: Path) -> Path:
    """A run folder as OpenSphere's trainer writes it: its resolved config, weights with the prefix of DDP."""
    run = folder / "20220422_031705"
    (run / "models").mkdir(parents=True)
    config = {
        "project": {
            "proj_dir": str(run),
            "model_dir": "project/20220422_031705/models",
            "cfg_fname": "config.yml",
            "train_log": {
                "path": "project/20220422_031705/train.log",
                "screen_intvl": 100,
                "headers": ["Iter", "Loss"],
            },
            "val_log": {"path": "project/20220422_031705/val.log", "screen_intvl": 1, "headers": ["Iter"]},
            "val_intvl": 2000,
            "save_iters": [66000, 70000],
        },
        "data": {"train": {"dataset": {"type": "ClassDataset", "name": "VGGFace2"}}},
        "parallel": {"backend": "nccl", "dist_url": "tcp://localhost:23456", "world_size": 2, "device_ids": [0, 1]},
        "model": {
            "backbone": {
                "net": {"type": "sfnet4_deprecated", "out_channel": 32},
                "optimizer": {"type": "SGD", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.0005},
                "scheduler": {"type": "MultiStepLR", "milestones": [40000, 60000, 70000], "gamma": 0.1},
                "clip_grad_norm": 100000.0,
            },
            "head": {"net": {"type": "SphereFace", "feat_dim": 32, "num_class": 8631, "s": 30.0, "m": 1.5}},
        },
    }
    (run / "config.yml").write_text(yaml.safe_dump(config))
    for number, step in enumerate((66000, 70000, 69000)):
        torch.manual_seed(number)
        weights = build_backbone("sfnet4_deprecated", out_channel=32).state_dict()
        torch.save({f"module.{key}": value for key, value in weights.items()}, run / "models" / f"backbone_{step}.pth")
        torch.save({"module.w": torch.zeros(32, 8631)}, run / "models" / f"head_{step}.pth")
    return run


def rows_of(run: Path, name: str = "pairs") -> list[dict]:
    return json.loads((run / f"{name}.json").read_text())["rows"]


def text_of(run: Path, name: str = "pairs") -> str:
    return (run / f"{name}.txt").read_text()


def test_tables_per_checkpoint_with_the_average(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_command("test", ["--config", str(write_test_config(folder)), "--proj_dir", str(run)]) == 0
    rows = rows_of(run)
    assert [row["Iter"] for row in rows] == ["6", "12", "average"]
    for key in ("ACC", "EER", "AUC", "ACC10"):
        assert rows[2][key] == pytest.approx(np.mean([rows[0][key], rows[1][key]])), key
    assert rows[2]["TPR@FPR=1e-3"] is None
    with open(run / "pairs.csv") as file:
        table = list(csv.DictReader(file))
    assert [float(row["ACC"]) for row in table] == [row["ACC"] for row in rows]
    known = json.loads((run / "pairs.json").read_text())["uncertainty"][2]
    assert known["EER"]["low"] <= rows[2]["EER"] <= known["EER"]["high"] and known["EER"]["error"] >= 0
    assert float(table[2]["EER low"]) == known["EER"]["low"]
    assert "20 impostor pairs" in known["TPR@FPR=1e-3"]["why"] and known["TPR@FPR=1e-3"]["why"] in text_of(run)
    text = (run / "pairs.txt").read_text()
    assert "average" in text and f"{rows[2]['ACC']:.2f}" in text and "ACC10" in text
    assert f"{rows[2]['ACC']:.2f}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("flag", ["--proj_dir", "--proj_dirs", "--list"])
def test_several_folders(folder: Path, run: Path, flag: str) -> None:
    other = folder / "moved away"
    shutil.copytree(run, other)
    config = write_test_config(folder)
    assert (
        run_command("test", ["--config", str(config), flag, str(run), str(other), "data.test.0.dataset.name=named"])
        == 0
    )
    assert rows_of(run, "named") == rows_of(other, "named")


def test_start_time_in_the_past_is_no_wait(folder: Path, run: Path) -> None:
    words = ["--config", str(write_test_config(folder)), "--proj_dir", str(run), "--start_time", "2022-04-22-03-17-05"]
    assert run_command("test", words) == 0


@pytest.mark.slow
def test_a_folder_of_the_reference_is_tested_as_it_is(folder: Path) -> None:
    run = seed_run(folder)
    moved = folder / "downloaded"
    run.rename(moved)
    config = write_test_config(folder)
    assert run_command("test", ["--config", str(config), "--proj_dir", str(moved)]) == 0
    rows = rows_of(moved)
    assert [row["Iter"] for row in rows] == ["66000", "70000", "average"]
    torch.manual_seed(0)
    ours = folder / "ours"
    (ours / "models").mkdir(parents=True)
    shutil.copy(moved / "config.yml", ours)
    weights = build_backbone("sfnet4_deprecated", out_channel=32).state_dict()
    write_safetensors(weights, ours / "models" / "backbone_66000.safetensors")
    assert run_command("test", ["--config", str(config), "--proj_dir", str(ours)]) == 0
    assert rows_of(ours)[0] == rows[0]


@pytest.mark.slow
def test_two_processes_give_the_table_of_one(folder: Path, run: Path) -> None:
    config = write_test_config(folder)
    assert run_command("test", ["--config", str(config), "--proj_dir", str(run)]) == 0
    one = rows_of(run)
    assert run_command("test", ["--config", str(config), "--proj_dir", str(run), "parallel.processes=2"]) == 0
    two = rows_of(run)
    for row, other in zip(one, two, strict=True):
        assert row["ACC"] == pytest.approx(other["ACC"], abs=2.6)


class TestRefusals:
    def refused(self, capsys: pytest.CaptureFixture, *words: str) -> str:
        capsys.readouterr()
        assert run_command("test", list(words)) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: ")
        return lines[0]

    def test_no_run_folder(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        words = ("--config", str(write_test_config(folder)), "--proj_dir", str(folder / "nowhere"))
        assert "nowhere: is no run folder" in self.refused(capsys, *words)

    def test_weights_that_do_not_fit(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        config = yaml.safe_load((run / "config.yml").read_text())
        config["model"]["backbone"]["net"]["type"] = "sfnet10"
        (run / "config.yml").write_text(yaml.safe_dump(config))
        line = self.refused(capsys, "--config", str(write_test_config(folder)), "--proj_dir", str(run))
        assert "backbone_6.pth: does not fit the config: lacks layer2.1.conv1.weight" in line

    def test_weights_that_are_damaged(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        (run / "models" / "backbone_12.pth").write_bytes(b"half a file")
        line = self.refused(capsys, "--config", str(write_test_config(folder)), "--proj_dir", str(run))
        assert "backbone_12.pth: is damaged" in line

    def test_weights_that_would_run_code(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        class Evil:
            def __reduce__(self) -> tuple:
                return (Path.touch, (folder / "evil",))

        torch.save({"fc.weight": Evil()}, run / "models" / "backbone_12.pth")
        line = self.refused(capsys, "--config", str(write_test_config(folder)), "--proj_dir", str(run))
        assert "backbone_12.pth" in line and not (folder / "evil").exists()

    def test_no_weights(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        shutil.rmtree(run / "models")
        line = self.refused(capsys, "--config", str(write_test_config(folder)), "--proj_dir", str(run))
        assert "no backbone_<iter>.pth" in line

    def test_another_image_size(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        words = ("--config", str(write_test_config(folder, image_size=64)), "--proj_dir", str(run))
        assert "leave image_size out of the test config" in self.refused(capsys, *words)

    def test_a_missing_image(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        shutil.rmtree(folder / "images" / "person_00")
        line = self.refused(capsys, "--config", str(write_test_config(folder)), "--proj_dir", str(run))
        assert "person_00" in line


def test_runs_are_compared_on_the_same_pairs(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    same, other = folder / "same", folder / "other" / run.name
    shutil.copytree(run, same)
    shutil.copytree(run, other)
    for path in (other / "models").glob("backbone_*.pth"):
        torch.manual_seed(1)
        torch.save(build_backbone("sfnet4", out_channel=16, width=0.125, input_size=32).state_dict(), path)
    words = ["--config", str(write_test_config(folder)), "--proj_dir", str(run), str(same), str(other)]
    assert run_command("test", words) == 0
    found = json.loads((run / "pairs_comparison.json").read_text())
    assert list(found["runs"]) == [f"{run.parent.name}/{run.name}", f"{folder.name}/same", f"other/{run.name}"]
    eer = [row for row in found["differences"] if row["column"] == "EER"]
    assert [row["difference"] == 0 and row["p"] == 1 for row in eer] == [True, False, False]
    assert eer[1]["low"] <= eer[1]["difference"] <= eer[1]["high"] and 0 < eer[1]["p"] <= eer[1]["p (Holm)"] <= 1
    assert found["decisions"][0]["only the first right"] == 0
    text = (run / "pairs_comparison.txt").read_text()
    assert "not told apart" in text and "McNemar" in text and "not told apart" in capsys.readouterr().out


def test_a_run_that_is_named_twice_is_one(folder: Path, run: Path) -> None:
    words = ["--config", str(write_test_config(folder)), "--proj_dir", str(run), str(run / ".." / run.name)]
    assert run_command("test", words) == 0
    assert len(rows_of(run)) == 3 and not (run / "pairs_comparison.json").exists()


def test_features_are_kept(folder: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["--config", str(write_test_config(folder)), "--proj_dir", str(run)]
    assert run_command("test", [*words, "--no-cache"]) == 0
    assert not (run / "features").exists()
    first = rows_of(run)
    assert run_command("test", words) == 0 and (run / "features").is_dir()

    def never(*_: object) -> None:
        raise AssertionError("a feature was extracted")

    monkeypatch.setattr("opensphere.engine.extract._forward", never)
    assert run_command("test", words) == 0 and rows_of(run) == first


def test_without_a_config(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_command("test", ["--folder", str(folder / "images"), "--pairs", "40", "--proj_dir", str(run)]) == 0
    assert json.loads((run / "images.json").read_text())["facts"]["genuine pairs"] == 20
    lists = ["--data_dir", str(folder / "images"), "--ann_path", str(folder / "pairs.txt")]
    words = ["--protocol", "lfw", *lists, "--resamples", "0", "--proj_dir", str(run)]
    assert run_command("test", words) == 0
    assert set(json.loads((run / "LFW.json").read_text())["uncertainty"][0]["EER"]) == set()
    for bad, message in (
        (["--protocol", "lwf"], "lfw"),
        (["--folder", str(folder / "images"), "--data_dir", "x"], "--data_dir belongs to --protocol"),
        (["--folder", str(folder / "images"), "--resamples", "1"], "--resamples 1"),
        (["--folder", str(folder / "images"), "--seed", "-1"], "--seed -1"),
        (["--protocol", "lfw", "--pairs", "20"], "--pairs belongs to --folder"),
        (["--folder", str(folder / "images"), "data.test.0.dataset.name=versions"], "versions.json"),
        (["--config", str(write_test_config(folder)), "data.test.0.dataset.name=threshold"], "threshold.json"),
    ):
        assert run_command("test", [*bad, "--proj_dir", str(run)]) == 2
        assert message in capsys.readouterr().err
