"""Study files: what they say, and what they may not say."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from opensphere.compare.plan import Plan
from opensphere.compare.reading import read_plan
from opensphere.error import UserError
from tests.material import write_config

ROOT = Path(__file__).resolve().parents[2]
HEADS = [
    {"type": "CocoLoss", "s": 16.0},
    {"name": "cosine", "net": {"type": "CosFace", "s": 16.0}, "grid": {"m": [0.1, 0.2]}},
]
SHARE = "data.train.corruption.share"


def plan(tmp_path: Path, *overrides: str, **keys: Any) -> Plan:
    block = {"base": "config/demo/faces.yml", "test": "config/test/faces.yml", "heads": HEADS, **keys}
    return read_plan(write_config(tmp_path, {k: v for k, v in block.items() if v is not None}, "s.yml"), overrides)


def arm(**keys: Any) -> list[Any]:
    return [HEADS[0], {"net": {"type": "CosFace"}, **keys}]


def test_each_head_meets_each_value(tmp_path: Path) -> None:
    study = plan(tmp_path, vary={SHARE: [0, 0.5], "s": [8.0, 16.0]})
    assert [setting.name for setting in study.settings] == [
        "share 0, s 8", "share 0, s 16", "share 0.5, s 8", "share 0.5, s 16"
    ]  # fmt: skip
    assert study.vary == [SHARE, "model.head.net.s"]
    last = study.cells({"cosine": study.arms[1].points[0]})[-1].resolved
    assert last["data"]["train"]["corruption"]["share"] == 0.5 and last["model"]["head"]["net"]["s"] == 16.0


def test_one_head_under_several_values_compares_these(tmp_path: Path) -> None:
    study = plan(tmp_path, heads=HEADS[:1], vary={"model.backbone.net.out_channel": [2, 3]}, baseline="out_channel 3")
    assert [arm.name for arm in study.arms] == ["out_channel 2", "out_channel 3"]
    assert [setting.name for setting in study.settings] == [""] and study.baseline == "out_channel 3"
    assert study.vary == ["model.backbone.net.out_channel"]
    study = plan(tmp_path, heads=None, vary={"s": [8.0, 9.0]})
    assert [cell.resolved["model"]["head"]["net"]["s"] for cell in study.cells({})] == [8.0, 9.0]
    nets = [{"type": "ArcFace"}, {"type": "CosFace"}]
    study = plan(tmp_path, heads=None, vary={"model.head.net": nets})
    assert [cell.resolved["model"]["head"]["net"]["type"] for cell in study.cells({})] == ["ArcFace", "CosFace"]


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"base": None}, "s.yml: base: this block is needed"),
        ({"bases": 1}, "bases: no such key, did you mean base"),
        ({"base": "faces.yml"}, "s.yml: base: there is no faces.yml; paths are relative to where the command runs, /"),
        ({"test": ["config/test/faces.yml", "f.yml"]}, "s.yml: test: there is no f.yml; paths are relative to"),
        ({"test": []}, "test: name a test config, or several"),
        ({"heads": HEADS[:1]}, "heads: two or more are needed, or one and `vary`"),
        ({"heads": [HEADS[0], HEADS[0]]}, "two are called CocoLoss; give them a name"),
        ({"heads": [HEADS[0], {"m": 0.1}]}, "heads.1: give a net such as"),
        ({"heads": arm(grid={"m": 0.1})}, "heads.1.grid: give a list of values"),
        ({"heads": arm(name="")}, "heads.1.name: it is empty"),
        ({"heads": arm(overrides="a=b")}, "heads.1.overrides: expected a list"),
        ({"heads": {"type": "ArcFace"}}, "heads: expected a list"),
        ({"baseline": "Cosine"}, "baseline: Cosine is none of the arms, did you mean cosine"),
        ({"seeds": 0}, "seeds: give their number"),
        ({"seeds": [1, 1]}, "seeds: give their number"),
        ({"vary": ["m"]}, "vary: give a list of values for each key"),
        ({"tune": {"length": 2.0}}, "tune.length: a share of the updates"),
        ({"tune": {"lenght": 0.5}}, "tune.lenght: Tune has no such key, did you mean length"),
        ({"metric": "ACC10 SE"}, "s.yml: metric: ACC10 SE says how sure ACC10 is, not which run is better; name ACC10"),
        ({"tune": {"metric": "ACC10 SE"}}, "s.yml: tune.metric: ACC10 SE says how sure"),
        ({"test": ["config/test/faces.yml"] * 2}, "test: two sets are called unseen"),
    ],
)
def test_a_study_that_cannot_be_used(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(tmp_path, **keys)


@pytest.mark.parametrize(
    "keys, message",
    [
        ({"vary": {"m": [0.3, 0.4]}}, r"s.yml: heads.1.grid: model.head.net.m: vary sets model.head.net.m; leave one"),
        ({"vary": {"model.head.net": [{"type": "ArcFace"}]}}, "vary: model.head.net would put one net in the place of"),
        ({"vary": {"model.head": [{"net": {"type": "ArcFace"}}]}}, "vary: model.head would put one net"),
        ({"vary": {"type": ["ArcFace", "CosFace"]}}, "vary: model.head.net.type would put one net in the place of all"),
        (
            {"vary": {"model.head.net": [{"type": "ArcFace"}, {"type": "CosFace"}]}, "heads": HEADS[:1]},
            "vary: model.head.net would put one net .*; list the nets under heads, or leave heads out",
        ),
        ({"vary": {"model.head.net.type": ["ArcFace"]}, "heads": HEADS[:1]}, "vary: model.head.net.type would put one"),
        (
            {"vary": {"model.base": [1]}, "heads": arm(grid={"model.base.optimizer.lr": [0.1]})},
            "heads.1.grid: model.base.optimizer.lr: vary sets model.base; leave one",
        ),
        (
            {"vary": {"model.base.optimizer.lr": [1]}, "heads": arm(grid={"model.base.optimizer": [{}]})},
            "heads.1.grid: model.base.optimizer: vary sets model.base.optimizer.lr",
        ),
        ({"vary": {"m": [1], "model.head.net.m": [2]}, "heads": arm()}, "vary: m and model.head.net.m set the same"),
        ({"vary": {SHARE: [0], "data.train.corruption": [{}]}}, f"{SHARE} and data.train.corruption set the same"),
        ({"vary": {SHARE: [0, 0.2, 0.0]}}, f"s.yml: vary: {SHARE}: 0 is listed twice; name each value once"),
        ({"heads": arm(grid={"m": [0.1, 0.1]})}, "s.yml: heads.1.grid: m: 0.1 is listed twice"),
        ({"vary": {"project.seed": [0, 1]}}, "s.yml: vary: project.seed: runs have the seeds that `seeds` names"),
        ({"heads": arm(grid={"project.seed": [0, 1]})}, "s.yml: heads.1.grid: project.seed: runs have the seeds"),
        ({"heads": arm(overrides=["project.seed=1"])}, "heads.1.overrides: project.seed: runs have the seeds"),
        ({"overrides": ["project.seed=1"]}, "s.yml: overrides: project.seed: runs have the seeds"),
        ({"overrides": ["project={seed: 1}"]}, "s.yml: overrides: project: runs have the seeds"),
        (
            {"vary": {SHARE: [0, 0.2]}, "heads": arm(overrides=[f"{SHARE}=0.5"])},
            f"heads.1.overrides: {SHARE}: vary sets {SHARE}; take it out",
        ),
        (
            {"vary": {SHARE: [0, 0.2]}, "heads": arm(overrides=["data.train.corruption={share: 0.5}"])},
            f"heads.1.overrides: data.train.corruption: vary sets {SHARE}; take it out",
        ),
        (
            {"vary": {SHARE: [0, 0.2]}, "heads": [HEADS[0]], "overrides": [f"{SHARE}=0.5"]},
            f"s.yml: overrides: {SHARE}: vary sets {SHARE}; take it out",
        ),
        (
            {"heads": arm(overrides=["model.head.net.m=0.4"], grid={"m": [0.1, 0.2]})},
            "heads.1.overrides: model.head.net.m: its grid sets model.head.net.m",
        ),
        ({"overrides": ["model.head.net.m=0.4"]}, "s.yml: overrides: model.head.net.m: heads sets model.head.net"),
    ],
)
def test_what_one_would_lose_to_another_is_refused(tmp_path: Path, keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(tmp_path, **keys)


def test_what_names_a_block_and_a_part_of_it_apart_is_no_loss(tmp_path: Path) -> None:
    heads = arm(overrides=["model.head.optimizer={type: AdamW, weight_decay: 0.1}", "model.head.clip_grad_norm=5.0"])
    study = plan(tmp_path, "project.max_iters=9", heads=heads, vary={"model.head.optimizer.lr": [0.1, 0.2]})
    last = study.cells({})[-1].resolved
    assert last["model"]["head"]["optimizer"] == {"type": "AdamW", "weight_decay": 0.1, "lr": 0.2}
    assert last["project"]["max_iters"] == 9
    study = plan(tmp_path, "model.head.net.s=9.0", heads=None, vary={"m": [0.1, 0.2]})  # the base's own net
    assert {cell.resolved["model"]["head"]["net"]["s"] for cell in study.cells({})} == {9.0}


def two_tests(tmp_path: Path) -> list[str]:
    """Test configs of two sets and of one."""
    (block,) = yaml.safe_load((ROOT / "config/test/faces.yml").read_text())["data"]["test"]
    files = []
    for file, names in (("first.yml", "ab"), ("second.yml", "c")):
        sets = [{**block, "dataset": {**block["dataset"], "name": name}} for name in names]
        files.append(str(write_config(tmp_path, {"data": {"test": sets}}, file)))
    return files


def test_overrides_number_the_sets_of_all_test_files_through(tmp_path: Path) -> None:
    files = two_tests(tmp_path)
    people = [f"data.test.{number}.dataset.people={number + 40}" for number in range(3)]
    study = plan(tmp_path, *people[1:], test=files, overrides=people[:1])
    found = {block["dataset"]["name"]: block["dataset"]["people"] for block in study.test["data"]["test"]}
    assert found == {"a": 40, "b": 41, "c": 42}
    with pytest.raises(UserError, match=r"test: data.test.3.dataset.people=1: .* number among all 3, counted from"):
        plan(tmp_path, "data.test.3.dataset.people=1", test=files)
    with pytest.raises(UserError, match="a set is named by its number among all 3"):
        plan(tmp_path, "data.test.a.dataset.people=1", test=files)


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
