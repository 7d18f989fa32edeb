"""The demo: several losses under identical conditions, one table."""

import csv
import json
from pathlib import Path

import pytest
import torch
import yaml

from opensphere.command.demo import refuse_other_data
from opensphere.command.main import run_command
from opensphere.compare.reading import read_plan
from opensphere.model import head as heads
from tests.material import write_config

ROOT = Path(__file__).resolve().parents[2]
HEADS = [{"type": "SphereFace", "s": 16.0, "m": 1.5}, {"type": "CosFace", "s": 16.0, "m": 0.2}]


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    base = yaml.safe_load((ROOT / "config/demo/faces.yml").read_text())
    base["project"] |= {"max_iters": 3, "val_intvl": 3}
    base["data"]["base"]["dataloader"] |= {"batch_size": 16, "num_workers": 0}
    base["data"]["train"]["dataset"] |= {"people": 6, "images": 4, "image_size": 32}
    base["data"]["val"][0]["dataset"] |= {"people": 20, "images": 4, "pairs": 40}
    base["model"]["backbone"]["net"] |= {"width": 0.125, "out_channel": 16}
    test = yaml.safe_load((ROOT / "config/test/faces.yml").read_text())
    test["data"]["test"][0]["dataset"] |= {"people": 20, "images": 4, "pairs": 40}
    paths = {
        name: str(write_config(tmp_path, block, f"{name}.yml")) for name, block in (("base", base), ("test", test))
    }
    return write_config(tmp_path, {**paths, "heads": HEADS}, "demo.yml")


@pytest.mark.slow
def test_one_table_of_runs_that_share_their_start(plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    words = ["--config", str(plan), "--proj_dir", str(tmp_path / "demo"), "project.save_iters=[1, 3]"]
    assert run_command("demo", [*words, "model.base.optimizer.lr=0.0"]) == 0
    (folder,) = (tmp_path / "demo").iterdir()
    rows = json.loads((folder / "result.json").read_text())["rows"]
    assert [row["model"] for row in rows] == ["raw pixels", "untrained network", "SphereFace", "CosFace"]
    assert all(0 <= row["ACC10"] <= 100 and row["ACC10 SE"] >= 0 for row in rows)
    with open(folder / "result.csv") as file:
        assert [row["model"] for row in csv.DictReader(file)] == [row["model"] for row in rows]
    text = capsys.readouterr().out
    assert str(folder) in text.replace("\n", "") and "±" in text and "SphereFace" in (folder / "result.txt").read_text()
    runs = [folder / row["folder"] for row in rows[2:]]
    first, second = (torch.load(run / "models/backbone_1.pth", weights_only=True) for run in runs)
    trained = [key for key in first if "running" not in key and "num_batches" not in key]
    assert all(torch.equal(first[key], second[key]) for key in trained)  # lr 0: still the initial weights


def test_a_plan_that_lacks_a_key(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = write_config(tmp_path, {"base": "config/demo/faces.yml", "test": "config/test/faces.yml"}, "demo.yml")
    assert run_command("demo", ["--config", str(path)]) == 2
    assert "demo.yml: heads: one or more is needed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"seeds": 2}, "seeds: the demo trains each head once; take it out, or run: opensphere compare"),
        ({"vary": {"data.train.corruption.share": [0, 0.2]}}, "vary: the demo trains each head once"),
        ({"heads": HEADS[:1], "vary": {"s": [16.0, 32.0]}}, "vary: the demo trains each head once"),
        ({"tune": {"length": 0.5}}, "tune: the demo"),
        ({"metric": "EER"}, "metric: the demo"),
        ({"heads": [HEADS[0], {"net": HEADS[1], "grid": {"m": [0.1, 0.2]}}]}, "heads.1.grid: the demo"),
        (
            {"heads": [HEADS[0], {"net": HEADS[1], "overrides": ["data.train.augment=none"]}]},
            "heads: CosFace: its overrides change the images, which all heads of the demo share",
        ),
        (
            {"heads": [HEADS[0], {"net": HEADS[1], "overrides": ["data.val.0.dataset.people=30"]}]},
            "heads: CosFace: its overrides change the images",
        ),
    ],
)
def test_what_a_demo_does_not_do_is_refused_before_training(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture, change: dict, text: str
) -> None:
    path = write_config(tmp_path, {**yaml.safe_load(plan.read_text()), **change}, "study.yml")
    assert run_command("demo", ["--config", str(path), "--proj_dir", str(tmp_path / "demo")]) == 2
    found = capsys.readouterr().err
    assert f"study.yml: {text}" in found and found.count("\n") == 1
    assert not (tmp_path / "demo").exists()


