import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.dataset import ClassDataset
from opensphere.dataset.annotation import write_list
from opensphere.dataset.groups import GroupBatches
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.loader import test_loader as make_test_loader
from opensphere.dataset.loader import train_loader, train_sampler
from opensphere.dataset.sampler import GlobalBatches
from opensphere.error import UserError
from tests.dataset.pictures import picture, save


@pytest.fixture
def faces(tmp_path):
    paths = [save(tmp_path / f"{number}.png", number).name for number in range(11)]
    write_list(tmp_path / "list.txt", ((path, "anna") for path in paths))
    return ClassDataset("faces", tmp_path, tmp_path / "list.txt", image_size=24)


def contents(batches):
    return [(images.numpy().copy(), index.tolist()) for images, index in batches]


@pytest.mark.slow
def test_workers_change_nothing(faces):
    arguments = dict(batch_size=4, seed=5, start_step=1, stop_step=7, drop_last=False)
    expected = GlobalBatches(11, **arguments)
    for workers in (0, 1, 2):
        loader = train_loader(faces, num_workers=workers, **arguments)
        assert len(loader) == 6 and loader.steps_per_epoch == 3
        found = contents(loader)
        assert [index for _, index in found] == list(expected)
        for images, index in found:
            assert images.shape == (4, 24, 24, 3) and images.dtype == np.uint8
            for image, number in zip(images, index, strict=True):
                np.testing.assert_array_equal(image, picture(number))


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 9), max_size=20), st.integers(1, 7))
def test_testing_goes_through_the_indices_in_order(indices, batch_size):
    found = contents(make_test_loader(Drawn(10), batch_size, indices=np.array(indices, np.int64)))
    assert [number for _, index in found for number in index] == indices
    assert all(len(index) == batch_size for _, index in found[:-1])
    for images, index in found:
        np.testing.assert_array_equal(images, np.stack([picture(number) for number in index]))


def test_testing_without_indices_takes_all(faces):
    assert [index for _, index in contents(make_test_loader(faces, 4))] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_error_arrives_as_it_was_raised(faces, workers):
    (path := faces.files.full_path(7)) and os.truncate(path, 40)
    batches = iter(make_test_loader(faces, 4, num_workers=workers))
    assert next(batches)[1].tolist() == [0, 1, 2, 3]
    with pytest.raises(UserError) as caught:
        next(batches)
    assert str(caught.value).startswith(f"{path.removesuffix('7.png')}list.txt:8: {path}: the image is cut short")
    assert "\n" not in str(caught.value)
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_workers_end_with_the_iteration(faces):
    batches = iter(train_loader(faces, 4, num_workers=2))
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    del batches
    assert not multiprocessing.active_children()


FORK = """
import sys, cv2, numpy as np
from opensphere.dataset import ItemDataset
from opensphere.dataset.loader import test_loader
cv2.setNumThreads(4)
cv2.resize(np.zeros((4000, 4000, 3), np.uint8), (1500, 1500), interpolation=cv2.INTER_LINEAR)
loader = test_loader(ItemDataset("items", sys.argv[1], image_size=4000), 4, num_workers=2)
print(sum(len(images) for images, _ in loader), cv2.getNumThreads())
"""


@pytest.mark.slow
def test_workers_start_where_opencv_has_threads(tmp_path):
    save(tmp_path / "1.png", 1)
    save(tmp_path / "2.png", 2)
    command = [sys.executable, "-c", FORK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["2", "4"]


class Drawn(ImageSet):
    """Pictures made on the spot, which note the process they were made in."""

    def __init__(self, number):
        super().__init__("drawn", 24, in_memory=True)
        self.number = number
        self.processes = set()

    def __len__(self):
        return self.number

    def read(self, index):
        self.processes.add(os.getpid())
        return picture(index)


def test_sets_in_memory_are_read_without_workers():
    dataset = Drawn(8)
    assert len(contents(make_test_loader(dataset, 3, num_workers=2))) == 3
    assert dataset.processes == {os.getpid()}


def test_the_global_generator_is_left_alone(faces):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    contents(train_loader(faces, 4, stop_step=2))
    assert torch.equal(torch.get_rng_state(), before)


def test_groups_of_people():
    dataset = Drawn(8)
    dataset.labels = np.arange(8) % 3
    plan = dict(batch_size=4, seed=2, start_step=1, stop_step=5)
    expected = list(GroupBatches(dataset.labels, 2, **plan))
    assert list(train_sampler(dataset, images_per_person=2, **plan)) == expected
    loader = train_loader(dataset, images_per_person=2, **plan)
    assert [index for _, index in contents(loader)] == expected and loader.steps_per_epoch == 1


def test_a_wrong_number_of_workers(faces):
    with pytest.raises(UserError, match="num_workers: -1"):
        train_loader(faces, 4, num_workers=-1)
    with pytest.raises(UserError, match="batch_size: 0"):
        make_test_loader(faces, 0)
