import json
import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.dataset.corruption import long_tail, lookalike, nearest, tail_numbers, uniform
from opensphere.error import UserError

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=40).map(np.array)
SEEDS = st.integers(0, 2**63)


def assert_plain(report):
    """A report is of plain numbers and words, as a record of a run can hold them."""
    assert json.loads(json.dumps(report)) == report


# ------------------------------------------------------------------------------------------------- wrong labels


@settings(max_examples=20)
@given(LABELS, st.sampled_from([0.0, 0.3, 1.0]), SEEDS)
def test_uniform_noise_follows_the_published_rule(labels, share, seed):
    before = labels.copy()
    noisy, report = uniform(labels, 6, share, seed)
    np.testing.assert_array_equal(labels, before)
    generator = random.Random(seed)
    expected = [label if generator.random() > share else generator.choice(range(6)) for label in labels.tolist()]
    assert noisy.tolist() == expected and noisy.dtype == np.int64
    changed = sum(new != old for new, old in zip(expected, labels.tolist(), strict=True))
    assert report == {"noise": "uniform", "share": share, "images": len(labels), "changed": changed}
    assert_plain(report)


TABLE = np.array([[1, 2], [0, 5], [4, 3], [2, 4], [3, 2], [1, 0]])


@settings(max_examples=20)
@given(LABELS, st.floats(0, 1), SEEDS)
def test_lookalikes_take_a_share_of_the_labels(labels, share, seed):
    before = labels.copy()
    noisy, report = lookalike(labels, TABLE, share, seed)
    np.testing.assert_array_equal(labels, before)
    changed = np.flatnonzero(noisy != labels)
    assert len(changed) == round(share * len(labels)) and noisy.dtype == np.int64
    assert all(noisy[image] in TABLE[labels[image]] for image in changed)
    more, _ = lookalike(labels, TABLE, min(1.0, share + 0.3), seed)
    np.testing.assert_array_equal(more[changed], noisy[changed])
    expected = {"noise": "lookalike", "share": share, "neighbours": 2, "images": len(labels), "changed": len(changed)}
    assert report == expected
    assert_plain(report)


def test_any_image_and_any_lookalike_may_be_drawn():
    labels = np.arange(6)
    noisy = np.stack([lookalike(labels, TABLE, 0.5, seed)[0] for seed in range(600)])
    assert abs((noisy != labels).sum(axis=0) - 300).max() < 60
    for person, doubles in enumerate(TABLE):
        counts = [int((noisy[:, person] == double).sum()) for double in doubles]
        assert abs(counts[0] - counts[1]) < 80


@pytest.mark.parametrize(
    "labels, table, share, message",
    [
        ([0, 1], [[1], [0]], 1.5, "share: 1.5 is not in 0..1"),
        ([0, 1], [[1], [0]], math.nan, "share: nan is not in 0..1"),
        ([0, 2], [[1], [0]], 0.5, "the table is of 2 people, 0 to 1, but there is a label 2"),
        ([0, 1], [[1], [7]], 0.5, "the table is of 2 people, 0 to 1, but there is a label 7"),
        ([0, 1], [[1], [-1]], 0.5, "the table is of 2 people, 0 to 1, but there is a label -1"),
        ([0, 1], [[1], [1]], 0.5, "a person is named as their own neighbour"),
        ([0, 1], [1, 0], 0.5, "a table of people and their neighbours is needed"),
        ([0, 1], np.zeros((2, 0)), 0.5, "a table of people and their neighbours is needed"),
    ],
)
def test_impossible_lookalikes(labels, table, share, message):
    with pytest.raises(UserError, match=message):
        lookalike(np.array(labels), np.array(table), share, 0)


def test_impossible_uniform_noise():
    with pytest.raises(UserError, match="share: -0.1 is not in 0..1"):
        uniform(np.zeros(3, np.int64), 2, -0.1, 0)


# ------------------------------------------------------------------------------------------------- who looks alike


