import numpy as np
import pytest

from opensphere.dataset import ItemDataset
from opensphere.error import UserError
from tests.dataset.pictures import picture, save


def test_a_list(tmp_path):
    save(tmp_path / "a.png", 1)
    save(tmp_path / "b c.png", 2)
    (tmp_path / "list.txt").write_text("b c.png\t\na.png anna 0.7\nb c.png\tx\n")
    dataset = ItemDataset("items", tmp_path, tmp_path / "list.txt", image_size=24)
    assert [dataset.path(index) for index in range(len(dataset))] == ["b c.png", "a.png", "b c.png"]
    np.testing.assert_array_equal(dataset.read(1), picture(1))
    np.testing.assert_array_equal(dataset.read(2), picture(2))


def test_a_folder(tmp_path):
    for number, path in enumerate(["z.png", "b/c/1.png", "a.png", "b/1.png"]):
        save(tmp_path / path, number)
    dataset = ItemDataset("items", tmp_path, image_size=24)
    assert [dataset.path(index) for index in range(len(dataset))] == ["a.png", "z.png", "b/1.png", "b/c/1.png"]
    np.testing.assert_array_equal(dataset.read(3), picture(1))


def test_errors(tmp_path):
    with pytest.raises(UserError, match="no images found; set data_dir"):
        ItemDataset("items", tmp_path)
    (tmp_path / "list.txt").write_text("\nmy face.png\n")
    with pytest.raises(UserError, match=r"list\.txt:2: .*/my: the file does not exist"):
        ItemDataset("items", tmp_path, tmp_path / "list.txt")
