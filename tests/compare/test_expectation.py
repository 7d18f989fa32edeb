"""What was recorded of a config's trainings: the interval for one more, and the file."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from opensphere import config as cfg
from opensphere.compare.expectation import (
    Expectation,
    fingerprint,
    judge,
    largest_difference,
    machine_kind,
    path_of,
    read_expectation,
    write_expectation,
)
from opensphere.error import UserError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = sorted((ROOT / "config").rglob("*.expected.yml"))
NAN = float("nan")
EMPTY = Expectation("test.yml", "abc", "a machine", [], [], {})
TWO = EMPTY.added(0, "first", {"set": {"ACC": 97.0, "EER": 3.0}}).added(2, None, {"set": {"ACC": 98.0, "EER": NAN}})


def test_the_interval_by_hand() -> None:
    """1, 2, 3: mean 2, deviation 1; t with 2 degrees at 97.5 % is 4.302653 in any table."""
    reach = 4.302653 * math.sqrt(1 + 1 / 3)
    found = judge([1.0, 2.0, 3.0], 2 + reach - 1e-4)
    assert (found.mean, found.low, found.high) == pytest.approx((2.0, 2 - reach, 2 + reach), abs=1e-5)
    assert found.verdict == "inside"
    assert judge([1.0, 2.0, 3.0], 2 + reach + 1e-4).verdict == "outside"
    assert judge([1.0, 2.0, 3.0], 2 - reach - 1e-4).verdict == "outside"


def test_a_seed_is_left_out_of_what_it_is_held_against() -> None:
    """A run that changed by much would be inside of an interval of which it is a part, whatever it reached."""
    three = TWO.added(1, "third", {"set": {"ACC": 70.0, "EER": 2.5}})
    assert judge(three.values["set"]["ACC"], 70.0).verdict == "inside"
    others = three.without(1)
    assert others == TWO and three.without(7) == three
    assert judge(others.values["set"]["ACC"], 70.0).verdict == "outside"
    assert TWO.without(0).without(2) == replace(EMPTY, values={"set": {"ACC": [], "EER": []}})


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_nineteen_of_twenty_further_seeds_are_inside(seeds: int) -> None:
    draws = np.random.default_rng(seeds).normal(97.0, 0.3, (2000, seeds + 1))
    share = np.mean([judge(row[:-1], row[-1]).verdict == "inside" for row in draws])
    assert abs(share - 0.95) < 4 * math.sqrt(0.95 * 0.05 / len(draws))


def test_what_cannot_be_said() -> None:
    assert judge([97.0], 97.0).verdict == "cannot be said"
    assert "two seeds" in judge([97.0], 97.0).why
    assert "two seeds" in judge([], 97.0).why
    assert judge([97.0, None, 97.1], 97.0).verdict == judge([97.0, 97.2], NAN).verdict == "cannot be said"
    same = judge([100.0, 100.0, 100.0], 99.9)
    assert same.verdict == "cannot be said" and "one value" in same.why
    assert judge([100.0, 100.0, 100.0], 100.0).verdict == "inside"


def test_a_run_joins_in_the_order_of_seeds() -> None:
    three = TWO.added(1, "third", {"set": {"ACC": 97.123456, "EER": 2.5}})
    assert three.seeds == [0, 1, 2] and three.commits == ["first", "third", None]
    assert three.values == {"set": {"ACC": [97.0, 97.1235, 98.0], "EER": [3.0, 2.5, None]}}
    again = three.added(0, "later", {"set": {"ACC": 96.0, "EER": 4.0}})
    assert again.seeds == [0, 1, 2] and again.commits[0] == "later"
    assert again.values["set"]["ACC"] == [96.0, 97.1235, 98.0]
    with pytest.raises(UserError, match="have the columns"):
        TWO.added(1, None, {"set": {"ACC": 97.0}})


def test_a_seed_that_was_recorded() -> None:
    found = TWO.of_seed(2)
    assert found is not None and found["set"]["ACC"] == 98.0 and math.isnan(found["set"]["EER"])
    assert TWO.of_seed(1) is None
    assert largest_difference(found, {"set": {"ACC": 98.00004, "EER": NAN}}) == (0.0, "")
    gap, where = largest_difference(found, {"set": {"ACC": 97.5, "EER": NAN}})
    assert gap == pytest.approx(0.5) and where == "ACC on set"
    assert math.isnan(largest_difference(found, {"set": {"ACC": 98.0, "EER": 3.0}})[0])


def test_the_file(tmp_path: Path) -> None:
    path = path_of(tmp_path / "small.yml")
    assert path.name == "small.expected.yml"
    write_expectation(path, TWO)
    assert read_expectation(path) == TWO
    assert "ACC: [97.0, 98.0]" in path.read_text() and "EER: [3.0, null]" in path.read_text()


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (replace(TWO, seeds=[0]), "commits: needs an entry for each of the 1 seeds"),
        (replace(TWO, values={"set": {"ACC": [1.0]}}), "values.set.ACC: needs an entry for each of the 2 seeds"),
        (replace(TWO, values={"set": {"ACC": ["a", "b"]}}), "values: holds a list of numbers"),  # type: ignore[dict-item]
        (replace(TWO, values={}), "values: needs an entry"),
    ],
)
def test_a_file_that_does_not_add_up(tmp_path: Path, found: Expectation, text: str) -> None:
    write_expectation(tmp_path / "a.expected.yml", found)
    with pytest.raises(UserError, match=text):
        read_expectation(tmp_path / "a.expected.yml")


def test_a_file_that_lacks_a_key(tmp_path: Path) -> None:
    (tmp_path / "a.expected.yml").write_text("test: t.yml\n")
    with pytest.raises(UserError, match=r"a\.expected\.yml: settings: this key is needed"):
        read_expectation(tmp_path / "a.expected.yml")


def test_the_fingerprint_is_of_what_decides_the_numbers() -> None:
    train, test = ROOT / "config/demo/faces.yml", cfg.load(ROOT / "config/test/faces.yml")

    def of(*overrides: str) -> str:
        return fingerprint(cfg.load(train, overrides), test)

    before = of()
    assert before == of("project.seed=3", "project.proj_dir=elsewhere", "data.base.dataloader.num_workers=7")
    changes = ("model.head.net.m=1.4", "project.max_iters=10", "data.base.dataloader.batch_size=64")
    assert len({before, *(of(change) for change in changes)}) == 4
    assert fingerprint(cfg.load(train), cfg.load(ROOT / "config/test/faces_shape.yml")) != before


def test_what_rounding_depends_on() -> None:
    about = {"gpus": [], "processor": "A processor", "threads": 2, "torch": "2.13.0"}
    assert machine_kind(about) == "A processor, 2 threads, torch 2.13.0"
    assert machine_kind({**about, "gpus": ["One", "Two"]}) == "One, Two, torch 2.13.0"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.relative_to(ROOT / "config").as_posix())
def test_what_ships_is_of_the_configs_as_they_are(path: Path) -> None:
    """Whoever changes a config, records its numbers anew."""
    found = read_expectation(path)
    config = path.with_name(path.name.replace(".expected", ""))
    assert found.settings == fingerprint(cfg.load(config), cfg.load(ROOT / found.test))
    assert len(found.seeds) >= 3
    assert all(len(set(values)) > 1 for columns in found.values.values() for values in columns.values())


@pytest.mark.parametrize(
    "path", [one for one in SHIPPED if "papers" in one.parts], ids=lambda path: f"{path.parent.name}/{path.name}"
)
def test_the_page_of_papers_has_what_was_recorded(path: Path) -> None:
    found = read_expectation(path).values["unseen"]
    cells = []
    for column in ("ACC10", "EER"):
        values = [value for value in found[column] if value is not None]
        one = judge(values, values[0])
        cells += [", ".join(f"{value:.2f}" for value in values), f"{one.low:.2f} to {one.high:.2f}"]
    name = f"{path.parent.name}/{path.name.removesuffix('.expected.yml')}"
    row = f"| [{name}](../config/papers/{name}.yml) | {' | '.join(cells)} |"
    assert row in (ROOT / "docs/papers.md").read_text()