def by_hand(centers, k):
    """Cosine by cosine."""
    table = []
    for person, own in enumerate(centers):
        cosines = []
        for other, theirs in enumerate(centers):
            if other != person:
                lengths = math.sqrt(sum(v * v for v in own)) * math.sqrt(sum(v * v for v in theirs))
                cosines.append((-sum(a * b for a, b in zip(own, theirs, strict=True)) / lengths, other))
        table.append([other for _, other in sorted(cosines)[:k]])
    return table


@settings(max_examples=15)
@given(st.integers(2, 12), st.integers(1, 11), st.integers(1, 14), st.integers(0, 999))
def test_nearest_cosine_by_cosine(people, k, block, seed):
    k = min(k, people - 1)
    centers = torch.randn(people, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = nearest(centers * torch.arange(1, people + 1)[:, None], k, block)
    assert found.shape == (people, k) and found.dtype == np.int64
    assert found.tolist() == by_hand(centers.tolist(), k)


def test_people_on_one_point():
    """All equal: any will do, but never the person."""
    found = nearest(np.ones((9, 2), np.float32), 4, 4)
    assert all(len(set(row)) == 4 and person not in row for person, row in enumerate(found.tolist()))
    lookalike(np.arange(9), found, 1.0, 0)


def test_a_class_matrix_with_gradients():
    w = torch.nn.Parameter(torch.eye(3, 2) + 0.1)
    assert nearest(w, 1).shape == (3, 1)


@pytest.mark.parametrize(
    "centers, k, message",
    [
        (torch.eye(3), 3, "k: 3 neighbours cannot be found among 3 people"),
        (torch.eye(3), 0, "k: 0 neighbours"),
        (torch.eye(1), 1, "k: 1 neighbours cannot be found among 1 people"),
        (torch.eye(3) / 0, 1, "not finite"),
        (torch.tensor([[1.0, 0.0], [0.0, 0.0]]), 1, "one of them is zero"),
    ],
)
def test_impossible_neighbours(centers, k, message):
    with pytest.raises(UserError, match=message):
        nearest(centers, k)


# ------------------------------------------------------------------------------------------------- long tails

# the images of each class in Long-Tailed CIFAR-10, and the first and last of CIFAR-100, imbalance 100
CIFAR10 = [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
CIFAR100 = [500, 477, 455, 434, 415, 396, 378, 361, 344, 328, 314, 299, 286, 273, 260, 248, 237, 226, 216, 206]


def test_long_tailed_cifar():
    labels = np.repeat(np.arange(10), 5000)
    indices, report = long_tail(labels, imbalance=100, shape="exponential")
    assert np.bincount(labels[indices]).tolist() == CIFAR10
    assert (report["kept"], report["most"], report["fewest"], report["exponent"]) == (12406, 5000, 50, None)
    numbers, _ = tail_numbers(100, 500, imbalance=100, shape="exponential")
    assert np.floor(numbers + 1e-6).tolist()[:20] == CIFAR100 and round(float(numbers[-1]), 9) == 5


@settings(max_examples=20)
@given(
    st.lists(st.integers(1, 30), min_size=1, max_size=12),
    st.floats(0, 3),
    st.sampled_from(["size", "drawn"]),
    st.integers(0, 99),
)
def test_a_power_law_person_by_person(counts, exponent, order, seed):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)) * 2 + 1, counts))
    before = labels.copy()
    indices, report = long_tail(labels, exponent, order=order, seed=seed)
    np.testing.assert_array_equal(labels, before)
    assert indices.tolist() == sorted(set(indices.tolist())) and indices.dtype == np.int64
    left = np.bincount(labels[indices], minlength=2 * len(counts))[1::2].tolist()
    wanted = [max(1, math.floor(max(counts) * (k + 1) ** -exponent * (1 + 1e-9))) for k in range(len(counts))]
    if order == "size":
        people = sorted(range(len(counts)), key=lambda person: (-counts[person], person))
        assert [left[person] for person in people] == [
            min(wanted[k], counts[person]) for k, person in enumerate(people)
        ]
    else:
        assert all(1 <= number <= count for number, count in zip(left, counts, strict=True))
    longer, _ = long_tail(labels, exponent + 0.5, order=order, seed=seed)
    assert set(longer.tolist()) <= set(indices.tolist())
    facts = {"tail": "power", "order": order, "exponent": exponent, "people": len(counts), "images": len(labels)}
    assert report == facts | {"kept": len(indices), "most": max(left), "fewest": min(left)}
    assert_plain(report)


