import numpy as np
import pytest

from opensphere.dataset.distractors import DistractorSet
from opensphere.error import UserError
from tests.dataset.pictures import picture, save

SIZE = 24


@pytest.fixture
def folder(tmp_path):
    for seed in range(6):
        save(tmp_path / f"people/{'abc'[seed % 3]}/{seed}.png", seed)
    for seed in range(23):
        save(tmp_path / f"strangers/{seed % 2}/{seed}.png", 100 + seed)
    return tmp_path


def open_set(folder, **arguments):
    return DistractorSet("Mega", folder / "people", folder / "strangers", image_size=SIZE, **arguments)


def test_people_first_then_strangers(folder):
    dataset = open_set(folder)
    assert len(dataset) == 29 and dataset.names == ["a", "b", "c"]
    assert dataset.probes.tolist() == list(range(6)) and sorted(dataset.distractors) == list(range(6, 29))
    assert dataset.persons[:6].tolist() == [0, 0, 1, 1, 2, 2] and set(dataset.persons[6:]) == {-1}
    for index in range(29):
        seed = int(dataset.path(index).split("/")[1][:-4])
        np.testing.assert_array_equal(dataset.read(index), picture(seed + 100 * (index >= 6), SIZE, SIZE))
    (folder / "strangers/0/0.png").write_bytes(b"")
    with pytest.raises(UserError, match="strangers/0/0.png: the file is empty"):
        dataset.read(6)


def test_lists_name_both(folder):
    (folder / "people.txt").write_text("a/0.png anna\nb/1.png bea\na/3.png anna\n")
    (folder / "strangers.txt").write_text("1/7.png\n0/4.png nobody\n")
    dataset = open_set(
        folder, ann_path=folder / "people.txt", distractor_ann_path=folder / "strangers.txt", sizes=[1, 2]
    )
    assert dataset.names == ["anna", "bea"] and dataset.persons.tolist() == [0, 1, 0, -1, -1]
    assert [dataset.path(index) for index in (2, 3, 4)] == ["a/3.png", "1/7.png", "0/4.png"]
    (folder / "people/a/3.png").unlink()
    with pytest.raises(UserError, match=r"people\.txt:3: .*people/a/3.png: the file does not exist"):
        dataset.read(2)


def test_sizes_and_their_order(folder):
    assert open_set(folder).sizes == [10, 23]
    assert open_set(folder, sizes=[20, 5, 20]).sizes == [5, 20]
    same, other = open_set(folder, sizes=[5]), open_set(folder, seed=1)
    np.testing.assert_array_equal(same.distractors, open_set(folder).distractors)
    assert (other.distractors != same.distractors).any()
    for path in sorted((folder / "strangers").rglob("*.png"))[10:]:
        path.unlink()
    assert open_set(folder).sizes == [10]
    for path in sorted((folder / "strangers").rglob("*.png"))[4:]:
        path.unlink()
    assert open_set(folder).sizes == [4]


@pytest.mark.parametrize(
    ("sizes", "words"),
    [
        ([24], "strangers: 23 distractors where sizes ask for 24; give smaller sizes"),
        ([0, 3], r"sizes: \[0, 3\] is not a list of whole numbers from 1"),
        ([], "sizes: .* is not a list"),
        ([2.5], "sizes: .* is not a list"),
        (10, "sizes: 10 is not a list"),
    ],
)
def test_sizes_that_cannot_be(folder, sizes, words):
    with pytest.raises(UserError, match=words):
        open_set(folder, sizes=sizes)


def test_nobody_with_two_images(folder):
    for path in sorted((folder / "people").rglob("*.png"))[::2]:
        path.unlink()
    with pytest.raises(UserError, match="people: nobody has two images, so that nobody can be found"):
        open_set(folder)
