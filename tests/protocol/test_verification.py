from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from opensphere import protocol
from opensphere.dataset import PairDataset
from opensphere.error import UserError
from opensphere.metric.bootstrap import resample
from opensphere.metric.roc import roc
from opensphere.metric.verification import cosine_scores
from tests.shared import shared


class Pairs(SimpleNamespace):
    """What a set of pairs offers to a protocol."""

    def __len__(self):
        return self.size

    def path(self, index):
        return f"{index}.jpg"


def pairs_of(size=50, count=400, folds=10, metrics=None, seed=0, **more):
    rng = np.random.default_rng(seed)
    return Pairs(
        name="faces",
        size=size,
        pairs=rng.permutation(np.stack(np.triu_indices(size, k=1), axis=1))[:count],  # none twice: no ties
        is_same=np.arange(count) % 2 == 0,
        folds=None if folds is None else np.arange(count) * folds // count,
        metrics=metrics,
        **more,
    )


def features_of(dataset, seed=0):
    """Features whose cosines tell something about the pairs."""
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (dataset.size, 8))
    for a, b in dataset.pairs[dataset.is_same]:
        features[b] += 0.3 * features[a]
    return features.astype(np.float32)


def cosines(features, pairs):
    x, y = features[pairs[:, 0]].astype(float), features[pairs[:, 1]].astype(float)
    return (x * y).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(y, axis=1)


FIVE = ["TPR@FPR=1e-4", "TPR@FPR=5e-4", "TPR@FPR=1e-3", "TPR@FPR=5e-3", "TPR@FPR=5e-2"]
SEED_FIVE = [name.replace("TPR", "TPR(seed)") for name in FIVE]


def test_the_usual_columns_where_none_are_named():
    for metrics in (None, []):
        assert protocol.check(pairs_of(metrics=metrics)) == ["ACC10", "ACC", "EER", "AUC", *FIVE]
        assert protocol.check(pairs_of(metrics=metrics, folds=None)) == ["ACC", "EER", "AUC", *FIVE]


def test_values_against_scikit_learn():
    names = ["ACC10", "ACC10 SE", "ACC", "EER", "AUC", "TPR(seed)@FPR", "TPR@FPR", "d-prime"]
    dataset = pairs_of(metrics=names)
    features = features_of(dataset)
    row = protocol.evaluate(dataset, features)
    assert list(row) == protocol.check(dataset) == [*names[:5], *SEED_FIVE, *FIVE, "d-prime"]
    assert all(type(value) is float for value in row.values())
    scores = cosines(features, dataset.pairs)
    fpr, tpr, thresholds = roc_curve(dataset.is_same, scores, drop_intermediate=False)
    assert row["AUC"] == pytest.approx(100 * roc_auc_score(dataset.is_same, scores), abs=0.01)
    for name, seed_name in zip(FIVE, SEED_FIVE, strict=True):
        share = float(name[8:])
        assert row[seed_name] == pytest.approx(100 * np.interp(share, fpr, tpr), abs=1e-6)
        if share * 200 < 1:
            assert np.isnan(row[name])
        else:
            assert row[name] == pytest.approx(100 * max(tpr[fpr <= share]))
    best = max(np.mean((scores >= threshold) == dataset.is_same) for threshold in thresholds)
    assert row["ACC"] == pytest.approx(100 * best)
    gap = np.abs(fpr - (1 - tpr)).argmin()
    assert row["EER"] == pytest.approx(100 * fpr[gap], abs=0.5)
    own, other = scores[dataset.is_same], scores[~dataset.is_same]
    assert row["d-prime"] == pytest.approx(
        (own.mean() - other.mean()) / np.sqrt((own.var() + other.var()) / 2), rel=1e-5
    )
    accuracies = slow_ten_fold(scores, dataset)
    assert row["ACC10"] == pytest.approx(np.mean(accuracies))
    assert row["ACC10 SE"] == pytest.approx(np.std(accuracies, ddof=1) / 10**0.5)


def slow_ten_fold(scores, dataset):
    """Per cent of each fold; `scores` (P,), or (10, P)."""
    accuracies = []
    for fold in range(10):
        train, test = dataset.folds != fold, dataset.folds == fold
        row = scores[fold] if scores.ndim == 2 else scores
        known = np.sort(row[train])
        middles = (known[1:] + known[:-1]) / 2
        right = [np.mean((row[train] > middle) == dataset.is_same[train]) for middle in middles]
        middle = middles[len(right) - 1 - np.argmax(right[::-1])]
        accuracies.append(100 * np.mean((row[test] > middle) == dataset.is_same[test]))
    return accuracies


def test_the_mean_of_the_other_folds_is_subtracted():
    dataset = pairs_of(metrics=["ACC10(centred)", "ACC10"])
    features = features_of(dataset) + 2
    found = protocol.measure(dataset, features)
    scores = []
    for fold in range(10):
        sides = dataset.pairs[dataset.folds != fold].ravel()
        scores.append(cosines(features - features[sides].mean(axis=0), dataset.pairs))
    accuracies = slow_ten_fold(np.array(scores), dataset)
    assert found.estimates["ACC10(centred)"].folds == pytest.approx(np.array(accuracies))
    assert found.estimates["ACC10(centred)"].value == pytest.approx(np.mean(accuracies))
    assert found.estimates["ACC10"].value == pytest.approx(
        np.mean(slow_ten_fold(cosines(features, dataset.pairs), dataset))
    )


