import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from opensphere.dataset.pair_list import read_pairs
from opensphere.error import UserError
from tests.shared import shared

LFW = """2 2
Anna 1 2
Bert\t1\t3
Anna 1 Bert 1
Carl 1 Bert 2

Carl 1 2
Carl 1 1
Anna 2 Carl 2
Bert 3 Anna 1
"""


def touch(folder, paths):
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()


def lfw(tmp_path, text=LFW, suffix=".jpg"):
    """The file of pairs and the folder of images."""
    images = tmp_path / "images"
    touch(images, [f"{name}/{name}_000{number}{suffix}" for name in ("Anna", "Bert", "Carl") for number in (1, 2, 3)])
    path = tmp_path / "pairs.txt"
    path.write_bytes(text.encode())
    return path, images


def named(found):
    """(label, path, path) of each pair."""
    sides = [[found.paths[index] for index in pair] for pair in found.pairs]
    return [(int(same), *pair) for same, pair in zip(found.is_same, sides, strict=True)]


def test_the_file_of_lfw(tmp_path):
    path, images = lfw(tmp_path)
    found = read_pairs(path, images)
    assert named(found)[:4] == [
        (1, "Anna/Anna_0001.jpg", "Anna/Anna_0002.jpg"),
        (1, "Bert/Bert_0001.jpg", "Bert/Bert_0003.jpg"),
        (0, "Anna/Anna_0001.jpg", "Bert/Bert_0001.jpg"),
        (0, "Carl/Carl_0001.jpg", "Bert/Bert_0002.jpg"),
    ]
    assert found.is_same.tolist() == [True, True, False, False] * 2 and found.is_same.dtype == bool
    assert found.folds.tolist() == [0] * 4 + [1] * 4 and found.folds.dtype == found.pairs.dtype == np.int64
    assert found.path == str(path) and len(found.paths) == len(set(found.paths)) == 7
    lines = {found.paths[index]: found.where(index) for index in range(7)}
    assert lines["Anna/Anna_0002.jpg"] == f"{path}:2" and lines["Carl/Carl_0002.jpg"] == f"{path}:7"


def test_one_number_is_one_set_without_folds(tmp_path):
    found = read_pairs(*lfw(tmp_path, "\ufeff2\r\n" + LFW.split("\n", 1)[1].split("\n\n")[0].replace("\n", "\r\n")))
    assert found.is_same.tolist() == [True, True, False, False] and found.folds is None


def test_images_may_have_another_suffix(tmp_path):
    assert read_pairs(*lfw(tmp_path, suffix=".png")).paths[0] == "Anna/Anna_0001.png"


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("2 2", "3 2", r"pairs\.txt: 8 pairs where the first line promises 12"),
        ("2 2", "1 2", r"pairs\.txt:7: more than the 4 pairs"),
        ("2 2", "4", r"pairs\.txt:4: 4 fields where a pair of one person, name number number, is expected"),
        ("2 2", "2 0", r"pairs\.txt:1: '0' where a number from 1"),
        ("2 2", "2 1234567890", r"pairs\.txt:1: '1234567890' where a number from 1"),
        ("2 2", "2 2 2", r"pairs\.txt:1: label '2'; it should be 1 \(same person\)"),
        ("2 2", "1 a b", r"pairs\.txt:2: label 'Anna'"),
        ("Anna 1 2\n", "", r"pairs\.txt:3: 4 fields where a pair of one person"),
        ("Carl 1 Bert 2\n", "", r"pairs\.txt:6: 3 fields where a pair of two people, name number name number,"),
        ("Anna 1 2", "Anna 1 b", r"pairs\.txt:2: 'b' where a number from 1"),
        ("Anna 1 2", "Anna -1 2", r"pairs\.txt:2: '-1' where a number from 1"),
        ("Anna 1 2", "../Anna 1 2", r"pairs\.txt:2: '../Anna' is no name of a person"),
        ("Anna 1 2", "Anna 1 7", r"pairs\.txt:2: .*/images/Anna/Anna_0007\.jpg: the file does not exist of 8; check"),
        ("Anna 1 2", "Dora 1 2", r"pairs\.txt:2: .*Dora_0001\.jpg: the file does not exist and 1 more of 9"),
        ("Anna 2 Carl 2", "Carl 1 Carl 2", r"pairs\.txt:9: a pair of two people names 'Carl' twice"),
    ],
)
def test_a_file_of_lfw_that_is_not_whole(tmp_path, old, new, message):
    with pytest.raises(UserError, match=message):
        read_pairs(*lfw(tmp_path, LFW.replace(old, new, 1)))


