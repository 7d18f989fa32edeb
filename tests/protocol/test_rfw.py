import numpy as np
import pytest

from opensphere.dataset import RFWDataset
from opensphere.error import UserError
from opensphere.metric.verification import ten_fold
from opensphere.protocol import rfw
from tests.dataset.test_rfw import GROUPS, write_rfw
from tests.protocol.test_verification import Pairs, cosines


def groups_of(metrics=None, seed=0, names=("A", "B", "C"), people=30, pairs=200):
    """Groups of 30 people with 3 images each, 200 pairs in ten folds."""
    rng = np.random.default_rng(seed)
    rows, same = [], np.tile(np.repeat([True, False], pairs // 20), 10)
    for group in range(len(names)):
        one = rng.integers(0, people, pairs)
        other = np.where(same, one, (one + rng.integers(1, people, pairs)) % people)
        first = rng.integers(0, 3, pairs)
        second = (first + rng.integers(1, 3, pairs)) % 3
        rows.append(3 * people * group + np.stack([3 * one + first, 3 * other + second], axis=1))
    count = len(names)
    return Pairs(
        name="RFW",
        size=3 * people * count,
        pairs=np.concatenate(rows),
        is_same=np.tile(same, count),
        folds=np.tile(np.arange(pairs) * 10 // pairs, count),
        pair_group=np.repeat(np.arange(count), pairs),
        group_names=list(names),
        persons=np.repeat(np.arange(people * count), 3),
        metrics=metrics,
    )


def features_of(dataset, noise, seed=1):
    """People of each group are told apart as well as its noise allows."""
    rng = np.random.default_rng(seed)
    each = np.repeat(noise, dataset.size // len(noise))[:, None]
    centres = rng.normal(0, 1, (dataset.persons.max() + 1, 8))
    return (centres[dataset.persons] + each * rng.normal(0, 1, (dataset.size, 8))).astype(np.float32)


def test_each_group_and_what_lies_between():
    dataset = groups_of()
    features = features_of(dataset, [0.5, 0.8, 1.2])
    found = rfw.measure(dataset, features)
    values = found.values()
    assert rfw.suits(dataset) and list(values) == rfw.columns(dataset) == ["A", "B", "C", "mean", "std", "gap"]
    scores, expected = cosines(features, dataset.pairs), []
    for number, name in enumerate("ABC"):
        own = dataset.pair_group == number
        accuracies = 100 * ten_fold(scores[own], dataset.is_same[own], dataset.folds[own])[0]
        assert found.estimates[name].folds == pytest.approx(accuracies)
        assert values[name] == pytest.approx(accuracies.mean())
        assert 100 * found.correct[own].mean() == pytest.approx(accuracies.mean())
        expected.append(accuracies.mean())
    assert values["mean"] == pytest.approx(sum(expected) / 3)
    spread = sum((value - sum(expected) / 3) ** 2 for value in expected) / 2
    assert values["std"] == pytest.approx(spread**0.5)
    assert values["gap"] == pytest.approx(max(expected) - min(expected)) and values["gap"] > 5
    assert found.facts == {"groups": 3, "genuine pairs": 300, "impostor pairs": 300}
    assert all(estimate.replicates is None for estimate in found.estimates.values())


def test_resamples_draw_the_people_of_each_group():
    dataset = groups_of()
    features = features_of(dataset, [0.5, 0.8, 1.2])
    found = rfw.measure(dataset, features, resamples=40, seed=3)
    rows = np.stack([found.estimates[name].replicates for name in "ABC"])
    assert rows.shape == (3, 40) and found.facts["people"] == 90
    for name, read in (("mean", np.mean), ("gap", np.ptp)):
        np.testing.assert_allclose(found.estimates[name].replicates, read(rows, axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.estimates["std"].replicates, np.std(rows, axis=0, ddof=1), rtol=1e-9)
    low, high = found.estimates["gap"].interval()
    assert low < found.estimates["gap"].value < high
    again = rfw.measure(dataset, features, resamples=40, seed=3).estimates["gap"].replicates
    np.testing.assert_array_equal(found.estimates["gap"].replicates, again)
    assert abs(np.corrcoef(rows)[0, 1]) < 0.5  # groups of as many people are not drawn alike


def test_equal_groups_are_not_drawn_alike():
    dataset = groups_of()
    one = features_of(groups_of(names="A"), [0.9])
    for group in range(3):  # the same pairs and features three times
        dataset.pairs[dataset.pair_group == group] = dataset.pairs[dataset.pair_group == 0] + group * len(one)
    found = rfw.measure(dataset, np.concatenate([one, one, one]), resamples=30)
    assert found.estimates["gap"].value == 0 and found.estimates["gap"].replicates.max() > 0


def test_metrics_pick_columns():
    dataset = groups_of(metrics=["gap", "B"])
    features = features_of(dataset, [0.5, 0.8, 1.2])
    found = rfw.measure(dataset, features)
    assert list(found.estimates) == ["gap", "B"]
    dataset.metrics = None
    assert rfw.measure(dataset, features).values()["gap"] == found.values()["gap"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": ["EER"]}, "RFW: metrics: 'EER' is not known; known are ACC10, A, B, C, mean, std, gap"),
        ({"group_names": ["A", "gap", "C"]}, "RFW: groups: 'gap' is the name of a column"),
        ({"folds": np.tile(np.repeat([0, 1], [50, 150]), 3)}, "RFW: A: fold 0 holds 50 pairs and fold 1 150"),
        ({"is_same": np.repeat([True, False], [200, 400])}, "RFW: A: outside fold 0: there are no impostor pairs"),
    ],
)
def test_what_cannot_be_measured(change, words):
    dataset = groups_of()
    vars(dataset).update(change)
    with pytest.raises(UserError) as caught:
        rfw.columns(dataset)
    assert words in str(caught.value)


def test_with_the_data_set(tmp_path):
    dataset = RFWDataset("RFW", write_rfw(tmp_path))
    features = np.random.default_rng(0).normal(0, 1, (len(dataset), 4)).astype(np.float32)
    found = rfw.measure(dataset, features, resamples=5)
    assert list(found.estimates) == [*GROUPS, "mean", "std", "gap"] and found.facts["people"] == 40
