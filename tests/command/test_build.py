"""From a config to the objects of a training."""

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opensphere import config as cfg
from opensphere import sphere
from opensphere.classifier import CLASSIFIERS
from opensphere.command.build import Sets, build_run, build_sets, class_spread, settle_facts, validator
from opensphere.engine.parallel import World
from opensphere.error import UserError
from opensphere.metric import energy
from opensphere.model.head.subcenter_arcface import SubCenterArcFace
from tests.material import tiny_config, write_config, write_pairs, write_people
from tests.ranks import two_ranks

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_people(tmp_path, people=12)
    write_pairs(tmp_path, people=12)
    return tmp_path


def resolve(folder: Path, *overrides: str) -> cfg.Config:
    return cfg.check_train(cfg.load(write_config(folder, tiny_config(folder)), overrides))


def test_held_out_people_are_not_trained_on(folder: Path) -> None:
    sets = build_sets(resolve(folder, "data.val={holdout: {people: 4, pairs: 40, folds: 2}}"), "config")
    assert sets.train.num_class == 8 and len(sets.train) == 64
    (pairs, loader), *others = sets.val
    assert not others and loader.batch_size == 16
    names = {pairs.dataset.names[pairs.dataset.labels[index]] for index in pairs.indices}
    assert len(names) <= 4 and not names & set(sets.train.names)
    assert pairs.metrics == ["ACC10", "ACC10 SE", "ACC"]


def test_test_mode_leaves_images_as_they_are(folder: Path) -> None:
    sets = build_sets(resolve(folder, "data.train.dataset.test_mode=true"), "config")
    assert sets.augment.mirror == 0


def test_a_set_without_people_cannot_be_learnt(folder: Path) -> None:
    item = f"{{type: ItemDataset, name: items, data_dir: '{folder}/images'}}"
    with pytest.raises(UserError, match="ItemDataset has no people to learn"):
        build_sets(
            resolve(folder, f"data.train.dataset={item}", "data.val=[]", "model.backbone.net.input_size=112"), "config"
        )


def test_the_facts_of_a_run_are_written_into_its_config(folder: Path) -> None:
    resolved = resolve(folder, "project.precision=auto")
    run = build_run(resolved, 12, ALONE, "config")
    assert resolved["model"]["head"]["net"]["num_class"] == 12
    assert resolved["project"]["precision"] in ("fp32", "bf16")
    assert run.classifier.w.shape == (16, 12)
    with pytest.raises(UserError, match="model.head.net.num_class is 12, but it is 13 here"):
        settle_facts(resolved, 13, 16, "config")


def test_the_seed_decides_the_weights(folder: Path) -> None:
    runs = [build_run(resolve(folder, f"project.seed={seed}"), 12, ALONE, "config") for seed in (1, 1, 2)]
    first, again, other = (torch.cat([p.flatten() for p in run.backbone.parameters()]) for run in runs)
    assert torch.equal(first, again) and not torch.equal(first, other)


class Lines:
    """A record that keeps the spread alone."""

    def __init__(self) -> None:
        self.found: list[tuple[int, float, float]] = []

    def sphere(self, *line: Any) -> None:
        self.found.append(line)


@pytest.mark.parametrize("kind", ["plain", "chunked", "sharded", "{type: sampled, rate: 0.5}"])
def test_a_validation_tells_how_classes_spread(folder: Path, kind: str) -> None:
    resolved = resolve(folder, "data.val=[]", f"model.head.classifier={kind}")
    run, lines = build_run(resolved, 12, ALONE, "config"), Lines()
    run.step = 7
    assert validator(Sets(None, None, None, []), lines)(run) == {}
    directions = sphere.unit(run.classifier.w.detach().mT)
    cos = directions @ directions.mT - 2 * torch.eye(12)
    nearest = cos.max(1).values.acos().rad2deg().mean().item()
    assert lines.found == [(7, pytest.approx(sphere.energy(directions).item(), rel=1e-5), pytest.approx(nearest))]


