import random

import numpy as np
import pytest

from opensphere.dataset import ClassDataset
from opensphere.dataset.annotation import write_list
from opensphere.error import UserError
from tests.dataset.pictures import picture, save
from tests.shared import shared

PEOPLE = ["zoë", "Anna Maria", "bo", "bo", "Anna Maria", "zoë", "Émile"]


@pytest.fixture
def faces(tmp_path):
    """A folder and a list of seven images of four people, with spaces and letters from elsewhere in paths."""
    paths = [f"{person}/bild {number} ñ.png" for number, person in enumerate(PEOPLE)]
    for number, path in enumerate(paths):
        save(tmp_path / "images" / path, number)
    write_list(tmp_path / "list.txt", zip(paths, PEOPLE, strict=True))
    return tmp_path / "images", tmp_path / "list.txt"


def test_labels_are_positions_in_the_sorted_names(faces):
    dataset = ClassDataset("faces", *faces, image_size=24)
    assert dataset.names == sorted(set(PEOPLE))
    assert [dataset.names[label] for label in dataset.labels] == PEOPLE
    assert dataset.labels.dtype == np.int64 and dataset.num_class == 4 and len(dataset) == 7
    assert dataset.name == "faces" and dataset.image_size == (24, 24) and dataset.test_mode is False


def test_images_and_paths(faces):
    dataset = ClassDataset("faces", *faces, image_size=[24, 24])
    for index in range(7):
        np.testing.assert_array_equal(dataset.read(index), picture(index))
    assert dataset.path(3) == "bo/bild 3 ñ.png"
    with pytest.raises(IndexError):
        dataset.read(7)


def test_images_are_resized(faces):
    dataset = ClassDataset("faces", *faces, image_size=(10, 12))
    assert dataset.read(0).shape == (10, 12, 3)


@pytest.mark.parametrize("noise_ratio", [0.3, 1.0])
def test_label_noise_follows_the_published_rule(tmp_path, noise_ratio):
    people = [f"p{number % 37:02d}" for number in range(500)]
    save(tmp_path / "0.png", 0)
    write_list(tmp_path / "list.txt", ((f"{number}.png", person) for number, person in enumerate(people)))
    clean = ClassDataset("clean", tmp_path, tmp_path / "list.txt").labels
    noisy = ClassDataset("noisy", tmp_path, tmp_path / "list.txt", noise_ratio=noise_ratio, seed=10086).labels

    generator = random.Random(10086)
    expected = []
    for label in clean.tolist():
        stays = generator.random() > noise_ratio
        expected.append(label if stays else generator.choice(list(range(37))))
    assert noisy.tolist() == expected
    changed = np.mean(noisy != clean)
    assert abs(changed - noise_ratio * 36 / 37) < 0.07


def test_bad_arguments(faces):
    folder, path = faces
    with pytest.raises(UserError, match="noise_ratio: 1.5 is not in 0..1"):
        ClassDataset("faces", folder, path, noise_ratio=1.5)
    with pytest.raises(UserError, match="there is no such folder; set data_dir"):
        ClassDataset("faces", folder / "none", path)
    with pytest.raises(UserError, match=r"list\.txt:1: .*bild 0 ñ\.png: the file does not exist; check data_dir"):
        ClassDataset("faces", folder.parent, path)


def test_a_pair_list_is_refused(faces, tmp_path):
    write_list(tmp_path / "pairs.txt", [("1", "a.png", "b.png")])
    with pytest.raises(UserError, match=r"pairs\.txt:1: 3 fields where path name is expected"):
        ClassDataset("faces", faces[0], tmp_path / "pairs.txt")


def test_the_training_list_of_cfp():
    dataset = ClassDataset("CFP", shared("faces/cfp/images"), shared("faces/cfp/cfp_train_ann.txt"))
    assert (len(dataset), dataset.num_class) == (4368, 312)
    assert np.bincount(dataset.labels).tolist() == [14] * 312
    assert dataset.read(4367).shape == (112, 112, 3)
