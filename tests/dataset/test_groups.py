import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opensphere.dataset.groups import GroupBatches
from opensphere.dataset.sampler import Plan
from opensphere.error import UserError


@st.composite
def plans(draw):
    """Labels, and images per person, a number of ranks and a plan that fit them."""
    world_size, each = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    people = world_size * draw(st.integers(1, 3))
    counts = draw(st.lists(st.integers(1, 9), min_size=people, max_size=people + 7))
    seed = draw(st.integers(-3, 2**63))
    # labels with gaps, in mixed order
    labels = np.random.default_rng(seed % 99).permutation(np.repeat(np.arange(len(counts)) * 3 + 1, counts))
    plan = dict(batch_size=people * each, drop_last=draw(st.booleans()), shuffle=draw(st.booleans()), seed=seed)
    return labels, each, world_size, plan


@given(plans())
def test_an_epoch_sees_every_person_once(drawn):
    labels, each, _, plan = drawn
    batches = GroupBatches(labels, each, Plan(**plan))
    number, people = len(np.unique(labels)), plan["batch_size"] // each
    assert batches.steps_per_epoch == (number // people if plan["drop_last"] else -(-number // people))
    for epoch in (0, 2):
        seen = []
        for step in range(epoch * batches.steps_per_epoch, (epoch + 1) * batches.steps_per_epoch):
            groups = labels[batches.batch(step)].reshape(people, each)
            assert (groups == groups[:, :1]).all()
            assert len(set(groups[:, 0].tolist())) == people
            seen += groups[:, 0].tolist()
        assert len(set(seen)) == min(len(seen), number)
        np.testing.assert_array_equal(seen[:number], np.unique(labels)[batches.order(epoch)][: len(seen)])
        np.testing.assert_array_equal(seen[number:], seen[: max(0, len(seen) - number)])
        if not plan["shuffle"]:
            np.testing.assert_array_equal(seen[:number], np.unique(labels)[: len(seen)])


@given(st.integers(1, 9), st.integers(1, 5), st.booleans(), st.integers(0, 99))
def test_images_are_taken_in_turn(count, each, shuffle, seed):
    """One person alone: all images before any repeats, and distinct ones in a group where there are enough."""
    batches = GroupBatches(np.zeros(count, np.int64), each, Plan(each, shuffle=shuffle, seed=seed))
    groups = np.array([batches.batch(step) for step in range(3 * count)])
    for group in groups:
        times = np.bincount(group, minlength=count)
        assert times.max() - times.min() <= 1 and times.max() == -(-each // count)
    turns = groups.ravel()[: 3 * each * count].reshape(3 * each, count)
    np.testing.assert_array_equal(np.sort(turns, axis=1), np.tile(np.arange(count), (3 * each, 1)))


def test_turns_are_shuffled_anew():
    batches = GroupBatches(np.zeros(40, np.int64), 4, Plan(4, seed=1))
    turns = [np.concatenate([batches.batch(10 * turn + place) for place in range(10)]).tolist() for turn in range(3)]
    assert turns[0] != turns[1] != turns[2] != turns[0]
    other = GroupBatches(np.zeros(40, np.int64), 4, Plan(4, seed=2))
    assert np.concatenate([other.batch(place) for place in range(10)]).tolist() != turns[0]
    both = GroupBatches(np.repeat([0, 1], 40), 40, Plan(80, seed=1))
    groups = both.batch(0).reshape(2, 40) % 40
    assert groups[0].tolist() != groups[1].tolist()


@given(plans(), st.integers(0, 30))
def test_ranks_share_whole_groups_of_the_batch_of_one_process(drawn, step):
    labels, each, world_size, plan = drawn
    whole = GroupBatches(labels, each, Plan(**plan)).batch(step)
    ranks = [Plan(**plan, rank=rank, world_size=world_size) for rank in range(world_size)]
    shares = [GroupBatches(labels, each, rank).share(step) for rank in ranks]
    assert {len(share) for share in shares} == {plan["batch_size"] // world_size}
    assert plan["batch_size"] // world_size % each == 0
    np.testing.assert_array_equal(np.concatenate(shares), whole)


@given(plans(), st.integers(0, 20), st.integers(0, 10))
def test_resuming_equals_going_on(drawn, start, more):
    labels, each, _, plan = drawn
    onwards = list(GroupBatches(labels, each, Plan(**plan, stop_step=start + more)))
    resumed = GroupBatches(labels, each, Plan(**plan, start_step=start, stop_step=start + more))
    assert len(resumed) == more and list(resumed) == onwards[start:]


@pytest.mark.parametrize(
    "plan, each, message",
    [
        (Plan(10), 4, r"10 images are no whole number of groups of 4 \(images_per_person\); try 8"),
        (Plan(3), 4, r"3 images are no whole number of groups of 4 \(images_per_person\); try 4"),
        (Plan(12, world_size=2), 4, r"groups of 4 \(images_per_person\) on each of 2 processes; try 8"),
        (Plan(16), 4, r"a batch of 4 people \(16 images, 4 each\) is more than the 3 people of the set"),
        (Plan(16, drop_last=False), 4, "is more than the 3 people"),
        (Plan(0), 4, "batch_size: 0 is not a number of images"),
        (Plan(4), 0, "images_per_person: 0 is not a number of images"),
    ],
)
def test_impossible_batches(plan, each, message):
    with pytest.raises(UserError, match=message):
        GroupBatches(np.array([0, 0, 5, 2, 2]), each, plan)


def test_memory_is_that_of_one_number_an_image():
    labels = np.random.default_rng(0).integers(0, 1000, 200_000)
    tracemalloc.start()
    batches = GroupBatches(labels, 4, Plan(256))
    for step in range(5):
        batches.batch(step)
    kept, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 1.1 * labels.nbytes and most < 2.5 * labels.nbytes
