"""Filters, boxes and JPEG, each against another implementation."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch

from opensphere.dataset.augment import Augment, normalise
from opensphere.dataset.augment.draw import Draw
from opensphere.dataset.augment.filters import FILTERS, there_and_back, weights
from opensphere.dataset.augment.geometry import _boxes
from tests.dataset.augment_slow import CV2_FILTERS, EPOCH, SEED, drawn, slow_box
from tests.dataset.pictures import picture


@pytest.mark.parametrize(("kind", "flag"), list(zip(FILTERS, CV2_FILTERS, strict=True)))
def test_filters_are_those_of_opencv(kind, flag):
    pixels = np.random.default_rng(0).random((33, 2)).astype(np.float32)
    for wanted in [*range(3, 34, 3), 34, 50, 66, 112]:
        found = weights(kind, 33, wanted) @ pixels
        expected = cv2.resize(pixels, (2, wanted), interpolation=flag)
        # Where a place is a whole number, OpenCV's rounding error may take the pixel before.
        sure = [row for row in range(wanted) if kind not in ("nearest", "area") or row * 33 % wanted or row == 0]
        np.testing.assert_allclose(found[sure], expected[sure], atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 33, 112])
def test_there_and_back_adds_up_within_float32(size):
    for shrink in FILTERS:
        for enlarge in FILTERS:
            for small in {1, max(1, size // 5), max(1, size // 2), size}:
                matrix = there_and_back(size, small, shrink, enlarge, 11)
                assert np.array_equal(matrix * 2048, np.rint(matrix * 2048)) and (matrix.sum(axis=1) == 1).all()
                assert np.abs(matrix).sum(axis=1).max() < 4  # times 2^22, which float32 counts up to without a gap
                exact = weights(enlarge, small, size) @ weights(shrink, size, small)
                assert np.abs(matrix - exact).max() < 1.01 / 2048
        if small == size:
            assert np.array_equal(there_and_back(size, size, shrink, "linear", 11), np.eye(size))


def test_a_product_of_units_is_exact_in_any_order():
    augment = Augment(mirror=0.0, low_resolution=1.0, low_resolution_side=(0.1, 1.0), low_resolution_filter="any")
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (20, 40, 56, 3), np.uint8))
    found = augment(images, np.arange(20), SEED, EPOCH)
    for number in range(20):
        again = augment(images[number : number + 1], np.array([number]), SEED, EPOCH)
        assert torch.equal(again[0], found[number])
    units = found.double() * 2**22
    assert torch.equal(units, units.round()) and found.abs().max() <= 1


def test_flat_images_stay_flat():
    """Whatever the filter, what has no detail has none to lose."""
    images = torch.full((64, 30, 30, 3), 255, dtype=torch.uint8)
    for filters in ("area", "any"):
        augment = Augment(low_resolution=1.0, low_resolution_side=(0.1, 1.0), low_resolution_filter=filters)
        assert torch.equal(augment(images, np.arange(64), SEED, EPOCH), normalise(images))


@pytest.mark.parametrize(("height", "width", "area"), [(32, 28, (0.2, 1.0)), (8, 40, (0.2, 0.9)), (9, 9, (0.01, 0.05))])
def test_boxes_equal_the_slow_obvious_way(height, width, area):
    index = np.arange(200)
    found = np.concatenate(_boxes(Draw(SEED, EPOCH, index), (height, width), area), axis=1)
    assert found.tolist() == [list(slow_box(int(i), height, width, area)) for i in index]


def test_boxes_are_spread_as_those_of_a_random_resized_crop():
    """Large shares are accepted with the probability that a drawn ratio fits, min(1, -log(share) / log(4/3))."""
    top, left, tall, wide = _boxes(Draw(0, 0, np.arange(4000)), (112, 112), (0.2, 1.0))
    assert (tall >= 1).all() and (top >= 0).all() and (top + tall <= 112).all() and (left + wide <= 112).all()
    share = np.linspace(0.2, 1, 10001)
    density = np.minimum(1, -np.log(share) / np.log(4 / 3))
    expected = np.cumsum(density) / density.sum()
    found = np.searchsorted(np.sort((tall * wide / 112**2).ravel()), share) / 4000
    assert np.abs(found - expected).max() < 0.03  # Kolmogorov and Smirnov: 99.9 % below
    assert abs(np.log(wide / tall).mean()) < 0.01 and np.abs(np.log(wide / tall)).max() < np.log(4 / 3) + 0.03
    assert abs((left / np.maximum(1, 112 - wide)).mean() - 0.5) < 0.02


def test_all_but_the_box_is_black():
    images = torch.from_numpy(np.stack([picture(number) for number in range(30)])).clamp(min=1)
    found = Augment(mirror=0.0, crop=1.0, crop_area=(0.3, 0.6))(images, np.arange(30), SEED, EPOCH)
    black = (found == -1).all(dim=1)
    assert ((found == normalise(images)).all(dim=1) ^ black).all()
    for inside in ~black:
        rows, columns = inside.any(dim=1), inside.any(dim=0)
        assert torch.equal(inside, rows[:, None] & columns[None])  # a box
        assert 0.25 < inside.float().mean() < 0.65


def test_jpeg_is_that_of_the_drawn_quality():
    images = [picture(number, 40, 33) for number in range(60)]
    compress = Augment(jpeg=0.5, jpeg_quality=(10, 12)).on_read
    qualities = []
    for index, image in enumerate(images):
        before = image.copy()
        found = compress(image, index, SEED, EPOCH)
        assert np.array_equal(image, before)
        if drawn("jpeg", index) >= 0.5:
            assert found is image
            continue
        qualities.append(10 + int(3 * drawn("jpeg_quality", index)))
        done, data = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, qualities[-1]])
        assert done and np.array_equal(found, cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1])
        assert (
            found.flags.c_contiguous and found.dtype == np.uint8 and 0 < np.abs(found - image.astype(int)).mean() < 12
        )
    assert 15 < len(qualities) < 45 and set(qualities) == {10, 11, 12}


def test_jpeg_is_a_function_of_seed_epoch_and_index():
    image = picture(0)
    augment = Augment(jpeg=0.7)
    compress = augment.on_read

    def all_of(function):
        return [function(image, index, SEED, epoch).tobytes() for index in range(20) for epoch in range(2)]

    expected = all_of(compress)
    assert len(set(expected)) > 10
    assert all_of(pickle.loads(pickle.dumps(compress))) == expected  # as a worker process has it
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(lambda _: all_of(compress), range(4))) == [expected] * 4
    assert Augment(jpeg=0.0).on_read is None and compress(image, 3, SEED + 1, 0).shape == image.shape


def test_jpeg_leaves_the_batch_alone():
    """It was done when the images were read."""
    images = torch.from_numpy(np.stack([picture(number) for number in range(8)]))
    assert torch.equal(Augment(mirror=0.0, jpeg=1.0)(images, np.arange(8), SEED, EPOCH), normalise(images))