def test_a_dash_where_impostors_are_too_few():
    found = protocol.measure(pairs_of(persons=np.arange(50)), features_of(pairs_of()))
    for name in FIVE:
        estimate = found.estimates[name]
        few = float(name[8:]) * 200 < 1
        assert np.isnan(estimate.value) == few
        assert estimate.why == ("" if not few else roc_words(name))
    exact = protocol.measure(pairs_of(metrics=["TPR@FPR=5e-3", "TPR@FPR=0.004999"]), features_of(pairs_of()))
    assert [bool(estimate.why) for estimate in exact.estimates.values()] == [False, True]


def roc_words(name):
    told = {"1e-4": "0.0001", "5e-4": "0.0005", "1e-3": "0.001"}[name[8:]]
    return f"FPR {told} of 200 impostor pairs is less than one pair"


def test_facts_and_decisions():
    dataset = pairs_of()
    features = features_of(dataset)
    found = protocol.measure(dataset, features)
    assert found.facts == {"genuine pairs": 200, "impostor pairs": 200, "folds": 10}
    own = [100 * np.mean(found.correct[dataset.folds == fold]) for fold in range(10)]
    assert own == pytest.approx(found.estimates["ACC10"].folds.tolist())
    dataset.folds = None
    found = protocol.measure(dataset, features)
    assert 100 * found.correct.mean() == pytest.approx(found.estimates["ACC"].value)
    assert found.facts == {"genuine pairs": 200, "impostor pairs": 200}


