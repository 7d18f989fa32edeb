"""The built-in faces as files."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from opensphere.command.main import run_command
from opensphere.dataset import ClassDataset, SyntheticFaces


def test_the_folder_holds_the_pictures_of_the_data_set(tmp_path: Path) -> None:
    words = ["--out", str(tmp_path / "faces"), "--people", "3", "--images", "2", "--image_size", "48", "--seed", "5"]
    assert run_command("faces", words) == 0
    written = ClassDataset("faces", tmp_path / "faces", tmp_path / "faces" / "list.txt", image_size=48)
    drawn = SyntheticFaces(people=3, images=2, image_size=48, seed=5)
    assert len(written) == 6 and written.names == drawn.names
    for index in range(6):
        assert np.array_equal(written.read(index), drawn.read(index))


def test_no_people_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert run_command("faces", ["--out", str(tmp_path / "faces"), "--people", "0"]) == 2
    assert "people" in capsys.readouterr().err
    assert not (tmp_path / "faces").exists()


def test_a_sheet_to_look_at(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["--people", "2", "--images", "3", "--image_size", "32"]
    assert run_command("faces", ["--sheet", str(tmp_path / "sheet.png"), *words]) == 0
    assert cv2.imread(str(tmp_path / "sheet.png")).shape == (64, 96, 3)
    assert run_command("faces", ["--sheet", str(tmp_path / "sheet.txt"), *words]) == 2
    assert run_command("faces", words) == 2
    assert "--out DIR" in capsys.readouterr().err
