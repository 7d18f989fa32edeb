import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opensphere.dataset.sampler import GlobalBatches
from opensphere.error import UserError


@st.composite
def plans(draw):
    """Arguments of GlobalBatches for any set, batch and number of ranks that fit together."""
    world_size = draw(st.integers(1, 4))
    batch_size = world_size * draw(st.integers(1, 6))
    drop_last = draw(st.booleans())
    num_samples = draw(st.integers(batch_size if drop_last else 1, 60))
    plan = dict(num_samples=num_samples, batch_size=batch_size, drop_last=drop_last)
    return world_size, plan | dict(shuffle=draw(st.booleans()), seed=draw(st.integers(-3, 2**63)))


@given(plans())
def test_an_epoch_is_a_permutation(plan):
    _, plan = plan
    batches = GlobalBatches(**plan)
    number, size = plan["num_samples"], plan["batch_size"]
    for epoch in (0, 3):
        steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
        seen = np.concatenate([batches.batch(step) for step in steps])
        assert all(len(batches.batch(step)) == size for step in steps)
        if plan["drop_last"]:
            assert number - size < len(seen) <= number
            assert len(set(seen.tolist())) == len(seen)
        else:
            assert number <= len(seen) < number + size
            assert sorted(seen[:number].tolist()) == list(range(number))
            np.testing.assert_array_equal(seen[number:], np.resize(seen[:number], len(seen) - number))
        if not plan["shuffle"]:
            np.testing.assert_array_equal(seen, np.arange(len(seen)) % number)


@given(plans(), st.integers(0, 30))
def test_ranks_share_the_batch_of_one_process(plan, step):
    world_size, plan = plan
    whole = GlobalBatches(**plan).batch(step)
    shares = [GlobalBatches(**plan, rank=rank, world_size=world_size).share(step) for rank in range(world_size)]
    assert {len(share) for share in shares} == {plan["batch_size"] // world_size}
    np.testing.assert_array_equal(np.concatenate(shares), whole)


@given(plans(), st.integers(0, 20), st.integers(0, 10))
def test_resuming_equals_going_on(plan, start, more):
    _, plan = plan
    onwards = list(GlobalBatches(**plan, stop_step=start + more))
    resumed = GlobalBatches(**plan, start_step=start, stop_step=start + more)
    assert len(resumed) == more and list(resumed) == onwards[start:]


def test_epochs_and_seeds_differ():
    orders = [GlobalBatches(1000, 10, seed=seed).order(epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    for first in range(9):
        for second in range(first):
            assert (orders[first] == orders[second]).mean() < 0.02


def test_permutations_look_uniform():
    """Where item 0 lands in many epochs: chi-square with 9 degrees of freedom, 99.99 % below 33.7."""
    batches = GlobalBatches(10, 5, seed=3)
    places = np.bincount([int(np.flatnonzero(batches.order(epoch) == 0)[0]) for epoch in range(2000)], minlength=10)
    assert ((places - 200) ** 2 / 200).sum() < 33.7


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(num_samples=10, batch_size=16), "a batch of 16 is more than the 10 images.*drop_last: false"),
        (dict(num_samples=99, batch_size=10, world_size=4), "10 images cannot be split evenly over 4 processes; try 8"),
        (dict(num_samples=99, batch_size=2, world_size=4), "2 images cannot be split evenly over 4 processes; try 4"),
        (dict(num_samples=99, batch_size=0), "batch_size: 0 is not a number of images"),
        (dict(num_samples=0, batch_size=1), "the training set is empty"),
    ],
)
def test_impossible_batches(arguments, message):
    with pytest.raises(UserError, match=message):
        GlobalBatches(**arguments)


def test_a_large_batch_repeats_the_set():
    batch = GlobalBatches(3, 8, drop_last=False).batch(0)
    assert np.bincount(batch).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])
