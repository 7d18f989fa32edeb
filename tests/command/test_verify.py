"""Two images: one person or two, by the threshold of a run."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from opensphere.command.main import run_command
from tests.command.test_calibrate import calibrate, slow_scores, write_run
from tests.material import write_people


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_people(tmp_path)
    return tmp_path


@pytest.fixture
def run(folder: Path) -> Path:
    run = write_run(folder)
    calibrate(run, "--folder", str(folder / "images"), "--fmr", "0.5", "0.05", "1e-5", "--resamples", "30")
    return run


def verify(capsys: pytest.CaptureFixture, run: Path, *words: object) -> dict:
    capsys.readouterr()
    assert run_command("verify", [*map(str, words), "--model", str(run), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_scores_and_verdicts(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    paths = sorted((folder / "images").rglob("*.png"))
    told = verify(capsys, run, *paths, "--fmr", "0.05")
    assert told["image"] == str(paths[0]) and [one["image"] for one in told["pairs"]] == list(map(str, paths[1:]))
    expected = slow_scores(run, 12, folder)[0][: len(paths) - 1]  # the pairs of the first image come first
    np.testing.assert_allclose([one["cosine"] for one in told["pairs"]], expected, atol=1e-5)
    stored = json.loads((run / "threshold.json").read_text())["thresholds"][1]
    assert told["threshold"] == stored
    verdicts = [one["same"] for one in told["pairs"]]
    assert verdicts == [one["cosine"] >= stored["cosine"]["value"] for one in told["pairs"]]
    assert any(verdicts) and not all(verdicts)
    for one in told["pairs"]:
        assert one["distance"] == pytest.approx((2 - 2 * one["cosine"]) ** 0.5)
        assert np.cos(np.radians(one["angle"])) == pytest.approx(one["cosine"])
        assert one["close"] == (stored["cosine"]["low"] <= one["cosine"] <= stored["cosine"]["high"])


def test_the_first_known_rate_is_taken(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    images = folder / "images"
    assert verify(capsys, run, images / "person_00/00.png", images / "person_01/00.png")["threshold"]["fmr"] == 0.5


def test_an_image_is_itself(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    image = folder / "images" / "person_00" / "00.png"
    (one,) = verify(capsys, run, image, image)["pairs"]
    assert one["same"] and one["cosine"] == pytest.approx(1, abs=1e-6) and one["angle"] < 0.1


def test_for_people_to_read(folder: Path, run: Path, capsys: pytest.CaptureFixture, monkeypatch) -> None:
    monkeypatch.chdir(folder / "images")
    capsys.readouterr()
    words = ["person_00/00.png", "person_00/01.png", "person_01/00.png", "--fmr", "0.05", "--model", str(run)]
    assert run_command("verify", words) == 0
    shown = capsys.readouterr().out
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip().startswith("person_")}
    told = verify(capsys, run, *words[:5])
    for one in told["pairs"]:
        line = rows[one["image"]]
        assert f"{one['cosine']:.4f}" in line and f"{one['angle']:.2f}" in line
        assert ("yes" if one["same"] else "no") in line
    assert f"{told['threshold']['cosine']['value']:.4f} [" in shown and "5% of pairs of two people passed" in shown


def test_the_checkpoint_that_was_calibrated(folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
    images = sorted((folder / "images").rglob("*.png"))[:2]
    calibrate(run, "--folder", str(folder / "images"), "--fmr", "0.05", "--checkpoint", "6", "--resamples", "0")
    (one,) = verify(capsys, run, *images)["pairs"]
    assert one["cosine"] == pytest.approx(slow_scores(run, 6, folder)[0][0], abs=1e-5) and not one["close"]


def test_the_crop_of_calibrate(folder: Path, capsys: pytest.CaptureFixture) -> None:
    run = write_run(folder, crop=[4, 4, 28, 28])
    images = sorted((folder / "images").rglob("*.png"))[:2]
    found = []
    for crop in ([], ["--crop", "0", "0", "32", "32"]):
        calibrate(run, "--folder", str(folder / "images"), "--fmr", "0.05", "--resamples", "0", *crop)
        found.append(verify(capsys, run, *images)["pairs"][0]["cosine"])
    assert found[1] == pytest.approx(slow_scores(run, 12, folder)[0][0], abs=1e-5) and abs(found[0] - found[1]) > 1e-4


class TestRefusals:
    def refused(self, capsys: pytest.CaptureFixture, run: Path, *words: object) -> str:
        capsys.readouterr()
        assert run_command("verify", [*map(str, words), "--model", str(run)]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("error: ")
        return line

    def test_images_that_cannot_be_read(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        image = folder / "images" / "person_00" / "00.png"
        assert "nowhere.png: there is no such file" in self.refused(capsys, run, image, folder / "nowhere.png")
        assert "images: is a folder; name images" in self.refused(capsys, run, image, folder / "images")
        (folder / "text.png").write_text("no image")
        assert "text.png: not an image that can be read" in self.refused(capsys, run, folder / "text.png", image)

    def test_no_threshold(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        image = folder / "images" / "person_00" / "00.png"
        for fmr in ("1e-5", "0.3"):
            line = self.refused(capsys, run, image, image, "--fmr", fmr)
            assert "known are: 0.5, 0.05" in line
        os.remove(run / "threshold.json")
        assert "it has no threshold.json; set thresholds with: opensphere calibrate" in self.refused(
            capsys, run, image, image
        )

    def test_other_weights(self, folder: Path, run: Path, capsys: pytest.CaptureFixture) -> None:
        image = folder / "images" / "person_00" / "00.png"
        path = run / "models" / "backbone_12.pth"
        state = torch.load(path, weights_only=True)
        torch.save({name: value + 1 for name, value in state.items()}, path)
        assert "weights that have changed since" in self.refused(capsys, run, image, image)
