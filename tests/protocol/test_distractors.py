from types import SimpleNamespace

import numpy as np
import pytest

from opensphere.error import UserError
from opensphere.metric.bootstrap import resample
from opensphere.protocol import distractors


def faces(seed=0, metrics=None, sizes=(10, 60, 300)):
    """20 images of 6 people, one of whom has only one, and 300 distractors in an order of their own."""
    rng = np.random.default_rng(seed)
    persons = np.concatenate([np.minimum(np.arange(20) // 4, 4), np.full(300, -1)])
    persons[19] = 5
    dataset = SimpleNamespace(
        name="mega",
        persons=persons,
        probes=np.arange(20),
        distractors=20 + rng.permutation(300),
        sizes=list(sizes),
        metrics=metrics,
    )
    centres = rng.normal(size=(7, 6))
    return dataset, (centres[persons] * (persons >= 0)[:, None] + rng.normal(size=(320, 6))).astype(np.float32)


def unit(features):
    return features / np.linalg.norm(features.astype(float), axis=1, keepdims=True)


def searches(dataset, features, size):
    """(person, found) of each image in turn as the entry, and each other image of its person as the probe."""
    x = unit(features)
    for entry in range(20):
        for probe in range(20):
            if probe != entry and dataset.persons[probe] == dataset.persons[entry]:
                best = max(x[probe] @ x[other] for other in dataset.distractors[:size])
                yield dataset.persons[probe], x[probe] @ x[entry] > best


def test_rank_one_at_each_size_in_loops():
    dataset, features = faces()
    assert distractors.suits(dataset) and not distractors.suits(SimpleNamespace(distractors=[]))
    found = distractors.measure(dataset, features)
    columns = ["top-1@10", "top-1@60", "top-1@300", "TPR@FPR=1e-6"]
    assert list(found.estimates) == distractors.columns(dataset) == columns
    for size in (10, 60, 300):
        hits = [hit for _, hit in searches(dataset, features, size)]
        assert found.values()[f"top-1@{size}"] == pytest.approx(100 * np.mean(hits))
    assert 100 > found.values()["top-1@10"] > found.values()["top-1@60"] > found.values()["top-1@300"] > 0
    assert found.facts == {
        "people": 6, "probes": 20, "distractors": 300, "genuine pairs": 27, "impostor pairs": 6000,
    }  # fmt: skip


def test_a_rate_of_too_few_impostors_is_a_dash_with_its_reason():
    estimate = distractors.measure(*faces()).estimates["TPR@FPR=1e-6"]
    assert np.isnan(estimate.value) and estimate.why == "FPR 1e-6 of 6,000 impostor attempts is less than one"


@pytest.mark.parametrize("resamples", [0, 5])
def test_rates_of_pairs_in_loops(resamples):
    dataset, features = faces(metrics=["TPR@FPR=0.01", "TPR@FPR=1e-3", "TPR@FPR=1"])
    found = distractors.measure(dataset, features, resamples)
    x = unit(features)
    impostors = sorted((x[probe] @ x[other] for probe in range(20) for other in range(20, 320)), reverse=True)
    own = [x[a] @ x[b] for a in range(20) for b in range(a) if dataset.persons[a] == dataset.persons[b]]
    for column, allowed in (("TPR@FPR=0.01", 60), ("TPR@FPR=1e-3", 6)):
        assert found.values()[column] == pytest.approx(100 * np.mean(np.array(own) > impostors[allowed]))
    assert found.values()["TPR@FPR=1"] == 100


def test_replicates_draw_the_people():
    dataset, features = faces(metrics=["top-1@60", "TPR@FPR=0.01"])
    found = distractors.measure(dataset, features, resamples=12, seed=5)
    x, persons = unit(features), dataset.persons
    results = list(searches(dataset, features, 60))
    for row, drawn in enumerate(resample(6, 12, 5).astype(int)):
        hits = np.repeat([hit for _, hit in results], [drawn[person] for person, _ in results])
        assert found.estimates["top-1@60"].replicates[row] == pytest.approx(100 * np.mean(hits))
        images = np.repeat(np.arange(20), drawn[persons[:20]])
        impostors = np.sort((x[images] @ x[20:].T).ravel())[::-1]
        own = [(x[a] @ x[b], drawn[persons[a]]) for a in range(20) for b in range(a) if persons[a] == persons[b]]
        scores = np.repeat([score for score, _ in own], [times for _, times in own])
        share = np.mean(scores > impostors[int(0.01 * len(impostors))])
        assert found.estimates["TPR@FPR=0.01"].replicates[row] == pytest.approx(100 * share)


@pytest.mark.parametrize("name", ["top-1@20", "top-2@10", "TPR", "TPR@FPR=2"])
def test_names_that_are_not_known(name):
    known = r"top-1, top-1@10, top-1@60, top-1@300, TPR@FPR, TPR@FPR=x \(0 < x <= 1\)$"
    with pytest.raises(UserError, match=f"^mega: metrics: '{name}' is not known; known are {known}"):
        distractors.columns(faces(metrics=[name])[0])


def test_metrics_pick_columns():
    dataset, features = faces(metrics=["TPR@FPR=0.1", "top-1"])
    assert list(distractors.measure(dataset, features).values()) == [
        "TPR@FPR=0.1", "top-1@10", "top-1@60", "top-1@300",
    ]  # fmt: skip


def test_searches_alone_need_no_impostor_pairs():
    dataset, features = faces(metrics=["top-1@60"])
    every = distractors.measure(faces()[0], features).values()
    assert distractors.measure(dataset, features, resamples=3).values() == {"top-1@60": every["top-1@60"]}
