"""Tar shards: what is written is read, here and by others; labels from every place; faults are named with theirs."""

import io
import json
import os
import pickle
import random
import tarfile
from unittest import mock

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opensphere.dataset.reader import shard
from opensphere.dataset.reader.shard import ShardReader, expand, find_shards, write_shards
from opensphere.dataset.reader.tar import BLOCK, filling, header
from opensphere.error import UserError
from tests.dataset.pictures import encode, picture
from tests.dataset.reader.test_tar import FORMATS, packed, patched

PNG = encode(picture(1, 4, 4))
JPG = encode(picture(2, 4, 4), ".jpg")
ROWS = [
    ("anna/1.png", "anna", PNG),
    ("bo li/x.1.jpg", "bo li", JPG),
    ("anna/2.jpg", "anna", JPG + bytes(600)),
    ("名前/1.JPG", "名前", JPG),
]


@pytest.fixture(autouse=True)
def no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / ".cache"))


def pack(path, members, format=tarfile.USTAR_FORMAT):
    """A shard of (name, data) pairs; data that is neither bytes nor None becomes JSON."""
    path.parent.mkdir(exist_ok=True)
    kinds = (bytes, type(None))
    path.write_bytes(packed([(n, d if isinstance(d, kinds) else json.dumps(d).encode()) for n, d in members], format))
    return path


def people(reader):
    return [reader.names[label] for label in reader.labels]


def test_what_is_written_is_read(tmp_path):
    assert write_shards(tmp_path / "s", iter(ROWS), images_per_shard=3) == 4
    assert os.listdir(tmp_path / "s") and sorted(os.listdir(tmp_path / "s"))[1:] == ["shard-000001.tar"]
    reader = ShardReader(tmp_path / "s")
    assert len(reader) == 4 and reader.root == str(tmp_path / "s")
    for index, (path, person, data) in enumerate(ROWS):
        assert (reader.path(index), reader.names[reader.labels[index]], reader.data(index)) == (path, person, data)
    assert reader.names == ["anna", "bo li", "名前"] and reader.labels.dtype == np.int64
    assert reader.where(1) == f"{tmp_path}/s/shard-000000.tar: '000000001.jpg' at byte 3584"
    assert reader.where(3) == f"{tmp_path}/s/shard-000001.tar: '000000003.jpg' at byte 512"
    assert reader.data(-1) == JPG and reader.data(np.int64(0)) == PNG
    with pytest.raises(IndexError):
        reader.data(4)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    for name in "ab":
        write_shards(tmp_path / name, ROWS)
    first, second = ((tmp_path / name / "shard-000000.tar").read_bytes() for name in "ab")
    assert first == second
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        infos = list(archive)
    assert [info.name for info in infos[:3]] == ["000000000.png", "000000000.cls", "000000000.json"]
    assert {(info.mtime, info.uid, info.gid, info.uname, info.mode) for info in infos} == {(0, 0, 0, "", 0o644)}


