"""Thresholds of a run on one's own people. The network is untrained: noisy images of a pattern a person suit it."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from opensphere.command.calibrate import draw_strangers
from opensphere.command.main import run_command
from opensphere.config import build_backbone
from opensphere.dataset import ClassDataset
from opensphere.dataset.augment import normalise
from opensphere.engine.threshold import digest
from tests.material import tiny_config, write_pairs, write_people


def write_run(folder: Path, crop: list[int] | None = None, steps: tuple[int, ...] = (6, 12)) -> Path:
    """A run folder whose weights are random, other ones for each checkpoint."""
    run = folder / "run"
    (run / "models").mkdir(parents=True)
    config = tiny_config(folder)
    net = config["model"]["backbone"]["net"] = {"type": "sfnet4", "out_channel": 16, "width": 0.125, "input_size": 32}
    config["data"]["train"]["dataset"]["crop"] = crop
    (run / "config.yml").write_text(yaml.safe_dump(config))
    for step in steps:
        torch.manual_seed(step)
        torch.save(build_backbone(**net).state_dict(), run / "models" / f"backbone_{step}.pth")
    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_people(tmp_path)
    write_pairs(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Path:
    return write_run(folder)


def calibrate(run: Path, *words: str) -> dict:
    assert run_command("calibrate", ["--model", str(run), *words]) == 0
    return json.loads((run / "threshold.json").read_text())


def slow_scores(run: Path, step: int, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of every pair of images, one forward pass an image and its mirror image, and who is the same."""
    net = yaml.safe_load((run / "config.yml").read_text())["model"]["backbone"]["net"]
    backbone = build_backbone(**net)
    backbone.load_state_dict(torch.load(run / "models" / f"backbone_{step}.pth", weights_only=True))
    backbone.eval()
    dataset = ClassDataset("people", folder / "images", image_size=32)
    features = []
    with torch.no_grad():
        for index in range(len(dataset)):
            image = normalise(dataset[index][0][None])
            feature = (backbone(image) + backbone(image.flip(3)))[0].double().numpy()
            features.append(feature / np.linalg.norm(feature))
    pairs = [(i, j) for i in range(len(features)) for j in range(i + 1, len(features))]
    scores = np.array([features[i] @ features[j] for i, j in pairs])
    return scores, np.array([dataset.labels[i] == dataset.labels[j] for i, j in pairs])


