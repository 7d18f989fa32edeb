"""Data that runs share."""

from pathlib import Path
from typing import Any

import numpy as np

from opensphere import config as cfg
from opensphere.command.shelf import Shelf, digest_of_sets
from tests.dataset.blufr_fixture import write_blufr
from tests.dataset.ijb_fixture import SmallIJB, write_ijb, write_meta

FACES = {"type": "SyntheticFaces", "people": 3, "images": 2, "image_size": 32}


def test_a_set_is_built_once() -> None:
    shelf = Shelf()
    first = shelf.build(FACES)
    assert shelf.build(dict(reversed(FACES.items()))) is first
    assert shelf.build({**FACES, "people": 4}) is not first and shelf.build(FACES) is first


def test_other_trials_of_the_same_images_are_noticed(tmp_path: Path) -> None:
    block = {"type": "BLUFRDataset", "name": "b", "data_dir": str(tmp_path / "images"),
             "config_path": str(tmp_path / "blufr.mat")}  # fmt: skip
    lists = write_blufr(tmp_path)
    first = digest_of_sets([cfg.build_dataset(block)])
    for key in ("testIndex", "galIndex", "probIndex"):
        other = lists[key].copy()
        other[0, 0] = other[0, 0][::-1]
        write_blufr(tmp_path, **{key: other})
        assert digest_of_sets([cfg.build_dataset(block)]) != first, key
    write_blufr(tmp_path)
    assert digest_of_sets([cfg.build_dataset(block)]) == first


def test_other_lists_of_the_same_images_are_noticed(tmp_path: Path) -> None:
    small = write_ijb(tmp_path)
    block = {"type": "IJBDataset", "name": "i", "data_dir": str(small.data_dir), "meta_dir": str(small.meta_dir)}

    def digest(**changes: Any) -> str:
        write_meta(SmallIJB(**{**vars(small), **changes}))
        return digest_of_sets([cfg.build_dataset(block)])

    first = digest()
    one, two = small.galleries
    (path, points, faceness, template, medium), *others = small.images
    changed: dict[str, dict[str, Any]] = {
        "galleries": {"galleries": [[*one, two[0]], two[1:]]},
        "probes": {"probes": small.probes[1:]},
        "people": {"person_of": {key: 9 if person == 0 else person for key, person in small.person_of.items()}},
        "names": {"person_of": {key: f"person {person}" for key, person in small.person_of.items()}},
        "points": {"images": [(path, points + 0.25, faceness, template, medium), *others]},
        "faceness": {"images": [(path, points, faceness / 2, template, medium), *others]},
        "media": {"images": [(path, points, faceness, template, 99), *others]},
    }
    for name, change in changed.items():
        assert digest(**change) != first, name
    assert digest() == first


def test_what_a_set_works_out_later_does_not_change_its_digest(tmp_path: Path) -> None:
    small = write_ijb(tmp_path)
    block = {"type": "IJBDataset", "name": "i", "data_dir": str(small.data_dir), "meta_dir": str(small.meta_dir)}
    asked = cfg.build_dataset(block)
    assert isinstance(asked.persons, np.ndarray)
    assert digest_of_sets([asked]) == digest_of_sets([cfg.build_dataset(block)])
