import numpy as np
import pytest

from opensphere.dataset import FolderPairs
from opensphere.dataset.annotation import write_list
from opensphere.error import UserError
from tests.dataset.pictures import picture, save


def write(tmp_path, people, images):
    for number in range(people * images):
        save(tmp_path / f"p{number // images:02d}" / f"{number}.png", number)
    return tmp_path


def test_pairs_of_a_folder(tmp_path):
    dataset = FolderPairs("mine", write(tmp_path, 20, 3), folds=5, image_size=24, metrics="ACC")
    assert len(dataset.pairs) == 120 and dataset.is_same.sum() == 60 and dataset.metrics == ["ACC"]
    np.testing.assert_array_equal(dataset.folds, np.repeat(np.arange(5), 24))
    folder = np.array([dataset.path(index).split("/")[0] for index in range(len(dataset))])
    np.testing.assert_array_equal(folder[dataset.pairs[:, 0]] == folder[dataset.pairs[:, 1]], dataset.is_same)
    assert set(zip(folder, dataset.persons, strict=True)) == set(zip(sorted(set(folder)), range(20), strict=True))
    number = int(dataset.path(7).split("/")[1].split(".")[0])
    np.testing.assert_array_equal(dataset.read(7), picture(number))


def test_the_seed_fixes_the_pairs(tmp_path):
    folder = write(tmp_path, 12, 4)

    def drawn(seed):
        dataset = FolderPairs("mine", folder, pairs=40, folds=2, seed=seed)
        return [tuple(dataset.path(index) for index in pair) for pair in dataset.pairs]

    assert drawn(3) == drawn(3) != drawn(4) and len(drawn(3)) == 40


def test_a_list_and_no_folds(tmp_path):
    write(tmp_path, 4, 3)
    rows = [(f"p{n // 3:02d}/{n}.png", f"name{n // 6}") for n in range(12)]
    write_list(tmp_path / "list.txt", rows)
    dataset = FolderPairs("mine", tmp_path, tmp_path / "list.txt", folds=None)
    assert dataset.folds is None and dataset.persons.max() == 1 and len(dataset.pairs) == 60


@pytest.mark.parametrize(
    ("people", "images", "arguments", "words"),
    [
        (3, 2, {}, "3 people with 6 images are too few for 10 folds; add images, or give other pairs or fewer folds"),
        (3, 1, {"folds": None}, "3 people with 3 images are too few for 1 folds"),
        (6, 3, {"pairs": 200}, "the 6 people with 18 images make 18 genuine and 135 impostor pairs; add images"),
        (6, 3, {"pairs": 15}, "need a multiple of 20"),
        (6, 3, {"folds": 1}, "folds: 1 is too few"),
    ],
)
def test_too_few_people(tmp_path, people, images, arguments, words):
    with pytest.raises(UserError) as caught:
        FolderPairs("mine", write(tmp_path, people, images), **arguments)
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value) or "folds" in arguments
