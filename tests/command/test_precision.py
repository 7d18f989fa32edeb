"""One arithmetic for all runs of a study."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from opensphere.command import precision
from opensphere.command.precision import keep_precision, refuse_precision, settle_precision
from opensphere.compare.plan import Plan
from opensphere.compare.reading import read_plan
from opensphere.error import UserError
from tests.command.test_compare import compare, write_study

KEPT = "precision.json"


@pytest.fixture
def kind(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The kind of device that this machine seems to have, and what it would measure."""
    here = {"device": "cpu", "measured": "bf16"}
    monkeypatch.setattr(precision, "own_device", lambda: torch.device(here["device"]))
    monkeypatch.setattr(
        Plan, "settle_precision", lambda plan, device: plan.base["project"].update(precision=here["measured"])
    )
    return here


def settled(path: Path, folder: Path, asked: str = "auto") -> tuple[bool, str]:
    plan = read_plan(path, [f"project.precision={asked}"])
    return settle_precision(plan, folder), plan.base["project"]["precision"]


def test_the_first_measured_precision_holds(tmp_path: Path, kind: dict[str, str]) -> None:
    path, folder = write_study(tmp_path), tmp_path / "p"
    assert settled(path, folder) == (True, "bf16") and not folder.exists()
    assert keep_precision(folder, "fp16") == "fp16"  # another process was faster
    assert keep_precision(folder, "bf16") == "fp16"
    assert settled(path, folder) == (True, "fp16")
    assert settled(path, folder, "fp32") == (False, "fp32")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="name another folder with --proj_dir"):
        keep_precision(tmp_path / "file", "fp32")


def test_it_holds_on_other_kinds_of_devices(tmp_path: Path, kind: dict[str, str]) -> None:
    path, folder = write_study(tmp_path), tmp_path / "p"
    keep_precision(folder, "fp32")
    kind |= {"device": "cuda", "measured": "bf16"}
    assert settled(path, folder) == (True, "fp32") and keep_precision(folder, "bf16") == "fp32"
    assert json.loads((folder / KEPT).read_text()) == {"cpu": "fp32"}
    (folder / KEPT).write_text('{"cpu": "fp32", "cuda": "fp16"}')  # as older studies have it
    assert settled(path, folder) == (True, "fp16")
    kind["device"] = "cpu"
    assert settled(path, folder) == (True, "fp32")


def test_what_cannot_be_used_here_is_said(
    tmp_path: Path, kind: dict[str, str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    path, folder = write_study(tmp_path), tmp_path / "p/study"
    folder.mkdir(parents=True)
    (folder / KEPT).write_text('{"cuda": "fp32"}')
    plan = read_plan(path, ["project.precision=auto"])
    settle_precision(plan, folder)
    refuse_precision(plan, folder)  # anything can

    def unknown(*_: Any) -> Any:
        raise RuntimeError("not implemented for this type")

    monkeypatch.setattr(torch.nn.functional, "conv2d", unknown)
    why = "p/study: this study was begun with fp32 on cuda, which cannot be used on cpu: go on on cuda, or "
    with pytest.raises(UserError, match=why):
        refuse_precision(plan, folder)
    assert compare(path, "p", "project.precision=auto", "--dry-run")[0] == 0
    assert compare(path, "p", "project.precision=auto")[0] == 2
    assert why in capsys.readouterr().err
