import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from opensphere.dataset.augment import uniform
from opensphere.dataset.augment.draw import _STREAMS, Draw, mix


@given(st.integers(-(2**63), 2**64 - 1), st.integers(0, 2**20), st.integers(0, 2**40))
def test_random_numbers_are_the_hash_they_claim(seed, epoch, index):
    """SplitMix64's output function, written with Python's integers."""

    def mixed(x):
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    key = 0
    for word in (seed, epoch, 3):  # "scale" is stream 3
        key = mixed((key + word + 0x9E3779B97F4A7C15) % 2**64)
    expected = (mixed((index * 0x9E3779B97F4A7C15 + key) % 2**64) >> 11) / 2**53
    assert uniform(seed, epoch, np.array([index]), "scale")[0] == expected


def test_the_mixing_is_that_of_splitmix64():
    """First outputs of SplitMix64 for the seed 1234567, published with several implementations."""
    states = (1234567 + np.arange(1, 4, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)).astype(np.uint64)
    assert mix(states).tolist() == [6457827717110365317, 3203168211198807973, 9817491932198370423]


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


def test_no_stream_was_ever_inserted():
    """The streams in the order in which they came; new ones are added at the end, here too."""
    known = "mirror shift_x shift_y scale rotate brightness contrast saturation grey blur blur_sigma low_resolution"
    known += " factor erase erase_area erase_ratio erase_x erase_y"
    known += " geometry crop crop_area crop_ratio crop_x crop_y colour gamma shrink_filter enlarge_filter"
    known += " jpeg jpeg_quality"
    assert _STREAMS == tuple(known.split()) and len(set(_STREAMS)) == len(_STREAMS)


def test_tries_are_independent_draws():
    draw = Draw(3, 1, np.arange(5000))
    tries = draw.tries("crop_area", 4)
    assert np.array_equal(tries[:, 0], draw("crop_area"))
    assert np.abs(np.corrcoef(tries.T) - np.eye(4)).max() < 0.06  # four standard deviations
    assert len(np.unique(tries)) == tries.size


def test_a_draw_for_some_images_is_that_for_all():
    draw = Draw(3, 1, np.arange(50) * 7)
    rows = np.array([2, 30, 4])
    assert np.array_equal(draw.of(rows)("crop"), draw("crop")[rows])
    assert np.array_equal(draw.rows("crop", 0.3), [row for row in range(50) if draw("crop")[row] < 0.3])
    between = draw.between("crop", (2.0, 5.0))
    np.testing.assert_allclose(between, 2 + 3 * draw("crop"))
    assert len(draw.rows("crop", 0.0)) == 0 and len(draw.rows("crop", 1.0)) == 50
