"""Studies: their runs, those of grids, and their names."""

import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from opensphere import config as cfg
from opensphere.compare.plan import Plan, digest, run_name, shorter
from opensphere.compare.reading import read_plan
from opensphere.config.registry import HEADS as HEAD_TYPES
from opensphere.config.registry import SCHEDULERS
from opensphere.error import UserError
from tests.material import write_config

HEADS = [
    {"type": "CocoLoss", "s": 16.0},
    {"name": "cosine", "net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1, 0.2]}},
]


def plan(tmp_path: Path, *overrides: str, **keys: Any) -> Plan:
    block = {"base": "config/demo/faces.yml", "test": "config/test/faces.yml", "heads": HEADS, **keys}
    return read_plan(write_config(tmp_path, {k: v for k, v in block.items() if v is not None}, "s.yml"), overrides)


def test_runs_differ_in_head_and_seed_alone(tmp_path: Path) -> None:
    study = plan(tmp_path, seeds=[3, 5])
    cells = study.cells({"cosine": (("model.head.net.m", 0.2),)})
    assert [(cell.arm, cell.seed) for cell in cells] == [("CocoLoss", 3), ("cosine", 3), ("CocoLoss", 5), ("cosine", 5)]
    assert cells[1].resolved["model"]["head"]["net"]["m"] == 0.2
    for cell in cells:
        cell.resolved["model"]["head"]["net"] = cell.resolved["project"]["seed"] = None
    assert all(cell.resolved == cells[0].resolved for cell in cells)
    assert len({cell.name for cell in cells}) == 4


def test_a_grid_runs_shorter_on_validation_people(tmp_path: Path) -> None:
    study = plan(tmp_path, tune={"length": 0.5, "seed": 7})
    arm = study.arms[1]
    trials = [study.trial(arm, point).resolved for point in arm.points]
    assert [trial["model"]["head"]["net"]["m"] for trial in trials] == [0.1, 0.2]
    assert all(trial["project"]["max_iters"] == 180 and trial["project"]["seed"] == 7 for trial in trials)
    assert all(trial["model"]["backbone"]["scheduler"]["T_max"] == 180 for trial in trials)
    assert trials[0]["data"]["val"][0]["dataset"]["first_person"] == 100_000  # the base has people for it
    study = plan(tmp_path, "data.val=[]", tune={"people": 9})
    assert study.trial(arm, arm.points[0]).resolved["data"]["val"]["holdout"]["people"] == 9
    assert study.cells({"cosine": arm.points[0]})[0].resolved["data"]["val"] == []  # but the runs train on all


def test_what_counts_updates_shrinks_with_a_run(tmp_path: Path) -> None:
    head = {"type": "SphereFaceR_N", "dm": 0.1, "steps": [100, 200]}
    schedule = "model.base.scheduler={type: MultiStepLR, milestones: [200, 300]}"
    (cell,) = plan(tmp_path, schedule, heads=[head, HEADS[0]]).cells({})[:1]
    shorter(cell.resolved, 0.5)
    assert cell.resolved["model"]["head"]["net"]["steps"] == [50, 100]
    assert cell.resolved["model"]["backbone"]["scheduler"]["milestones"] == [100, 150]


# 300 updates; what has an end ends before or with them
SCHEDULES: dict[str, list[dict[str, Any]]] = {
    "StepLR": [{"step_size": 90}],
    "MultiStepLR": [{"milestones": [120, 210]}],
    "ConstantLR": [{"total_iters": 180}, {}],
    "LinearLR": [{"total_iters": 240}, {}],
    "ExponentialLR": [{"gamma": 0.99}],
    "PolynomialLR": [{"total_iters": 300, "power": 2.0}, {}],
    "CosineAnnealingLR": [{}, {"T_max": 600}],
    "CyclicLR": [
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 60, "step_size_down": 120},
        {"base_lr": 0.01, "max_lr": 0.3},
        {"base_lr": 0.01, "max_lr": 0.3, "step_size_up": 72, "mode": "exp_range", "gamma": 0.99},
    ],
    "CosineAnnealingWarmRestarts": [{"T_0": 60, "T_mult": 2}],
    "OneCycleLR": [
        {"max_lr": 0.3},
        {"max_lr": 0.3, "total_steps": 330},
        {"max_lr": 0.3, "epochs": 11, "steps_per_epoch": 30},
    ],
}