def test_a_plain_list(tmp_path):
    path, folder = lfw(tmp_path)
    path.write_text("1 Anna/Anna_0001.jpg Anna/Anna_0002.jpg\n")
    found = read_pairs(path, folder)
    assert found.pairs.tolist() == [[0, 1]] and found.is_same.tolist() == [True] and found.folds is None
    with pytest.raises(UserError, match="there is no such list"):
        read_pairs(tmp_path / "none.txt", folder)
    with pytest.raises(UserError, match="there is no such folder; set data_dir"):
        read_pairs(path, tmp_path / "none")


def test_lfw_itself():
    found = read_pairs(shared("faces/lfw/pairs.txt"), shared("faces/lfw/images"))
    rows = [line.split() for line in shared("faces/lfw/lfw_ann.txt").read_text().splitlines()]
    assert named(found) == [(int(label), *paths) for label, *paths in rows]
    np.testing.assert_array_equal(found.folds, np.repeat(np.arange(10), 600))


def cfp(folder, pairs, kind="FF", count=5):
    """Write CFP's folder for (10, 2, n, 2) numbers of images, n for each fold of either kind; give Split/`kind`."""
    split = folder / "Protocol" / "Split" / kind
    for pose, name in (("F", "frontal"), ("P", "profile")):
        lines = [f"{i + 1} ../Data/Images/{i // 2 + 1:03d}/{name}/{i % 2 + 1:02d}.jpg\n" for i in range(count)]
        split.mkdir(parents=True, exist_ok=True)
        (folder / "Protocol" / f"Pair_list_{pose}.txt").write_text("".join(lines))
    for fold, kinds in enumerate(pairs):
        for name, numbers in zip(("same.txt", "diff.txt"), kinds, strict=True):
            path = split / f"{fold + 1:02d}" / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(f"{first},{second}\n" for first, second in numbers))
    return split


def images(folder, suffix=".jpg", count=5):
    touch(
        folder,
        [f"{i // 2 + 1:03d}/{pose}/{i % 2 + 1:02d}{suffix}" for i in range(count) for pose in ("frontal", "profile")],
    )
    return folder


PAIRS = [[[(1, 2), (3, 4)], [(1, 3), (2, 4)]] for _ in range(9)] + [[[(2, 1), (4, 3)], [(5, 1), (5, 2)]]]


def test_the_folder_of_cfp(tmp_path):
    split = cfp(tmp_path, PAIRS)
    folder = images(tmp_path / "Data" / "Images")
    found = read_pairs(split, folder)
    assert named(found)[1:3] == [
        (1, "002/frontal/01.jpg", "002/frontal/02.jpg"),
        (0, "001/frontal/01.jpg", "002/frontal/01.jpg"),
    ]
    assert named(found)[-1] == (0, "003/frontal/01.jpg", "001/frontal/02.jpg")
    assert found.is_same.tolist() == [True, True, False, False] * 10 and found.folds.tolist() == sorted(
        [*range(10)] * 4
    )
    assert len(found.paths) == 5 and found.where(2) == f"{tmp_path}/Protocol/Pair_list_F.txt:3"
    found = read_pairs(cfp(tmp_path, PAIRS, "FP"), folder)
    assert named(found)[1:3] == [
        (1, "002/frontal/01.jpg", "002/profile/02.jpg"),
        (0, "001/frontal/01.jpg", "002/profile/01.jpg"),
    ]
    assert found.paths[1] == "001/profile/02.jpg" and found.where(1) == f"{tmp_path}/Protocol/Pair_list_P.txt:2"


def test_where_the_images_of_cfp_may_lie(tmp_path, monkeypatch):
    split = cfp(tmp_path, PAIRS)
    images(tmp_path / "Data" / "Images")
    assert read_pairs(split, tmp_path).paths[0] == "Data/Images/001/frontal/01.jpg"
    assert read_pairs(split, tmp_path / "Data").paths[0] == "Images/001/frontal/01.jpg"
    copy = images(tmp_path / "aligned", ".png")
    assert read_pairs(f"{split}/", copy).paths[4] == "003/frontal/01.png"
    monkeypatch.chdir(split)
    assert read_pairs(".", copy).paths[0] == "001/frontal/01.png"
    for pose in "FP":
        (tmp_path / "Protocol" / f"Pair_list_{pose}.txt").rename(
            tmp_path / "Protocol" / "Split" / f"Pair_list_{pose}.txt"
        )
    assert read_pairs(split, copy).where(1) == f"{tmp_path}/Protocol/Split/Pair_list_F.txt:2"


