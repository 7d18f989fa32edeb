"""RecordIO and the training files in it, against the published layout written out plainly, and against damage."""

import hashlib
import os
import pickle
import random
import struct
import threading
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opensphere.dataset.reader import identities, record, recordio
from opensphere.dataset.reader.record import RecordReader, write_records
from opensphere.dataset.reader.recordio import FileBytes, RecordFile, pack, read_idx
from opensphere.error import UserError

MARK = bytes.fromhex("0a23d7ce")
JPEG, PNG = b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n"


# ---------------------------------------------------------- the layout once more, slow and plain (dmlc-core recordio.h)


def plain_pack(data: bytes) -> bytes:
    parts, part = [], b""
    words = [data[at : at + 4] for at in range(0, len(data), 4)]
    for word in words:
        if word == MARK:
            parts.append(part)
            part = b""
        else:
            part += word
    parts.append(part)
    packed = b""
    for number, part in enumerate(parts):
        kind = 0 if len(parts) == 1 else 1 if number == 0 else 3 if number == len(parts) - 1 else 2
        packed += MARK + struct.pack("<I", kind * 2**29 + len(part)) + part
        while len(packed) % 4:
            packed += b"\0"
    return packed


def plain_unpack(packed: bytes) -> list[bytes]:
    records, at = [], 0
    while at < len(packed):
        assert packed[at : at + 4] == MARK
        (word,) = struct.unpack("<I", packed[at + 4 : at + 8])
        kind, length = word // 2**29, word % 2**29
        part = packed[at + 8 : at + 8 + length]
        if kind in (0, 1):
            records.append(part)
        else:
            records[-1] += MARK + part
        at += 8 + (length + 3) // 4 * 4
    return records


def image(label, key, data, flag=0) -> bytes:
    labels = struct.pack(f"<{flag}f", *label) if flag else b""
    return struct.pack("<IfQQ", flag, 0 if flag else label, key, 0) + labels + data


def pair(first, stop, key) -> bytes:
    return image((first, stop), key, b"", flag=2)


def save(folder, records, keys=None, stem="train", index=True):
    """Records as a file and its index; returns the path of the file."""
    folder.mkdir(parents=True, exist_ok=True)
    packed, lines = b"", ""
    for key, data in zip(range(len(records)) if keys is None else keys, records, strict=True):
        lines += f"{key}\t{len(packed)}\n"
        packed += plain_pack(data)
    path = folder / f"{stem}.rec"
    path.write_bytes(packed)
    if index:
        path.with_suffix(".idx").write_text(lines)
    return path


def directory(folder, **options):
    """Images 1 to 5 of people 7, 7, 2, 9, 9 with a directory behind them, as InsightFace's tool writes it."""
    images = [image(label, key, b"%d" % key) for key, label in enumerate([7, 7, 2, 9, 9], 1)]
    records = [*images, pair(6, 9, 0), pair(1, 3, 6), pair(3, 4, 7), pair(4, 6, 8)]
    return save(folder, records, [1, 2, 3, 4, 5, 0, 6, 7, 8], **options)


def contents(reader):
    return [reader.data(index) for index in range(len(reader))]


def paths(reader):
    return [reader.path(index) for index in range(len(reader))]


def people(reader):
    return [reader.names[label] for label in reader.labels]


# ------------------------------------------------------------------------------------------------------- the container


@pytest.mark.parametrize(
    ("data", "packed"),
    [
        (b"", "0a23d7ce 00000000"),
        (b"abcde", "0a23d7ce 05000000 61626364 65000000"),
        (b"abcd" + MARK + b"e", "0a23d7ce 04000020 61626364  0a23d7ce 01000060 65000000"),
        (MARK + MARK, "0a23d7ce 00000020  0a23d7ce 00000040  0a23d7ce 00000060"),
        (b"a" + MARK, "0a23d7ce 05000000 610a23d7 ce000000"),  # not at a multiple of 4: stays
    ],
)
def test_golden_bytes(tmp_path, data, packed):
    """Written out by hand from dmlc-core, include/dmlc/recordio.h and src/recordio.cc."""
    assert pack(data) == plain_pack(data) == bytes.fromhex(packed)
    path = tmp_path / "a.rec"
    path.write_bytes(bytes.fromhex(packed) * 2)
    file = RecordFile(path)
    assert file.walk().tolist() == [0, len(bytes.fromhex(packed))]
    assert [file.record(int(at), str) for at in file.walk()] == [data, data]


