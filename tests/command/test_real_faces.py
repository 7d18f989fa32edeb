"""Real faces from scratch: CFP's people to learn from, LFW's pairs to test on. A quarter of an hour on two cores."""

import json
from pathlib import Path

import pytest
import torch

from opensphere.command.main import run_command
from tests.shared import shared


@pytest.mark.long
def test_cfp_to_lfw(tmp_path: Path) -> None:
    cfp, lfw = shared("faces/cfp"), shared("faces/lfw")
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    train = [
        f"data.train.dataset.data_dir={cfp / 'images'}",
        f"data.train.dataset.ann_path={cfp / 'cfp_train_ann.txt'}",
    ]
    test = [f"data.test.0.dataset.data_dir={lfw / 'images'}", f"data.test.0.dataset.ann_path={lfw / 'lfw_ann.txt'}"]
    assert run_command("train", ["--config", "config/demo/cfp_lfw.yml", "--proj_dir", str(tmp_path), *train]) == 0
    (run,) = tmp_path.iterdir()
    assert run_command("test", ["--config", "config/test/lfw.yml", "--proj_dir", str(run), *test]) == 0
    torch.set_num_threads(threads)
    assert json.loads((run / "LFW.json").read_text())["rows"][0]["ACC10"] >= 86


@pytest.mark.slow
def test_a_folder_of_people_needs_no_list(tmp_path: Path) -> None:
    images = shared("faces/cfp/images")
    words = [
        "project.max_iters=3",
        "project.val_intvl=3",
        "data.base.dataloader.num_workers=1",
        "data.base.dataloader.batch_size=32",
    ]
    folder = f"data.train.dataset.data_dir={images}"
    assert (
        run_command("train", ["--config", "config/demo/folder.yml", "--proj_dir", str(tmp_path), folder, *words]) == 0
    )
    (run,) = tmp_path.iterdir()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["set"] for line in lines if line["kind"] == "val"] == ["people_holdout"]
    assert 40 <= lines[-1]["ACC10"] <= 100
