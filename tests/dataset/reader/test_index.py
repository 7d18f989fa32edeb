"""Kept indexes: used when they are whole and about the same files, built anew in every other case."""

import json
import mmap
import os
import random
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opensphere.dataset.reader.index import kept_index
from opensphere.error import UserError

ARRAYS = {"x": np.arange(40), "empty": np.zeros(0, np.uint8), "flat": np.ones((3, 2), np.float32)}


class Kept:
    """A folder with two files and an index of them, that counts how often it was built."""

    def __init__(self, folder, arrays=ARRAYS):
        self.arrays = arrays
        self.built = 0
        self.sources = [folder / "a.rec", folder / "b.rec"]
        for source in self.sources:
            source.write_bytes(b"data")
        self.path = folder / "a.rec.index.npz"

    def build(self):
        self.built += 1
        return dict(self.arrays)

    def get(self, version="1", fits=None):
        found = kept_index(self.path, self.sources, version, self.build, fits)
        assert found.keys() == self.arrays.keys()
        for name, array in self.arrays.items():
            np.testing.assert_array_equal(found[name], array)
            assert found[name].dtype == array.dtype
        return self.built


@pytest.fixture
def kept(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    folder.mkdir()
    return Kept(folder)


def test_built_once_and_kept_beside_the_data(kept):
    assert [kept.get(), kept.get()] == [1, 1]
    assert sorted(os.listdir(kept.path.parent)) == ["a.rec", "a.rec.index.npz", "b.rec"]
    assert not os.path.exists(kept.path.parents[1] / "cache")


def test_arrays_are_mapped_and_lie_where_processors_like_them(kept):
    kept.get()
    found = kept_index(kept.path, kept.sources, "1", kept.build)
    for array in found.values():
        base = array
        while isinstance(base, np.ndarray):
            assert not base.flags.owndata
            base = base.base
        assert isinstance(base.obj if isinstance(base, memoryview) else base, mmap.mmap)
        assert array.ctypes.data % 64 == 0
    found["x"][:] = 7  # is for this process alone
    assert kept.get() == 1


def test_numpy_reads_what_is_kept(kept):
    kept.get()
    with np.load(kept.path) as file:
        assert file.files == ["about", "layout", *ARRAYS]
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file[name], array)
        assert json.loads(file["layout"].tobytes())["x"][:2] == ["<i8", [40]]
    assert zipfile.ZipFile(kept.path).testzip() is None


def test_arrays_of_all_orders_and_sizes(kept):
    numbers = np.random.default_rng(0).integers(0, 1 << 60, 3000)
    kept.arrays = {
        "columns": numbers.reshape(50, 60).T,
        "some": numbers[::3],
        "long name " * 9: numbers[:1000].astype(np.int16),
        "bits": numbers % 2 == 0,
        **{f"size {size}": numbers.view(np.uint8)[:size] for size in (1, 4095, 4096, 4097, 8192)},
    }
    assert [kept.get(), kept.get()] == [1, 1]


def test_an_array_that_does_not_lie_as_we_write_it_is_built_anew(kept):
    """NumPy's own file of the same arrays: it aligns nothing."""
    kept.get()
    with np.load(kept.path) as file:
        np.savez(kept.path, **file)
    with zipfile.ZipFile(kept.path) as archive:
        assert any(entry.header_offset % 64 for entry in archive.infolist())
    assert kept.get() == 2


@pytest.mark.parametrize("change", ["flipped bit", "swapped words", "swapped blocks", "last byte"])
def test_damage_within_a_large_array(kept, change):
    kept.arrays = {"x": np.arange(4000, dtype=np.uint64) ** 3, "end": np.arange(100, dtype=np.uint8)}
    kept.get()
    raw = bytearray(kept.path.read_bytes())
    at = raw.index(kept.arrays["x"].tobytes())
    if change == "flipped bit":
        raw[at + 20_001] ^= 4
    elif change == "swapped words":  # of two blocks
        raw[at + 80 : at + 88], raw[at + 9000 : at + 9008] = raw[at + 9000 : at + 9008], raw[at + 80 : at + 88]
    elif change == "swapped blocks":
        raw[at : at + 8192] = raw[at + 4096 : at + 8192] + raw[at : at + 4096]
    else:
        raw[raw.index(kept.arrays["end"].tobytes()) + 99] += 1
    kept.path.unlink()
    kept.path.write_bytes(raw)
    assert kept.get() == 2


def test_another_version_size_time_or_order_builds_anew(kept):
    kept.get()
    assert kept.get(version="2") == 2
    kept.sources[1].write_bytes(b"more data")
    assert [kept.get(version="2"), kept.get(version="2")] == [3, 3]
    os.utime(kept.sources[0], ns=(1, 1))
    assert kept.get(version="2") == 4
    kept.sources.reverse()
    assert kept.get(version="2") == 5
    kept.sources.pop()
    assert [kept.get(version="2"), kept.get(version="2")] == [6, 6]


def test_a_folder_may_be_moved_whole(kept, tmp_path):
    kept.get()
    (tmp_path / "data").rename(tmp_path / "moved")
    kept.path = tmp_path / "moved" / kept.path.name
    kept.sources = [tmp_path / "moved" / source.name for source in kept.sources]
    assert kept.get() == 1