@given(st.lists(st.lists(st.sampled_from([MARK, MARK[:3], b"\0", b"ab", b"abcd", MARK[1:]])).map(b"".join), min_size=1))
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_records_of_any_bytes(tmp_path, records):
    packed = b"".join(map(pack, records))
    assert packed == b"".join(map(plain_pack, records)) and plain_unpack(packed) == records
    (tmp_path / "a.rec").write_bytes(packed)
    file = RecordFile(tmp_path / "a.rec")
    offsets = file.walk()
    assert [file.record(int(at), str) for at in offsets] == records
    heads = {}
    for chosen, words, _ in file.heads(offsets[::-1].copy(), str):
        heads |= dict(zip(chosen.tolist(), words, strict=True))
    for index, data in enumerate(records[::-1]):
        whole = data[: len(data) // 4 * 4][:32]  # of a last word that is not whole nothing is told
        assert heads[index].tobytes() == whole.ljust(32, b"\0")


def test_long_records_and_far_ones(tmp_path):
    """Records longer than what is read at once, and one beyond 4 GiB (the file is a hole)."""
    data = [random.Random(0).randbytes(100_001), MARK * 3 + bytes(70_000) + MARK]
    path = save(tmp_path, [image(1, 0, data[0]), image(2, 1, data[1])])
    assert contents(RecordReader(path)) == data
    far = 5 * 2**30
    with open(tmp_path / "far.rec", "wb") as file:
        file.seek(far)
        file.write(plain_pack(image(3, 0, JPEG)))
    (tmp_path / "far.idx").write_text(f"12\t{far}\n")
    reader = RecordReader(tmp_path / "far.rec")
    assert contents(reader) == [JPEG] and reader.names[0] == "3" and reader.path(0) == "3/00000012.jpg"


# ----------------------------------------------------------------------------------------------------------- reading


def test_a_directory_of_identities(tmp_path):
    path = directory(tmp_path)
    reader = RecordReader(path)
    assert reader.root == str(path) and len(reader) == 5
    assert contents(reader) == [b"1", b"2", b"3", b"4", b"5"]
    assert list(reader.names) == ["2", "7", "9"] and reader.names[1:] == ["7", "9"]
    assert reader.labels.tolist() == [1, 1, 0, 2, 2] and reader.labels.dtype == np.int64
    assert reader.where(2) == f"{path}: record 3" and reader.path(2) == "2/00000003.jpg"
    for beyond in (5, -6):
        with pytest.raises(IndexError):
            reader.data(beyond)


def test_golden_file(tmp_path):
    """One image of person 3, keys and identities: each byte by hand."""
    (tmp_path / "train.rec").write_bytes(
        bytes.fromhex(
            "0a23d7ce 20000000  02000000 00000000 0000000000000000 0000000000000000  00000040 00004040"
            "0a23d7ce 1b000000  00000000 00004040 0100000000000000 0000000000000000  ffd8ff00"
            "0a23d7ce 20000000  02000000 00000000 0200000000000000 0000000000000000  0000803f 00000040"
        )
    )
    (tmp_path / "train.idx").write_bytes(b"0\t0\n1\t40\n2\t76\n")
    reader = RecordReader(tmp_path)
    assert (contents(reader), people(reader), paths(reader)) == ([JPEG[:3]], ["3"], ["3/00000001.jpg"])
    write_records(tmp_path / "again", [("3/00000001.jpg", 3, JPEG[:3])])
    for end in (".rec", ".idx"):
        assert (tmp_path / f"again{end}").read_bytes() == (tmp_path / f"train{end}").read_bytes()


def test_what_a_path_may_name(tmp_path):
    path = directory(tmp_path / "a.b")
    for given_path in (path, str(path), path.with_suffix(".idx"), path.with_suffix(""), path.parent):
        assert RecordReader(given_path).root == str(path)
    (path.parent / "._train.rec").write_bytes(b"what a Mac leaves behind")
    assert RecordReader(path.parent).root == str(path)
    directory(tmp_path / "a.b", stem="val")
    with pytest.raises(
        UserError, match=r"a\.b: the folder holds 2 \.rec files: train\.rec, val\.rec; name one of them$"
    ):
        RecordReader(path.parent)
    with pytest.raises(UserError, match=rf"^{tmp_path}: the folder holds no \.rec file; name the one that does$"):
        RecordReader(tmp_path)
    for missing in ("none", "none.rec", "none.idx", "a.b/train.lst", ""):
        with pytest.raises(UserError, match=r": there is no such \.rec file; name it or the folder that holds it$"):
            RecordReader(missing and str(tmp_path / missing))


def test_capitals(tmp_path):
    write_records(tmp_path / "a.REC", [("anna/x.jpg", "anna", JPEG), ("bo/y.jpg", "bo", PNG)])
    assert sorted(os.listdir(tmp_path)) == ["a.REC", "a.idx", "a.lst"]
    for end in ("idx", "lst"):
        (tmp_path / f"a.{end}").rename(tmp_path / f"a.{end.upper()}")
    for given_path in ("a.REC", "a", "a.IDX", "a.idx", ""):
        reader = RecordReader(tmp_path / given_path)
        assert reader.root == str(tmp_path / "a.REC") and paths(reader) == ["anna/x.jpg", "bo/y.jpg"]
    (tmp_path / "a.IDX").write_text("7\tx\n")
    with pytest.raises(UserError, match=r"a\.IDX:1: "):
        RecordReader(tmp_path / "a.REC")


def test_every_record_is_an_image_without_a_directory(tmp_path):
    """In the order of the file, whatever the keys; labels alone, or the first of several; key 0 may have two labels."""
    records = [
        image(4, 12, JPEG),
        image((3, 0.25), 0, PNG, flag=2),
        image((4, 1, 1), 7, b"RIFF", flag=3),
        image((10, *struct.unpack("<f", MARK)), 3, MARK + b"II*\0", flag=2),
    ]
    for keys in ([12, 0, 7, 3], [0, 1, 2, 3]):
        path = save(tmp_path / str(keys[0]), records, keys)
        reader = RecordReader(path)
        assert contents(reader) == [JPEG, PNG, b"RIFF", MARK + b"II*\0"] and people(reader) == ["04", "03", "04", "10"]
        assert [reader.where(index) for index in range(4)] == [f"{path}: record {key}" for key in keys]
        ends = ("jpg", "png", "webp", "jpg")
        names = [f"{label}/{key:08d}.{end}" for label, key, end in zip(people(reader), keys, ends, strict=True)]
        assert paths(reader) == names


def test_a_missing_index_is_made(tmp_path):
    """From the ids in the heads, also where record 0 is not the first; by place where ids say nothing."""
    path = directory(tmp_path / "directory", index=False)
    calls = []
    reader = RecordReader(path, lambda *done: calls.append(done))
    assert contents(reader) == [b"1", b"2", b"3", b"4", b"5"] and people(reader) == ["7", "7", "2", "9", "9"]
    assert calls and all(0 <= done <= total for done, total in calls)
    path = save(tmp_path / "shuffled", [image(5, 8, b"a"), image(4, 3, b"b")], index=False)
    assert [RecordReader(path).where(index)[-1] for index in (0, 1)] == ["8", "3"]
    path = save(tmp_path / "high", [image(5, 1, b"a"), image(4, 2**40 + 1, b"b")], index=False)
    assert RecordReader(path).where(1).endswith(f" {2**40 + 1}")
    for number, ids in enumerate(([0, 0, 0], [1, 2**40, 1], [5, 5, 6], [1, 2**63, 5])):
        records = [image(4, key, b"%d" % place) for place, key in enumerate(ids)]
        reader = RecordReader(save(tmp_path / f"same{number}", records, index=False))
        assert contents(reader) == [b"0", b"1", b"2"] and reader.where(2).endswith("train.rec: record 2")


def test_images_outside_the_ranges_speak_for_themselves(tmp_path):
    images = [image(label, key, b"") for key, label in enumerate([5, 0, 1, 1, 3], 1)]
    for ranges in ([(3, 5)], [(3, 5), (3, 3), (1, 2)], []):
        tail = [pair(*bounds, 6 + place) for place, bounds in enumerate(ranges)]
        path = save(tmp_path / str(len(ranges)), [pair(6, 6 + len(ranges), 0), *images, *tail])
        assert people(RecordReader(path)) == ["5", "0", "1", "1", "3"]


def test_only_the_first_image_of_an_identity_is_asked(tmp_path):
    """What is wrong with another is told when it is read."""
    records = [pair(4, 6, 0), image(2, 1, b""), image(99, 2, b"")[:20], image(3, 3, b""), pair(1, 3, 4), pair(3, 4, 5)]
    reader = RecordReader(save(tmp_path, records))
    assert people(reader) == ["2", "2", "3"]
    with pytest.raises(UserError, match=r"rec: record 2: its 20 bytes are too few for its head and labels; download"):
        reader.data(1)


@pytest.mark.parametrize("count", range(14, 30))
def test_more_images_than_a_float32_can_count(tmp_path, monkeypatch, count):
    """Glint360K has more than 2^24 images. Here numbers are rounded from 16 on, as float32 are from 2^24 on."""

    def rounded(number):
        return number if number < 16 else 2 * round(number / 2)

    monkeypatch.setattr(identities, "WHOLE", 16)
    labels = [min(key // 3, 12 + key % 2) for key in range(count)]
    bounds = [0, *(key for key in range(1, count) if labels[key] != labels[key - 1]), count]
    first, stop = count + 1, count + len(bounds)
    records = [pair(rounded(first), rounded(stop), 0), *(image(label, 1, b"a") for label in labels)]
    for start, end in zip(bounds, bounds[1:], strict=False):
        records.append(pair(rounded(start + 1), rounded(end + 1), 0))
    reader = RecordReader(save(tmp_path, records))
    assert len(reader) == count and [int(name) for name in people(reader)] == labels


def test_threads_forks_and_copies(tmp_path):
    write_records(tmp_path / "a", [(f"p{row // 4}/{row}", f"p{row // 4}", b"%d" % row * row) for row in range(40)])
    reader = RecordReader(tmp_path / "a.rec")
    copy = pickle.loads(pickle.dumps(reader))
    expected = contents(copy)
    failures = []

    def read():
        failures.extend(index for index in range(40) if reader.data(index) != expected[index])

    child = os.fork()
    if not child:
        status = 1
        try:
            status = int(contents(reader) != expected)
        finally:
            os._exit(status)
    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert not failures and paths(copy) == paths(reader) and list(copy.names) == list(reader.names)


# ------------------------------------------------------------------------------------------------ the list of names


def listing(path, lines):
    path.with_suffix(".lst").write_text("".join(line + "\n" for line in lines))
    return path


def test_names_from_a_list(tmp_path):
    path = listing(
        directory(tmp_path),
        ["5\t9.0\tcy d/2.jpg", "1\t7.000000\tanna/1.jpg", "", "2\t7\t0.5\tanna/s/2.jpg", "77\t1\tx/y.jpg"]
        + ["3\t2\té/../3.jpg\r", "4\t9\tcy d/1.png\r"],
    )
    for _ in range(2):
        reader = RecordReader(path, lambda done, total: None)
        assert list(reader.names) == ["2", "7", "9"]  # the third image's first folder is none that stays
        assert paths(reader) == ["anna/1.jpg", "anna/s/2.jpg", "2/00000003.jpg", "cy d/1.png", "cy d/2.jpg"]
    path.with_suffix(".lst").write_text(path.with_suffix(".lst").read_text().replace("/../", "/./z"))
    assert list(RecordReader(path).names) == ["2", "7", "9"]
    path.with_suffix(".lst").write_text(path.with_suffix(".lst").read_text().replace("/./z", "/"))
    for _ in range(2):
        reader = RecordReader(path)
        assert list(reader.names) == ["é", "anna", "cy d"] and people(reader)[2:4] == ["é", "cy d"]
        assert paths(reader)[2] == "é/3.jpg"


def test_people_of_two_folders(tmp_path):
    lines = ["1\t7\tanna/1.jpg", "2\t7\tbo/2.jpg", "3\t2\tc/3.jpg", "4\t9\td/4.jpg", "5\t9\td/5.jpg"]
    reader = RecordReader(listing(directory(tmp_path), lines))
    assert list(reader.names) == ["2", "7", "9"] and reader.path(1) == "bo/2.jpg"


@pytest.mark.parametrize("third", ["anna/3.jpg", "3.jpg", "/data/c/3.jpg", "../c/3.jpg", "c//3.jpg", "c/\x01.jpg", ""])
def test_folders_that_are_not_people(tmp_path, third):
    """Two people in a folder, no folder, or a path that leads out: names are numbers, and so is such a path."""
    lines = ["1\t7\tanna/1.jpg", "2\t7\tanna/2.jpg", f"3\t2\t{third}", "4\t9\td/4.jpg", "5\t9\td/5.jpg"]
    reader = RecordReader(listing(directory(tmp_path), lines))
    assert list(reader.names) == ["2", "7", "9"]
    assert paths(reader)[:3] == ["anna/1.jpg", "anna/2.jpg", third if third[:1] in "a3" and third else "2/00000003.jpg"]


def test_lists_of_another_kind_are_passed_over(tmp_path):
    for number, line in enumerate(["1\t/data/anna/1.jpg\t7", "anna/1.jpg 7", "1\tanna/1.jpg", "\xff", "a\t1\tb", ""]):
        reader = RecordReader(listing(directory(tmp_path / str(number)), [line] * 5))
        assert people(reader) == ["7", "7", "2", "9", "9"] and reader.path(0) == "7/00000001.jpg"


def test_lists_that_tell_something_else(tmp_path):
    lines = ["1\t7\ta/1", "2\t7\ta/2", "3\t2\tb/3", "4\t9\tc/4", "5\t9\tc/5"]
    path = directory(tmp_path)
    for wrong, message in (
        (lines[:-1], r"train\.lst: it has no line for .*train\.rec: record 5; correct it, or take the list away"),
        (["1\t8\ta/1", *lines[1:]], r"train\.lst: record 1 has label 8, but 7 in .*train\.rec; correct it"),
        ([*lines, "", "6\tanna"], r"train\.lst:7: b'6\\tanna\\n' is not a key, a label and a path with TABs between"),
        ([*lines, "6\tnan\ta/6"], r"train\.lst:6: "),
        ([*lines, "6\t1.5\ta/6"], r"train\.lst:6: "),
        ([*lines, "6\t1e9\ta/6"], r"train\.lst:6: "),
        ([*lines, f"{'6' * 19}\t1\ta/6"], r"train\.lst:6: "),
    ):
        with pytest.raises(UserError, match=message):
            RecordReader(listing(path, wrong))
    reader = RecordReader(listing(path, lines))
    listing(path, ["\0" * len(line) for line in lines])
    with pytest.raises(UserError, match=r"train\.lst: it has changed while it was in use; start again"):
        reader.path(2)


# ------------------------------------------------------------------------------------------------------ what is kept


def test_a_second_opening_takes_what_was_kept(tmp_path):
    path = listing(directory(tmp_path), ["1\t7\ta/1", "2\t7\ta/2", "3\t2\tb/3", "4\t9\tc/4", "5\t9\tc/5"])
    first = RecordReader(path)
    with patch.object(record, "_build", side_effect=AssertionError):
        again = RecordReader(path)
        assert (contents(again), paths(again), people(again)) == (contents(first), paths(first), people(first))
        path.with_suffix(".lst").unlink()
        with pytest.raises(AssertionError):
            RecordReader(path)
    assert people(RecordReader(path)) == ["7", "7", "2", "9", "9"]


def test_what_was_kept_does_no_harm(tmp_path):
    """Arrays beside the records, of the right sources but by someone else."""
    path = directory(tmp_path)
    RecordReader(path)
    with np.load(f"{path}.index.npz") as kept:
        good = {name: kept[name] for name in ("offsets", "labels", "people", "keys", "lines", "names")}
    assert record._fits(good) and record._fits(good | {"names": np.frombuffer(b"a.\n...\n\xc3\xa9", np.uint8)})
    numbers = np.arange(5)
    for name, bad in (
        ("offsets", numbers[:4]),
        ("offsets", numbers * 0.5),
        ("offsets", numbers - 1),
        ("offsets", np.zeros((5, 1), np.int64)),
        ("labels", numbers),
        ("labels", numbers - 4),
        ("people", numbers[:0]),
        ("people", numbers[:3] - 1),
        ("keys", numbers[:2]),
        ("lines", numbers[:2]),
        ("names", numbers),
        *(
            ("names", np.frombuffer(names, np.uint8))
            for names in (
                b"a\nb",
                b"a\n\nb",
                b"a\nb\n",
                b"a\nb\n..",
                b".\na\nb",
                b"a\nb\nc/d",
                b"a\nb\nc\0",
                b"a\nb\nc\nd",
            )
        ),
    ):
        assert not record._fits(good | {name: bad})
        del good[name]
        assert not record._fits(good)
        good[name] = numbers[:0] if name in ("keys", "lines", "names") else bad
        good = {**good, "offsets": numbers, "labels": numbers % 3, "people": numbers[:3]}
        assert record._fits(good)


# --------------------------------------------------------------------------------------------------------- damage


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("0\t0\n1\t36\n2\t99999\n", r"idx: record 2: byte 99999 is beyond the end of .*rec \(108 bytes\); one of them"),
        ("0\t0\n1\t40\n2\t72\n", r"rec: record 1: no record begins at byte 40; the file or its index is damaged"),
        ("0\t0\n1\t38\n2\t72\n", r"rec: record 1: no record begins at byte 38"),
        ("0\t0\n1\t36\n2\t104\n", r"rec: record 2: no record begins at byte 104"),
        ("0\t36\n1\t0\n2\t72\n", r"idx: record 1: byte 0 does not come after byte 36 of the line before; download"),
        ("0\t0\n1\t0\n2\t72\n", r"idx: record 1: byte 0 does not come after byte 0"),
        ("0\t0\n1\t36\n1\t72\n", r"idx: record 1 stands there twice; download the index again, or delete it"),
        ("0\t0\n1\tx\n2\t72\n", r"idx:2: b'1\\tx' is not a key, a TAB and an offset; download the index again"),
        ("0\t0\n\n1\n2\t72\n", r"idx:3: b'1' is not"),
        ("0\t0\n1\t36\t5\n", r"idx:2: "),
        ("0\t-4\n", r"idx:1: "),
        ("0\t1e3\n", r"idx:1: "),
        ("0\t" + "9" * 19, r"idx:1: "),
        ("0 1 2\n3\n", r"idx:1: "),
        ("0\t0\n\x00\x00\n", r"idx:2: "),
        ("", r"idx: the index is empty; download"),
        ("\n\n", r"idx: the index is empty"),
    ],
)
def test_an_index_that_lies(tmp_path, lines, message):
    path = save(tmp_path, [image(1, key, b"%03d" % key) for key in range(3)])
    path.with_suffix(".idx").write_text(lines)
    with pytest.raises(UserError, match=message):
        RecordReader(path)


def test_indices_of_other_hands(tmp_path, monkeypatch):
    """Windows line ends, empty lines, spaces; no last line end; a part of the records only; read in pieces."""
    path = save(tmp_path, [image(1, key, b"%d" % key) for key in range(3)])
    for lines in ("0\t0\r\n1\t36\r\n2\t72\r\n", "\n0 0\n\n1\t36\n 2 72", "0\t0\n1\t36\n2\t72"):
        path.with_suffix(".idx").write_bytes(lines.encode())
        assert contents(RecordReader(path)) == [b"0", b"1", b"2"]
        for piece in (6, 9, 14):
            monkeypatch.setattr(recordio, "_LINES", piece)
            assert [numbers.tolist() for numbers in read_idx(path.with_suffix(".idx"))] == [[0, 1, 2], [0, 36, 72]]
        monkeypatch.undo()
    path.with_suffix(".idx").write_text("0\t0\n2\t72\n")
    assert contents(RecordReader(path)) == [b"0", b"2"]
    path.with_suffix(".idx").write_text("0\t0\n" + "1" * 20)
    monkeypatch.setattr(recordio, "_LINES", 6)
    with pytest.raises(UserError, match=r"idx:2: the line does not end"):
        read_idx(path.with_suffix(".idx"))


def damage(path, at, data):
    content = bytearray(path.read_bytes())
    content[at : at + len(data)] = data
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("length", range(1, 8))
def test_files_shorter_than_a_record(tmp_path, length):
    path = save(tmp_path, [image(1, 0, b"")])
    path.write_bytes(path.read_bytes()[:length])
    for _ in range(2):
        with pytest.raises(UserError, match=r"no record begins at byte 0|reaches beyond the file\'s"):
            RecordReader(path)
        path.with_suffix(".idx").unlink(missing_ok=True)


@pytest.mark.parametrize("block", [2, 1 << 13])
def test_records_that_are_cut_or_lie(tmp_path, monkeypatch, block):
    monkeypatch.setattr(recordio, "_BLOCK", block)

    def fresh(name, index=True):
        return save(tmp_path / name, [image(1, key, b"%d" % key * 20) for key in range(3)], index=index)

    for index, name in ((True, "record 2"), (False, "record 2 of the file, counted from 0")):
        path = fresh(f"cut{index}", index)
        path.write_bytes(path.read_bytes()[:150])
        with pytest.raises(
            UserError, match=f"rec: {name}: it begins at byte 104 and reaches beyond the file's 150; down"
        ):
            RecordReader(path)
    for length, first, second in (
        (45, "rec: record 1: its length, 45 bytes, reaches beyond byte 104, where", "no record begins at byte 108"),
        (40, "", "no record begins at byte 100"),
        (2**29 - 1, "record 1: it begins at byte 52 and reaches beyond the file's 156", "it begins at byte 52"),
    ):
        path = damage(fresh(f"length{length}"), 56, struct.pack("<I", length))
        if first:
            with pytest.raises(UserError, match=first):
                RecordReader(path)
        else:
            with pytest.raises(UserError, match="record 1: its length, 40 bytes, leads to byte 100, where no record"):
                RecordReader(path).data(1)
        path.with_suffix(".idx").unlink()
        with pytest.raises(UserError, match=second):
            RecordReader(path)
    for length, message in ((10, "its 10 bytes are too few for its head and labels"), (0, "its 0 bytes are too few")):
        with pytest.raises(UserError, match=f"record 2: {message}"):
            RecordReader(damage(fresh(f"short{length}"), 108, struct.pack("<I", length)))
    with pytest.raises(UserError, match=r"record 1: its 44 bytes are too few for its head and labels"):
        RecordReader(damage(fresh("flag"), 60, struct.pack("<I", 2**32 - 1)))
    (tmp_path / "empty.rec").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty\.rec: the file is empty; download or copy it again"):
        RecordReader(tmp_path / "empty.rec")


def test_parts_out_of_order(tmp_path, monkeypatch):
    path = save(tmp_path, [image(1, 0, b"ab"), image(1, 1, b"abcd" + MARK + b"c")])
    where = path.read_bytes().rindex(MARK) + 4
    long = save(tmp_path / "long", [image(1, 1, b"abcd" + MARK + b"c")])  # 24 + 4 + 4 + 1 bytes
    monkeypatch.setattr(recordio, "LONGEST", 33)
    assert contents(RecordReader(long)) == [b"abcd" + MARK + b"c"]
    monkeypatch.setattr(recordio, "LONGEST", 32)
    with pytest.raises(UserError, match="record 0: it is longer than 32 bytes; the file is damaged"):
        RecordReader(long).data(0)
    monkeypatch.undo()
    for kind, message in (
        (1, "record 1: the part at byte 72 is of kind 1, which cannot stand there"),
        (7, "of kind 7"),
    ):
        with pytest.raises(UserError, match=message):
            RecordReader(damage(path, where, struct.pack("<I", kind << 29 | 1)))
    with pytest.raises(UserError, match="record 1: it begins at byte 84 and reaches beyond the file's 84"):
        RecordReader(damage(path, where, struct.pack("<I", 2 << 29 | 1)))
    with pytest.raises(UserError, match="record 0: no record begins at byte 0"):
        RecordReader(damage(path, 4, struct.pack("<I", 3 << 29 | 26)))
    path.with_suffix(".idx").unlink()
    with pytest.raises(UserError, match="record 0 of the file, counted from 0: the part at byte 0 is of kind 3"):
        RecordReader(path)
    path = save(tmp_path, [image(1, 0, b"ab"), image(1, 1, b"abcd" + MARK)], index=False)
    os.truncate(path, 72)
    with pytest.raises(
        UserError, match="record 1 of the file, counted from 0: it begins at byte 72 and reaches beyond"
    ):
        RecordReader(path)


def test_a_file_that_changes_while_in_use(tmp_path):
    path = directory(tmp_path)
    reader = RecordReader(path)
    assert reader.data(0) == b"1"
    os.truncate(path, 50)
    with pytest.raises(UserError, match=r"rec: record 2: the file has become shorter while it was in use; start again"):
        reader.data(1)
    with pytest.raises(UserError, match=r"rec: record 5: it begins at byte 144 and reaches beyond"):
        reader.data(4)
    with pytest.raises(UserError, match=r"rec: cannot be read: .*; check the path"):
        list(reader._file.heads(np.array([0, 72]), str))
    with pytest.raises(UserError, match=r"none: cannot be read: No such file or directory; check the path"):
        FileBytes(tmp_path / "none").read(0, 1)


@pytest.mark.parametrize("label", [0.5, -1.0, float("nan"), float("inf"), float(2**24)])
def test_labels_that_number_nobody(tmp_path, label):
    message = (
        r"train\.rec: record 1: its label, \S+, is not a whole number from 0 to 16777215; make the file with labels"
    )
    for flag, labels in ((0, label), (2, (label, 1.0))):
        path = save(
            tmp_path / str(flag), [image(0, 0, b""), image(labels, 1, b"", flag=flag), image(2**24 - 1, 2, b"")]
        )
        with pytest.raises(UserError, match=message):
            RecordReader(path)


@pytest.mark.parametrize(
    ("zero", "ranges", "message"),
    [
        ((0, 5), [(1, 4)], "record 0: identities begin with record 0, it says, but there are 5 records"),
        ((9, 10), [(1, 4)], "record 0: identities begin with record 9"),
        ((2**39, 10), [(1, 4)], "record 0: identities begin with record 549755813888"),
        ((4.5, 10), [(1, 4)], r"record 0: \[4\.5, 10\.0\] is no range of records"),
        ((float("nan"), 0), [(1, 4)], r"record 0: \[nan, 0\.0\] is no range of records"),
        ((3, 5), [(1, 4)], "record 3: it should be an identity, two labels alone"),
        ((4, 5), [(1, 5)], "record 4: its images are records 1 to 4, but images are 1 to 3"),
        ((4, 5), [(0, 2)], "record 4: its images are records 0 to 1"),
        ((4, 5), [(3, 1)], "record 4: its images are records 3 to 0"),
        ((4, 5), [(-1, 2)], r"record 4: \[-1\.0, 2\.0\] is no range"),
        ((4, 6), [(1, 3), (2, 4)], "record 5: its image 2 is of another identity too"),
        ((1, 2), [], "record 1: it should be an identity"),
    ],
)
def test_directories_that_lie(tmp_path, zero, ranges, message):
    records = [pair(*zero, 0), *(image(1, key, b"") for key in (1, 2, 3))]
    path = save(tmp_path, [*records, *(pair(*bounds, 0) for bounds in ranges)])
    with pytest.raises(UserError, match=rf"train\.rec: {message}"):
        RecordReader(path)


def test_directories_without_images(tmp_path):
    with pytest.raises(UserError, match=r"train\.rec: there are no images in it; name another file"):
        RecordReader(save(tmp_path / "none", [pair(1, 1, 0)]))
    path = directory(tmp_path / "gap")
    lines = path.with_suffix(".idx").read_text().splitlines(keepends=True)
    path.with_suffix(".idx").write_text("".join(line for line in lines if not line.startswith("3\t")))
    with pytest.raises(UserError, match=r"record 3 is an image, as record 0 says, but the index has no such record"):
        RecordReader(path)


# ------------------------------------------------------------------------------------------------------------ writing


def rows():
    """Faces with marks at all places."""
    return [
        (
            f"p{person}/{place}.jpg",
            f"p{person}",
            MARK * place + bytes(range(7 * person, 7 * person + 5 * place + 1)) + MARK,
        )
        for person in range(4)
        for place in range(3 * person + 1)
    ]


def test_the_bytes_that_mxnet_writes(tmp_path):
    """The file and its index as MXNet 1.9.1 (MXIndexedRecordIO, pack) wrote them from the same images."""
    faces = [(path, name, data + bytes(int(name[1:])) + MARK) for path, name, data in rows()]
    assert write_records(tmp_path / "a.rec", faces) == 22
    digests = [hashlib.sha256((tmp_path / f"a.{end}").read_bytes()).hexdigest() for end in ("rec", "idx")]
    assert digests == [
        "fd52816a8158858db6c0b1bc9cded413c5fbcc55e2cff2a1957b49459b3e8f29",
        "56e6c6a05af9891c1830c020cdb4f2cd7a666dad58f623ce6621f4c1550bb4fc",
    ]


def test_what_is_written_is_the_published_layout(tmp_path):
    faces = rows()
    write_records(tmp_path / "a.rec", iter(faces), size=(112, 96))
    records = plain_unpack((tmp_path / "a.rec").read_bytes())
    labels = [int(name[1:]) for _, name, _ in faces]
    assert records[1:23] == [image(labels[key - 1], key, faces[key - 1][2]) for key in range(1, 23)]
    assert records[0] == pair(23, 27, 0)
    assert records[23:] == [pair(1, 2, 23), pair(2, 6, 24), pair(6, 13, 25), pair(13, 23, 26)]
    sizes = np.cumsum([0, *(len(plain_pack(data)) for data in records)])
    assert (tmp_path / "a.idx").read_text() == "".join(f"{key}\t{at}\n" for key, at in enumerate(sizes[:-1]))
    listed = "".join(f"{key}\t{labels[key - 1]}\t{faces[key - 1][0]}\n" for key in range(1, 23))
    assert (tmp_path / "a.lst").read_text() == listed
    assert (tmp_path / "property").read_text() == "4,112,96\n"
    assert sorted(os.listdir(tmp_path)) == ["a.idx", "a.lst", "a.rec", "property"]


@pytest.mark.parametrize("directed", [True, False])
def test_rows_come_back(tmp_path, directed):
    faces = rows()
    if not directed:
        random.Random(0).shuffle(faces)
    calls = []
    path = tmp_path / "deep/a"
    count = write_records(path, faces, lambda *done: calls.append(done), identities=directed)
    assert count == len(faces) and calls[-1] == (22, 22) and len(calls) <= 200
    for _ in range(2):
        reader = RecordReader(path)
        found = list(zip(paths(reader), people(reader), contents(reader), strict=True))
        assert found == faces and list(reader.names) == list(dict.fromkeys(name for _, name, _ in faces))
    again = tmp_path / "again.rec"
    copies = ((reader.path(i), people(reader)[i], memoryview(reader.data(i))) for i in range(len(reader)))
    write_records(again, copies, identities=directed)
    assert again.read_bytes() == (tmp_path / "deep/a.rec").read_bytes()


def test_people_that_are_numbers_keep_them(tmp_path):
    faces = [("a/1.jpg", 30, JPEG), ("a/2.jpg", 30, JPEG), ("3.png", np.int64(4), PNG), ("/b/4", 100, b"BM")]
    write_records(tmp_path / "a", faces, size=(1, 2))
    reader = RecordReader(tmp_path)
    assert list(reader.names) == ["004", "030", "100"] and people(reader) == ["030", "030", "004", "100"]
    assert paths(reader) == ["a/1.jpg", "a/2.jpg", "3.png", "100/00000004.bmp"]
    assert (tmp_path / "property").read_text() == "101,1,2\n"
    (tmp_path / "a.lst").unlink()
    assert paths(RecordReader(tmp_path))[:3] == ["030/00000001.jpg", "030/00000002.jpg", "004/00000003.png"]


def test_paths_in_the_list(tmp_path):
    faces = [("x/1.jpg", "anna", b"1"), ("anna", "anna", b"2"), ("../3", "anna", PNG), ("a\tb", "anna", b"4")]
    faces += [("bo/\udc80.jpg", "bo", b"5"), ("\ud800", "bo", JPEG), ("bo/" + "x" * 5000, "bo", JPEG)]
    write_records(tmp_path / "a.rec", faces)
    for _ in range(2):
        found = paths(RecordReader(tmp_path))
        assert found[:4] == ["anna/x/1.jpg", "anna/anna", "anna/../3"[:5] + "00000003.png", "anna/00000004.jpg"]
        assert found[4:] == ["bo/\udc80.jpg", "bo/00000006.jpg", "bo/00000007.jpg"]


def test_rows_that_cannot_be_written(tmp_path, monkeypatch):
    write_records(tmp_path / "a.rec", [("old", "old", b"")])
    before = {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)}
    anna, bo = ("anna/1.jpg", "anna", b""), ("bo/1.jpg", "bo", b"")

    def broken():
        yield anna
        raise UserError("bo/1.jpg: gone")

    monkeypatch.setattr(record, "LONGEST", 999)
    for faces, message in (
        (
            [anna, bo, anna],
            r"a\.rec: row 3, 'anna/1\.jpg': there are others between it and .* 'anna' before; sort by person",
        ),
        (broken(), r"^bo/1\.jpg: gone$"),
        ([], r"a\.rec: there are no images to write; name a set that holds some"),
        ([anna, ("x", 5, b"")], r"row 2, 'x': its person, 5, is not of the kind before; give all names or all numbers"),
        ([("x", 5, b""), bo], r"row 2, 'bo/1\.jpg': its person, 'bo', is not of the kind before"),
        ([("x", None, b"")], r"row 1, 'x': its person, None, is neither a name nor a number"),
        ([("x", 1, b""), ("x", True, b"")], r"row 2, 'x': its person, True, is neither a name nor a number"),
        ([("x", -1, b"")], r"its label, -1, is not a number from 0 to 16777215"),
        ([("x", 2**24, b"")], r"its label, 16777216, is not a number"),
        ([("x", "a/b", b"")], r"its person, 'a/b', cannot name a folder; rename it"),
        ([("x", "..", b"")], r"its person, '\.\.', cannot name"),
        ([("x", "", b"")], r"its person, '', cannot name"),
        ([("x", "a\nb", b"")], r"cannot name"),
        ([("x", "\ud800", b"")], r"cannot name"),
        ([anna, ("x", "bo", bytes(976))], r"row 2, 'x': 1000 bytes are too many for one record; leave the image out"),
    ):
        with pytest.raises(UserError, match=message):
            write_records(tmp_path / "a.rec", faces, size=(1, 1))
        assert {name: (tmp_path / name).read_bytes() for name in os.listdir(tmp_path)} == before
    for folder in (tmp_path, f"{tmp_path}/b/"):
        with pytest.raises(UserError, match=r": this is a folder; name the \.rec file to write"):
            write_records(folder, [anna])
    with pytest.raises(UserError, match=r"a\.rec/b\.rec: cannot be written"):
        write_records(tmp_path / "a.rec/b", [anna])


