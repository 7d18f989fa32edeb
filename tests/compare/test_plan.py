"""Study files: arms, settings, runs and their names."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from opensphere.compare.plan import Plan, digest, read_plan, run_name, shorter
from opensphere.error import UserError
from tests.material import write_config

ROOT = Path(__file__).resolve().parents[2]
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


def test_each_head_meets_each_value(tmp_path: Path) -> None:
    study = plan(tmp_path, vary={"data.train.corruption.share": [0, 0.5], "s": [8.0, 16.0]})
    assert [setting.name for setting in study.settings] == [
        "share 0, s 8", "share 0, s 16", "share 0.5, s 8", "share 0.5, s 16"
    ]  # fmt: skip
    last = study.cells({"cosine": study.arms[1].points[0]})[-1].resolved
    assert last["data"]["train"]["corruption"]["share"] == 0.5 and last["model"]["head"]["net"]["s"] == 16.0


def test_one_head_under_several_values_compares_these(tmp_path: Path) -> None:
    study = plan(tmp_path, heads=HEADS[:1], vary={"model.backbone.net.out_channel": [2, 3]}, baseline="out_channel 3")
    assert [arm.name for arm in study.arms] == ["out_channel 2", "out_channel 3"]
    assert [setting.name for setting in study.settings] == [""] and study.baseline == "out_channel 3"
    study = plan(tmp_path, heads=None, vary={"s": [8.0, 9.0]})
    assert [cell.resolved["model"]["head"]["net"]["s"] for cell in study.cells({})] == [8.0, 9.0]


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
    assert run_name(["../a b/{c}", "", "x" * 99], cell.resolved).startswith(".._a_b_c-" + "x" * 40 + "-")


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"base": None}, "s.yml: base: this block is needed"),
        ({"bases": 1}, "bases: no such key, did you mean base"),
        ({"heads": HEADS[:1]}, "heads: two or more are needed, or one and `vary`"),
        ({"heads": [HEADS[0], HEADS[0]]}, "two are called CocoLoss; give them a name"),
        ({"heads": [HEADS[0], {"m": 0.1}]}, "heads.1: give a net such as"),
        (
            {"heads": [HEADS[0], {"net": {"type": "ArcFace"}, "grid": {"m": 0.1}}]},
            "heads.1.grid: give a list of values",
        ),
        ({"heads": {"type": "ArcFace"}}, "heads: expected a list"),
        ({"baseline": "Cosine"}, "baseline: Cosine is none of the arms, did you mean cosine"),
        ({"seeds": 0}, "seeds: give their number"),
        ({"seeds": [1, 1]}, "seeds: give their number"),
        ({"vary": ["m"]}, "vary: give a list of values for each key"),
        ({"tune": {"length": 2.0}}, "tune.length: a share of the updates"),
        ({"tune": {"lenght": 0.5}}, "tune.lenght: Tune has no such key, did you mean length"),
        ({"test": ["config/test/faces.yml"] * 2}, "test: two sets are called unseen"),
    ],
)
def test_a_study_that_cannot_be_used(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(tmp_path, **keys)


def test_a_head_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="faces.yml with ArcFace: model.head.net.n: ArcFace has no such key"):
        plan(tmp_path, heads=[HEADS[0], {"type": "ArcFace", "n": 1}]).cells({})


@pytest.mark.parametrize("path", sorted((ROOT / "config/compare").glob("*.yml")), ids=lambda path: path.stem)
def test_every_study_that_ships_can_be_resolved(path: Path) -> None:
    study = read_plan(path)
    cells = study.cells({arm.name: arm.points[0] for arm in study.arms})
    assert len({cell.name for cell in cells}) == len(cells) == len(study.arms) * len(study.settings) * len(study.seeds)
    for arm in study.arms:
        for point in arm.points:
            study.trial(arm, point)
    given = yaml.safe_load(path.read_text())
    assert all(given.get(key) for key in ("title", "claim", "cut", "metric", "baseline"))
