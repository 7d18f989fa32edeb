"""The pages of the papers' configs: costs as the configs have them today, commands and overrides that work."""

import json
import re
from functools import cache
from pathlib import Path

import pytest
import torch

from opensphere import config as cfg
from opensphere.model.backbone.cost import count

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "config/papers").glob("*/README.md"))
RATE = 40e12  # FLOP/s that the pages assume of one A100
TABLE = (ROOT / "docs/papers.md").read_text(encoding="utf-8").split("## Reproduce")[0]


def name(path: Path) -> str:
    return path.parent.name


def full_size(page: Path) -> list[Path]:
    """The configs beside a page, and those that its command trains."""
    beside = [path for path in page.parent.rglob("*.yml") if not path.name.startswith("small")]
    return beside + [ROOT / path for path in re.findall(r"train\.py --config (\S+)", page.read_text(encoding="utf-8"))]


@cache
def forward(net: str) -> int:
    """FLOPs of an image, of the network that a line of JSON describes."""
    with torch.device("meta"):
        return count(cfg.build_backbone(**json.loads(net))).flops


def work(path: Path) -> float:
    """FLOPs of a training: forward, and twice as much backward, for each image of each update."""
    resolved = cfg.check_train(cfg.load(path), str(path))
    batch = resolved["data"]["train"]["dataloader"]["batch_size"]
    flops = forward(json.dumps(resolved["model"]["backbone"]["net"], sort_keys=True))
    return 3 * flops * batch * resolved["project"]["max_iters"]


def said(flops: float) -> set[str]:
    """How a page may round the time of so much work."""
    hours = flops / RATE / 3600
    return {f"{hours:.0f}", f"{hours:.1f}", f"{hours / 24:.1f}"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=name)
def test_what_a_training_costs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = {(path.name, work(path)) for path in full_size(page)}
    assert found
    claim = re.search(r"needs about (.+?)\.\*\*", " ".join(text.split()))
    assert claim
    stated = re.search(r"at ([\d,]+)(?: and ([\d,]+))? PFLOPs", " ".join(text.split()))
    assert stated
    assert {f"{flops / 1e15:,.0f}" for _, flops in found} == {one for one in stated.groups() if one}
    for _, flops in found:
        assert said(flops) & set(re.findall(r"[\d.]+", claim[1].replace("A100", "")))
    row = next(line for line in TABLE.splitlines() if f"(../config/papers/{name(page)})" in line)
    for _, flops in found:
        assert said(flops) & set(re.findall(r"[\d.]+", row.split("|")[4]))
    updates = {cfg.check_train(cfg.load(path))["project"]["max_iters"] for path in full_size(page)}
    assert all(f"{number:,} updates" in row for number in updates)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_overrides_that_a_page_names_are_valid(page: Path) -> None:
    text = " ".join(page.read_text(encoding="utf-8").split())
    config = str(full_size(page)[0])
    for override in re.findall(r"'((?:model|project|data)\.[\w.]+=[^']+)'", text):
        cfg.check_train(cfg.load(config, [override, "model.base.scheduler.milestones=[20000, 28000, 32000]"]), config)
    for words in re.findall(r"`((?:model|project|data)\.[\w.]+=[^`]+)`", text):
        cfg.check_train(cfg.load(config, words.split()), config)


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_a_page_reproduces_each_of_its_small_twins_with_a_new_seed(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    twins = sorted(path for path in page.parent.glob("small*.yml") if not path.name.endswith(".expected.yml"))
    assert twins
    for path in twins:
        assert path.with_name(f"{path.stem}.expected.yml").is_file()
        assert f"opensphere reproduce {path.relative_to(ROOT).as_posix()} --seed 3\n" in text


def test_small_twins_differ_in_the_loss_alone() -> None:
    """And the shared page says so."""
    rest = []
    for path in sorted((ROOT / "config/papers").glob("*/small*.yml")):
        if not path.name.endswith(".expected.yml"):
            block = cfg.load_plain(path)
            assert block["model"].pop("head")["net"]["type"]
            rest.append(block)
    assert len(rest) >= 10 and all(block == rest[0] for block in rest)