@pytest.mark.parametrize(
    "file, old, new, message",
    [
        ("Split/FF/03/diff.txt", "2,4\n", "", r"FF/03/diff\.txt: 1 pairs where .*FF/01/same\.txt has 2"),
        (
            "Split/FF/03/diff.txt",
            "2,4",
            "2,6",
            r"FF/03/diff\.txt:2: image 6, but .*Protocol/Pair_list_F\.txt ends at 5",
        ),
        ("Split/FF/03/diff.txt", "2,4", "2,0", r"FF/03/diff\.txt:2: '0' where a number from 1"),
        ("Split/FF/03/diff.txt", "2,4", "2,4,4", r"FF/03/diff\.txt:2: 3 numbers where number,number"),
        ("Split/FF/03/diff.txt", "2,4", "2 4", r"FF/03/diff\.txt:2: 1 numbers where number,number"),
        ("Split/FF/03/diff.txt", "2,4", "1 2,4", r"FF/03/diff\.txt:2: '1 2' where a number from 1"),
        ("Split/FF/03/diff.txt", None, None, r"FF/03/diff\.txt: there is no such list"),
        ("Split/FF/01/same.txt", "1,2\n3,4\n", "", r"FF/01/same\.txt: the list is empty"),
        ("Pair_list_F.txt", "2 ../", "3 ../", r"Pair_list_F\.txt:2: image 3 where 2 is expected"),
        ("Pair_list_F.txt", "2 ../", "a ../", r"Pair_list_F\.txt:2: 'a' where a number from 1"),
        ("Pair_list_F.txt", "../Data/Images/001/frontal/02.jpg", "..", r"Pair_list_F\.txt:2: '\.\.' is no path"),
        (
            "Pair_list_F.txt",
            "frontal/02",
            "frontal/09",
            r"Pair_list_F\.txt:2: .*001/frontal/09\.jpg: the file does not",
        ),
        ("Pair_list_F.txt", None, None, r"Protocol/Pair_list_F\.txt: there is no such list"),
    ],
)
def test_a_folder_of_cfp_that_is_not_whole(tmp_path, file, old, new, message):
    split = cfp(tmp_path, PAIRS)
    path = tmp_path / "Protocol" / file
    if old is None:
        path.unlink()
    else:
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        read_pairs(split, images(tmp_path / "images"))


def test_a_folder_that_is_no_protocol(tmp_path):
    split = cfp(tmp_path, PAIRS)
    for folder in (tmp_path, split.parent):
        with pytest.raises(UserError, match="name CFP's folder Protocol/Split/FF or Protocol/Split/FP"):
            read_pairs(folder, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["FF", "FP"])
def test_cfp_itself(tmp_path, kind):
    rows = [line.split() for line in shared(f"faces/cfp/cfp_{kind.lower()}_ann.txt").read_text().splitlines()]

    def number(path):
        person, pose, file = path.removesuffix(".jpg").split("/")
        return (int(person) - 1) * (10 if pose == "frontal" else 4) + int(file)

    split = tmp_path / "Protocol" / "Split" / kind
    split.mkdir(parents=True)
    for pose, name, count in (("F", "frontal", 10), ("P", "profile", 4)):
        paths = [f"../Data/Images/{p + 1:03d}/{name}/{i + 1:02d}.jpg" for p in range(500) for i in range(count)]
        text = "".join(f"{index + 1} {path}\n" for index, path in enumerate(paths))
        (tmp_path / "Protocol" / f"Pair_list_{pose}.txt").write_text(text)
    for fold in range(10):
        (split / f"{fold + 1:02d}").mkdir()
        for label, file in (("1", "same.txt"), ("0", "diff.txt")):
            part = [row for row in rows[700 * fold : 700 * fold + 700] if row[0] == label]
            text = "".join(f"{number(first)},{number(second)}\n" for _, first, second in part)
            (split / f"{fold + 1:02d}" / file).write_text(text)
    found = read_pairs(split, shared("faces/cfp/images"))
    assert named(found) == [(int(label), *paths) for label, *paths in rows]
    np.testing.assert_array_equal(found.folds, np.repeat(np.arange(10), 700))


PIECES = (
    b"\n",
    b"\t",
    b" ",
    b",",
    b"0",
    b"1",
    b"99999999999",
    b"-1",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"/",
    b"..",
    b"Anna",
)


def damaged(chance, data):
    data = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), chance.choice((1, 2, 5, 20))
        match chance.randrange(5):
            case 0:
                data[at : at + 1] = chance.randbytes(1)
            case 1:
                data[at : at + length] = chance.choice(PIECES)
            case 2:
                data[at:at] = chance.choice(PIECES) * chance.randint(1, 3)
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                del data[at : at + length]
    return bytes(data)


