import os
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.dataset import ClassDataset
from opensphere.dataset.annotation import write_list
from opensphere.dataset.groups import GroupBatches
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.loader import TrainBatches, train_sampler
from opensphere.dataset.loader import test_loader as make_test_loader
from opensphere.dataset.sampler import BalancedBatches, GlobalBatches, Plan
from opensphere.error import UserError
from tests.dataset.pictures import picture, save


@pytest.fixture
def faces(tmp_path):
    paths = [save(tmp_path / f"{number}.png", number).name for number in range(11)]
    write_list(tmp_path / "list.txt", ((path, "anna") for path in paths))
    return ClassDataset("faces", tmp_path, tmp_path / "list.txt", image_size=24)


def contents(batches):
    return [(images.numpy().copy(), index.tolist()) for images, index in batches]


def test_workers_change_nothing(faces):
    plan = Plan(batch_size=4, seed=5, start_step=1, stop_step=7, drop_last=False)
    expected = GlobalBatches(11, plan)
    for workers in (0, 1, 2):
        loader = TrainBatches(faces, expected, workers)
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


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_arrives_as_it_was_raised(faces, workers):
    (path := faces.reader.full_path(7)) and os.truncate(path, 40)
    batches = iter(make_test_loader(faces, 4, num_workers=workers))
    assert next(batches)[1].tolist() == [0, 1, 2, 3]
    with pytest.raises(UserError) as caught:
        next(batches)
    assert str(caught.value).startswith(f"{path.removesuffix('7.png')}list.txt:8: {path}: the image is cut short")
    assert "\n" not in str(caught.value)
    assert not reading()


def reading() -> int:
    return sum(thread.name.startswith("reader") for thread in threading.enumerate())


def test_threads_end_with_the_iteration(faces):
    batches = iter(TrainBatches(faces, GlobalBatches(11, Plan(4)), 2))
    next(batches)
    assert reading()
    del batches
    assert not reading()


class Drawn(ImageSet):
    """Pictures made on the spot, which note the thread they were made in."""

    def __init__(self, number):
        super().__init__("drawn", 24, in_memory=True)
        self.number = number
        self.threads = set()

    def __len__(self):
        return self.number

    def read(self, index):
        self.threads.add(threading.current_thread().name.partition("_")[0])
        return picture(index)


def test_sets_in_memory_are_read_without_threads_of_their_own():
    dataset = Drawn(8)
    assert len(contents(make_test_loader(dataset, 3, num_workers=2))) == 3
    assert "reader" not in dataset.threads


def test_the_global_generator_is_left_alone(faces):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    contents(TrainBatches(faces, GlobalBatches(11, Plan(4, stop_step=2))))
    assert torch.equal(torch.get_rng_state(), before)


def test_the_sampler_for_what_is_asked():
    dataset = Drawn(8)
    dataset.labels = np.arange(8) % 3
    plan = Plan(batch_size=4, seed=2, start_step=1, stop_step=5)
    groups = train_sampler(dataset, plan, images_per_person=2)
    assert list(groups) == list(GroupBatches(dataset.labels, 2, plan)) and groups.steps_per_epoch == 1
    assert list(train_sampler(dataset, plan)) == list(GlobalBatches(8, plan))
    assert list(train_sampler(dataset, plan, balance=1.0)) == list(BalancedBatches(dataset.labels, 1.0, plan))
    assert [index for _, index in contents(TrainBatches(dataset, groups))] == list(groups)
    with pytest.raises(UserError, match="balance: batches of images_per_person see every person equally often"):
        train_sampler(dataset, plan, images_per_person=2, balance=1.0)


def test_rounds_tell_the_times_apart_that_an_image_comes():
    labels = np.array([0] * 7 + [1])
    plan = Plan(batch_size=4)
    assert [GlobalBatches(8, plan).round(step) for step in range(4)] == [0, 0, 1, 1]
    assert [GroupBatches(labels, 2, plan).round(step) for step in range(3)] == [0, 1, 2]
    assert [BalancedBatches(labels, 1.0, plan).round(step) for step in range(3)] == [0, 1, 2]
    assert [BalancedBatches(labels, 0.0, plan).round(step) for step in range(3)] == [0, 0, 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_change_goes_by_image_and_round(faces, workers):
    """From the first image on, whatever the batch, also where a run is resumed."""

    def note(image, index, seed, number):
        return np.full_like(image, 100 * seed + 10 * number + index)

    sampler = GlobalBatches(11, Plan(5, seed=1, start_step=1, stop_step=4))
    for step, (images, index) in enumerate(contents(TrainBatches(faces, sampler, workers, change=note)), 1):
        assert [image[0, 0, 0] for image in images] == [100 + 10 * (step // 2) + number for number in index]


def test_a_wrong_number_of_workers(faces):
    with pytest.raises(UserError, match="num_workers: -1"):
        TrainBatches(faces, GlobalBatches(11, Plan(4)), -1)
    with pytest.raises(UserError, match="batch_size: 0"):
        make_test_loader(faces, 0)