def test_others_read_what_is_written(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    write_shards(tmp_path / "s", ROWS, images_per_shard=2)
    urls = str(tmp_path / "s" / "shard-{000000..000001}.tar")
    samples = list(webdataset.WebDataset(urls, shardshuffle=False, empty_check=False))
    assert len(samples) == 4
    for number, (sample, (path, person, data)) in enumerate(zip(samples, ROWS, strict=True)):
        assert sample["__key__"] == f"{number:09}"
        assert sample["png" if number == 0 else "jpg"] == data
        assert int(sample["cls"]) == [0, 1, 0, 2][number]
        assert json.loads(sample["json"]) == {"name": person, "path": path}


def test_what_others_write_is_read(tmp_path):
    webdataset = pytest.importorskip("webdataset")
    with webdataset.TarWriter(str(tmp_path / "w.tar")) as writer:
        for number, label in enumerate([10, 2, 10]):
            writer.write({"__key__": f"set/{number}", "jpg": JPG, "cls": label, "txt": "a face"})
    reader = ShardReader(tmp_path / "w.tar")
    assert reader.names == ["02", "10"] and reader.labels.tolist() == [1, 0, 1]
    assert reader.path(2) == "set/2.jpg" and reader.data(2) == JPG


@pytest.mark.parametrize("format", FORMATS)
def test_a_packed_folder_of_people(tmp_path, format):
    long = "session/" * (11 if format == tarfile.USTAR_FORMAT else 40)
    names = ["./bo/1.jpg", "./bo/1.2.jpg", f"./bo/{long}3.png", "./anna/ä.webp", "./anna/notes.txt", "./README"]
    names += ["./anna/.hidden.jpg", "./.git/1.jpg", "./anna/._1.jpg", "__meta__/1.jpg", "./anna/x.jpgx"]
    reader = ShardReader(pack(tmp_path / "a.tar", [(name, JPG) for name in names], format))
    assert [reader.path(i) for i in range(len(reader))] == [name[2:] for name in names[:4]]
    assert people(reader) == ["bo", "bo", "bo", "anna"] and reader.names == ["anna", "bo"]
    assert not len(reader._note)


def test_opened_again_it_is_not_walked_over(tmp_path, monkeypatch):
    write_shards(tmp_path / "s", ROWS, images_per_shard=2)
    told = []
    first = ShardReader(tmp_path / "s", progress=lambda done, total: told.append((done, total)))
    assert told[-1][0] == told[-1][1] > 0 and sorted(told) == told
    monkeypatch.setattr(shard.Gathered, "add", None)
    second = ShardReader(tmp_path / "s")
    assert [second.path(i) for i in range(4)] == [row[0] for row in ROWS]
    np.testing.assert_array_equal(first.labels, second.labels)
    assert (tmp_path / "s" / "shard-000000.tar.2.index.npz").exists()
    with pytest.raises(TypeError):
        ShardReader(tmp_path / "s" / "shard-000000.tar")  # another set: an index of its own


# members of each case, and the people; an image is written "i"
LABELS = {
    "numbers sort as numbers": ([("a.jpg", "i"), ("a.cls", b"10\n"), ("b.cls", b" 9"), ("b.jpg", "i")], ["10", "09"]),
    "large letters": ([("a.JPG", "i"), ("a.CLS", b"1")], ["1"]),
    "names of numbers": (
        [("a.jpg", "i"), ("a.cls", b"7"), ("a.json", {"name": "zoe"}), ("b.jpg", "i"), ("b.cls", b"8")]
        + [("b.json", {"name": "adam"})],
        ["zoe", "adam"],
    ),
    "one number, two names": (
        [("a.jpg", "i"), ("a.cls", b"7"), ("a.json", {"name": "1.jpg"}), ("b.jpg", "i"), ("b.cls", b"7")]
        + [("b.json", {"name": "2.jpg"})],
        ["7", "7"],
    ),
    "two numbers, one name": (
        [("a.jpg", "i"), ("a.cls", b"7"), ("a.json", {"name": "x"}), ("b.jpg", "i"), ("b.cls", b"8")]
        + [("b.json", {"name": "x"})],
        ["7", "8"],
    ),
    "a name is missing": (
        [("a.jpg", "i"), ("a.json", {"label": 1, "name": "x"}), ("b.jpg", "i"), ("b.cls", b"1")],
        ["1"] * 2,
    ),
    "json": (
        [("a.jpg", "i"), ("a.json", {"label": "x", "width": 4}), ("b.jpg", "i"), ("b.json", {"identity": "y"})]
        + [("c.jpg", "i"), ("c.json", {"class": "x", "label": None})],
        ["x", "y", "x"],
    ),
    "json numbers": (
        [("a.jpg", "i"), ("a.json", {"label": 0}), ("b.jpg", "i"), ("b.json", {"class": 11})],
        ["00", "11"],
    ),
    "labels before folders": ([("f/a.jpg", "i"), ("f/a.cls", b"3"), ("f/b.jpg", "i"), ("f/b.cls", b"4")], ["3", "4"]),
    "other json": (
        [("f/a.jpg", "i"), ("f/a.json", {"label": [1], "name": True}), ("f/b.jpg", "i"), ("f/b.json", [])],
        ["f"] * 2,
    ),
    "json of the set": ([("set.json", {"name": "faces"}), ("a.jpg", "i"), ("a.cls", b"1")], ["1"]),
}


@pytest.mark.parametrize("members, expected", LABELS.values(), ids=LABELS)
def test_labels(tmp_path, members, expected):
    reader = ShardReader(pack(tmp_path / "a.tar", [(name, JPG if data == "i" else data) for name, data in members]))
    assert people(reader) == expected and list(reader.names) == sorted(set(expected))


def test_paths_in_json(tmp_path):
    paths = ["x/1.jpg", "./x//2.PNG", "/etc/3.jpg", "../4.jpg", "x/5", 6, "7\ud800.jpg"]
    members = [
        (f"{n}.{kind}", data) for n, path in enumerate(paths) for kind, data in [("jpg", JPG), ("json", {"path": path})]
    ]
    members += [("8.json", {"path": "before.jpg"}), ("8.jpg", JPG)]
    reader = ShardReader(pack(tmp_path / "a.tar", members))
    found = [reader.path(i) for i in range(len(reader))]
    assert found == ["x/1.jpg", "x/2.PNG", *(f"{n}.jpg" for n in range(2, 7)), "before.jpg"]
    assert reader.labels is None and reader.names == ()


BAD = {
    "cls": ([("a.jpg", JPG), ("a.cls", b"anna")], "'a.cls' at byte 1536 cannot be used: b'anna' is no label"),
    "cls below zero": ([("a.jpg", JPG), ("a.cls", b"-1")], "is no label; a cls member holds one whole number"),
    "cls of many digits": ([("a.jpg", JPG), ("a.cls", b"1" * 19)], "is no label"),
    "json": ([("a.jpg", JPG), ("a.json", b"{")], r"'a.json' at byte 1536 cannot be used: it is no JSON \(Expecting"),
    "json not text": ([("a.jpg", JPG), ("a.json", b"\xff\xfe\xfd")], "it is no JSON"),
    "json in json": ([("a.jpg", JPG), ("a.json", b"[" * 100_000)], "it is no JSON"),
    "json with a long number": ([("a.jpg", JPG), ("a.json", b"9" * 10_000)], "it is no JSON"),
    "name": ([("a.jpg", JPG), ("a.json", {"name": "a\0b"})], r"'a\\x00b' cannot be the name of a person"),
    "half a letter": ([("a.jpg", JPG), ("a.json", b'{"name": "\\ud800"}')], "cannot be the name of a person"),
    "large json": ([("a.jpg", JPG), ("a.json", bytes(1 << 21))], "'a.json' at byte 1536 has 2097152 bytes, more than"),
    "two labels": ([("a.jpg", JPG), ("a.cls", b"1"), ("a.cls", b"1")], "'a.cls' at byte 2560 stands twice in one"),
    "two images": ([("a.jpg", JPG), ("a.cls", b"1"), ("a.x.png", PNG)], "'a.x.png' at byte 2560 is the second image"),
    "an image twice": ([("f/a.jpg", JPG), ("f/a.jpg", JPG)], "'f/a.jpg' at byte 1536 stands twice in the shard"),
    "one without a label": (
        [("a.jpg", JPG), ("a.cls", b"1"), ("b.jpg", JPG), ("c.jpg", JPG)],
        "'b.jpg' at byte 3072: no label and 1 more of 3; give every image a label",
    ),
    "one in no folder": ([("f/a.jpg", JPG), ("b.jpg", JPG)], "'b.jpg' at byte 2048: no label and 0 more of 2"),
    "labels apart": (
        [("a.jpg", JPG), ("b.jpg", JPG), ("a.cls", b"1"), ("b.cls", b"2")],
        "the label at byte 3072 stands apart from its image; pack the members of a sample together",
    ),
    "folders in a folder": (
        [("set/a/1.jpg", JPG), ("set/b/1.jpg", JPG)],
        "all images lie in one folder, 'set'; if the people are in there, pack what it holds: tar -C set",
    ),
    "no images": ([("a.txt", JPG), ("b.cls", b"1")], "no images found in 1 shards; see what tar -tf lists"),
}


@pytest.mark.parametrize("members, message", BAD.values(), ids=BAD)
def test_bad_samples_are_named_with_the_place(tmp_path, members, message):
    path = pack(tmp_path / "a.tar", members)
    with pytest.raises(UserError, match=f"^{path}: .*{message}") as caught:
        ShardReader(path)
    assert "\n" not in str(caught.value)


def test_where_people_do_not_matter(tmp_path):
    members = [("set/a/1.jpg", JPG), ("set/b/1.jpg", JPG), ("c.jpg", JPG), ("d.cls", b"1")]
    reader = ShardReader(pack(tmp_path / "a.tar", members), people=False)
    assert len(reader) == 3 and reader.labels is None and reader.names == ()


def test_samples_end_with_the_shard(tmp_path):
    pack(tmp_path / "s/0.tar", [("a.cls", b"1"), ("a.jpg", JPG)])
    pack(tmp_path / "s/1.tar", [("a.cls", b"2"), ("a.jpg", PNG)])
    pack(tmp_path / "s/2.tar", [])
    reader = ShardReader(tmp_path / "s")
    assert people(reader) == ["1", "2"] and reader.data(1) == PNG


def test_a_large_image_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("opensphere.dataset.reader.sample.LARGEST_IMAGE", 600)
    with pytest.raises(UserError, match="'a.jpg' at byte 0 has 601 bytes, too many for an image"):
        ShardReader(pack(tmp_path / "a.tar", [("a.jpg", bytes(601))]))


def test_beyond_four_gigabytes(tmp_path):
    """A shard with a hole: 5 GiB, of which nothing is stored."""
    other = patched(header("x.bin", 0), 124, b"%011o\0" % (5 << 30))
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(other)
        file.seek(5 << 30, 1)
        file.write(header("a.jpg", len(JPG)) + JPG + filling(len(JPG)))
    reader = ShardReader(tmp_path / "a.tar")
    assert len(reader) == 1 and reader.data(0) == JPG and reader.path(0) == "a.jpg"
    assert reader.where(0).endswith(f"byte {(5 << 30) + 2 * BLOCK}")


def test_after_a_fork_and_in_another_process(tmp_path):
    write_shards(tmp_path / "s", ROWS, images_per_shard=1)
    reader = ShardReader(tmp_path / "s")
    assert reader.data(0) == PNG
    assert pickle.loads(pickle.dumps(reader)).data(1) == JPG
    child = os.fork()
    if not child:
        os._exit([reader.data(index) for index in range(4)] != [row[2] for row in ROWS])
    assert os.waitpid(child, 0)[1] == 0 and reader.data(3) == JPG


def test_a_shard_that_changes_is_named(tmp_path):
    path = pack(tmp_path / "a.tar", [("a.jpg", JPG)])
    reader = pickle.loads(pickle.dumps(ShardReader(path)))
    os.truncate(path, 600)
    with pytest.raises(UserError, match=f"^{path}: byte 512: the file has changed since it was first looked at"):
        reader.data(0)
    with pytest.raises(UserError, match=f"^{path}: the file has changed"):
        reader.path(0)


def test_a_shard_cut_while_it_is_open(tmp_path):
    path = pack(tmp_path / "a.tar", [("a.jpg", bytes(4000))])
    reader = ShardReader(path)
    os.truncate(path, 600)
    with pytest.raises(UserError, match=f"^{path}: 'a.jpg' at byte 512: the file ends within it; copy or download"):
        reader.data(0)


LIES = {
    "data": lambda a: a["data"].__setitem__(1, 1 << 40),
    "data before": lambda a: a["data"].__setitem__(0, -1),
    "size": lambda a: a["size"].__setitem__(0, 1 << 31),
    "header": lambda a: a["header"].__setitem__(0, 9),
    "bounds": lambda a: a["bounds"].__setitem__(1, 5),
    "fewer bounds": lambda a: a.update(bounds=a["bounds"][:-1]),
    "label": lambda a: a["label"].__setitem__(2, 3),
    "label below": lambda a: a["label"].__setitem__(2, -2),
    "fewer labels": lambda a: a.update(label=a["label"][1:]),
    "names": lambda a: a.update(names=a["names"][:3]),
    "notes": lambda a: a.update(note=a["note"][1:]),
    "loose": lambda a: a.update(loose=np.array([7, 0])),
    "nested": lambda a: a.update(nested=np.array([], bool)),
    "kind": lambda a: a.update(size=a["size"].astype(np.int64)),
    "missing": lambda a: a.pop("nested"),
    "square": lambda a: a.update(data=a["data"].reshape(2, 2)),
}


def test_an_index_that_lies_is_not_used(tmp_path):
    write_shards(tmp_path / "s", ROWS, images_per_shard=2)
    reader = ShardReader(tmp_path / "s")
    kept = reader._build(None)
    assert reader._fits(kept)
    for name, lie in LIES.items():
        arrays = {key: array.copy() for key, array in kept.items()}
        lie(arrays)
        assert not reader._fits(arrays), name


def test_patterns():
    assert list(expand("a-{08..11}.tar")) == ["a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar"]
    assert list(expand("{a,b}/{1..2}.tar")) == ["a/1.tar", "a/2.tar", "b/1.tar", "b/2.tar"]
    assert list(expand("{x}{2..1}")) == [] and list(expand("{x}.tar")) == ["{x}.tar"]
    with pytest.raises(UserError, match="names more than 1000000 files"):
        list(expand("{0..10000000}"))


def test_finding_shards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("s/b.tar", "s/a.tar", "s/c-00.tar", "s/c-01.tar", "[1]{2}.tar"):
        pack(tmp_path / name, [("a.jpg", JPG)])
    (tmp_path / "s/.d.tar").write_bytes(b"")
    (tmp_path / "s/e.tar.gz").write_bytes(b"")
    assert find_shards("s") == ["s/a.tar", "s/b.tar", "s/c-00.tar", "s/c-01.tar"]
    assert find_shards("s/c-*.tar") == find_shards("s/c-{00..01}.tar") == ["s/c-00.tar", "s/c-01.tar"]
    assert find_shards("[1]{2}.tar") == ["[1]{2}.tar"]
    assert find_shards([tmp_path / "s/b.tar", "s/{a,c-0?}.tar"])[1:] == ["s/a.tar", "s/c-00.tar", "s/c-01.tar"]
    assert ShardReader(["s/a.tar", "s/b.tar"]).root == "s/a.tar, s/b.tar"
    (tmp_path / "empty").mkdir()
    (tmp_path / "gz").mkdir()
    (tmp_path / "gz/a.tar.gz").write_bytes(b"")
    for path, message in [
        ("s/c-{00..02}.tar", r"^s/c-02.tar \(of s/c-\{00..02\}.tar\): there is no such shard"),
        ("s/x*.tar", r"^s/x\*.tar: there is no such shard"),
        ("none.tar", "^none.tar: there is no such shard; check the path"),
        ("empty", "^empty: no .tar files in this folder; name the folder that holds them"),
        ("gz", "^gz: no .tar files in this folder; unpack its compressed ones first"),
        (["s", "s/a.tar"], "^s/a.tar: this shard is named twice"),
        ([], "no shards are named"),
        ("s/{2..1}.tar", "no shards are named"),
        ("s/a.tar\0", "there is no such shard"),
    ]:
        with pytest.raises(UserError, match=message):
            find_shards(path)


def test_shards_of_a_size(tmp_path):
    rows = [(f"{n}.jpg", n % 2, bytes(2000)) for n in range(6)]  # 9 blocks each, and 2 at the end of a shard
    for name, limit, images in [("a-%03d", 20 * BLOCK, 2), ("b-{3..9}", 20 * BLOCK - 1, 1), ("c-%d", 1, 1)]:
        write_shards(tmp_path / f"s/{name}.tar", rows, bytes_per_shard=limit)
        shards = find_shards(tmp_path / f"s/{name[0]}-*.tar")
        assert [os.path.getsize(path) for path in shards] == [(9 * images + 2) * BLOCK] * (6 // images)
    assert sorted(os.listdir(tmp_path / "s")) == ["a-000.tar", "a-001.tar", "a-002.tar"] + [
        f"{name}.tar" for name in ["b-3", "b-4", "b-5", "b-6", "b-7", "b-8", *(f"c-{n}" for n in range(6))]
    ]


def test_people_as_numbers_or_unknown(tmp_path):
    write_shards(tmp_path / "n", [("a/1.jpg", np.int64(12), JPG), ("b", 3, memoryview(PNG))])
    reader = ShardReader(tmp_path / "n")
    assert reader.names == ["03", "12"] and reader.labels.tolist() == [1, 0]
    assert [reader.path(0), reader.path(1)] == ["a/1.jpg", "000000001.png"]
    write_shards(tmp_path / "u.tar", [("a/1.jpg", None, JPG)])
    assert ShardReader(tmp_path / "u.tar").labels is None


def test_progress_of_writing(tmp_path):
    told = []
    rows = [(f"{n}.jpg", None, b"") for n in range(500)]
    write_shards(tmp_path / "a", rows, progress=lambda *now: told.append(now))
    assert told[-1] == (500, 500) and len(told) < 300
    told.clear()
    write_shards(tmp_path / "b", iter(rows), progress=lambda *now: told.append(now))
    assert told[0] == (1, 0) and 20 < len(told) < 300


def interrupted():
    yield ROWS[0]
    yield ROWS[1]
    raise KeyboardInterrupt


REFUSED = {
    "no rows": ([], "s: there are no images to write"),
    "a name without letters": ([("a.jpg", "", JPG)], "s: 'a.jpg' cannot be written: '' cannot be the name"),
    "a name with a zero": ([("a.jpg", "a\0", JPG)], "cannot be the name of a person"),
    "a number below zero": ([("a.jpg", -1, JPG)], "-1 is no label"),
    "names and numbers": ([ROWS[0], ("a.jpg", 1, JPG)], "'a.jpg' shows 1, others are unlike it"),
    "no image": ([ROWS[0], ("a", "x", b"RIFF....WAVE")], "neither its name nor its content is that of an image"),
}


@pytest.mark.parametrize("rows, message", REFUSED.values(), ids=REFUSED)
def test_nothing_is_left_of_what_cannot_be_written(tmp_path, rows, message):
    with pytest.raises(UserError, match=message):
        write_shards(tmp_path / "s", rows, images_per_shard=1)
    assert not (tmp_path / "s").exists() or not os.listdir(tmp_path / "s")


def test_nothing_is_left_of_an_interrupted_run(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        write_shards(tmp_path, interrupted(), images_per_shard=1)
    assert not os.listdir(tmp_path)


def test_all_shards_appear_or_none(tmp_path, monkeypatch):
    rename = os.rename

    def fail_at_last(source, target):
        if target.endswith("3.tar"):
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_at_last)
    with pytest.raises(UserError, match="cannot be written: No space left"):
        write_shards(tmp_path / "s", ROWS, images_per_shard=1)
    assert not os.listdir(tmp_path / "s")


def test_shards_are_not_written_over(tmp_path):
    write_shards(tmp_path / "s", ROWS)
    before = (tmp_path / "s/shard-000000.tar").read_bytes()
    for path in ("s", "s/shard-%06d.tar", "s/shard-{000007..000009}.tar", "s/shard-000000.tar"):
        with pytest.raises(UserError, match="shard-000000.tar: there are shards already"):
            write_shards(tmp_path / path, ROWS)
    assert (tmp_path / "s/shard-000000.tar").read_bytes() == before
    with pytest.raises(UserError, match=r"s/x-\{0..2\}.tar: more than 3 shards are needed"):
        write_shards(tmp_path / "s/x-{0..2}.tar", ROWS, images_per_shard=1)
    assert len(os.listdir(tmp_path / "s")) == 1
    with pytest.raises(UserError, match="file/x: cannot be written"):
        (tmp_path / "file").write_text("")
        write_shards(tmp_path / "file/x", ROWS)
    with pytest.raises(UserError, match="must be 1 or more"):
        write_shards(tmp_path / "x", ROWS, images_per_shard=0)


row = st.tuples(
    st.text(st.characters(exclude_categories=("Cs",)), max_size=20).map(lambda text: text + ".png"),
    st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=5),
    st.binary(max_size=1100),
)


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=st.lists(row, min_size=1, max_size=8), images=st.integers(1, 4))
def test_any_rows(tmp_path_factory, rows, images):
    folder = tmp_path_factory.mktemp("rows")
    write_shards(folder, rows, images_per_shard=images)
    reader = ShardReader(folder)
    assert [(name, reader.data(i)) for i, name in enumerate(people(reader))] == [(name, data) for _, name, data in rows]
    assert list(reader.names) == sorted({name for _, name, _ in rows})


