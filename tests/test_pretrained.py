"""The model that ships does what the README says of it."""

import json
import shutil
from pathlib import Path

import pytest

from opensphere.command.main import run_command

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_the_shipped_model_on_people_it_has_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    run = tmp_path / "faces_arcface"
    shutil.copytree(ROOT / "pretrained" / "faces_arcface", run)
    assert run_command("test", ["--config", "config/test/faces.yml", "--proj_dir", str(run)]) == 0
    row = json.loads((run / "unseen.json").read_text())["rows"][0]
    assert row["Iter"] == "360"
    assert row["ACC10"] == pytest.approx(97.90, abs=0.3)  # another processor may round a picture differently
    assert {path.name for path in run.iterdir()} >= {"config.yml", "train.log", "versions.json"}
