"""What a training notes of its data."""

from types import SimpleNamespace

import numpy as np
import pytest

from opensphere.command import training_data as command
from opensphere.command.build import build_sets
from opensphere.command.main import run_command
from opensphere.command.training_data import draw_images, draw_people, write_training_data
from opensphere.config import check_train, load
from opensphere.error import UserError
from opensphere.report.training_data import FILE, read_training_data
from tests.dataset.pictures import picture
from tests.material import only_run, tiny_config, write_config, write_pairs, write_people


def note(folder, labels, image=picture, names=None, num_class=None):
    """Note a set of these labels; returns what is read of it."""
    labels = np.asarray(labels, np.int64)
    people = num_class or int(labels.max()) + 1
    train = type("Set", (SimpleNamespace,), {"__len__": lambda self: len(labels)})(
        name="set", labels=labels, num_class=people, image=image, path=lambda index: f"{index}.jpg",
        names=names or [f"p{person}" for person in range(people)],
    )  # fmt: skip
    sets = SimpleNamespace(train=train, val=[], remarks=["what was done"])
    write_training_data(folder, sets, {"train": {"dataset": {}}, "val": []})
    return read_training_data(folder / FILE)


def test_numbers_are_those_of_the_labels(tmp_path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(50), rng.zipf(1.5, 50).clip(1, 90)))
    found = note(tmp_path, labels, num_class=53)
    each = [int((labels == person).sum()) for person in range(50)]
    assert (found.name, found.images, found.people) == ("set", len(labels), 53)
    assert dict(zip(found.counts, found.holders, strict=True)) == {size: each.count(size) for size in set(each)}
    assert found.remarks == ("what was done",) and len(found.some) == 8
    assert [one.images for one in found.some] == [each[int(one.name[1:])] for one in found.some]
    assert found.some[0].images == min(each) and found.some[-1].images == max(each)
    for one in found.some:
        images = [int(name.removesuffix(".jpg")) for name, _ in one.pictures]
        assert images == sorted(set(images)) and len(images) == min(8, one.images)
        assert all(labels[image] == int(one.name[1:]) for image in images)
    assert note(tmp_path, labels, num_class=53) == found  # no chance from run to run


@pytest.mark.parametrize("people", [1, 2, 8, 9, 500])
@pytest.mark.parametrize("most", [1, 5, 400])
def test_people_are_drawn_along_the_order_of_their_images(people: int, most: int) -> None:
    rng = np.random.default_rng(people)
    each = rng.integers(0, most + 1, people)
    each[0] = most
    holders = np.bincount(each)
    holders[0] = 0
    drawn = draw_people(each, holders, 8, rng)
    order = np.argsort(each, kind="stable")
    order = order[each[order] > 0]  # the slow way
    places = [int(np.flatnonzero(order == person)[0]) for person in drawn]
    assert places == sorted(set(places)) and len(drawn) == min(8, len(order))
    assert places[0] == 0 and places[-1] == len(order) - 1
    if len(order) > 8:
        bounds = np.linspace(0, len(order), 9).astype(int)
        assert all(low <= place < high for low, place, high in zip(bounds, places, bounds[1:], strict=False))


def test_images_are_drawn_of_each() -> None:
    labels = np.array([2, 0, 1, 2, 0, 2, 2])
    rows = draw_images(labels, np.array([1, 2]), 3, 3, np.random.default_rng(0))
    assert rows[0].tolist() == [2] and len(rows[1]) == 3 and set(rows[1]) <= {0, 3, 5, 6}


def test_images_that_cannot_be_read_are_left_out(tmp_path) -> None:
    def image(index: int) -> np.ndarray:
        if index % 2:
            raise UserError("broken")
        return picture(index)

    found = note(tmp_path, [0, 0, 0, 1, 2, 2], image)
    assert [[name for name, _ in one.pictures] for one in found.some] == [[], ["4.jpg"], ["0.jpg", "2.jpg"]]
    assert [one.name for one in found.some] == ["p1", "p2", "p0"]


def test_files_are_small_whatever_the_images(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 300, 3), np.uint8)
    found = note(tmp_path, np.repeat(np.arange(20), 10), lambda index: noise)
    assert sum(len(one.pictures) for one in found.some) == 64
    assert (tmp_path / FILE).stat().st_size < 300_000 and command.MOST_BYTES < 300_000


def test_a_training_notes_its_data_once(tmp_path) -> None:
    write_people(tmp_path)
    write_pairs(tmp_path)
    path = write_config(tmp_path, tiny_config(tmp_path))
    assert run_command("train", ["--config", str(path), "project.max_iters=2"]) == 0
    noted = only_run(tmp_path) / FILE
    found = read_training_data(noted)
    assert (found.name, found.images, found.people, found.counts) == ("tiny", 48, 6, (8,)) and found.remarks == ()
    assert {one.name for one in found.some} == {f"person_{number:02d}" for number in range(6)}
    assert all(name.startswith(one.name) for one in found.some for name, _ in one.pictures)
    noted.write_bytes(b"kept")
    assert run_command("train", ["--resume", str(noted.parent), "project.max_iters=4"]) == 0
    assert noted.read_bytes() == b"kept"


def test_what_was_done_to_a_set_is_noted(tmp_path) -> None:
    write_people(tmp_path, people=12)
    path = write_config(tmp_path, tiny_config(tmp_path))
    overrides = ["data.val={holdout: {people: 4, folds: 2}}", "data.train.subset.max_images=5"]
    resolved = check_train(load(path, [*overrides, "data.train.corruption.share=0.25"]), str(path))
    write_training_data(tmp_path, build_sets(resolved, str(path)), resolved["data"])
    found = read_training_data(tmp_path / FILE)
    assert found.remarks == (
        "hold-out: 4 people with 32 images are kept apart for validation",
        "subset: of 64 images of 8 people, 40 of 8 are left",
        found.remarks[2],
    )
    assert found.remarks[2].startswith("label noise, uniform:")
    shown = [name.startswith(one.name) for one in found.some for name, _ in one.pictures]
    assert not all(shown)  # labels as training has them, wrong ones too
    resolved = check_train(load(path, ["data.val=[]", "data.train.dataset.noise_ratio=0.3"]), str(path))
    write_training_data(tmp_path, build_sets(resolved, str(path)), resolved["data"])
    assert read_training_data(tmp_path / FILE).remarks == (
        "noise_ratio: the labels of 0.3 of the images were drawn anew",
    )
