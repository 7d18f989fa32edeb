import numpy as np
import pytest

from opensphere.dataset import PairDataset, RFWDataset
from opensphere.dataset.reader.pickled import write_bin
from opensphere.dataset.rfw import GROUPS
from opensphere.error import UserError
from tests.dataset.pictures import encode, picture, save


def write_rfw(root, images="data", suffix=".jpg", folds=10):
    """Two pairs a fold in each group: 1 and 2 of m.0k are of one person, 1 of m.0k and 2 of the next are not."""
    for number, group in enumerate(GROUPS):
        lines = []
        for fold in range(folds):
            name, other = f"m.0{fold}", f"m.0{(fold + 1) % folds}"
            lines += [f"{name}\t1\t2", f"{name}\t1\t{other}\t2"]
            for image in (1, 2):
                save(root / images / group / name / f"{name}_000{image}{suffix}", 100 * number + 10 * image + fold)
        path = root / "txts" / group / f"{group}_pairs.txt"
        path.parent.mkdir(parents=True)
        path.write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize(("images", "suffix"), [("data", ".jpg"), ("images", ".png")])
def test_the_folder_as_it_was_distributed(tmp_path, images, suffix):
    dataset = RFWDataset("RFW", write_rfw(tmp_path, images, suffix), image_size=24)
    assert dataset.group_names == list(GROUPS) and len(dataset) == 80 and len(dataset.pairs) == 80
    np.testing.assert_array_equal(dataset.pair_group, np.repeat(np.arange(4), 20))
    np.testing.assert_array_equal(dataset.folds, np.tile(np.repeat(np.arange(10), 2), 4))
    np.testing.assert_array_equal(dataset.is_same, np.tile([True, False], 40))
    for group in range(4):
        own = dataset.pairs[dataset.pair_group == group]
        assert own.min() == 20 * group and own.max() == 20 * group + 19
        assert set(dataset.persons[own].ravel()) == set(range(10 * group, 10 * group + 10))
    np.testing.assert_array_equal(
        dataset.persons[dataset.pairs[:, 0]] == dataset.persons[dataset.pairs[:, 1]], dataset.is_same
    )
    assert [dataset.path(index) for index in dataset.pairs[21]] == [
        f"m.00/m.00_0001{suffix}",
        f"m.01/m.01_0002{suffix}",
    ]
    if suffix == ".png":
        np.testing.assert_array_equal(dataset.read(int(dataset.pairs[21, 1])), picture(121))


def test_a_group_is_a_list_of_pairs_too(tmp_path):
    root = write_rfw(tmp_path)
    pairs = PairDataset("Asian", root / "data/Asian", root / "txts/Asian/Asian_pairs.txt")
    assert len(pairs.pairs) == 20 and pairs.folds.max() == 9 and pairs.persons.max() == 9


def test_groups_by_name(tmp_path):
    root = write_rfw(tmp_path)
    images = [encode(picture(n), ".png") for n in (0, 1, 2, 3)]
    write_bin(tmp_path / "b.bin", images * 10, [True, False] * 10)
    groups = {"A": root / "txts/Asian/Asian_pairs.txt", "B": tmp_path / "b.bin"}
    dataset = RFWDataset("mine", root / "data/Asian", groups, image_size=24, metrics=["gap"])
    assert dataset.group_names == ["A", "B"] and len(dataset) == 60 and dataset.metrics == ["gap"]
    np.testing.assert_array_equal(dataset.read(20 + 3), picture(3))
    assert dataset.persons.tolist()[20:] == [10, 10, 11, 12] * 10  # files of the same bytes are one image


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "data_dir should name RFW's folder, or groups"),
        ({"data_dir": "."}, "African_pairs.txt: there is no such list; set data_dir to RFW's folder"),
        ({"groups": ["a.bin"]}, "groups: ['a.bin'] does not name a list or .bin file for each group"),
        ({"groups": {"A": "list.txt"}}, "list.txt: data_dir should name the folder"),
        ({"groups": {"A": "none.bin"}}, "none.bin: there is no such file"),
    ],
)
def test_what_is_missing(tmp_path, monkeypatch, arguments, words):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as caught:
        RFWDataset("RFW", **arguments)
    assert words in str(caught.value)


def test_pairs_that_are_no_ten_folds(tmp_path):
    root = write_rfw(tmp_path, folds=9)
    with pytest.raises(UserError, match=r"African_pairs\.txt: its 18 pairs are not ten folds in turn"):
        RFWDataset("RFW", root)
    write_bin(tmp_path / "b.bin", [encode(picture(0))] * 40, [True, False] * 10)
    with pytest.raises(UserError, match="^groups: 1 given; differences between groups need two"):
        RFWDataset("RFW", groups={"A": tmp_path / "b.bin"})