def test_the_thresholds_of_a_folder(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    words = ("--folder", str(folder / "images"), "--fmr", "1e-2", "1e-1", "1e-4", "--resamples", "40")
    content = calibrate(run, *words)
    scores, is_same = slow_scores(run, 12, folder)
    strangers = np.sort(scores[~is_same])[::-1]
    for one, fmr in zip(content["thresholds"][:2], (1e-2, 1e-1), strict=True):
        cosine = one["cosine"]["value"]
        passing = int(fmr * len(strangers))
        assert strangers[passing] < cosine <= strangers[passing - 1] + 1e-5
        assert one["fmr"] == fmr and one["impostors"] == len(strangers) == 960
        assert one["fnmr"]["value"] == pytest.approx(np.mean(scores[is_same] < cosine - 1e-6), abs=0.01)
        assert one["distance"]["value"] == pytest.approx(math.sqrt(2 - 2 * cosine))
        assert one["angle"]["value"] == pytest.approx(math.degrees(math.acos(cosine)))
        assert one["cosine"]["low"] <= cosine <= one["cosine"]["high"]
    weights = run / "models" / "backbone_12.pth"
    assert content["weights"] == {"file": "models/backbone_12.pth", "sha256": digest(weights)}
    assert content["view"] == {"image_size": [32, 32], "crop": None}
    assert content["pairs"] == {"genuine": 168, "impostor": 960} and content["people"] == 6
    assert content["data"] == {"folder": str(folder / "images"), "pairs": "all"}
    shown = capsys.readouterr().out
    assert f"{content['thresholds'][0]['cosine']['value']:.4f} [" in shown and "40 resamples of the 6 people" in shown
    assert "FMR 0.0001: it needs 10,000 pairs of two people or more, there are 960" in shown
    assert content["thresholds"][2]["angle"]["value"] is None and content["thresholds"][2]["why"]
    (line,) = (line for line in shown.splitlines() if line.split()[:1] == ["0.0001"])
    assert line.split() == ["0.0001", *["–"] * 4]
    before = (run / "threshold.json").read_bytes()
    calibrate(run, *words)
    assert (run / "threshold.json").read_bytes() == before


def test_drawn_pairs_and_an_earlier_checkpoint(folder: Path, run: Path) -> None:
    words = ("--folder", str(folder / "images"), "--pairs", "100", "--fmr", "0.1", "--resamples", "0")
    content = calibrate(run, *words, "--checkpoint", "6", "--seed", "5")
    assert content["weights"]["file"] == "models/backbone_6.pth"
    assert content["data"] == {"folder": str(folder / "images"), "pairs": 100, "seed": 5}
    assert content["pairs"] == {"genuine": 50, "impostor": 50} and content["resamples"] == 0
    assert content["thresholds"][0]["cosine"]["low"] is None
    other = calibrate(run, *words, "--checkpoint", "6", "--seed", "6")
    assert other["thresholds"] != content["thresholds"]


def test_a_seed_that_is_none(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_command("calibrate", ["--model", str(run), "--folder", str(folder / "images"), "--seed", "-1"]) == 2
    assert capsys.readouterr().err.startswith("error: --seed -1: give a whole number from 0")


def test_a_list_of_pairs(folder: Path, run: Path) -> None:
    words = ("--data_dir", str(folder / "images"), "--ann_path", str(folder / "pairs.txt"), "--fmr", "0.1")
    content = calibrate(run, *words, "--resamples", "20")
    assert content["pairs"] == {"genuine": 20, "impostor": 20}
    assert content["data"] == {"data_dir": str(folder / "images"), "ann_path": str(folder / "pairs.txt")}
    assert content["thresholds"][0]["accepted"] == 2


def test_images_are_cropped_as_in_training(folder: Path) -> None:
    run = write_run(folder, crop=[4, 4, 28, 28])
    words = ("--folder", str(folder / "images"), "--fmr", "0.1", "--resamples", "0")
    own = calibrate(run, *words)
    assert own["view"] == {"image_size": [32, 32], "crop": [4, 4, 28, 28]}
    whole = calibrate(run, *words, "--crop", "0", "0", "32", "32")
    assert whole["view"]["crop"] == [0, 0, 32, 32] and whole["thresholds"] != own["thresholds"]


def test_many_images_are_drawn_from(folder: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("opensphere.command.calibrate._ALL", 20)
    words = ("--folder", str(folder / "images"), "--fmr", "0.1", "--resamples", "0")
    found = calibrate(run, *words)
    assert found["pairs"] == {"genuine": 168, "impostor": 48 * 47 // 2 - 168}  # all that there are
    assert found["data"]["pairs"] == 48 * 47 // 2
    monkeypatch.setattr("opensphere.command.calibrate._MOST", 50)
    assert calibrate(run, *words)["pairs"] == {"genuine": 25, "impostor": 25}


@pytest.mark.parametrize("images, most", [(40, 30), (40, 10_000), (300, 50)])  # the last draws without a list of all
def test_strangers(images: int, most: int) -> None:
    persons = np.random.default_rng(0).integers(8, size=images)
    drawn = draw_strangers(persons, most, seed=3)
    every = {(a, b) for a in range(images) for b in range(a + 1, images) if persons[a] != persons[b]}
    assert len(drawn) == len(set(map(tuple, drawn.tolist()))) == min(most, len(every))
    assert set(map(tuple, drawn.tolist())) <= every
    assert np.array_equal(draw_strangers(persons, most, seed=3), drawn)
    assert most > len(every) or not np.array_equal(draw_strangers(persons, most, seed=4), drawn)


class TestRefusals:
    def refused(self, capsys: pytest.CaptureFixture, run: Path, *words: str) -> str:
        capsys.readouterr()
        assert run_command("calibrate", ["--model", str(run), *words]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        return line

    @pytest.mark.parametrize(
        "words, message",
        [
            ((), "give either --folder DIR, or --data_dir DIR and --ann_path PAIRS"),
            (("--folder", "a", "--data_dir", "b"), "give either --folder DIR"),
            (("--ann_path", "b"), "give either --folder DIR"),
            (("--data_dir", "a", "--ann_path", "b", "--pairs", "6"), "--pairs belongs to --folder"),
            (("--folder", "a", "--fmr", "1"), "--fmr 1: a false match rate is a share above 0 and below 1"),
            (("--folder", "a", "--fmr", "1e-3", "0.001"), "each false match rate once"),
            (("--folder", "a", "--resamples", "1"), "--resamples 1: give 0"),
            (("--folder", "nowhere"), "nowhere"),
            (("--folder", "a", "--checkpoint", "7"), "has no checkpoint of iteration 7, but of 6, 12"),
        ],
    )
    def test_words(self, run: Path, capsys: pytest.CaptureFixture, words: tuple[str, ...], message: str) -> None:
        assert message in self.refused(capsys, run, *words)
        assert not (run / "threshold.json").exists()

    def test_too_few_pairs_for_any(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        words = ("--folder", str(folder / "images"), "--fmr", "1e-4", "--pairs", "100")
        line = self.refused(capsys, run, *words)
        assert "no threshold could be set; it needs 10,000 pairs of two people" in line and "--pairs 20000" in line
        assert not (run / "threshold.json").exists()

    def test_one_person(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        (folder / "one").mkdir()
        shutil.copytree(folder / "images" / "person_00", folder / "one" / "anna")
        assert "no impostor pairs" in self.refused(capsys, run, "--folder", str(folder / "one"))

    def test_weights_that_diverged(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        path = run / "models" / "backbone_12.pth"
        state = torch.load(path, weights_only=True)
        torch.save({name: value * math.nan for name, value in state.items()}, path)
        line = self.refused(capsys, run, "--folder", str(folder / "images"))
        assert "backbone_12.pth: the feature of" in line and "is not finite" in line

    def test_no_run(self, folder: Path, capsys: pytest.CaptureFixture) -> None:
        assert "is no run folder" in self.refused(capsys, folder / "elsewhere", "--folder", str(folder / "images"))
