import inspect
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from opensphere.dataset.augment import Augment, normalise, uniform
from opensphere.error import UserError
from tests.dataset.pictures import picture

EVERYTHING = dict(
    mirror=0.5, shift=0.1, scale=0.2, rotate=20, brightness=0.3, contrast=0.4, saturation=0.6, grey=0.2,
    blur=0.5, low_resolution=0.5, erase=0.5,
)  # fmt: skip
PROBABILITIES = ("mirror", "grey", "blur", "low_resolution", "erase")
OFF = dict.fromkeys(EVERYTHING, 0.0)
SEED, EPOCH = 7, 3


def batch(count=24, height=32, width=28):
    return torch.from_numpy(np.stack([picture(number, height, width) for number in range(count)]))


def drawn(stream, index):
    return float(uniform(SEED, EPOCH, np.array([index]), stream)[0])


def signed(stream, index):
    return 2 * drawn(stream, index) - 1


# ---------------------------------------------------- the slow, obvious way, one image at a time in float64


def slow(
    image, index, mirror, shift, scale, rotate, brightness, contrast, saturation, grey, blur, low_resolution, erase
):
    """What `Augment` says it does, for one (H, W, 3) image; gives (3, H, W) in [-1, 1]."""
    luma = np.array([0.299, 0.587, 0.114])
    mean = float((image.astype(np.float64) @ luma).mean())
    x = image.astype(np.float64)
    if drawn("mirror", index) < mirror:
        x = x[:, ::-1]
    if shift or scale or rotate:
        x = slow_geometry(x, index, shift, scale, rotate)
    b, c = 1 + brightness * signed("brightness", index), 1 + contrast * signed("contrast", index)
    s = 1 + saturation * signed("saturation", index)
    if drawn("grey", index) < grey:
        s = 0
    x = x * b
    x = (x - mean * b) * c + mean * b
    own = (x @ luma)[..., None]
    x = ((x - own) * s + own).clip(0, 255)
    x = (x - 127.5) / 127.5
    height, width = x.shape[:2]
    if drawn("blur", index) < blur:
        sigma = (0.3 + 1.2 * drawn("blur_sigma", index)) * height / 112
        radius = max(1, round(2.5 * 1.5 * height / 112))
        x = slow_blur(x, sigma, radius)
    if drawn("low_resolution", index) < low_resolution:
        factor = (2, 3, 4)[int(3 * drawn("factor", index))]
        x = slow_low_resolution(x, round(height / factor), round(width / factor))
    if drawn("erase", index) < erase:
        area = 0.02 + 0.18 * drawn("erase_area", index)
        ratio = 3 ** (signed("erase_ratio", index) / 2)
        tall = min(height, max(1, round(height * math.sqrt(area) * ratio)))
        wide = min(width, max(1, round(width * math.sqrt(area) / ratio)))
        top = int(drawn("erase_y", index) * (height - tall + 1))
        left = int(drawn("erase_x", index) * (width - wide + 1))
        x = x.copy()
        x[top : top + tall, left : left + wide] = 0
    return x.transpose(2, 0, 1)


def slow_geometry(x, index, shift, scale, rotate):
    """Enlarge about the middle, turn clockwise as seen, then shift: each place looks up where it came from."""
    height, width = x.shape[:2]
    size = (1 + scale) ** signed("scale", index)
    angle = math.radians(rotate * signed("rotate", index))
    right, down = width * shift * signed("shift_x", index), height * shift * signed("shift_y", index)
    result = np.empty_like(x)
    for row in range(height):
        for column in range(width):
            u, v = column - (width - 1) / 2 - right, row - (height - 1) / 2 - down
            u, v = (
                (u * math.cos(angle) - v * math.sin(angle)) / size,
                (u * math.sin(angle) + v * math.cos(angle)) / size,
            )
            result[row, column] = slow_look_up(x, v + (height - 1) / 2, u + (width - 1) / 2)
    return result


