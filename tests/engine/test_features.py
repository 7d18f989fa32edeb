"""Features that are kept: extracted once, found by the key of each image, and never another's."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from opensphere.config import build_backbone
from opensphere.dataset import ItemDataset, PairDataset
from opensphere.dataset.view import View
from opensphere.engine import features as module
from opensphere.engine.extract import extract
from opensphere.engine.features import FeatureCache, features_of, weights_digest
from opensphere.engine.parallel import World
from opensphere.error import UserError
from tests.material import write_pairs, write_people
from tests.ranks import two_ranks

ALONE = World(0, 1, torch.device("cpu"))
NET = {"type": "sfnet4", "out_channel": 8, "width": 0.125, "input_size": 32}


class Counted:
    """A network and a cache of its features; counts the images that it is shown."""

    def __init__(self, folder: Path, seed: int = 0):
        torch.manual_seed(seed)
        self.net = build_backbone(**NET)
        self.folder = folder / "features"
        self.shown = 0
        self.limit: float = np.inf
        self.net.register_forward_pre_hook(self._count)

    def _count(self, net: torch.nn.Module, inputs: tuple[torch.Tensor]) -> None:
        self.shown += len(inputs[0])
        if self.shown > self.limit:
            raise KeyboardInterrupt

    def features(self, dataset: Any, **arguments: Any) -> np.ndarray:
        self.shown = 0
        cache = FeatureCache(self.folder, self.net, NET, torch.float32)
        return features_of(self.net, dataset, ALONE, 4, cache=cache, **arguments)

    def cells(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if path.is_dir())

    def chunks(self) -> list[Path]:
        return sorted(self.folder.glob("*/*.keys.npy"))


class Some(View):
    """Some images, also one of them more than once."""

    def __init__(self, dataset: Any, indices: np.ndarray):
        super().__init__(dataset)
        self.indices = indices


@pytest.fixture
def network(tmp_path: Path) -> Counted:
    return Counted(tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> ItemDataset:
    write_people(tmp_path, people=4, images=6)
    return open_images(tmp_path)


def open_images(folder: Path) -> ItemDataset:
    return ItemDataset("images", folder / "images", image_size=32)


def images_folder(images: ItemDataset) -> Path:
    return Path(images.reader.root).parent


def without_cache(network: Counted, dataset: Any) -> np.ndarray:
    return extract(network.net, dataset, ALONE, 4)


def assert_same(features: np.ndarray, expected: np.ndarray) -> None:
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_a_second_time_costs_no_forward_pass(network: Counted, images: ItemDataset) -> None:
    done: list[int] = []
    first = network.features(images)
    assert network.shown == 2 * len(images) == 48
    assert_same(first, without_cache(network, images))
    again = network.features(open_images(images_folder(images)), progress=done.append)
    assert network.shown == 0 and done == [24]
    np.testing.assert_array_equal(again, first)


def test_sets_share_images(network: Counted, images: ItemDataset) -> None:
    folder = images_folder(images)
    write_pairs(folder, people=4, images=6, pairs=10)
    pairs = PairDataset("pairs", folder / "images", folder / "pairs.txt", image_size=32)
    network.features(pairs)
    assert network.shown == 2 * len(pairs) < 48
    done: list[int] = []
    features = network.features(images, progress=done.append)
    assert network.shown == 48 - 2 * len(pairs) and done[0] == len(pairs) and sum(done) == 24
    assert_same(features, without_cache(network, images))
    backwards = ItemDataset("images", folder / "images", backward_list(folder, images), image_size=32)
    assert_same(network.features(backwards), features[::-1])
    assert network.shown == 0


def backward_list(folder: Path, images: ItemDataset) -> Path:
    (folder / "backward.txt").write_text("".join(f"{images.path(i)} x\n" for i in reversed(range(len(images)))))
    return folder / "backward.txt"


def test_an_image_that_is_listed_twice(network: Counted, images: ItemDataset) -> None:
    features = network.features(images)
    twice = network.features(Some(images, np.array([3, 5, 3, 3])))
    np.testing.assert_array_equal(twice, features[[3, 5, 3, 3]])
    assert network.shown == 0


@pytest.mark.parametrize("chunk", [4, 8, 4096])
def test_what_was_done_before_an_interruption_stays(
    network: Counted, images: ItemDataset, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(module, "CHUNK", chunk)
    network.limit = 36  # images shown: 16 of the set are done, two batches of four make its next
    with pytest.raises(KeyboardInterrupt):
        network.features(images)
    assert len(network.chunks()) == {4: 4, 8: 2, 4096: 1}[chunk]
    network.limit = np.inf
    features = network.features(images)
    assert network.shown == 48 - 32
    assert_same(features, without_cache(network, images))


def test_chunks_are_written_after_a_while(
    network: Counted, images: ItemDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    network.features(images)
    assert len(network.chunks()) == 6


def test_an_image_that_changes_is_extracted_again(network: Counted, images: ItemDataset) -> None:
    before = network.features(images)
    folder = images_folder(images) / "images"
    touched, changed = (folder / images.path(index) for index in (2, 9))
    os.utime(touched, ns=(0, 1))
    changed.write_bytes((folder / images.path(20)).read_bytes())
    after = network.features(images)
    assert network.shown == 4
    assert_same(after[9], before[20])
    assert_same(np.delete(after, 9, 0), np.delete(before, 9, 0))


def test_other_weights_have_a_folder_of_their_own(network: Counted, images: ItemDataset, tmp_path: Path) -> None:
    first = network.features(images)
    other = Counted(tmp_path, seed=1)
    second = other.features(images)
    assert other.shown == 48 and len(network.cells()) == 2
    assert np.abs(first - second).max() > 0.01
    other.net.load_state_dict(network.net.state_dict())
    np.testing.assert_array_equal(other.features(images), first)
    assert other.shown == 0


def test_what_a_folder_depends_on(network: Counted, tmp_path: Path) -> None:
    def folder(net: dict = NET, dtype: torch.dtype = torch.float32, mirror: bool = True, device: str = "cpu") -> Path:
        return FeatureCache(tmp_path, network.net, net, dtype).shelf(mirror, torch.device(device)).folder

    ways = [
        folder(),
        folder({**NET, "width": 1.0}),
        folder(dtype=torch.bfloat16),
        folder(mirror=False),
        folder(device="meta"),
    ]
    assert len(set(ways)) == 5 and folder() == ways[0] and ways[0].parent == tmp_path


def test_a_set_without_mirror_images(network: Counted, images: ItemDataset) -> None:
    both = network.features(images)
    images.mirror = False  # type: ignore[attr-defined]
    one = network.features(images)
    assert network.shown == 24 and np.abs(both - one).max() > 0.01
    assert network.features(images).shape == (24, 8) and network.shown == 0


def test_weights_digest_sees_values_and_names_only() -> None:
    first, second = (torch.nn.Conv2d(8, 8, 3).half() for _ in range(2))
    assert weights_digest(first) != weights_digest(second)
    second.load_state_dict(first.state_dict())
    second.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert weights_digest(first) == weights_digest(second) != weights_digest(second.float())
    norm = torch.nn.BatchNorm2d(3).bfloat16()
    before = weights_digest(norm)
    norm.num_batches_tracked += 1
    assert weights_digest(norm) == before
    norm.running_mean += 1
    assert weights_digest(norm) != before


@pytest.mark.parametrize("end", [".keys.npy", ".features.npy"])
@pytest.mark.parametrize("damage", ["cut", "changed", "empty", "gone", "foreign", "pickle", "other"])
def test_a_damaged_chunk_is_passed_over(
    network: Counted, images: ItemDataset, monkeypatch: pytest.MonkeyPatch, damage: str, end: str
) -> None:
    monkeypatch.setattr(module, "CHUNK", 8)
    first = network.features(images)
    chunks = [path.with_name(path.name.replace(".keys.npy", end)) for path in network.chunks()]
    assert len(chunks) == 3
    path, data = chunks[1], chunks[1].read_bytes()
    if damage == "cut":
        path.write_bytes(data[:-5])
    elif damage == "changed":
        path.write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "gone":
        path.unlink()
    elif damage == "foreign":
        path.write_bytes(b"\x93NUMPY\x01\x00\x10\x00{'descr': oops!\n")
    elif damage == "pickle":
        np.save(path, np.array([{}]), allow_pickle=True)
    else:  # another chunk's, whole in itself
        path.write_bytes(chunks[0].read_bytes())
    assert_same(network.features(images), first)
    assert network.shown == 16
    assert_same(network.features(images), first)
    assert network.shown == 0


def test_two_at_a_time_do_not_meet(network: Counted, images: ItemDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process that looks before this one writes: both write the same images."""
    find = module.Shelf.find
    monkeypatch.setattr(module.Shelf, "find", lambda shelf, keys: None)
    first = network.features(images)
    other = features_of(
        network.net, images, ALONE, 7, cache=FeatureCache(network.folder, network.net, NET, torch.float32)
    )
    monkeypatch.setattr(module.Shelf, "find", find)
    assert_same(other, first)
    assert_same(network.features(images), first)
    assert network.shown == 0


