import numpy as np
import pytest

from opensphere.dataset import FolderDataset
from opensphere.error import UserError
from tests.dataset.pictures import picture, save
from tests.shared import shared


def test_people_are_the_first_folders(tmp_path):
    for number, path in enumerate(["b/2.png", "a b/x/1.jpg", "b/1.png", "a b/0.jpeg", ".cache/1.png", "stray.png"]):
        save(tmp_path / path, number)
    (tmp_path / "empty").mkdir()
    dataset = FolderDataset("faces", tmp_path, image_size=24)
    assert dataset.names == ["a b", "b"] and dataset.num_class == 2
    assert [dataset.path(index) for index in range(len(dataset))] == ["a b/0.jpeg", "a b/x/1.jpg", "b/1.png", "b/2.png"]
    assert dataset.labels.tolist() == [0, 0, 1, 1] and dataset.labels.dtype == np.int64
    np.testing.assert_array_equal(dataset.read(3), picture(0))


def test_names_are_sorted_as_in_a_list(tmp_path):
    """ "a-b" sorts before "a/": comparing whole paths would mix people up."""
    for path in ("a/1.png", "a-b/1.png", "a/z/1.png", "B/1.png", "é/1.png"):
        save(tmp_path / path, 1)
    dataset = FolderDataset("faces", tmp_path)
    assert dataset.names == sorted(["a", "a-b", "B", "é"])
    assert [dataset.path(index).split("/")[0] for index in range(5)] == [dataset.names[k] for k in dataset.labels]


def test_helpful_errors(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        FolderDataset("faces", tmp_path / "none")
    with pytest.raises(UserError, match="no images found; it should hold a folder of images for each person"):
        FolderDataset("faces", tmp_path)
    save(tmp_path / "1.png", 1)
    with pytest.raises(UserError, match="its 1 images lie in it directly; put each person's images in a folder"):
        FolderDataset("faces", tmp_path)
    save(tmp_path / "images/anna/1.png", 1)
    save(tmp_path / "images/bo/1.png", 1)
    with pytest.raises(UserError, match=rf"one folder only, 'images'; .*set data_dir to {tmp_path}/images$"):
        FolderDataset("faces", tmp_path)
    assert FolderDataset("faces", tmp_path / "images").names == ["anna", "bo"]


def test_a_broken_image_is_named(tmp_path):
    save(tmp_path / "a/1.png", 1).write_bytes(b"")
    with pytest.raises(UserError, match=rf"^{tmp_path}/a/1\.png: the file is empty"):
        FolderDataset("faces", tmp_path).read(0)


def test_the_folder_of_cfp():
    dataset = FolderDataset("CFP", shared("faces/cfp/images"))
    assert (len(dataset), dataset.num_class) == (7000, 500)
    assert dataset.path(0) == "001/frontal/01.jpg"
