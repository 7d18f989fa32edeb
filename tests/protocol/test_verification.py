from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from opensphere import protocol
from opensphere.error import UserError
from tests.shared import shared


class Pairs(SimpleNamespace):
    """What a set of pairs offers to a protocol."""

    def __len__(self):
        return self.size


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


def test_all_columns_where_none_are_named():
    for metrics in (None, []):
        assert protocol.check(pairs_of(metrics=metrics)) == ["ACC", "EER", "AUC", *FIVE, "ACC10", "ACC10 SE"]
        assert protocol.check(pairs_of(metrics=metrics, folds=None)) == ["ACC", "EER", "AUC", *FIVE]


def test_values_against_scikit_learn():
    dataset = pairs_of()
    features = features_of(dataset)
    row = protocol.evaluate(dataset, features)
    assert list(row) == protocol.check(dataset) and all(type(value) is float for value in row.values())
    scores = cosines(features, dataset.pairs)
    fpr, tpr, thresholds = roc_curve(dataset.is_same, scores, drop_intermediate=False)
    assert row["AUC"] == pytest.approx(100 * roc_auc_score(dataset.is_same, scores), abs=0.01)
    for name in FIVE:
        assert row[name] == pytest.approx(100 * np.interp(float(name[8:]), fpr, tpr), abs=1e-6)
    best = max(np.mean((scores >= threshold) == dataset.is_same) for threshold in thresholds)
    assert row["ACC"] == pytest.approx(100 * best)
    gap = np.abs(fpr - (1 - tpr)).argmin()
    assert row["EER"] == pytest.approx(100 * fpr[gap], abs=0.5)
    accuracies = []
    for fold in range(10):
        train, test = dataset.folds != fold, dataset.folds == fold
        known = np.sort(scores[train])
        middles = (known[1:] + known[:-1]) / 2
        right = [np.mean((scores[train] > middle) == dataset.is_same[train]) for middle in middles]
        middle = middles[len(right) - 1 - np.argmax(right[::-1])]
        accuracies.append(100 * np.mean((scores[test] > middle) == dataset.is_same[test]))
    assert row["ACC10"] == pytest.approx(np.mean(accuracies))
    assert row["ACC10 SE"] == pytest.approx(np.std(accuracies, ddof=1) / 10**0.5)


def test_metrics_pick_columns():
    dataset = pairs_of(metrics=["TPR@FPR=0.2", "ACC10", "TPR@FPR=1e-3", "ACC"])
    features = features_of(dataset)
    row = protocol.evaluate(dataset, features)
    assert list(row) == ["TPR@FPR=0.2", "ACC10", "TPR@FPR=1e-3", "ACC"]
    dataset.metrics = None
    every = protocol.evaluate(dataset, features)
    assert all(row[name] == every[name] for name in list(row)[1:])
    assert row["TPR@FPR=0.2"] > row["TPR@FPR=1e-3"]


def test_embeddings_of_lfw_without_the_mean():
    data = np.load(shared("goldens/lfw_embeddings.npz"))
    dataset = pairs_of()
    dataset.size = 7701
    dataset.pairs, dataset.is_same = np.stack([data["index0"], data["index1"]], axis=1), data["label"] == 1
    dataset.folds = np.arange(6000) // 600
    row = protocol.evaluate(dataset, data["embeddings"])
    fpr, tpr, _ = roc_curve(dataset.is_same, cosines(data["embeddings"], dataset.pairs))
    assert row["TPR@FPR=1e-3"] == pytest.approx(100 * np.interp(1e-3, fpr, tpr), abs=0.04)
    assert 99.0 < row["ACC10"] <= row["ACC"] < 99.4 and 0.05 < row["ACC10 SE"] < 0.2


def test_rates_too_low_for_the_impostors_are_read_all_the_same():
    dataset = pairs_of(count=20, folds=None, metrics=["TPR@FPR=1e-6"])
    features = features_of(dataset)
    scores = cosines(features, dataset.pairs)
    share = np.mean(scores[dataset.is_same] > scores[~dataset.is_same].max())
    assert protocol.evaluate(dataset, features)["TPR@FPR=1e-6"] == pytest.approx(100 * share, abs=1e-3)


def test_features_that_are_all_the_same():
    row = protocol.evaluate(pairs_of(), np.ones((50, 4), np.float32))
    assert row["ACC"] == row["EER"] == row["AUC"] == row["ACC10"] == 50 and row["TPR@FPR=1e-3"] == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"metrics": ["ACCC"]}, "metrics: 'ACCC' is not known; known are ACC, EER, AUC, TPR@FPR, ACC10, ACC10 SE, TPR"),
        ({"metrics": ["ACC10"], "folds": None}, "metrics: ACC10 needs folds"),
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
