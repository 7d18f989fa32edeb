from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from opensphere.dataset import ClassDataset
from opensphere.dataset.annotation import write_list
from opensphere.dataset.holdout import DrawnPairs, draw_pairs, hold_out
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.view import Subset
from opensphere.error import UserError
from tests.dataset.pictures import picture, save
from tests.shared import shared


class People(ImageSet):
    """`counts[k]` pictures of person k, in mixed order."""

    def __init__(self, counts):
        super().__init__("people", 24)
        self.labels = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
        self.names = [f"p{number:03d}" for number in range(len(counts))]

    def __len__(self):
        return len(self.labels)

    def read(self, index):
        return picture(index)


def check(labels, pairs, is_same, folds, wanted, number):
    """What every draw must keep to."""
    assert len(pairs) == len(is_same) == len(folds) == wanted
    assert pairs.dtype == np.int64 and folds.dtype == np.int64 and is_same.dtype == bool
    np.testing.assert_array_equal(labels[pairs[:, 0]] == labels[pairs[:, 1]], is_same)
    assert len({frozenset(pair) for pair in pairs.tolist()}) == wanted
    assert all(first != second for first, second in pairs.tolist())
    share = wanted // (2 * number)
    np.testing.assert_array_equal(folds, np.repeat(np.arange(number), 2 * share))
    np.testing.assert_array_equal(is_same, np.tile(np.repeat([True, False], share), number))


def people_of(labels, pairs):
    return set(labels[pairs].ravel().tolist())


@settings(deadline=None)
@given(st.lists(st.integers(1, 6), min_size=2, max_size=12), st.integers(1, 4), st.integers(1, 40), st.integers(0, 99))
def test_draws_of_any_kind(counts, folds, share, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)) * 3 - 5, counts))
    same = [labels[a] == labels[b] for a, b in combinations(range(len(labels)), 2)]
    most = min(sum(same), len(same) - sum(same)) // folds
    assume(most > 0)
    share = min(share, most)
    wanted = 2 * folds * share
    drawn = draw_pairs(labels, wanted, folds, seed)
    check(labels, *drawn, wanted, folds)
    for first, second in zip(drawn, draw_pairs(labels, wanted, folds, seed), strict=True):
        np.testing.assert_array_equal(first, second)
    with pytest.raises(UserError, match=f"make {sum(same)} genuine and {len(same) - sum(same)} impostor pairs"):
        draw_pairs(labels, 2 * folds * (most + 1), folds, seed)


def test_folds_do_not_share_people():
    labels = np.repeat(np.arange(60), 8)
    pairs, is_same, folds = draw_pairs(labels, 1200, 10, seed=4)
    check(labels, pairs, is_same, folds, 1200, 10)
    groups = [people_of(labels, pairs[folds == fold]) for fold in range(10)]
    assert sum(len(group) for group in groups) == len(set.union(*groups)) == 60


def test_few_people_are_shared_between_folds():
    labels = np.repeat(np.arange(5), 20)
    check(labels, *draw_pairs(labels, 400, 10), 400, 10)


def test_people_appear_evenly():
    labels = np.repeat(np.arange(100), np.random.default_rng(1).integers(5, 60, 100))
    pairs, is_same, _ = draw_pairs(labels, 2000, 10, seed=2)
    genuine = np.bincount(labels[pairs[is_same, 0]], minlength=100)
    impostor = np.bincount(labels[pairs[~is_same]].ravel(), minlength=100)
    assert genuine.min() == genuine.max() == 10
    assert impostor.min() >= 18 and impostor.max() <= 22


def test_people_with_few_images_give_what_they_have():
    labels = np.repeat([0, 1, 2, 3], [2, 3, 10, 1])
    pairs, is_same, _ = draw_pairs(labels, 24, 1)
    assert np.bincount(labels[pairs[is_same, 0]], minlength=4).tolist() == [1, 3, 8, 0]


def test_seeds_differ():
    labels = np.repeat(np.arange(30), 10)
    draws = [draw_pairs(labels, 600, 10, seed)[0] for seed in (0, 1)]
    assert (draws[0] == draws[1]).all(axis=1).mean() < 0.05


@pytest.mark.parametrize("pairs, folds", [(30, 10), (0, 1), (-20, 10), (3, 1), (20, 0)])
def test_pairs_must_divide(pairs, folds):
    with pytest.raises(UserError, match="need a multiple"):
        draw_pairs(np.repeat(np.arange(30), 10), pairs, folds)


def test_hold_out_parts_people():
    dataset = People([1, 5, 2, 8, 3, 1, 4, 9, 6, 2, 7, 5])
    train, pairs = hold_out(dataset, people=4, pairs=20, folds=2, seed=3)
    assert isinstance(train, Subset) and isinstance(pairs, DrawnPairs)
    assert train.num_class == 8 and train.names == sorted(train.names)
    assert sorted(set(train.labels.tolist())) == list(range(8))
    assert sorted(train.names + pairs.dataset.names) == dataset.names
    assert len(train) + len(pairs.dataset) == len(dataset)
    for index in range(len(train)):
        source = int(train.indices[index])
        assert dataset.names[dataset.labels[source]] == train.names[train.labels[index]]
        np.testing.assert_array_equal(train.read(index), picture(source))
    check(pairs.dataset.labels[pairs.indices], pairs.pairs, pairs.is_same, pairs.folds, 20, 2)
    assert (pairs.name, pairs.metrics, pairs.image_size) == ("people_holdout", [], (24, 24))
    assert (train.name, train.image_size) == ("people", (24, 24))