def rates(resolved: cfg.Config) -> list[float]:
    """The learning rate at the beginning of each update of a run, and after the last."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1, momentum=0.9)
    schedule = cfg.build_scheduler(resolved["model"]["backbone"]["scheduler"], optimizer)
    found = [optimizer.param_groups[0]["lr"]]
    for _ in range(resolved["project"]["max_iters"]):
        optimizer.step()
        schedule.step()
        found.append(optimizer.param_groups[0]["lr"])
    return found


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_shorter_run_has_the_whole_schedule(tmp_path: Path, name: str) -> None:
    for arguments in SCHEDULES[name]:
        block = json.dumps({"type": name, **arguments})
        study = plan(tmp_path, f"model.base.scheduler={block}", "project.max_iters=300", tune={"length": 1 / 3})
        whole = rates(study.cells({"cosine": ()})[1].resolved)
        short = rates(study.trial(study.arms[1], study.arms[1].points[0]).resolved)
        assert len(whole) == 301 and len(short) == 101
        nothing = 0.01 * max(whole)
        assert short[-1] == pytest.approx(whole[-1], rel=0.02, abs=nothing), arguments
        assert short[50] == pytest.approx(whole[150], rel=0.02, abs=nothing), arguments


def test_no_head_counts_updates_by_another_name_than_steps() -> None:
    names = {name for head in HEAD_TYPES.values() for name in inspect.signature(head).parameters}
    assert [name for name in names if re.search("step|iter|epoch|update|warm|mileston", name)] == ["steps"]


@pytest.mark.parametrize(
    "override, same",
    [
        ("project.proj_dir=elsewhere", True),
        ("project.val_intvl=7", True),
        ("data.base.dataloader.num_workers=3", True),
        ("parallel.processes=2", True),
        ("project.max_iters=7", False),
        ("model.base.optimizer.lr=0.2", False),
        ("data.train.augment.mirror=0.1", False),
        ("data.train.dataset.people=20", False),
        ("data.base.dataloader.batch_size=8", False),
    ],
)
def test_a_run_is_known_by_what_it_learns_by(tmp_path: Path, override: str, same: bool) -> None:
    plain, other = (plan(tmp_path, *words).cells({"cosine": ()})[0] for words in ((), (override,)))
    assert (plain.name == other.name) == same and (digest(plain.resolved) == digest(other.resolved)) == same


def test_names_of_runs_are_names_of_folders(tmp_path: Path) -> None:
    (cell,) = plan(tmp_path).cells({"cosine": ()})[:1]
    known = digest(cell.resolved)
    assert run_name(["Arc (m=0.5)", "share 0.2", "seed0"], cell.resolved) == f"Arc_m=0.5-share_0.2-seed0-{known}"
    assert run_name(["../a b/{c}", "", "x" * 99], cell.resolved) == f"a_b_c-{'x' * 40}-{known}"
    for odd in ("-x", ".x", "./x", "../../x", "_x", " x", "β x", "/x"):
        assert run_name([odd, "seed0"], cell.resolved) == f"x-seed0-{known}"
    for odd in ("", ".", "..", "-", "β", "/"):
        assert run_name([odd, "seed0"], cell.resolved) == f"seed0-{known}"


def test_a_head_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="faces.yml with ArcFace: model.head.net.n: ArcFace has no such key"):
        plan(tmp_path, heads=[HEADS[0], {"type": "ArcFace", "n": 1}]).cells({})
