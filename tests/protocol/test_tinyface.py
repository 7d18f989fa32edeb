from types import SimpleNamespace

import numpy as np
import pytest

from opensphere.error import UserError
from opensphere.metric.bootstrap import resample
from opensphere.protocol import tinyface


def faces(seed=0, metrics=None):
    """A set of 5 people in 12 gallery entries, 30 distractors and 25 probes, and features that know them a little."""
    rng = np.random.default_rng(seed)
    persons = np.concatenate([3 * np.arange(12) % 15 // 3 * 10, np.full(30, -1), rng.integers(0, 5, 25) * 10])
    dataset = SimpleNamespace(
        name="tiny", persons=persons, gallery_index=np.arange(42), probe_index=np.arange(42, 67), metrics=metrics
    )
    centres = rng.normal(size=(50, 6))
    return dataset, (centres[persons] + 1.2 * rng.normal(size=(67, 6))).astype(np.float32)


def in_loops(dataset, features):
    """The rank and the average precision of each probe."""
    x = features.astype(float)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    for probe in range(42, 67):
        order = sorted(range(42), key=lambda entry: -(x[probe] @ x[entry]))
        hits = [dataset.persons[entry] == dataset.persons[probe] for entry in order]
        precisions = [sum(hits[: place + 1]) / (place + 1) for place in range(42)]
        areas = [(precisions[p] + (precisions[p - 1] if p else 1)) / 2 for p in range(42) if hits[p]]
        yield hits.index(True) + 1, sum(areas) / len(areas)


def test_the_published_columns_in_loops():
    dataset, features = faces()
    assert tinyface.suits(dataset) and not tinyface.suits(SimpleNamespace(gallery=None))
    found = tinyface.measure(dataset, features)
    assert list(found.estimates) == tinyface.columns(dataset) == ["top-1", "top-5", "top-20", "mAP"]
    ranks, precisions = zip(*in_loops(dataset, features), strict=True)
    for k in (1, 5, 20):
        assert found.values()[f"top-{k}"] == pytest.approx(100 * np.mean([rank <= k for rank in ranks]))
    assert found.values()["mAP"] == pytest.approx(100 * np.mean(precisions))
    assert 0 < found.values()["top-1"] < found.values()["top-5"] < 100
    assert found.facts == {"people": 5, "probes": 25, "gallery": 12, "distractors": 30}
    assert found.correct is None and all(estimate.replicates is None for estimate in found.estimates.values())


def test_metrics_pick_columns():
    dataset, features = faces(metrics=["mAP", "top-3", "mAP"])
    found = tinyface.measure(dataset, features)
    assert list(found.values()) == ["mAP", "top-3"]
    every = dict(tinyface.measure(*faces()).values(), **found.values())
    assert every["top-1"] <= every["top-3"] <= every["top-5"]


@pytest.mark.parametrize("name", ["top-0", "top-", "top-1.5", "map", "TPR@FPR"])
def test_names_that_are_not_known(name):
    with pytest.raises(UserError, match=f"^tiny: metrics: '{name}' is not known; known are top, mAP, top-k$"):
        tinyface.columns(faces(metrics=[name])[0])


def test_replicates_draw_the_people_of_the_probes():
    dataset, features = faces()
    found = tinyface.measure(dataset, features, resamples=40, seed=3)
    ranks, precisions = zip(*in_loops(dataset, features), strict=True)
    people = sorted(set(dataset.persons[42:]))
    for row, drawn in enumerate(resample(5, 40, 3)):
        times = [drawn[people.index(person)] for person in dataset.persons[42:]]
        hits = np.repeat([rank <= 5 for rank in ranks], times)
        assert found.estimates["top-5"].replicates[row] == pytest.approx(100 * np.mean(hits))
        areas = np.repeat(precisions, times)
        assert found.estimates["mAP"].replicates[row] == pytest.approx(100 * np.mean(areas))
    low, high = found.estimates["mAP"].interval()
    assert low < found.values()["mAP"] < high


def test_features_that_are_all_the_same_find_nobody():
    dataset, features = faces()
    assert tinyface.measure(dataset, np.ones_like(features)).values()["top-20"] == 0
