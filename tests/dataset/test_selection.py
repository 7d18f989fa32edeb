import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.dataset.selection import at_least, at_most, drawn_places, select, some_people
from opensphere.error import UserError

# of any numbers from 0, with gaps, in any order
LABELS = st.lists(st.integers(0, 9), min_size=1, max_size=40).map(lambda labels: np.array(labels) * 2)


def counted(labels):
    counts: dict[int, int] = {}
    for label in labels.tolist():
        counts[label] = counts.get(label, 0) + 1
    return counts


def assert_selection(found, labels, indices=None, people=None):
    """Indices ascending, each once; the people are those of the images; both as expected, where that is given."""
    taken, kept = found
    assert taken.dtype == np.int64 == kept.dtype
    assert taken.tolist() == sorted(set(taken.tolist())) and kept.tolist() == sorted(set(labels[taken].tolist()))
    assert indices is None or taken.tolist() == indices
    assert people is None or kept.tolist() == people


@settings(max_examples=25)
@given(LABELS, st.integers(1, 6))
def test_people_with_few_images_are_left_out(labels, min_images):
    before, counts = labels.copy(), counted(labels)
    people = sorted(label for label, count in counts.items() if count >= min_images)
    if people:
        indices = [index for index, label in enumerate(labels.tolist()) if label in people]
        assert_selection(at_least(labels, min_images), labels, indices, people)
    else:
        with pytest.raises(UserError, match=f"nobody has {min_images} images; the most are {max(counts.values())}"):
            at_least(labels, min_images)
    np.testing.assert_array_equal(labels, before)


@settings(max_examples=25)
@given(LABELS, st.integers(0, 2**63), st.data())
def test_people_are_drawn_whole(labels, seed, data):
    everybody = sorted(counted(labels))
    people = data.draw(st.integers(1, len(everybody)))
    found = some_people(labels, people, seed)
    kept = found[1].tolist()
    indices = [index for index, label in enumerate(labels.tolist()) if label in kept]
    assert len(kept) == people
    assert_selection(found, labels, indices)
    assert some_people(labels, people, seed)[1].tolist() == kept
    for more in range(people, len(everybody) + 1):
        assert set(kept) <= set(some_people(labels, more, seed)[1].tolist())


def test_anybody_may_be_drawn():
    """Each of 10 people in 3 of 10 draws: 900 draws are 270 each, give or take 14 (one standard deviation)."""
    labels = np.repeat(np.arange(10), 10 - np.arange(10)) * 7
    drawn = np.bincount(np.concatenate([some_people(labels, 3, seed)[1] // 7 for seed in range(900)]))
    assert len(drawn) == 10 and abs(drawn - 270).max() < 60


@settings(max_examples=25)
@given(LABELS, st.integers(1, 6), st.integers(0, 2**63))
def test_at_most_so_many_images_of_each(labels, max_images, seed):
    found = at_most(labels, max_images, seed)
    counts, left = counted(labels), counted(labels[found[0]])
    assert left == {label: min(count, max_images) for label, count in counts.items()}
    assert_selection(found, labels, people=sorted(counts))
    assert set(found[0].tolist()) <= set(at_most(labels, max_images + 1, seed)[0].tolist())
    places = drawn_places(labels, seed)
    for label, count in counts.items():
        assert sorted(places[labels == label].tolist()) == list(range(count))


def test_any_image_may_be_drawn():
    labels = np.array([3, 0, 3, 3, 3, 5, 3])
    drawn = np.bincount(np.concatenate([at_most(labels, 2, seed)[0] for seed in range(500)]))
    assert drawn[[1, 5]].tolist() == [500, 500] and abs(drawn[[0, 2, 3, 4, 6]] - 200).max() < 55


@settings(max_examples=25)
@given(LABELS, st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.integers(0, 99))
def test_all_together_one_after_the_other(labels, min_images, people, max_images, seed):
    enough = sorted(label for label, count in counted(labels).items() if count >= min_images)
    if len(enough) < people:
        with pytest.raises(UserError, match="nobody has" if not enough else f"people: {people} are wanted"):
            select(labels, min_images, people, max_images, seed)
        return
    found = select(labels, min_images, people, max_images, seed)
    assert_selection(found, labels)
    assert len(found[1]) == people and set(found[1].tolist()) <= set(enough)
    counts = counted(labels)
    assert counted(labels[found[0]]) == {label: min(counts[label], max_images) for label in found[1].tolist()}


def test_the_seed_is_that_of_all_drawing():
    labels = np.arange(200) % 20
    images = {tuple(select(labels, max_images=2, seed=seed)[0].tolist()) for seed in range(5)}
    people = {tuple(select(labels, people=5, seed=seed)[1].tolist()) for seed in range(5)}
    assert len(images) == len(people) == 5


def test_nothing_asked_takes_all():
    labels = np.array([4, 1, 1, 4, 9])
    assert_selection(select(labels), labels, [0, 1, 2, 3, 4], [1, 4, 9])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(min_images=0), "min_images: 0 is not a number of images; 1 keeps everybody"),
        (dict(min_images=3), "min_images: nobody has 3 images; the most are 2"),
        (dict(people=0), "people: 0 are wanted, but there are 3"),
        (dict(people=4), "people: 4 are wanted, but there are 3"),
        (dict(people=3, min_images=2), "people: 3 are wanted, but there are 2"),
        (dict(max_images=0), "max_images: 0 is not a number of images"),
    ],
)
def test_what_cannot_be_selected(arguments, message):
    with pytest.raises(UserError, match=message):
        select(np.array([4, 1, 1, 4, 9]), **arguments)


def test_an_empty_set():
    with pytest.raises(UserError, match="nobody has 1 images; the most are 0"):
        select(np.zeros(0, np.int64))