@pytest.mark.long
def test_shape_alone_carries_identity(tmp_path: Path) -> None:
    assert run_command("demo", ["--config", "config/demo/shape.yml", "--proj_dir", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    rows = {row["model"]: row for row in json.loads((folder / "result.json").read_text())["rows"]}
    assert rows["raw pixels"]["ACC10"] < 70 and rows["untrained network"]["ACC10"] < 70
    assert rows["ArcFace"]["ACC10"] >= 92


@pytest.mark.long
def test_the_shipped_demo_is_a_real_problem_and_is_solved(tmp_path: Path) -> None:
    assert run_command("demo", ["--proj_dir", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    rows = {row["model"]: row for row in json.loads((folder / "result.json").read_text())["rows"]}
    assert rows["raw pixels"]["ACC10"] < 70 and rows["untrained network"]["ACC10"] < 70
    for head in ("SphereFace", "SphereFace2", "ArcFace"):
        assert 92 <= rows[head]["ACC10"] <= 99.5


def test_every_head_has_a_setting() -> None:
    path = ROOT / "config/demo/heads.yml"
    cells = read_plan(path).cells({})
    assert {cell.resolved["model"]["head"]["net"]["type"] for cell in cells} == set(heads.__all__)
    refuse_other_data(cells, path)  # batches differ, images do not


@pytest.mark.slow
def test_a_head_may_want_something_of_its_own(plan: Path, tmp_path: Path) -> None:
    """A name in the table, and overrides that concern no other head."""
    block = yaml.safe_load(plan.read_text())
    entry = {"name": "pairs", "net": {"type": "SupConLoss"}, "overrides": ["data.train.dataloader.images_per_person=4"]}
    path = write_config(tmp_path, {**block, "heads": [HEADS[0], entry]}, "own.yml")
    assert run_command("demo", ["--config", str(path), "--proj_dir", str(tmp_path / "demo")]) == 0
    (folder,) = (tmp_path / "demo").iterdir()
    rows = json.loads((folder / "result.json").read_text())["rows"]
    assert [row["model"] for row in rows[2:]] == ["SphereFace", "pairs"]
    loaders = [
        yaml.safe_load((folder / row["folder"] / "config.yml").read_text())["data"]["train"]["dataloader"]
        for row in rows[2:]
    ]
    assert [loader["images_per_person"] for loader in loaders] == [None, 4]


def test_an_entry_that_is_no_head(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    block = {"base": "a.yml", "test": "b.yml", "heads": [{"nets": {"type": "ArcFace"}}]}
    assert run_command("demo", ["--config", str(write_config(tmp_path, block, "demo.yml"))]) == 2
    assert "demo.yml: heads.0: give a net such as {type: ArcFace}" in capsys.readouterr().err


@pytest.mark.long
def test_every_head_trains(tmp_path: Path) -> None:
    """Each from its shipped setting, to the accuracy of NormFace less two points at least."""
    assert run_command("demo", ["--config", "config/demo/heads.yml", "--proj_dir", str(tmp_path)]) == 0
    (folder,) = tmp_path.iterdir()
    rows = {row["model"]: row for row in json.loads((folder / "result.json").read_text())["rows"]}
    assert len(rows) == 2 + len(read_plan(ROOT / "config/demo/heads.yml").arms)
    least = rows["CocoLoss"]["ACC10"] - 2.0
    below = {name for name, row in rows.items() if row["ACC10"] < least}
    assert below == {"raw pixels", "untrained network"}