def survives(path, folder, whole, seed, protocol):
    """Read `protocol` while its file `path` is a damaged copy of `whole`."""
    path.unlink(missing_ok=True)  # a new file is written faster than an old one is emptied
    path.write_bytes(damaged(random.Random(seed), whole))
    try:
        found = read_pairs(protocol, folder)
    except UserError as error:
        assert str(error).count("\n") == 0
        return
    assert len(found.pairs) == len(found.is_same) > 0 and found.pairs.max() < len(found.paths)
    assert all((folder / name).is_file() and found.where(index) for index, name in enumerate(found.paths))


def fuzz(tmp_path, examples):
    """Damage LFW's file, and each file of CFP in turn."""
    path, folder = lfw(tmp_path)
    whole = path.read_bytes()
    seeded = settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None)

    @seeded
    @given(seed=st.integers(0, 1 << 64))
    def of_lfw(seed):
        survives(path, folder, whole, seed, path)

    of_lfw()
    split = cfp(tmp_path, PAIRS, "FP")
    protocol = split.parents[1]
    files = [
        protocol / "Pair_list_F.txt",
        protocol / "Pair_list_P.txt",
        split / "01" / "same.txt",
        split / "04" / "diff.txt",
    ]
    texts = [file.read_bytes() for file in files]
    folder = images(tmp_path / "cfp")

    @seeded
    @given(seed=st.integers(0, 1 << 64))
    def of_cfp(seed):
        which = seed % len(files)
        survives(files[which], folder, texts[which], seed, split)
        files[which].unlink()
        files[which].write_bytes(texts[which])

    of_cfp()


def test_damaged_lists(tmp_path):
    fuzz(tmp_path, 50)


@pytest.mark.long
def test_damaged_lists_at_length(tmp_path):
    fuzz(tmp_path, 10_000)


RFW = """m.01\t1\t2
m.01\t2\tm.02\t1
m.02\t1\t3
m.03 1 m.01 2
"""


def rfw(tmp_path, text=RFW):
    images = tmp_path / "images"
    touch(images, [f"m.0{person}/m.0{person}_000{number}.png" for person in (1, 2, 3) for number in (1, 2, 3)])
    (tmp_path / "pairs.txt").write_text(text)
    return tmp_path / "pairs.txt", images


def test_a_file_of_rfw(tmp_path):
    found = read_pairs(*rfw(tmp_path))
    assert named(found) == [
        (1, "m.01/m.01_0001.png", "m.01/m.01_0002.png"),
        (0, "m.01/m.01_0002.png", "m.02/m.02_0001.png"),
        (1, "m.02/m.02_0001.png", "m.02/m.02_0003.png"),
        (0, "m.03/m.03_0001.png", "m.01/m.01_0002.png"),
    ]
    assert found.folds is None and found.persons.tolist() == [0, 0, 1, 1, 2]
    begins_otherwise = "\n".join(reversed(RFW.splitlines()))
    assert named(read_pairs(*rfw(tmp_path, begins_otherwise))) == named(found)[::-1]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("m.02 1", r"pairs\.txt:5: 2 fields where name number number or name number name number is expected"),
        ("m.02 1 2 3 4", r"pairs\.txt:5: 5 fields"),
        ("m.02 1 x", r"pairs\.txt:5: 'x' where a number from 1 is expected"),
        ("m.02 0 1", r"pairs\.txt:5: '0' where a number from 1"),
        ("m.02 1 m.02 2", r"pairs\.txt:5: a pair of two people names 'm.02' twice"),
        ("../m.02 1 2", r"pairs\.txt:5: '../m.02' is no name of a person"),
        ("m.02 1 4", r"pairs\.txt:5: .*m.02_0004.png: the file does not exist"),
    ],
)
def test_a_file_of_rfw_that_is_not_whole(tmp_path, line, words):
    with pytest.raises(UserError, match=words):
        read_pairs(*rfw(tmp_path, RFW + line + "\n"))


def test_people_of_lists(tmp_path):
    found = read_pairs(*lfw(tmp_path))
    person = [path.split("/")[0] for path in found.paths]
    assert found.persons.tolist() == [["Anna", "Bert", "Carl"].index(name) for name in person]
    plain = tmp_path / "plain.txt"
    plain.write_text("1 Anna/Anna_0001.jpg Anna/Anna_0002.jpg\n")
    assert read_pairs(plain, tmp_path / "images").persons is None