def test_as_many_rows_as_a_float32_can_count(tmp_path, monkeypatch):
    for module in (record, identities):
        monkeypatch.setattr(module, "WHOLE", 16)
    faces = [(f"{row}", f"p{row // 4}", b"%d" % row) for row in range(12)]  # 12 images, 3 people: the last key is 15
    for count, known in ((11, True), (12, True), (12, False), (16, True)):
        more = [*faces, *[(f"{row}", "p2", b"") for row in range(12, count)]]
        if count < 12:
            write_records(tmp_path / "a", more[:count] if known else iter(more[:count]))
            assert contents(RecordReader(tmp_path / "a")) == [data for *_, data in more[:count]]
        else:
            row = "16 rows" if known and count == 16 else r"row 12, '11'"  # 12 images and 3 people need 16 keys
            with pytest.raises(UserError, match=rf"a\.rec: {row}: identities can tell of fewer than"):
                write_records(tmp_path / "a", more if known else iter(more))
            write_records(tmp_path / "a", more, identities=False)
            assert len(RecordReader(tmp_path / "a")) == count


# ---------------------------------------------------------------------------------------------------------- fuzzing


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """Files of each kind: their contents by their ends."""
    folder = tmp_path_factory.mktemp("sound")
    directory(folder, stem="insightface")
    save(
        folder, [image((3, 1), 5, JPEG + MARK, 2), image(4, 1, MARK * 3), image(3, 9, b"a")], [5, 1, 9], stem="vectors"
    )
    write_records(folder / "ours", rows()[:9])
    save(folder, [image(2, 1, JPEG), image(3, 0, PNG), image((2,), 0, b"", 1)], stem="alone", index=False)
    ends = (".rec", ".idx", ".lst")
    return [
        {end: (folder / f"{stem}{end}").read_bytes() for end in ends if (folder / f"{stem}{end}").exists()}
        for stem in ("insightface", "vectors", "ours", "alone")
    ]