def test_who_is_in_a_drawn_tail():
    """With as many images of everybody, the numbers are those of the law in an order that the seed draws."""
    labels = np.arange(80) % 8
    orders = [np.bincount(labels[long_tail(labels, 0.8, order="drawn", seed=seed)[0]]).tolist() for seed in range(40)]
    wanted = [math.floor(10 * (k + 1) ** -0.8) for k in range(8)]
    assert all(sorted(numbers, reverse=True) == wanted for numbers in orders)
    assert len({tuple(numbers) for numbers in orders}) > 35 and len({numbers.index(10) for numbers in orders}) == 8


@pytest.mark.parametrize("shape", ["power", "exponential"])
def test_imbalance_is_most_by_fewest(shape):
    labels = np.repeat(np.arange(50), 200)
    _, report = long_tail(labels, imbalance=20, shape=shape)
    assert (report["most"], report["fewest"]) == (200, 10)
    numbers, exponent = tail_numbers(50, 200, imbalance=20, shape=shape)
    assert numbers[0] == 200 and round(float(numbers[-1]), 9) == 10 and (np.diff(numbers) < 0).all()
    if shape == "power":
        np.testing.assert_allclose(tail_numbers(50, 200, exponent)[0], numbers)
    three = np.repeat(np.arange(3), 200)  # here the last number comes out as 19.999999999999996
    assert np.bincount(three[long_tail(three, imbalance=10, shape=shape)[0]])[-1] == 20


@pytest.mark.parametrize("tail", [dict(exponent=0), dict(imbalance=1), dict(imbalance=1, shape="exponential")], ids=str)
def test_no_tail_keeps_all(tail):
    for labels in (np.array([1, 1, 0, 1]), np.array([7, 7]), np.arange(5)):
        most = np.bincount(labels).max()
        indices, report = long_tail(labels, **tail)
        assert indices.tolist() == list(range(len(labels))) and report["most"] == most


def test_one_person_keeps_all():
    for tail in (dict(exponent=2.0), dict(imbalance=9.0), dict(imbalance=9.0, shape="exponential")):
        assert len(long_tail(np.full(6, 3), **tail)[0]) == 6


@pytest.mark.parametrize(
    "tail, message",
    [
        (dict(), r"a long tail \(power\) needs exponent or imbalance, and only that"),
        (dict(exponent=1, imbalance=2), "exponent or imbalance, and only that"),
        (dict(exponent=1, shape="exponential"), r"\(exponential\) needs imbalance, and only that"),
        (dict(exponent=-1), "exponent: -1 is not a number from 0"),
        (dict(exponent=math.nan), "exponent: nan"),
        (dict(imbalance=0.5), "imbalance: 0.5 is not a number from 1"),
        (dict(imbalance=math.inf, shape="exponential"), "imbalance: inf"),
        (dict(exponent=1, shape="step"), "shape: 'step' is neither power nor exponential"),
        (dict(exponent=1, order="label"), "order: 'label' is neither size nor drawn"),
    ],
)
def test_impossible_tails(tail, message):
    with pytest.raises(UserError, match=message):
        long_tail(np.array([0, 0, 1]), **tail)
    with pytest.raises(UserError, match="there is no image"):
        long_tail(np.zeros(0, np.int64), 1.0)
