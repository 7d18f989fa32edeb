import hashlib
import inspect
import math

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.config.schema import arguments
from opensphere.dataset.augment import Augment, normalise
from opensphere.error import UserError
from tests.dataset.augment_slow import EPOCH, SEED, drawn, signed, slow
from tests.dataset.pictures import picture

OFF = dict(mirror=0.0)
COLOURS = dict(brightness=0.3, contrast=0.4, saturation=0.6, gamma=0.5)
MOVES = dict(shift=0.1, scale=0.2, rotate=20)
# What each setting is tried with, the others being off.
EACH = {
    "mirror": dict(mirror=0.5),
    "geometry": dict(geometry=0.5) | MOVES,
    **{name: {name: value} for name, value in MOVES.items()},
    "crop": dict(crop=0.5),
    "crop_area": dict(crop=0.5, crop_area=(0.05, 0.3)),
    "colour": dict(colour=0.5) | COLOURS,
    **{name: {name: value} for name, value in COLOURS.items()},
    "grey": dict(grey=0.2),
    "blur": dict(blur=0.5),
    "blur_sigma": dict(blur=0.5, blur_sigma=(1.0, 6.0)),
    "low_resolution": dict(low_resolution=0.5),
    "low_resolution_side": dict(low_resolution=0.5, low_resolution_side=(0.1, 1.0)),
    "low_resolution_filter": dict(low_resolution=0.5, low_resolution_filter="any"),
    "erase": dict(erase=0.5),
    "erase_area": dict(erase=0.5, erase_area=(0.3, 0.9)),
}
# all that there was when the hashes below were taken
ONCE = dict(
    mirror=0.5, shift=0.1, scale=0.2, rotate=20, brightness=0.3, contrast=0.4, saturation=0.6, grey=0.2,
    blur=0.5, low_resolution=0.5, erase=0.5,
)  # fmt: skip
EVERYTHING = ONCE | dict(
    geometry=0.7, crop=0.3, colour=0.8, gamma=0.5, blur_sigma=(0.3, 3.0), low_resolution_side=(0.2, 1.0),
    low_resolution_filter="any", erase_area=(0.05, 0.3),
)  # fmt: skip
PROBABILITIES = ("mirror", "crop", "grey", "blur", "low_resolution", "erase")
# SHA-256 of the results for `ONCE` and each of its settings alone, when there were no others: they stay what they were.
HASHES = {
    "default": "5bdc9f1fcd1f21cc", "all": "840783b22cd75e6d", "mirror": "5bdc9f1fcd1f21cc", "shift": "06ee6cf2c506ab5c",
    "scale": "b4ef004e8529e21e", "rotate": "44fe2587e2d67801", "brightness": "a26efcefa2f28c4d",
    "contrast": "0a89c796aa3fb620", "saturation": "08aae5f8b83acc34", "grey": "c0043b11cc982fa3",
    "blur": "a63b16d3751fa026", "low_resolution": "e10f7141da6d7cf2", "erase": "c4000d699e2de557",
}  # fmt: skip


def batch(count=24, height=32, width=28):
    return torch.from_numpy(np.stack([picture(number, height, width) for number in range(count)]))


@pytest.mark.parametrize("name", [*EACH, "all"])
def test_equals_the_slow_obvious_way(name):
    asked = EVERYTHING if name == "all" else OFF | EACH[name]
    images = batch()
    index = np.arange(24) * 1000 + 5
    found = Augment(**asked)(images, torch.from_numpy(index), SEED, EPOCH)
    assert found.dtype == torch.float32 and found.shape == (24, 3, 32, 28)
    expected = np.stack([slow(image, int(i), asked) for image, i in zip(images.numpy(), index, strict=True)])
    # float32 positions are off by 1e-6 of the width, values then by that share of the step between pixels
    atol = 2e-4 if any(asked.get(move) for move in MOVES) else 2e-6
    if asked.keys() & {"low_resolution_side", "low_resolution_filter"}:
        atol = 4e-3  # weights and values have 11 bits; a byte is a step of 8e-3
    np.testing.assert_allclose(found.numpy(), expected, atol=atol)
    changed = np.abs(found.numpy() - normalise(images).numpy()).reshape(24, -1).max(axis=1) > 0.01
    assert changed.any() and not (name not in MOVES | COLOURS | {"all": 0} and changed.all())