def test_the_folder_says_what_it_holds(network: Counted, images: ItemDataset) -> None:
    network.features(images)
    about = json.loads((network.cells()[0] / "about.json").read_text())
    assert about["net"] == NET and about["mirror"] is True
    assert (about["precision"], about["device"]) == ("float32", "cpu")


def test_a_set_without_keys_is_not_kept(network: Counted, images: ItemDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ItemDataset, "keys", lambda self: None)
    assert_same(network.features(images), without_cache(network, images))
    assert not network.folder.exists()


def test_without_a_cache_nothing_is_written(network: Counted, images: ItemDataset, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert_same(features_of(network.net, images, ALONE, 4), without_cache(network, images))
    assert sorted(tmp_path.rglob("*")) == before


def test_errors(network: Counted, images: ItemDataset) -> None:
    cache = FeatureCache(network.folder, network.net, NET, torch.bfloat16)
    with pytest.raises(ValueError, match=r"a cache of torch\.bfloat16 for features of torch\.float32"):
        features_of(network.net, images, ALONE, 4, cache=cache)
    network.folder.write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot be written"):
        network.features(images)
    network.folder.unlink()
    (images_folder(images) / "images" / images.path(23)).unlink()
    with pytest.raises(UserError, match="the file does not exist"):
        network.features(images)
    assert network.shown == 40  # and what was done is kept


def member(rank: int, folder: str) -> None:
    network, images = Counted(Path(folder)), open_images(Path(folder))
    world, found = World(rank, 2, torch.device("cpu")), {}
    cache = FeatureCache(network.folder, network.net, NET, torch.float32)
    for name, dataset, kept in (
        ("alone", images, None),  # without a cache
        ("one", Some(images, np.array([5])), cache),  # fewer images than ranks
        ("part", Some(images, np.arange(2, 9)), cache),
        ("whole", images, cache),
        ("again", images, cache),
    ):
        network.shown, done = 0, []
        features = features_of(network.net, dataset, world, 4, 0, torch.float32, done.append, kept)
        assert sum(done) == len(dataset)
        found[name] = (torch.from_numpy(features), network.shown)
    torch.save(found, f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_ranks_find_what_one_finds(network: Counted, images: ItemDataset) -> None:
    folder = images_folder(images)
    expected = without_cache(network, images)
    two_ranks(member, str(folder))
    first, second = (torch.load(folder / f"{rank}.pt") for rank in (0, 1))
    for name, rows in (
        ("alone", slice(None)), ("one", [5]), ("part", slice(2, 9)), ("whole", slice(None)), ("again", slice(None)),
    ):  # fmt: skip
        assert torch.equal(first[name][0], second[name][0])
        assert_same(first[name][0].numpy(), expected[rows])
    shown = {name: (first[name][1], second[name][1]) for name in first}
    assert shown == {"alone": (24, 24), "one": (2, 0), "part": (6, 6), "whole": (18, 16), "again": (0, 0)}
    network.features(images)
    assert network.shown == 0