def test_views_read_through_to_the_set():
    dataset = People([4] * 30)
    train, pairs = hold_out(dataset, people=10)
    for view in (train, pairs, pairs.dataset):
        for image, index in map(view.__getitem__, [3, 0, 2]):
            np.testing.assert_array_equal(image.numpy(), view.read(index))
    held = pairs.dataset
    source = int(held.indices[pairs.indices[5]])
    np.testing.assert_array_equal(pairs.read(5), picture(source))
    assert [index for _, index in map(train.__getitem__, [3, 0])] == [3, 0]


def test_hold_out_is_fixed_by_the_seed():
    dataset = People([6] * 40)
    same = [hold_out(dataset, people=12, seed=1) for _ in range(2)]
    assert same[0][0].names == same[1][0].names
    np.testing.assert_array_equal(same[0][1].pairs, same[1][1].pairs)
    assert hold_out(dataset, people=12, seed=2)[0].names != same[0][0].names


@pytest.mark.parametrize("people, expected", [(6, 3), (30, 10), (150, 15), (6000, 500)])
def test_people_by_the_size_of_the_set(people, expected):
    train, pairs = hold_out(People([5] * people))
    assert (train.num_class, pairs.dataset.num_class) == (people - expected, expected)
    assert 20 <= len(pairs.pairs) <= 6000


def test_pairs_by_what_there_is():
    _, pairs = hold_out(People([40] * 60), people=40)
    assert len(pairs.pairs) == 6000
    _, pairs = hold_out(People([4] * 60), people=40)  # in each fold 4 people: 24 genuine pairs
    assert len(pairs.pairs) == 480 and len(set(pairs.folds.tolist())) == 10
    _, pairs = hold_out(People([4] * 60), people=40, folds=None)
    assert len(pairs.pairs) == 480 and pairs.folds is None


def test_single_images_are_not_held_out():
    dataset = People([1] * 50 + [2] * 30)
    train, pairs = hold_out(dataset, people=20, folds=5)
    assert np.bincount(pairs.dataset.labels).tolist() == [2] * 20
    assert train.num_class == 60


@pytest.mark.parametrize(
    "counts, arguments, message",
    [
        ([1] * 20, {}, "0 people cannot be kept apart: the set has 20 people, 0 of them with two images or more"),
        ([3] * 20, dict(people=30), "30 people cannot be kept apart: the set has 20 people, 20 of them"),
        ([3] * 20, dict(people=1), "1 people cannot be kept apart"),
        ([3] * 20, dict(people=19), "leaves none to train on: the set has 20 people"),
        (
            [3] * 20,
            dict(people=5, pairs=600),
            "600 are wanted.*5 people with 15 images make 15 genuine and 90 impostor",
        ),
        ([3] * 20, dict(people=5, pairs=15), "need a multiple of 20"),
        ([2] * 9, {}, "4 people with 8 images are too few for 10 folds"),
    ],
)
def test_too_few_are_counted(counts, arguments, message):
    with pytest.raises(UserError, match=f"^holdout of people: .*{message}"):
        hold_out(People(counts), **arguments)


def test_noisy_labels_are_refused(tmp_path):
    save(tmp_path / "0.png", 0)
    write_list(tmp_path / "list.txt", ((f"{number}.png", f"p{number // 4}") for number in range(80)))
    with pytest.raises(UserError, match="noise_ratio makes labels that are not people"):
        hold_out(ClassDataset("noisy", tmp_path, tmp_path / "list.txt", noise_ratio=0.5))


def test_hold_out_of_real_faces():
    dataset = ClassDataset("CFP", shared("faces/cfp/images"), shared("faces/cfp/cfp_train_ann.txt"))
    train, pairs = hold_out(dataset, people=50, pairs=3000)
    check(pairs.dataset.labels[pairs.indices], pairs.pairs, pairs.is_same, pairs.folds, 3000, 10)
    assert train.num_class == 262 and len(train) == 262 * 14
    assert pairs.read(0).shape == (112, 112, 3)


def test_persons_of_drawn_pairs():
    people = People([3, 1, 4, 2, 5])
    drawn = DrawnPairs(people, pairs=8, folds=None, seed=1)
    labels = people.labels[drawn.indices]
    np.testing.assert_array_equal(drawn.persons, np.searchsorted(np.unique(labels), labels))
    assert drawn.persons.dtype == np.int64 and len(drawn.persons) == len(drawn)


def test_as_many_pairs_as_there_are():
    drawn = DrawnPairs(People([3] * 8), folds=2)
    assert len(drawn.pairs) == 48 and drawn.is_same.sum() == 24
