"""Keys of images: the same for the same image, another where anything changes that its pixels depend on."""

import os
from pathlib import Path

import numpy as np
import pytest

from opensphere.dataset import ClassDataset, ItemDataset, PairDataset, digest
from opensphere.dataset.holdout import hold_out
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.reader.pickled import write_bin
from opensphere.dataset.reader.record import write_records
from opensphere.dataset.reader.shard import write_shards
from opensphere.dataset.synthetic import SyntheticFaces, SyntheticPairs
from opensphere.dataset.view import Subset
from tests.dataset.pictures import encode, picture
from tests.material import write_pairs, write_people


def as_texts(keys: np.ndarray | None) -> list[str]:
    assert keys is not None and keys.dtype == np.uint8 and keys.shape[1:] == (16,)
    return [key.tobytes().hex() for key in keys]


@pytest.fixture
def people(tmp_path: Path) -> Path:
    write_people(tmp_path, people=4, images=3)
    return tmp_path


def items(folder: Path, **arguments) -> ItemDataset:
    return ItemDataset("all", folder / "images", **arguments)


def test_digests_tell_rows_and_kinds_apart() -> None:
    rows = np.array([[0, 1], [1, 0], [0, 1]], np.int64)
    found = as_texts(digest.digests("a", rows))
    assert found[0] == found[2] != found[1]
    assert as_texts(digest.digests("a", rows[:, :1], rows[:, 1:])) == found
    assert not set(found) & set(as_texts(digest.digests("b", rows)))
    assert digest.digests("a", rows[:0]).shape == (0, 16)


def test_many_files_and_slow_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digest, "_TASK", 4)
    paths = [str(tmp_path / f"{number}") for number in range(30)]
    for path in paths[::2]:
        Path(path).write_text(path)
    quick = as_texts(digest.of_files(paths))
    assert len(set(quick)) == 30
    monkeypatch.setattr(digest, "_SLOW", -1.0)
    assert as_texts(digest.of_files(paths)) == quick
    assert as_texts(digest.of_files(paths[5:8])) == quick[5:8]
    assert digest.of_files([]).shape == (0, 16)


