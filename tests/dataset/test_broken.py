import os

import numpy as np
import pytest

from opensphere.dataset import ClassDataset
from opensphere.dataset.broken import Broken
from opensphere.dataset.loader import TrainBatches
from opensphere.dataset.sampler import GlobalBatches, Plan
from opensphere.error import UserError
from tests.dataset.pictures import picture, save


def people(tmp_path, counts, broken=()):
    """So many pictures of each person, numbered through; some of them cut short, or missing."""
    number = 0
    for person, count in enumerate(counts):
        for image in range(count):
            path = save(tmp_path / f"images/{person}/{image}.png", number)
            if number in broken:
                path.unlink() if number % 2 else os.truncate(path, 40)
            number += 1
    (tmp_path / "list.txt").write_text(
        "".join(f"{person}/{image}.png {person}\n" for person, count in enumerate(counts) for image in range(count))
    )
    return ClassDataset("faces", tmp_path / "images", tmp_path / "list.txt", image_size=24)


@pytest.mark.parametrize("workers", [0, 3])
def test_another_image_of_the_person_takes_the_place(tmp_path, workers):
    dataset = people(tmp_path, [3, 4, 1, 2], broken=[3, 4, 7, 9])
    sampler = GlobalBatches(10, Plan(5, seed=3, stop_step=6))
    batches = TrainBatches(dataset, sampler, workers, max_broken=0.4)
    instead = {3: 5, 4: 5, 7: 8, 9: 8}  # 7 is the only one of its person: the next of anybody
    for expected, (images, index) in zip(sampler, batches, strict=True):
        assert index.tolist() == [instead.get(number, number) for number in expected]
        for image, number in zip(images, index.tolist(), strict=True):
            np.testing.assert_array_equal(image, picture(number))
    assert batches.broken.found == set(instead)
    told = sorted(batches.broken.news)
    assert told[4:6] == ["1/2.png takes the place of 1/0.png", "1/2.png takes the place of 1/1.png"] and len(told) == 8
    assert told[0].startswith(f"{tmp_path}/list.txt:10: ") and told[0].endswith("check data_dir and the list")
    (cut,) = (line for line in told if "list.txt:5: " in line)
    assert "the image is cut short" in cut


def test_more_than_allowed_ends_it(tmp_path):
    dataset = people(tmp_path, [10, 10], broken=[2, 5, 7])
    reader = Broken(dataset, 0.1)
    assert reader.read(2)[1] == 3 and reader.read(5)[1] == 6 and reader.read(2)[1] == 3
    many = r"list\.txt:8: .*; with it 3 of 20 images cannot be read, more than max_broken: 0\.1"
    with pytest.raises(UserError, match=many):
        reader.read(7)
    assert reader.found == {2, 5}


def test_none_allowed(tmp_path):
    dataset = people(tmp_path, [3], broken=[1])
    with pytest.raises(UserError, match=r"list\.txt:2: .*the file does not exist; check data_dir and the list$"):
        Broken(dataset, 0.01).read(1)
    with pytest.raises(UserError, match="max_broken: 2 is not a share in 0..1"):
        Broken(dataset, 2)


def test_all_broken(tmp_path):
    dataset = people(tmp_path, [2, 2], broken=[0, 1, 2, 3])
    with pytest.raises(UserError, match="0/0.png: .*; nor can any other image of the set be read"):
        Broken(dataset, 1.0).read(0)


def test_the_order_of_reading_does_not_matter(tmp_path):
    """Each broken image finds its own: not what another one found that it came upon."""
    dataset = people(tmp_path, [1, 1, 1, 1], broken=[0, 1])
    dataset.labels = np.array([0, 1, 2, 1])
    for order in ([0, 1], [1, 0]):
        reader = Broken(dataset, 1.0)
        assert {index: reader.read(index)[1] for index in order} == {0: 2, 1: 3}