def test_centres_of_a_class_stay_together(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(energy, "draw", lambda *sizes: np.array([1, 5]))
    net = "{type: SubCenterArcFace, s: 16.0, m: 0.2, centers: 3}"
    run = build_run(resolve(folder, f"model.head.net={net}"), 12, ALONE, "config")
    centres = run.classifier.w.detach().mT.numpy()[[3, 4, 5, 15, 16, 17]]
    assert astuple(class_spread(run.classifier)) == pytest.approx(astuple(energy.spread(centres, 3)))


def test_pairs_have_no_classes(folder: Path) -> None:
    resolved = resolve(folder, "data.val=[]", "model.head.net={type: TripletLoss}")
    run, lines = build_run(resolved, 12, ALONE, "config"), Lines()
    validator(Sets(None, None, None, []), lines)(run)
    assert class_spread(run.classifier) is None and lines.found == []


def shards(rank: int, folder: str) -> None:
    """The classes drawn of a matrix that two ranks share are those of the whole one."""
    energy.draw = lambda *sizes: np.array([0, 3, 4, 6])
    torch.manual_seed(0)
    alone = CLASSIFIERS["plain"](SubCenterArcFace(16.0, 0.2, centers=2), 3, 7)
    torch.manual_seed(0)
    split = CLASSIFIERS["sharded"](SubCenterArcFace(16.0, 0.2, centers=2), 3, 7)
    found, expected = class_spread(split), class_spread(alone)
    assert (found is None) == (expected is None) == (rank == 1)
    assert rank or astuple(found) == pytest.approx(astuple(expected))
    Path(folder, f"done{rank}").touch()


@pytest.mark.slow
def test_classes_of_all_ranks_count(tmp_path: Path) -> None:
    two_ranks(shards, str(tmp_path))
    assert (tmp_path / "done0").exists() and (tmp_path / "done1").exists()


class TestWhoIsTrainedOn:
    """`subset` and `corruption`: any type of set, after people were held out."""

    def sets(self, folder: Path, *overrides: str) -> Sets:
        held_out = "data.val={holdout: {people: 4, pairs: 40, folds: 2}}"
        return build_sets(resolve(folder, held_out, *(f"data.train.{text}" for text in overrides)), "config")

    def test_the_same_people_are_held_out_of_any_subset(self, folder: Path) -> None:
        whole = self.sets(folder)
        few = self.sets(folder, "subset={people: 4, max_images: 3}")
        np.testing.assert_array_equal(whole.val[0][0].pairs, few.val[0][0].pairs)
        assert few.train.num_class == 4 and np.bincount(few.train.labels).max() == 3
        assert set(few.train.names) < set(whole.train.names)
        assert few.remarks[0].endswith("12 of 4 are left")

    def test_noise_and_tails(self, folder: Path) -> None:
        whole = self.sets(folder)
        noisy = self.sets(folder, "corruption={share: 0.5}")
        assert 0.2 < (noisy.train.labels != whole.train.labels).mean() < 0.6
        assert "label noise, uniform" in noisy.remarks[0]
        tail = np.bincount(self.sets(folder, "corruption={exponent: 1.0}").train.labels)
        assert sorted(tail.tolist(), reverse=True)[:3] == [tail.max(), tail.max() // 2, tail.max() // 3]

    def test_lookalikes(self, folder: Path) -> None:
        whole = self.sets(folder).train
        people = whole.dataset.num_class
        angles = np.arange(people) * 0.1
        np.save(folder / "centers.npy", np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32))
        corruption = f"corruption={{noise: lookalike, share: 1.0, neighbours: 1, centers: {folder}/centers.npy}}"
        noisy = self.sets(folder, corruption).train
        names = [noisy.names[label] for label in noisy.labels]
        for was, now in zip(whole.labels, names, strict=True):
            other = np.flatnonzero(np.arange(len(whole.people)) != was)
            gap = np.abs(whole.people[other] - whole.people[was])
            assert abs(whole.dataset.names.index(now) - whole.people[was]) == gap.min()
        with pytest.raises(UserError, match="corruption.centers: name a .npy file"):
            self.sets(folder, "corruption={noise: lookalike, share: 0.5}")
        np.save(folder / "centers.npy", np.ones((2, 2), np.float32))
        with pytest.raises(UserError, match="centers.npy: 2 rows are too few for person"):
            self.sets(folder, corruption)