BOTH = [("bo/1.png", PNG), ("anna/2.jpg", JPG)]
SEEDS = [packed(BOTH, format) for format in FORMATS] + [
    packed([("long/" * 40 + "1.png", PNG)] + BOTH, FORMATS[n]) for n in (1, 2)
]
SEEDS += [
    packed(
        [(f"{n}.{kind}", data) for n in range(3) for kind, data in [("cls", b"%d" % n), ("jpg", JPG), ("json", note)]]
    )
    for note in (b'{"name": "x", "path": "x/1.jpg", "label": 5}', b'{"identity": "y"}')
]
SEEDS = [seed[: -(-len(seed.rstrip(b"\0")) // BLOCK) * BLOCK + BLOCK] for seed in SEEDS]  # else most is the end
FIELDS = [(0, 100), (100, 8), (124, 12), (148, 8), (156, 1), (257, 8), (345, 155)]
VALUES = [
    b"",
    b"\0",
    b"\xff" * 12,
    b"\x80" + b"\xff" * 11,
    b"77777777777\0",
    b"00000000000\0",
    b"00000001000\0",
    b"../x",
]
VALUES += [b"0", b"L", b"x", b"g", b"K", b"S", b"5", b"2", b"/", b"a.cls", b"a.json", b"1.jpg", b"-1", b"9" * 12]


def damaged(chance):
    """A valid shard with some bits, lengths, fields and pieces changed; of the fields most with a right checksum."""
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), chance.randint(1, 1200)
        block = at // BLOCK * BLOCK
        match chance.randrange(6):
            case 0:
                data[at : at + 1] = chance.randbytes(1)
            case 1:
                data[at : at + 1] = bytes(byte ^ 1 << chance.randrange(8) for byte in data[at : at + 1])
            case 2:
                offset, width = chance.choice(FIELDS)
                header = bytes(data[block : block + BLOCK]).ljust(BLOCK, b"\0")
                data[block : block + BLOCK] = patched(header, offset, chance.choice(VALUES)[:width])
            case 3:
                to = chance.randrange(len(data) // BLOCK + 1) * BLOCK
                data[to:to] = data[block : block + BLOCK * chance.randint(1, 5)]
            case 4:
                del data[block : block + BLOCK * chance.randint(1, 3)]
            case 5 if chance.random() < 0.5:
                del data[at : at + length]
            case 5:
                del data[at:]
    return bytes(data)


def not_kept(path, sources, version, build, fits):
    arrays = build()
    assert fits(arrays)
    return arrays


def survives(path, seed):
    """Whether a damaged shard could be read; if not, one line says so."""
    path.unlink(missing_ok=True)  # a new file is written faster than an old one is emptied
    path.write_bytes(damaged(random.Random(seed)))
    try:
        with mock.patch.object(shard, "kept_index", not_kept):
            reader = ShardReader(path)
        for index in range(len(reader)):
            assert len(reader.data(index)) == reader._size[index]
            assert reader.where(index).startswith(f"{path}: ") and reader.path(index)[0] != "/"
    except UserError as error:
        assert "\n" not in str(error) and str(error).startswith(f"{path}: ")
        return False
    return True


def test_damaged_shards(tmp_path):
    read = sum(survives(tmp_path / "a.tar", seed) for seed in range(100))
    assert 5 < read < 95


@pytest.mark.long
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(seed=st.integers(0, 1 << 64))
def test_damaged_shards_at_length(tmp_path_factory, seed):
    survives(tmp_path_factory.getbasetemp() / "damaged.tar", seed)
