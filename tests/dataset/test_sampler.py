import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.dataset import sampler
from opensphere.dataset.sampler import BalancedBatches, EvenShares, GlobalBatches, Plan
from opensphere.error import UserError


@st.composite
def plans(draw):
    """The size of a set, and a plan and a number of ranks that fit it."""
    world_size = draw(st.integers(1, 4))
    batch_size = world_size * draw(st.integers(1, 6))
    drop_last = draw(st.booleans())
    num_samples = draw(st.integers(batch_size if drop_last else 1, 60))
    plan = dict(batch_size=batch_size, drop_last=drop_last)
    return num_samples, world_size, plan | dict(shuffle=draw(st.booleans()), seed=draw(st.integers(-3, 2**63)))


@given(plans())
def test_an_epoch_is_a_permutation(drawn):
    number, _, plan = drawn
    batches = GlobalBatches(number, Plan(**plan))
    size = plan["batch_size"]
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
def test_ranks_share_the_batch_of_one_process(drawn, step):
    number, world_size, plan = drawn
    whole = GlobalBatches(number, Plan(**plan)).batch(step)
    ranks = [Plan(**plan, rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = [GlobalBatches(number, rank).share(step) for rank in ranks]
    assert {len(share) for share in shares} == {plan["batch_size"] // world_size}
    np.testing.assert_array_equal(np.concatenate(shares), whole)


@given(plans(), st.integers(0, 20), st.integers(0, 10))
def test_resuming_equals_going_on(drawn, start, more):
    number, _, plan = drawn
    onwards = list(GlobalBatches(number, Plan(**plan, stop_step=start + more)))
    resumed = GlobalBatches(number, Plan(**plan, start_step=start, stop_step=start + more))
    assert len(resumed) == more and list(resumed) == onwards[start:]


def test_steps_of_a_plan():
    assert len(GlobalBatches(9, Plan(3, start_step=5, stop_step=4))) == 0
    assert len(GlobalBatches(9, Plan(3, start_step=5))) > 1 << 61
    assert list(GlobalBatches(9, Plan(3, shuffle=False, stop_step=2))) == [[0, 1, 2], [3, 4, 5]]


def test_epochs_and_seeds_differ():
    orders = [GlobalBatches(1000, Plan(10, seed=seed)).order(epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    for first in range(9):
        for second in range(first):
            assert (orders[first] == orders[second]).mean() < 0.02


def test_permutations_look_uniform():
    """Where item 0 lands in many epochs: chi-square with 9 degrees of freedom, 99.99 % below 33.7."""
    batches = GlobalBatches(10, Plan(5, seed=3))
    places = np.bincount([int(np.flatnonzero(batches.order(epoch) == 0)[0]) for epoch in range(2000)], minlength=10)
    assert ((places - 200) ** 2 / 200).sum() < 33.7


@pytest.mark.parametrize(
    "number, plan, message",
    [
        (10, Plan(16), "a batch of 16 is more than the 10 images.*drop_last: false"),
        (99, Plan(10, world_size=4), "10 images cannot be split evenly over 4 processes; try 8"),
        (99, Plan(2, world_size=4), "2 images cannot be split evenly over 4 processes; try 4"),
        (99, Plan(0), "batch_size: 0 is not a number of images"),
        (0, Plan(1), "the training set is empty"),
    ],
)
def test_impossible_batches(number, plan, message):
    with pytest.raises(UserError, match=message):
        GlobalBatches(number, plan)
    with pytest.raises(UserError, match=message):
        BalancedBatches(np.zeros(number, np.int64), 0.5, plan)


def test_a_large_batch_repeats_the_set():
    batch = GlobalBatches(3, Plan(8, drop_last=False)).batch(0)
    assert np.bincount(batch).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


# ------------------------------------------------------------------------------------------------- balanced draws


@st.composite
def balanced(draw):
    """Labels with gaps in mixed order, a balance, and a plan and a number of ranks that fit."""
    counts = draw(st.lists(st.integers(1, 12), min_size=1, max_size=12))
    number, world_size, seed = sum(counts), draw(st.integers(1, 2)), draw(st.integers(-3, 2**63))
    labels = np.random.default_rng(seed % 99).permutation(np.repeat(np.arange(len(counts)) * 3 + 1, counts))
    drop_last = draw(st.booleans()) and number >= world_size
    batch_size = world_size * draw(st.integers(1, max(1, (number if drop_last else 20) // world_size)))
    plan = dict(batch_size=batch_size, drop_last=drop_last, shuffle=draw(st.booleans()), seed=seed)
    return labels, draw(st.sampled_from([1e-6, 0.25, 0.5, 0.9, 1.0])), world_size, plan


def epoch_of(batches, epoch):
    steps = range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch)
    return np.concatenate([batches.batch(step) for step in steps])


def assert_rounded(found, exact):
    assert (found > exact - 1 - 1e-6).all() and (found < exact + 1 + 1e-6).all()


@settings(max_examples=15)
@given(balanced())
def test_draws_are_the_exact_number_rounded(drawn):
    """Of a person: in each epoch and in all so far. Of their images: all equally often, within one."""
    labels, balance, _, plan = drawn
    batches = BalancedBatches(labels, balance, Plan(**plan))
    people, person, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = np.array([number ** (1 - balance) for number in counts.tolist()])
    draws = batches.steps_per_epoch * plan["batch_size"]
    assert abs(draws - len(labels)) < plan["batch_size"]
    images = np.zeros(len(labels), np.int64)
    for epoch in range(12):
        seen = epoch_of(batches, epoch)
        assert len(seen) == draws == len(batches.order(epoch))
        images += np.bincount(seen, minlength=len(labels))
        assert_rounded(np.bincount(person[seen], minlength=len(people)), draws * weights / weights.sum())
        assert_rounded(np.bincount(person, images), (epoch + 1) * draws * weights / weights.sum())
        assert all(np.ptp(images[person == number]) <= 1 for number in range(len(people)))
        if not plan["shuffle"]:
            assert (np.diff(seen) >= 0).all()


@settings(max_examples=15)
@given(balanced(), st.integers(0, 40))
def test_ranks_share_balanced_batches(drawn, step):
    labels, balance, world_size, plan = drawn
    whole = BalancedBatches(labels, balance, Plan(**plan)).batch(step)
    ranks = [Plan(**plan, rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = [BalancedBatches(labels, balance, rank).share(step) for rank in ranks]
    assert {len(share) for share in shares} == {plan["batch_size"] // world_size}
    np.testing.assert_array_equal(np.concatenate(shares), whole)


@settings(max_examples=15)
@given(balanced(), st.integers(0, 40), st.integers(0, 10))
def test_balanced_draws_resume_at_any_step(drawn, start, more):
    labels, balance, _, plan = drawn
    going_on = BalancedBatches(labels, balance, Plan(**plan, stop_step=start + more))
    onwards = list(going_on)
    resumed = BalancedBatches(labels, balance, Plan(**plan, start_step=start, stop_step=start + more))
    assert len(resumed) == more and list(resumed) == onwards[start:]
    assert going_on.share(0).tolist() == BalancedBatches(labels, balance, Plan(**plan)).share(0).tolist()


@settings(max_examples=20)
@given(balanced(), st.integers(0, 5))
def test_balance_zero_is_the_permutation(drawn, epoch):
    labels, _, _, plan = drawn
    words = np.random.SeedSequence([plan["seed"] % 2**64, epoch])
    expected = np.random.Generator(np.random.PCG64(words)).permutation(len(labels))
    order = BalancedBatches(labels, 0, Plan(**plan)).order(epoch)
    np.testing.assert_array_equal(order, expected if plan["shuffle"] else np.arange(len(labels)))
    np.testing.assert_array_equal(order, GlobalBatches(len(labels), Plan(**plan)).order(epoch))


@settings(max_examples=20)
@given(st.integers(1, 9), st.integers(1, 12), st.floats(0.01, 1), st.integers(0, 99))
def test_people_alike_get_alike(people, each, balance, seed):
    """Also one person alone: every image is there once an epoch, where the epoch is the set."""
    labels = np.arange(people * each) % people
    batches = BalancedBatches(labels, balance, Plan(1, seed=seed))
    for epoch in range(3):
        assert sorted(batches.order(epoch).tolist()) == list(range(people * each))


def test_turns_written_out():
    """Draw by draw, without vectors: a person's images in the order of the set, each next where the last draw ended."""
    labels = np.array([4, 0, 4, 4, 0, 2, 4, 4, 2, 4])
    batches = BalancedBatches(labels, 0.5, Plan(5, shuffle=False))
    place = {0: 0, 2: 0, 4: 0}
    for epoch in range(9):
        expected = []
        for person in place:
            images = np.flatnonzero(labels == person)
            for _ in range(int((labels[epoch_of(batches, epoch)] == person).sum())):
                expected.append(images[place[person] % len(images)])
                place[person] += 1
        assert epoch_of(batches, epoch).tolist() == sorted(expected)


def orders_of_turns(seed, turns):
    """(turns, 200) int64: in which of the 6 orders each of 200 people gives their 3 images."""
    batches = BalancedBatches(np.repeat(np.arange(200), 3), 1, Plan(6, seed=seed))
    people = np.arange(200)
    number = np.arange(3 * turns).repeat(200).reshape(3 * turns, 200)
    taken = np.stack([batches._take(people, before, before + 1) for before in number]) % 3
    assert (np.sort(taken.reshape(turns, 3, 200), axis=1) == np.arange(3)[:, None]).all()
    return taken[0::3] * 2 + (taken[1::3] > taken[2::3])


def test_orders_of_turns_look_uniform():
    """Chi-square with 5 degrees of freedom, 99.99 % below 25.7; people, turns and seeds do not follow one another."""
    found, other = orders_of_turns(5, 10), orders_of_turns(6, 10)
    kinds = np.bincount(found.ravel(), minlength=6)
    assert ((kinds - 2000 / 6) ** 2 / (2000 / 6)).sum() < 25.7
    for first, second in ((found, other), (found[1:], found[:-1]), (found[:, 1:], found[:, :-1])):
        assert abs((first == second).mean() - 1 / 6) < 0.04


def test_balanced_epochs_and_seeds_differ():
    labels = np.arange(1000) // np.arange(1, 1001)[::-1]
    batches = [BalancedBatches(labels, 0.5, Plan(10, seed=seed)) for seed in (0, 1)]
    orders = [one.order(epoch) for one in batches for epoch in (0, 1)]
    for first in range(4):
        for second in range(first):
            assert (orders[first] == orders[second]).mean() < 0.05


@settings(max_examples=15)
@given(balanced())
def test_any_blocks_will_do(drawn):
    labels, balance, _, plan = drawn
    batches = BalancedBatches(labels, balance, Plan(**plan))
    expected = [batches.order(epoch).tolist() for epoch in range(3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "_BLOCK", 7)
        assert [batches._draw(epoch).tolist() for epoch in range(3)] == expected


@pytest.mark.parametrize("balance", [-0.1, 1.5, float("nan")])
def test_impossible_balance(balance):
    with pytest.raises(UserError, match=f"balance: {balance} is not in 0..1"):
        BalancedBatches(np.zeros(4, np.int64), balance, Plan(2))


def test_the_memory_of_balanced_draws():
    labels = np.random.default_rng(0).integers(0, 1000, 200_000)
    tracemalloc.start()
    batches = BalancedBatches(labels, 0.5, Plan(256))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "_BLOCK", 1 << 14)
        batches.order(0)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 2.2 * labels.nbytes and most < 4 * labels.nbytes


# ------------------------------------------------------------------------------------------------- even shares


def assert_even(parts, unit, epochs):
    """Rates of `parts` / `unit`, exact in whole numbers: each share rounded up or down, so far and in each epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "_UNIT", unit)
        total = sum(parts) // unit
        shares = EvenShares(np.array(parts, float), total)
        latest = np.zeros(len(parts), np.int64)
        for epoch in range(1, epochs + 1):
            found = shares.after(epoch)
            assert found.sum() == epoch * total
            for share, added, part in zip(found.tolist(), (found - latest).tolist(), parts, strict=True):
                assert epoch * part // unit <= share <= -(-epoch * part // unit)
                assert part // unit <= added <= -(-part // unit)
            latest = found


@settings(max_examples=25)
@given(st.integers(1, 30), st.lists(st.integers(1, 99), min_size=1, max_size=10))
def test_shares_are_even(unit, parts):
    assert_even(parts + [2 * unit - sum(parts) % unit], unit, min(unit, 20))


@pytest.mark.parametrize(
    "parts, unit",
    [
        ([14, 17, 14, 18, 18, 19], 20),  # these two need the second tie-break
        ([10, 12, 8, 12, 13, 4, 11], 14),
        ([3, 5, 6, 5, 9, 6, 5, 9], 12),  # and this one the first
        ([7], 7),
        ([3, 3, 3, 3], 4),
    ],
)
def test_shares_that_are_hard_to_make_even(parts, unit):
    assert_even(parts, unit, unit)


@settings(max_examples=25)
@given(st.integers(1, 30), st.lists(st.floats(0.5, 9), min_size=1, max_size=10))
def test_shares_of_rounded_rates_add_up(unit, weights):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sampler, "_UNIT", unit * len(weights))
        shares = EvenShares(np.array(weights), 11)
        assert [int(shares.after(epochs).sum()) for epochs in (1, 2, 3, 40)] == [11, 22, 33, 440]


def test_shares_of_a_later_epoch():
    """Asked for in any order; and rounding of the rates does not show after many epochs."""
    weights = np.array([1.0, 2.0, 3.5, 0.3])
    shares = EvenShares(weights, 11)
    found = [shares.after(epochs).tolist() for epochs in (0, 7, 3, 1000)]
    assert found == [EvenShares(weights, 11).after(epochs).tolist() for epochs in (0, 7, 3, 1000)]
    assert found[0] == [0, 0, 0, 0]
    assert_rounded(np.array(found[3]), 1000 * 11 * weights / weights.sum())
