"""What all runs of a study share though chance had a part in it."""

from pathlib import Path

import pytest

from opensphere.compare.notes import drawn_in
from opensphere.compare.reading import read_plan
from tests.material import write_config


@pytest.mark.parametrize(
    ("overrides", "drawn"),
    [
        ([], []),
        (["data.train.corruption.seed=3", "data.train.subset.min_images=2"], []),  # nothing is drawn by it
        (["data.train.corruption.share=0.2"], ["data.train.corruption.share"]),
        (
            ["data.train.subset.max_images=5", "data.train.corruption.exponent=0.5"],
            ["data.train.corruption.exponent", "data.train.subset.max_images"],
        ),
        (["data.train.subset.people=90", "data.val=holdout"], ["data.train.subset.people", "data.val.holdout"]),
        (
            ["data.train.dataset={type: ClassDataset, name: x, data_dir: x, noise_ratio: 0.1}"],
            ["data.train.dataset.noise_ratio"],
        ),
    ],
)
def test_what_is_drawn_once(tmp_path: Path, overrides: list[str], drawn: list[str]) -> None:
    heads = [{"type": "CosFace"}, {"type": "CocoLoss"}]
    block = {"base": "config/demo/faces.yml", "test": "config/test/faces.yml", "heads": heads}
    cell, _ = read_plan(write_config(tmp_path, block, "s.yml"), overrides).cells({})
    assert drawn_in(cell.resolved["data"]) == drawn
