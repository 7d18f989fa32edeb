from pathlib import Path

import pytest

from opensphere import config as cfg
from opensphere.command import protocols
from opensphere.error import UserError

FILES = Path(__file__).resolve().parents[2] / "config/test"
FILE_OF = {name: (f"{name}.yml", 0) for name in protocols.NAMES} | {
    "cfp-ff": ("cfp.yml", 0),
    "cfp-fp": ("cfp.yml", 1),
}


def dataset(name, **places):
    return protocols.blocks(name, **places)["data"]["test"][0]["dataset"]


@pytest.mark.parametrize("name", protocols.NAMES)
def test_each_agrees_with_its_file(name):
    file, position = FILE_OF[name]
    of_file = cfg.load(FILES / file)
    of_file["data"]["test"] = [of_file["data"]["test"][position]]
    found = cfg.merge(protocols.blocks(name))
    assert found == of_file
    assert cfg.check_test(found) == cfg.check_test(of_file)


def test_an_unknown_name():
    with pytest.raises(UserError, match="^--protocol CFP_FP: unknown, did you mean cfp-fp.; known: lfw, agedb, calfw"):
        protocols.blocks("CFP_FP")
    with pytest.raises(UserError, match="^--protocol x: unknown; known: lfw"):
        protocols.blocks("x")


def test_places(tmp_path):
    assert dataset("lfw", data_dir="faces", ann_path="mine.txt")["ann_path"] == "mine.txt"
    assert dataset("lfw", ann_path="mine.txt")["data_dir"] == "data/val"
    assert "ann_path" not in dataset("agedb", data_dir="agedb_30.bin")
    assert dataset("ijbc", data_dir="IJB-C/crop")["meta_dir"] == "IJB-C/meta"
    assert dataset("ijbc", data_dir="IJB-C/crop/", meta_dir="m")["meta_dir"] == "m"
    assert dataset("tinyface", meta_dir="m")["meta_dir"] == "m"
    assert dataset("blufr", ann_path="x.mat")["config_path"] == "x.mat"
    assert dataset("rfw", data_dir="rfw")["data_dir"] == "rfw"
    assert dataset("lfw")["data_dir"] == "data/val"  # nothing of the above stays


def test_a_list_is_looked_for_in_the_folder_and_beside_it(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    assert dataset("lfw", data_dir=str(images))["ann_path"] == str(images / "lfw_ann.txt")
    (tmp_path / "pairs.txt").touch()
    assert dataset("lfw", data_dir=str(images))["ann_path"] == str(tmp_path / "pairs.txt")
    (images / "lfw_ann.txt").touch()
    assert dataset("lfw", data_dir=str(images))["ann_path"] == str(images / "lfw_ann.txt")
    (tmp_path / "Protocol/Split/FP").mkdir(parents=True)
    assert dataset("cfp-fp", data_dir=str(tmp_path))["ann_path"] == str(tmp_path / "Protocol/Split/FP")
    (tmp_path / "blufr_lfw_config.mat").touch()
    assert dataset("blufr", data_dir=str(images))["config_path"] == str(tmp_path / "blufr_lfw_config.mat")


@pytest.mark.parametrize(
    ("name", "places", "words"),
    [
        ("rfw", {"ann_path": "x"}, "--ann_path x: rfw has no such list"),
        ("ijbb", {"ann_path": "x"}, "--ann_path x: ijbb has no such list"),
        ("lfw", {"meta_dir": "x"}, "--meta_dir x: lfw has no such folder"),
    ],
)
def test_places_that_a_protocol_does_not_have(name, places, words):
    with pytest.raises(UserError, match=f"^{words}"):
        protocols.blocks(name, **places)


def test_a_folder_with_a_dot_keeps_its_name(tmp_path):
    (tmp_path / "faces v2.1").mkdir()
    assert protocols.folder(str(tmp_path / "faces v2.1"))["data"]["test"][0]["dataset"]["name"] == "faces v2.1"


def test_a_folder():
    found = cfg.check_test(cfg.merge(protocols.folder("my/people", 600, 3), ["data.test.0.dataset.folds=5"]))
    block = found["data"]["test"][0]["dataset"]
    wanted = {"type": "FolderPairs", "name": "people", "data_dir": "my/people", "pairs": 600, "seed": 3, "folds": 5}
    assert {key: block[key] for key in wanted} == wanted
    assert protocols.folder("people.rec")["data"]["test"][0]["dataset"]["name"] == "people"
    assert protocols.folder("people")["data"]["test"][0]["dataset"]["pairs"] is None