def test_sets_of_the_same_files_agree(people: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = items(people)
    by_path = dict(zip(map(whole.path, range(len(whole))), as_texts(whole.keys()), strict=True))
    assert len(set(by_path.values())) == len(whole) == 12
    write_pairs(people, people=4, images=3)
    monkeypatch.chdir(people)
    for other in (
        PairDataset("pairs", people / "images", people / "pairs.txt", image_size=112),
        ClassDataset("people", "images"),  # a relative path
        ClassDataset("listed", people / "images", people / "list.txt", noise_ratio=0.5),
    ):
        assert as_texts(other.keys()) == [by_path[other.path(index)] for index in range(len(other))]


def test_a_key_changes_with_the_file_and_with_the_view(people: Path) -> None:
    before = as_texts(items(people).keys())
    path = people / "images" / items(people).path(5)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    touched = as_texts(items(people).keys())
    assert [index for index in range(12) if touched[index] != before[index]] == [5]
    stat = path.stat()
    path.write_bytes(path.read_bytes() + b"x")
    os.utime(path, ns=(0, stat.st_mtime_ns))
    longer = as_texts(items(people).keys())
    assert [index for index in range(12) if longer[index] != touched[index]] == [5]
    path.unlink()
    assert as_texts(items(people).keys())[5] not in (before[5], touched[5], longer[5])
    for other in (items(people, image_size=64), items(people, image_size=[112, 96]), items(people, crop=[0, 0, 9, 9])):
        assert not set(as_texts(other.keys())) & {*before, *longer}


def test_some_images_and_views(people: Path) -> None:
    whole = ClassDataset("people", people / "images")
    keys = as_texts(whole.keys())
    some = np.array([7, 2, 2])
    assert as_texts(whole.keys(some)) == [keys[7], keys[2], keys[2]]
    view = Subset(whole, np.array([9, 3, 5]))
    assert as_texts(view.keys()) == [keys[9], keys[3], keys[5]]
    assert as_texts(Subset(view, np.array([2])).keys()) == [keys[5]]
    _, pairs = hold_out(whole, people=2, pairs=6, folds=None)
    assert as_texts(pairs.keys()) == [keys[whole_index] for whole_index in pairs.dataset.indices[pairs.indices]]


@pytest.mark.parametrize("kind", ["rec", "tar", "bin"])
def test_containers(tmp_path: Path, kind: str) -> None:
    images = [encode(picture(number)) for number in range(6)]
    path = tmp_path / f"faces.{kind}"

    def write(count: int) -> ImageSet:
        rows = [(f"a/{number}.png", "a", images[number]) for number in range(count)]
        if kind == "bin":
            write_bin(path, images[:count], [True] * (count // 2))
            return PairDataset("faces", path)
        if kind == "rec":
            write_records(path, rows)
            return ItemDataset("faces", path)
        for shard in tmp_path.glob("*.tar"):
            shard.unlink()
        write_shards(tmp_path / "part-%03d.tar", rows, images_per_shard=2)
        return ItemDataset("faces", tmp_path)

    dataset = write(6)
    keys = as_texts(dataset.keys())
    assert len(set(keys)) == len(dataset) == 6
    assert as_texts(dataset.keys(np.array([4, 1]))) == [keys[4], keys[1]]
    file = tmp_path / "part-001.tar" if kind == "tar" else path
    os.utime(file, ns=(0, 10**18))
    changed = [index for index, key in enumerate(as_texts(dataset.keys())) if key != keys[index]]
    assert changed == ([2, 3] if kind == "tar" else list(range(6)))
    assert not set(as_texts(write(4).keys())) & set(keys)


def test_rendered_pictures() -> None:
    whole = SyntheticFaces(people=3, images=4, image_size=24)
    keys = as_texts(whole.keys())
    assert len(set(keys)) == 12
    later = SyntheticFaces(people=1, images=2, first_person=1, image_size=24, in_memory=False)
    assert as_texts(later.keys()) == keys[4:6]
    for index in range(2):
        np.testing.assert_array_equal(later.read(index), whole.read(4 + index))
    for other in ({"seed": 1}, {"nuisance": 0.5}, {"hair": False}, {"marks": False}, {"image_size": 28}):
        faces = SyntheticFaces(**{"people": 3, "images": 4, "image_size": 24, **other})
        assert not set(as_texts(faces.keys())) & set(keys)
    pairs = SyntheticPairs(people=3, images=4, pairs=4, folds=1, first_person=0, image_size=24)
    assert as_texts(pairs.keys()) == keys
    assert as_texts(pairs.keys(np.array([3]))) == keys[3:4]


def test_a_change_of_the_rendering_changes_the_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    from opensphere.dataset.synthetic import album

    faces = SyntheticFaces(people=1, images=2, image_size=24)
    keys = as_texts(faces.keys())
    monkeypatch.setattr(album, "render", lambda *place: np.zeros((24, 24, 3), np.uint8))
    assert not set(as_texts(faces.keys())) & set(keys)


class Turned(ItemDataset):
    """Reads in a way of its own, and does not say on what that depends."""

    turns = 1

    def read(self, index: int) -> np.ndarray:
        return np.rot90(super().read(index), self.turns)


class Told(Turned):
    def image_facts(self) -> np.ndarray:
        return np.full((len(self), 1), self.turns)


def test_sets_that_read_in_their_own_way(people: Path) -> None:
    assert Turned("turned", people / "images").keys() is None
    told = Told("told", people / "images")
    once = as_texts(told.keys())
    told.turns = 2
    assert not set(once) & {*as_texts(told.keys()), *as_texts(items(people).keys())}
    assert as_texts(told.keys(np.array([3]))) == [as_texts(told.keys())[3]]