def test_relative_paths_are_the_same_files(kept, monkeypatch):
    kept.get()
    monkeypatch.chdir(kept.path.parent)
    kept.path, kept.sources = kept.path.name, [source.name for source in kept.sources]
    assert kept.get() == 1


def test_the_caller_may_refuse_what_is_kept(kept):
    kept.get(fits=lambda arrays: False)
    assert kept.get(fits=lambda arrays: arrays["x"].max() < 40) == 1
    assert kept.get(fits=lambda arrays: arrays["x"].max() < 39) == 2


def test_the_cache_takes_what_the_folder_does_not(kept, tmp_path):
    kept.path = kept.sources[0] / "index.npz"  # below a file: for no user a folder
    assert [kept.get(), kept.get()] == [1, 1]
    (name,) = os.listdir(tmp_path / "cache" / "opensphere")
    assert name.endswith(".index.npz")
    kept.path = kept.sources[1] / "index.npz"
    assert kept.get() == 2
    assert len(os.listdir(tmp_path / "cache" / "opensphere")) == 2


def test_a_relative_cache_folder_is_ignored(kept, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    kept.path = kept.sources[0] / "index.npz"
    kept.get()
    assert len(os.listdir(tmp_path / "home/.cache/opensphere")) == 1


def test_without_any_place_it_is_just_used(kept, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(kept.sources[0]))
    kept.path = kept.sources[0] / "index.npz"
    assert [kept.get(), kept.get()] == [1, 2]
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # a user without a home
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert kept.get() == 3


def test_a_source_that_is_not_there(kept):
    kept.sources[1].unlink()
    with pytest.raises(UserError, match=r"b\.rec: there is no such file; check the path"):
        kept.get()
    kept.sources[1] = "a\0b"
    with pytest.raises(UserError, match="cannot be read"):
        kept.get()


def test_a_source_that_changes_meanwhile_is_not_kept(kept):
    build = kept.build

    def slow():
        kept.sources[0].write_bytes(b"still being copied")
        return build()

    kept.build = slow
    kept.get()
    assert not kept.path.exists()


def test_an_error_of_the_build_leaves_nothing(kept):
    def build():
        raise UserError("damaged")

    with pytest.raises(UserError, match="^damaged$"):
        kept_index(kept.path, kept.sources, "1", build)
    assert not kept.path.exists()


def entries(path):
    with zipfile.ZipFile(path) as archive:
        return {entry.filename: archive.read(entry) for entry in archive.infolist()}


def test_a_packed_index_is_not_unfolded(kept):
    kept.get()
    found = entries(kept.path)
    with zipfile.ZipFile(kept.path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    assert kept.get() == 2


def test_an_array_that_claims_to_be_huge_is_not_made(kept):
    kept.get()
    found = entries(kept.path)
    found["x.npy"] = found["x.npy"].replace(b"(40,), }" + b" " * 14, b"(40000000000000,), }  ")
    assert b"(40000000000000,)" in found["x.npy"]
    with zipfile.ZipFile(kept.path, "w") as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    assert kept.get() == 2


def test_objects_are_never_unpickled(kept, tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "sprung"),)

    kept.get()
    with np.load(kept.path) as old:
        about = old["about"]
    trap = np.empty(1, object)
    trap[0] = Trap()
    layout = np.frombuffer(json.dumps({"x": ["|O", [1]]}).encode(), np.uint8)
    np.savez(kept.path, about=about, layout=layout, x=trap, allow_pickle=True)
    assert kept.get() == 2
    assert not (tmp_path / "sprung").exists()


class Rebuilt(Exception):
    pass


def damaged(chance: random.Random, raw: bytes) -> bytes:
    """An index with a bit flipped, its end cut off, or a piece put elsewhere."""
    at, to, length = chance.randrange(len(raw)), chance.randrange(len(raw)), chance.randint(1, 300)
    match chance.randrange(4):
        case 0:
            return raw[:at]
        case 1:
            return raw[:to] + raw[at : at + length] + raw[to + chance.choice([0, length]) :]
        case _:
            return raw[:at] + bytes([raw[at] ^ 1 << chance.randrange(8)]) + raw[at + 1 :]


@pytest.fixture(scope="module")
def believes(tmp_path_factory):
    """A function that damages an index and says whether it was used; if so, nothing in it was different."""
    kept = Kept(tmp_path_factory.mktemp("damaged"))
    kept.get()
    raw = kept.path.read_bytes()

    def rebuilt():
        raise Rebuilt

    kept.build = rebuilt

    def believes(seed):
        kept.path.unlink()  # a new file is written faster than an old one is emptied
        kept.path.write_bytes(damaged(random.Random(seed), raw))
        try:
            kept.get()
        except Rebuilt:
            return False
        return True

    return believes


def test_a_damaged_index_is_not_believed(believes):
    used = sum(believes(seed) for seed in range(100))
    assert used < 50  # zip files and NumPy's headers have some bytes without a meaning


@pytest.mark.long
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(seed=st.integers(0, 1 << 64))
def test_damaged_indexes_at_length(believes, seed):
    believes(seed)