def people_of(dataset, people=20):
    """Persons that agree with the labels: pairs are chosen to fit."""
    rng = np.random.default_rng(5)
    dataset.persons = np.arange(dataset.size) % people
    one, other = np.triu_indices(dataset.size, k=1)
    same = dataset.persons[one] == dataset.persons[other]
    count = min(same.sum(), len(dataset.pairs) // 2)
    chosen = np.stack([rng.permutation(np.flatnonzero(kind))[:count] for kind in (same, ~same)], axis=1).ravel()
    dataset.pairs, dataset.is_same = np.stack([one, other], axis=1)[chosen], same[chosen]
    dataset.folds = np.arange(len(chosen)) * 5 // len(chosen)
    return dataset


def test_resamples_are_of_the_people():
    dataset = people_of(pairs_of(size=60, metrics=["ACC10", "ACC", "AUC", "TPR@FPR=1e-1", "TPR@FPR=1e-4", "d-prime"]))
    features = features_of(dataset)
    found = protocol.measure(dataset, features, resamples=25, seed=4)
    assert found.facts["people"] == 20
    assert found.estimates["ACC10"].replicates is None and found.estimates["ACC10"].folds.shape == (5,)
    assert found.estimates["TPR@FPR=1e-4"].replicates is None
    scores, drawn = cosine_scores(features, dataset.pairs), resample(20, 25, 4).astype(int)
    for row, counts in enumerate(drawn):
        own, other = (counts[dataset.persons[dataset.pairs[:, side]]] for side in (0, 1))
        weight = np.where(dataset.is_same, own, own * other)
        area = roc_auc_score(dataset.is_same, scores, sample_weight=weight)
        assert found.estimates["AUC"].replicates[row] == pytest.approx(100 * area)
        times = np.repeat(np.arange(len(scores)), weight)
        curve = roc(scores[times], dataset.is_same[times])
        assert found.estimates["d-prime"].replicates[row] == pytest.approx(curve.d_prime())
        assert found.estimates["ACC"].replicates[row] == pytest.approx(100 * curve.accuracy())
    assert found.values() == pytest.approx(protocol.evaluate(dataset, features), nan_ok=True)


def test_many_pairs_take_the_quick_way_to_the_same_numbers(monkeypatch):
    dataset = people_of(pairs_of(size=60, metrics=["TPR@FPR=1e-1", "EER", "TPR@FPR=5e-2"]))
    features = features_of(dataset)
    slow = protocol.measure(dataset, features, resamples=20).estimates
    monkeypatch.setattr("opensphere.protocol.verification._MANY", 10)
    quick = protocol.measure(dataset, features, resamples=20).estimates
    for name in slow:
        np.testing.assert_allclose(quick[name].replicates, slow[name].replicates, rtol=1e-9)


def test_people_that_contradict_the_labels():
    dataset = pairs_of(persons=np.arange(50))
    with pytest.raises(UserError, match="^faces: the names of its people contradict its labels: "):
        protocol.measure(dataset, features_of(dataset), resamples=5)
    dataset.metrics = ["ACC10"]  # needs no people
    protocol.measure(dataset, features_of(dataset), resamples=5)


def test_metrics_pick_columns():
    dataset = pairs_of(metrics=["TPR@FPR=0.2", "ACC10", "TPR@FPR=5e-3", "ACC"])
    features = features_of(dataset)
    row = protocol.evaluate(dataset, features)
    assert list(row) == ["TPR@FPR=0.2", "ACC10", "TPR@FPR=5e-3", "ACC"]
    dataset.metrics = None
    every = protocol.evaluate(dataset, features)
    np.testing.assert_equal([row[name] for name in list(row)[1:]], [every[name] for name in list(row)[1:]])
    assert row["TPR@FPR=0.2"] > row["TPR@FPR=5e-3"]


LFW_FOLDS = [99.00, 99.00, 99.00, 98.67, 99.33, 99.67, 99.17, 99.50, 100.00, 99.67]


@pytest.mark.parametrize("ann_path", ["lfw_ann.txt", "pairs.txt"])
def test_embeddings_of_lfw(ann_path):
    data = np.load(shared("goldens/lfw_embeddings.npz"))
    metrics = ["ACC10(centred)", "ACC10", "ACC10 SE", "ACC", "TPR(seed)@FPR=1e-3"]
    dataset = PairDataset("LFW", shared("faces/lfw/images"), shared(f"faces/lfw/{ann_path}"), metrics=metrics)
    features = np.empty((len(dataset), 256), np.float32)
    features[dataset.pairs] = data["embeddings"][np.stack([data["index0"], data["index1"]], axis=1)]
    found = protocol.measure(dataset, features, resamples=3)
    row = found.values()
    assert np.round(found.estimates["ACC10(centred)"].folds, 2).tolist() == LFW_FOLDS
    assert row["ACC10(centred)"] == pytest.approx(99.30, abs=1e-9)
    fpr, tpr, _ = roc_curve(dataset.is_same, cosines(features, dataset.pairs))
    assert row["TPR(seed)@FPR=1e-3"] == pytest.approx(100 * np.interp(1e-3, fpr, tpr), abs=0.04)
    assert 99.0 < row["ACC10"] <= row["ACC"] < 99.4 and 0.05 < row["ACC10 SE"] < 0.2
    assert found.facts == {"genuine pairs": 3000, "impostor pairs": 3000, "folds": 10, "people": 4281}


def test_seed_rates_too_low_for_the_impostors_are_read_all_the_same():
    dataset = pairs_of(count=20, folds=None, metrics=["TPR(seed)@FPR=1e-6"])
    features = features_of(dataset)
    scores = cosines(features, dataset.pairs)
    share = np.mean(scores[dataset.is_same] > scores[~dataset.is_same].max())
    assert protocol.evaluate(dataset, features)["TPR(seed)@FPR=1e-6"] == pytest.approx(100 * share, abs=1e-3)


def test_features_that_are_all_the_same():
    metrics = ["ACC", "EER", "AUC", "ACC10", "TPR@FPR=5e-2", "TPR(seed)@FPR=1e-3"]
    row = protocol.evaluate(pairs_of(metrics=metrics), np.ones((50, 4), np.float32))
    assert row["ACC"] == row["EER"] == row["AUC"] == row["ACC10"] == 50
    assert row["TPR(seed)@FPR=1e-3"] == pytest.approx(0.1) and row["TPR@FPR=5e-2"] == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": ["ACCC"]}, "metrics: 'ACCC' is not known; known are ACC10, ACC10(centred), ACC10 SE, ACC, EER,"),
        ({"metrics": ["ACC10"], "folds": None}, "metrics: ACC10 needs folds"),
        ({"metrics": ["ACC10(centred)"], "folds": None}, "metrics: ACC10(centred) needs folds"),
        ({"folds": np.zeros(400, int)}, "all pairs are in one fold"),
        ({"folds": np.repeat([0, 1, 2], [100, 200, 100])}, "fold 0 holds 100 pairs and fold 1 200; folds should be of"),
        ({"is_same": np.zeros(0, bool)}, "there are no genuine pairs"),
        ({"is_same": np.ones(400, bool)}, "there are no impostor pairs"),
        ({"is_same": np.arange(400) < 40}, "outside fold 0: there are no genuine pairs"),
    ],
)
def test_what_cannot_be_measured_is_told_before_any_training(change, words):
    dataset = pairs_of()
    vars(dataset).update(change)
    for call in (protocol.check, lambda dataset: protocol.evaluate(dataset, features_of(pairs_of()))):
        with pytest.raises(UserError, match="^faces: ") as caught:
            call(dataset)
        assert words in str(caught.value)


def test_folds_matter_only_to_who_asks_for_them():
    dataset = pairs_of(metrics=["ACC"])
    dataset.is_same = np.arange(400) < 40
    assert protocol.check(dataset) == ["ACC"]
    found = protocol.measure(dataset, features_of(pairs_of()))
    assert 100 * found.correct.mean() == pytest.approx(found.estimates["ACC"].value)


def test_scores_that_are_all_the_same_have_a_reason():
    dataset = pairs_of(metrics=["AUC", "d-prime"])
    found = protocol.measure(dataset, np.ones((dataset.size, 4), np.float32)).estimates
    assert found["AUC"].value == 50 and np.isnan(found["d-prime"].value)
    assert found["d-prime"].why == "all scores are the same"
