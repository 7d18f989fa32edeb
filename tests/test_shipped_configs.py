"""Every config that ships is valid and builds, and says what its name says."""

from pathlib import Path

import pytest
import torch

from opensphere import config as cfg
from opensphere.compare.reading import read_plan

ROOT = Path(__file__).resolve().parents[1]
PAPERS = [path for path in (ROOT / "config/papers").rglob("*.yml") if not path.name.endswith(".expected.yml")]
TRAIN = sorted([*(ROOT / "config/train").glob("*.yml"), *PAPERS]) + [
    ROOT / "config/demo" / name for name in ("faces.yml", "faces_shape.yml", "folder.yml", "cfp_lfw.yml")
]
TEST = sorted((ROOT / "config/test").glob("*.yml"))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "config"))


@pytest.mark.parametrize("path", TRAIN, ids=name)
def test_a_training_config_builds(path: Path) -> None:
    resolved = cfg.check_train(cfg.load(path), name(path))
    blocks = resolved["model"]
    with torch.device("meta"):  # shapes without memory: the largest has a hundred layers
        backbone = cfg.build_backbone(**blocks["backbone"]["net"])
    head = cfg.build_head(**blocks["head"]["net"], feat_dim=backbone.feat_dim, num_class=20)
    assert head.w.shape == (blocks["backbone"]["net"]["out_channel"], 20)
    for module, block in ((backbone, blocks["backbone"]), (head, blocks["head"])):
        optimizer = cfg.build_optimizer(block["optimizer"], module.parameters())
        assert cfg.build_scheduler(block["scheduler"], optimizer) is not None
    batch_norms = [layer for layer in backbone.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert bool(batch_norms) == (
        "bn_" in path.name or "iresnet" in path.name or path.parent.name == "demo" or "small" in path.name
    )


@pytest.mark.parametrize("path", TEST, ids=name)
def test_a_test_config_is_valid(path: Path) -> None:
    resolved = cfg.check_test(cfg.load(path), name(path))
    assert all(block["dataset"]["name"] for block in resolved["data"]["test"])


@pytest.mark.parametrize("file", ["demo.yml", "heads.yml", "shape.yml"])
def test_the_demo_names_what_is_there(file: str) -> None:
    plan = read_plan(ROOT / "config/demo" / file, least=1)
    assert len(plan.cells({})) == len(plan.arms)