def slow_look_up(x, row, column):
    row, column = min(max(row, 0), x.shape[0] - 1), min(max(column, 0), x.shape[1] - 1)
    top, left = int(row), int(column)
    bottom, right = min(top + 1, x.shape[0] - 1), min(left + 1, x.shape[1] - 1)
    p, q = row - top, column - left
    return (1 - p) * ((1 - q) * x[top, left] + q * x[top, right]) + p * (
        (1 - q) * x[bottom, left] + q * x[bottom, right]
    )


def slow_blur(x, sigma, radius):
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(x, [(radius, radius) if a == axis else (0, 0) for a in range(3)], mode="edge")
        x = sum(w * np.take(padded, np.arange(k, k + x.shape[axis]), axis) for k, w in enumerate(weights))
    return x


def slow_low_resolution(x, height, width):
    small = np.empty((height, width, 3))
    for row in range(height):
        for column in range(width):
            top, bottom = row * x.shape[0] // height, -(-(row + 1) * x.shape[0] // height)
            left, right = column * x.shape[1] // width, -(-(column + 1) * x.shape[1] // width)
            small[row, column] = x[top:bottom, left:right].mean(axis=(0, 1))
    large = np.empty_like(x)
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            place = (row + 0.5) * height / x.shape[0] - 0.5, (column + 0.5) * width / x.shape[1] - 0.5
            large[row, column] = slow_look_up(small, *place)
    return large


# ----------------------------------------------------------------------------------------------------- tests


@pytest.mark.parametrize("only", [*EVERYTHING, "all"])
def test_equals_the_slow_obvious_way(only):
    settings = EVERYTHING if only == "all" else OFF | {only: EVERYTHING[only]}
    images = batch()
    index = np.arange(24) * 1000 + 5
    found = Augment(**settings)(images, torch.from_numpy(index), SEED, EPOCH)
    assert found.dtype == torch.float32 and found.shape == (24, 3, 32, 28)
    expected = np.stack([slow(image, int(i), **settings) for image, i in zip(images.numpy(), index, strict=True)])
    # float32 positions are off by 1e-6 of the width, values then by that share of the step between pixels
    np.testing.assert_allclose(
        found.numpy(), expected, atol=2e-4 if only in ("shift", "scale", "rotate", "all") else 2e-6
    )
    changed = np.abs(found.numpy() - normalise(images).numpy()).reshape(24, -1).max(axis=1) > 0.01
    assert changed.any() and not (only in PROBABILITIES and changed.all())


def test_geometry_equals_warp_affine():
    images = batch(8, 48, 48)
    settings = OFF | dict(shift=0.1, scale=0.2, rotate=30)
    found = Augment(**settings)(images, np.arange(8), SEED, EPOCH)
    for index in range(8):
        size, angle = 1.2 ** signed("scale", index), 30 * signed("rotate", index)
        there = cv2.getRotationMatrix2D((23.5, 23.5), angle, size)
        there[:, 2] += 4.8 * signed("shift_x", index), 4.8 * signed("shift_y", index)
        warped = cv2.warpAffine(
            images[index].numpy().astype(np.float32), there, (48, 48), borderMode=cv2.BORDER_REPLICATE
        )
        expected = (warped.transpose(2, 0, 1) - 127.5) / 127.5
        # warpAffine may round positions to 1/32 pixel
        np.testing.assert_allclose(found[index].numpy(), expected, atol=0.05)
        assert np.abs(found[index].numpy() - expected).mean() < 0.005


@pytest.mark.parametrize("settings", [dict(mirror=0.5), EVERYTHING])
def test_an_image_is_treated_alike_in_any_batch(settings):
    augment = Augment(**settings)
    images, index = batch(70), np.arange(70)
    together = augment(images, index, SEED, EPOCH)
    for number in (0, 31, 32, 69):
        alone = augment(images[number : number + 1], index[number : number + 1], SEED, EPOCH)
        assert torch.equal(alone[0], together[number])
    order = np.random.default_rng(0).permutation(70)
    assert torch.equal(augment(images[order], order, SEED, EPOCH), together[order])