@pytest.mark.parametrize("name", HASHES)
def test_what_there_was_stays_what_it_was(name):
    """Streams of random numbers, formulas and the order of additions: trained runs and their configs depend on them."""
    moved = name in (*MOVES, "low_resolution", "all")
    if moved and torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("PyTorch multiplies and adds at once with these instructions only")
    numbers = np.arange(40 * 32 * 28 * 3, dtype=np.uint64)
    images = (numbers * np.uint64(2654435761) >> np.uint64(13)).astype(np.uint8).reshape(40, 32, 28, 3)
    asked = {} if name == "default" else ONCE if name == "all" else OFF | {name: ONCE[name]}
    found = Augment(**asked)(torch.from_numpy(images), np.arange(40) * 1000 + 5, 7, 3)
    assert hashlib.sha256(found.contiguous().numpy().tobytes()).hexdigest()[:16] == HASHES[name]


def test_geometry_equals_warp_affine():
    images = batch(8, 48, 48)
    asked = OFF | dict(shift=0.1, scale=0.2, rotate=30)
    found = Augment(**asked)(images, np.arange(8), SEED, EPOCH)
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


@pytest.mark.parametrize("asked", [dict(mirror=0.5), ONCE, EVERYTHING])
def test_an_image_is_treated_alike_in_any_batch(asked):
    augment = Augment(**asked)
    images, index = batch(70), np.arange(70)
    together = augment(images, index, SEED, EPOCH)
    for number in (0, 3, 31, 32, 69):
        alone = augment(images[number : number + 1], index[number : number + 1], SEED, EPOCH)
        assert torch.equal(alone[0], together[number])
    order = np.random.default_rng(0).permutation(70)
    assert torch.equal(augment(images[order], order, SEED, EPOCH), together[order])


@pytest.mark.slow
def test_the_number_of_threads_does_not_matter():
    threads = torch.get_num_threads()
    results = []
    try:
        for number in (1, 2):
            torch.set_num_threads(number)
            results.append(Augment(**EVERYTHING)(batch(40, 33, 47), np.arange(40), SEED, EPOCH))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_seed_epoch_and_index_matter():
    images = batch(1).expand(32, -1, -1, -1)
    augment = Augment(**ONCE)
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
    for asked in (OFF, dict(mirror=1.0), EVERYTHING, OFF | EACH["crop"], OFF | EACH["gamma"], OFF | EACH["colour"]):
        Augment(**asked)(images, np.arange(24), SEED, EPOCH)
        assert torch.equal(images, before)


# Nothing, every strength without a probability, and every probability that needs a strength.
QUIET = [
    OFF,
    EVERYTHING | dict.fromkeys((*PROBABILITIES, "geometry", "colour"), 0.0),
    OFF | dict(geometry=1.0, colour=1.0, crop_area=(0.1, 0.2), blur_sigma=(9.0, 9.0), erase_area=(1.0, 1.0)),
]


@pytest.mark.parametrize("asked", QUIET)
def test_without_anything_it_only_normalises(asked):
    images = batch()
    found = Augment(**asked)(images, np.arange(24), SEED, EPOCH)
    assert torch.equal(found, normalise(images))
    expected = (images.numpy().transpose(0, 3, 1, 2).astype(np.float32) - np.float32(127.5)) / np.float32(127.5)
    np.testing.assert_array_equal(found.numpy(), expected)
    assert found.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", ["geometry", "colour", "crop", "blur_sigma", "low_resolution", "erase"])
def test_images_that_nothing_happens_to_stay_as_they_are(name):
    """To the last bit, beside others of the same batch that change."""
    asked, stream = OFF | EACH[name], name.removesuffix("_sigma")
    images = batch(40)
    found = Augment(**asked)(images, np.arange(40), SEED, EPOCH)
    same = (found == normalise(images)).flatten(1).all(dim=1)
    chosen = [drawn(stream, index) < asked[stream] for index in range(40)]
    assert same.tolist() == [not it for it in chosen] and 10 < sum(chosen) < 30


def test_a_mirror_image_of_a_mirror_image_is_the_image():
    images = batch()
    found = Augment(mirror=1.0)(images, np.arange(24), SEED, EPOCH)
    assert torch.equal(found, normalise(images).flip(3))
    assert torch.equal(Augment(mirror=1.0)(images.flip(2), np.arange(24), SEED, EPOCH), normalise(images))


def test_normalise_reaches_both_ends():
    ends = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1).expand(2, 2, 2, 3)
    assert normalise(ends)[0].eq(-1).all() and normalise(ends)[1].eq(1).all()