def mutate(data: bytes, draw: random.Random, text: bool) -> bytes:
    content = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        at = draw.randrange(len(content) + 1)
        kind = draw.randrange(6)
        if kind == 0:
            del content[at:]
        elif kind == 1:
            del content[at : at + draw.choice((1, 4, 36))]
        elif kind == 2:
            other = draw.randrange(len(content) + 1)
            content[at:at] = content[other : other + draw.choice((1, 4, 36, 120))] * draw.choice((1, 1, 50))
        elif kind == 3 and content:
            content[at % len(content)] ^= 1 << draw.randrange(8)
        elif text:
            content[at : at + draw.randrange(3)] = draw.choice(
                (b"9" * 18, b"\t", b"\n", b"-", b"1e400", b"nan", b"..", b"/")
            )
        else:
            word = draw.choice((0, 1, draw.getrandbits(32), 2**32 - 1, draw.randrange(8) << 29 | draw.randrange(64)))
            at -= at % 4
            words = (MARK, struct.pack("<I", word), struct.pack("<f", draw.choice((0.5, -1, 3e38, 2**24, 7))))
            content[at : at + 4] = draw.choice(words)
    return bytes(content)


def only_user_errors(folder, sound, seed):
    """A file of a kind is damaged, and all that a reader does is done."""
    draw = random.Random(seed)
    files = dict(draw.choice(sound))
    for end in draw.choice(([".rec"], [".idx"], [".lst"], [".rec", ".idx"], [".rec", ".idx", ".lst"])):
        if end in files:
            files[end] = mutate(files[end], draw, end != ".rec")
    if draw.random() < 0.2:
        files.pop(".idx", None)
    for end in (".rec", ".idx", ".lst"):
        (folder / f"a{end}").unlink(missing_ok=True)
        if end in files:
            (folder / f"a{end}").write_bytes(files[end])
    with patch.object(record, "kept_index", lambda path, sources, version, build, fits: build()):
        try:
            reader = RecordReader(folder / "a")
        except UserError as error:
            assert str(error).startswith(str(folder)) and "\n" not in str(error)
            return
    assert len(reader) == len(reader.labels) <= len(files[".rec"]) // 8 and len(reader.names) <= len(reader)
    for index in range(len(reader)):
        for read in (reader.data, reader.path):
            try:
                found = read(index)
            except UserError as error:
                assert str(error).startswith(str(folder)) and "\n" not in str(error)
            else:
                assert len(found) <= 2 * len(files[".rec"]) + 64


FUZZ = {"deadline": None, "database": None, "suppress_health_check": [HealthCheck.function_scoped_fixture]}


@settings(max_examples=100, **FUZZ)
@given(seed=st.integers(0, 2**64 - 1))
def test_damage_is_told_or_does_no_harm(tmp_path, sound, seed):
    only_user_errors(tmp_path, sound, seed)


@pytest.mark.long
@settings(max_examples=10_000, **FUZZ)
@given(seed=st.integers(0, 2**64 - 1))
def test_much_damage(tmp_path, sound, seed):
    only_user_errors(tmp_path, sound, seed)