def test_seed_epoch_and_index_matter():
    images = batch(1).expand(32, -1, -1, -1)
    augment = Augment(**EVERYTHING)
    index = np.arange(32)
    first = augment(images, index, SEED, EPOCH)
    assert torch.equal(first, augment(images, index, SEED, EPOCH))
    for seed, epoch, other in ((SEED + 1, EPOCH, index), (SEED, EPOCH + 1, index), (SEED, EPOCH, index + 32)):
        again = augment(images, other, seed, epoch)
        assert (first != again).flatten(1).any(dim=1).all()
    assert len({image.numpy().tobytes() for image in first}) == 32


def test_images_given_are_left_alone():
    images = batch()
    before = images.clone()
    for settings in (OFF, dict(mirror=1.0), EVERYTHING):
        Augment(**settings)(images, np.arange(24), SEED, EPOCH)
        assert torch.equal(images, before)


def test_without_anything_it_only_normalises():
    images = batch()
    found = Augment(**OFF)(images, np.arange(24), SEED, EPOCH)
    assert torch.equal(found, normalise(images))
    expected = (images.numpy().transpose(0, 3, 1, 2).astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


def test_normalise_reaches_both_ends():
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 2, 2, 3)
    assert normalise(ends)[0].eq(-1).all() and normalise(ends)[1].eq(1).all()


def test_shares_are_as_asked():
    images = batch(1, 112, 4).expand(1000, -1, -1, -1)  # in lower images the least blur changes nothing
    plain = normalise(images[:1])
    for name in PROBABILITIES:
        found = Augment(**OFF | {name: 0.3})(images, np.arange(1000), 0, 0)
        share = (found != plain).flatten(1).any(dim=1).float().mean().item()
        assert abs(share - 0.3) < 0.06, name  # four standard deviations


def test_an_empty_batch():
    assert Augment(**EVERYTHING)(batch(2)[:0], np.arange(0), SEED, EPOCH).shape == (0, 3, 32, 28)


@given(st.integers(-(2**63), 2**64 - 1), st.integers(0, 2**20), st.integers(0, 2**40))
def test_random_numbers_are_the_hash_they_claim(seed, epoch, index):
    """SplitMix64's output function, written with Python's integers."""

    def mix(x):
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    key = 0
    for word in (seed, epoch, 3):  # "scale" is stream 3
        key = mix((key + word + 0x9E3779B97F4A7C15) % 2**64)
    expected = (mix((index * 0x9E3779B97F4A7C15 + key) % 2**64) >> 11) / 2**53
    assert uniform(seed, epoch, np.array([index]), "scale")[0] == expected


def test_the_mixing_is_that_of_splitmix64():
    """First outputs of SplitMix64 for the seed 1234567, published with several implementations."""
    from opensphere.dataset.augment import _mix

    states = (1234567 + np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    assert _mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_random_numbers_look_uniform_and_unrelated():
    index = np.arange(20000)
    draws = np.stack(
        [uniform(seed, epoch, index, stream) for seed in (0, 1) for epoch in (0, 1) for stream in ("mirror", "grey")]
    )
    assert draws.min() >= 0 and draws.max() < 1
    counts = np.stack([np.histogram(row, 50, (0, 1))[0] for row in draws])
    assert ((counts - 400) ** 2 / 400).sum(axis=1).max() < 110  # chi-square, 49 degrees of freedom: 99.999 % below
    related = np.corrcoef(np.concatenate([draws, draws[:, ::-1], np.roll(draws, 1, axis=1)])) - np.eye(24)
    assert np.abs(related).max() < 0.035


@pytest.mark.parametrize("name", list(EVERYTHING))
def test_values_out_of_range_are_named(name):
    for wrong in (-0.1, 181, "0.5", None, True, math.nan):
        with pytest.raises(UserError, match=f"augment.{name}: .* is not a number in 0.."):
            Augment(**{name: wrong})


def test_the_tests_know_every_setting():
    assert list(inspect.signature(Augment).parameters) == list(EVERYTHING)
    assert Augment().mirror == 0.5
