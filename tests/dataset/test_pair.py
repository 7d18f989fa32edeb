import numpy as np
import pytest

from opensphere.dataset import PairDataset
from opensphere.dataset.annotation import write_list
from opensphere.dataset.pair import find_folds, parse_folds
from opensphere.dataset.reader.pickled import write_bin
from opensphere.error import UserError
from tests.dataset.pictures import picture, save
from tests.shared import shared


def make(tmp_path, rows, **arguments):
    for number, path in enumerate(sorted({path for row in rows for path in row[1:]})):
        save(tmp_path / path, number)
    write_list(tmp_path / "pairs.txt", rows)
    return PairDataset("pairs", tmp_path, tmp_path / "pairs.txt", image_size=24, **arguments)


def test_images_are_unique_and_in_order_of_appearance(tmp_path):
    dataset = make(tmp_path, [("1", "b.png", "a.png"), ("0", "c d.png", "b.png"), ("0", "a.png", "a.png")])
    assert len(dataset) == 3 and [dataset.path(index) for index in range(3)] == ["b.png", "a.png", "c d.png"]
    assert dataset.pairs.tolist() == [[0, 1], [2, 0], [1, 1]] and dataset.pairs.dtype == np.int64
    assert dataset.is_same.tolist() == [True, False, False] and dataset.is_same.dtype == bool
    assert dataset.folds is None and dataset.metrics == []
    np.testing.assert_array_equal(dataset.read(2), picture(2))
    np.testing.assert_array_equal(dataset.read(0), picture(1))


@pytest.mark.parametrize("label", ["2", "-1", "yes", "01", "1.0"])
def test_a_label_is_0_or_1(tmp_path, label):
    with pytest.raises(UserError, match=rf"pairs\.txt:2: label '{label}'"):
        make(tmp_path, [("1", "a.png", "b.png"), (label, "a.png", "b.png")])


def test_a_class_list_is_refused(tmp_path):
    write_list(tmp_path / "list.txt", [("a.png", "anna")])
    with pytest.raises(UserError, match=r"list\.txt:1: 2 fields where label path path is expected"):
        PairDataset("pairs", tmp_path, tmp_path / "list.txt")


def test_missing_images_are_found_at_once(tmp_path):
    rows = [("1", "a.png", "b.png"), ("0", "c.png", "d.png"), ("0", "a.png", "d.png")]
    make(tmp_path, rows)
    (tmp_path / "d.png").unlink()
    with pytest.raises(UserError, match=r"pairs\.txt:2: .*/d\.png: the file does not exist of 4; check data_dir"):
        PairDataset("pairs", tmp_path, tmp_path / "pairs.txt")
    (tmp_path / "a.png").unlink()
    with pytest.raises(UserError, match=r"pairs\.txt:1: .*/a\.png: the file does not exist and 1 more of 4"):
        PairDataset("pairs", tmp_path, tmp_path / "pairs.txt")


def test_ten_folds_where_every_tenth_is_balanced():
    fold = np.array([True, True, False, False])
    np.testing.assert_array_equal(find_folds(np.tile(fold, 10)), np.repeat(np.arange(10), 4))
    assert find_folds(np.tile(fold, 10)[:-4]) is None  # 36 pairs
    assert find_folds(np.repeat([True, False], 20)) is None  # all genuine pairs first
    assert find_folds(np.tile([True, False, False], 10)) is None
    assert find_folds(np.zeros(0, bool)) is None


def test_folds_by_number():
    is_same = np.arange(11) % 2 == 0
    folds = parse_folds(3, is_same)
    assert folds.tolist() == [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2]
    assert parse_folds(None, is_same) is None and parse_folds("auto", is_same) is None
    for wrong in (1, 12, 2.0, "ten", True):
        with pytest.raises(UserError, match="folds: .* to the 11 pairs"):
            parse_folds(wrong, is_same)


def test_the_list_of_lfw():
    dataset = PairDataset("LFW", shared("faces/lfw/images"), shared("faces/lfw/lfw_ann.txt"), metrics=["ACC"])
    assert len(dataset.pairs) == 6000 and len(dataset) == 7701 and dataset.is_same.sum() == 3000
    np.testing.assert_array_equal(dataset.folds, np.repeat(np.arange(10), 600))
    person = np.array([dataset.path(index).split("/")[0] for index in range(len(dataset))])
    np.testing.assert_array_equal(person[dataset.pairs[:, 0]] == person[dataset.pairs[:, 1]], dataset.is_same)


@pytest.mark.parametrize("kind", ["ff", "fp"])
def test_the_lists_of_cfp(kind):
    dataset = PairDataset("CFP", shared("faces/cfp/images"), shared(f"faces/cfp/cfp_{kind}_ann.txt"))
    np.testing.assert_array_equal(dataset.folds, np.repeat(np.arange(10), 700))
    person = [int(dataset.path(index).split("/")[0]) for index in range(len(dataset))]
    order = list(dict.fromkeys(person))
    np.testing.assert_array_equal(dataset.persons, [order.index(number) for number in person])


def test_pairs_of_a_bin_file_and_of_official_lists(tmp_path):
    images = [save(tmp_path / f"images/Anna/Anna_000{n}.png", n).read_bytes() for n in range(1, 5)]
    write_bin(tmp_path / "pairs.bin", images, [True, False])
    pairs = PairDataset("pairs", tmp_path / "pairs.bin", image_size=24)
    assert pairs.pairs.tolist() == [[0, 1], [2, 3]] and pairs.is_same.tolist() == [True, False]
    np.testing.assert_array_equal(pairs.read(2), picture(3))
    with pytest.raises(UserError, match=r"images: ann_path should name the list of pairs; only a \.bin file"):
        PairDataset("pairs", tmp_path / "images")
    official = PairDataset("LFW", shared("faces/lfw/images"), shared("faces/lfw/pairs.txt"))
    plain = PairDataset("LFW", shared("faces/lfw/images"), shared("faces/lfw/lfw_ann.txt"))
    for name in ("pairs", "is_same", "folds", "persons"):
        np.testing.assert_array_equal(getattr(official, name), getattr(plain, name))


def test_persons_of_a_bin_file_are_joined_by_pairs_and_bytes(tmp_path):
    images = [save(tmp_path / f"{n}.png", n).read_bytes() for n in range(4)]
    write_bin(tmp_path / "pairs.bin", [*images, images[1], images[2]], [True, False, True])
    assert PairDataset("pairs", tmp_path / "pairs.bin").persons.tolist() == [0, 0, 0, 1, 0, 0]


def test_persons_of_a_genuine_bin_file():
    dataset = PairDataset("pairs", shared("goldens/insightface_small_lfw.bin"))
    same = dataset.persons[dataset.pairs[:, 0]] == dataset.persons[dataset.pairs[:, 1]]
    np.testing.assert_array_equal(same, dataset.is_same)