def test_shares_are_as_asked():
    images = batch(1, 8, 8).expand(1000, -1, -1, -1)
    plain = normalise(images[:1])
    asked: dict = {name: {name: 0.3} for name in PROBABILITIES}
    asked["blur"]["blur_sigma"] = (9.0, 9.0)  # in so low an image less changes nothing
    asked |= dict(geometry=dict(geometry=0.3, shift=0.1), colour=dict(colour=0.3, brightness=0.5))
    for name, block in asked.items():
        found = Augment(**OFF | block)(images, np.arange(1000), 0, 0)
        share = (found != plain).flatten(1).any(dim=1).float().mean().item()
        assert abs(share - 0.3) < 0.06, name  # four standard deviations


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_values_stay_in_range(data):
    """Under any settings, of images of noise, whose steps are the largest."""
    unit = st.floats(0, 1)
    ends = st.lists(st.floats(0.01, 1), min_size=2, max_size=2).map(sorted)
    each = dict.fromkeys((*PROBABILITIES, *MOVES, *COLOURS, "geometry", "colour"), unit)
    each |= dict.fromkeys(("crop_area", "blur_sigma", "low_resolution_side", "erase_area"), ends)
    each["low_resolution_filter"] = st.sampled_from(["area", "any"])
    asked = data.draw(st.fixed_dictionaries({}, optional=each))
    height, width = data.draw(st.tuples(st.integers(1, 12), st.integers(1, 12)))
    noise = np.random.default_rng(0).integers(0, 2, (6, height, width, 3), np.uint8) * 255
    found = Augment(**asked)(torch.from_numpy(noise), np.arange(6), SEED, EPOCH)
    assert found.isfinite().all() and found.abs().max() <= 1 + 1e-6  # a bilinear mixture may round up


def test_an_empty_batch():
    assert Augment(**EVERYTHING)(batch(2)[:0], np.arange(0), SEED, EPOCH).shape == (0, 3, 32, 28)


NUMBERS = [*PROBABILITIES, *MOVES, *COLOURS, "geometry", "colour", "jpeg"]
PAIRS = ["crop_area", "blur_sigma", "low_resolution_side", "jpeg_quality", "erase_area"]


@pytest.mark.parametrize("name", NUMBERS)
def test_values_out_of_range_are_named(name):
    for wrong in (-0.1, 181, "0.5", None, True, math.nan, [0.1, 0.2]):
        with pytest.raises(UserError, match=f"augment.{name}: .* is not a number in 0.."):
            Augment(**{name: wrong})


@pytest.mark.parametrize("name", PAIRS)
def test_pairs_out_of_range_are_named(name):
    for wrong in (0.5, "area", [], [1], [1, 1, 1], [2, 1], [0, 1], [1, 101], [1, "1"], [True, 1], [math.nan, 1]):
        with pytest.raises(UserError, match=f"augment.{name}: .* is not two (whole )?numbers in order, above 0 and up"):
            Augment(**{name: wrong})
    assert Augment(**{name: [1, 1]}) and Augment(**{name: (1, 1)})


def test_other_values_out_of_range_are_named():
    with pytest.raises(UserError, match="augment.jpeg_quality: .* whole numbers"):
        Augment(jpeg_quality=(30.5, 90))
    with pytest.raises(UserError, match="augment.low_resolution_filter: 'sinc' is neither area nor any"):
        Augment(low_resolution_filter="sinc")
    assert Augment(low_resolution_side=None).low_resolution_side is None


def test_the_tests_know_every_setting():
    assert set(inspect.signature(Augment).parameters) == {*EACH, "jpeg", "jpeg_quality"}
    assert set(NUMBERS) | set(PAIRS) | {"low_resolution_filter"} == set(inspect.signature(Augment).parameters)
    assert Augment().mirror == 0.5 and Augment().on_read is None


def test_the_defaults_pass_through_a_config():
    defaults = arguments(None, Augment, "augment")
    assert defaults["low_resolution_side"] is None and defaults["blur_sigma"] == [0.3, 1.5]
    assert vars(Augment(**defaults)) == {**vars(Augment()), **{key: vars(Augment(**defaults))[key] for key in PAIRS}}
    with pytest.raises(UserError, match="augment.crop_area: expected a list of 2"):
        arguments({"crop_area": [0.5]}, Augment, "augment")
