from types import SimpleNamespace

import numpy as np
import pytest

from opensphere.dataset.blufr import BLUFRDataset, Trial
from opensphere.error import UserError
from opensphere.metric.bootstrap import resample
from opensphere.protocol import blufr
from tests.dataset.blufr_fixture import write_blufr
from tests.shared import shared

PUBLISHED = ["VR@FAR=1e-3", "VR@FAR=1e-3 mu-sigma", "DIR@FAR=1e-2", "DIR@FAR=1e-2 mu-sigma"]


def small(tmp_path, metrics=None, **changes):
    write_blufr(tmp_path, people=14, **changes)
    return BLUFRDataset("faces", tmp_path / "images", tmp_path / "blufr.mat", metrics=metrics)


def features_of(dataset, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(dataset.labels.max() + 1, 6))
    return (centres[dataset.labels] + 0.9 * rng.normal(size=(len(dataset.labels), 6))).astype(np.float32)


def all_cosines(features):
    x = features / np.linalg.norm(features.astype(float), axis=1, keepdims=True)
    return x @ x.T


def verification(dataset, cosines, trial, far, drawn=None):
    """The share of genuine pairs accepted at the best threshold whose share of impostor pairs is at most `far`."""
    pairs = []
    for position, a in enumerate(trial.test):
        for b in trial.test[:position]:
            first, second = dataset.labels[a], dataset.labels[b]
            weight = 1 if drawn is None else drawn[first] * (1 if first == second else drawn[second])
            pairs.append((cosines[a, b], first == second, int(weight)))
    scores, same, weight = map(np.array, zip(*pairs, strict=True))
    return best(scores[same], weight[same], scores[~same], weight[~same], far)


def identification(dataset, cosines, trial, far, rank=1, drawn=None):
    hits, own_weight, strangers, other_weight = [], [], [], []
    enrolled = {dataset.labels[g]: g for g in trial.gallery}
    for probe in trial.probe:
        person = dataset.labels[probe]
        weight = 1 if drawn is None else int(drawn[person])
        if person in enrolled:
            own = cosines[probe, enrolled[person]]
            place = 1 + sum(cosines[probe, g] >= own for who, g in enrolled.items() if who != person)
            hits.append(own if place <= rank else -np.inf)
            own_weight.append(weight)
        else:
            strangers.append(max(cosines[probe, g] for g in trial.gallery))
            other_weight.append(weight)
    return best(*map(np.array, (hits, own_weight, strangers, other_weight)), far)


def best(own, own_weight, other, other_weight, far):
    if far * len(other) < 1 or not other_weight.sum() or not own_weight.sum():
        return np.nan
    shares = [0.0]
    for threshold in {*own.tolist(), *other.tolist()} - {-np.inf}:
        if other_weight[other >= threshold].sum() / other_weight.sum() <= far:
            shares.append(own_weight[own >= threshold].sum() / own_weight.sum())
    return max(shares)


WANTED = ["VR@FAR=0.02", "VR@FAR=0.3 mu-sigma", "DIR@FAR=0.25", "DIR@FAR=0.25 mu-sigma", "DIR@FAR=0.5 rank-3"]


def expected(dataset, features, drawn=None):
    """Each of WANTED on each trial, shares."""
    cosines = all_cosines(features)
    readings = {
        "VR@FAR=0.02": lambda trial: verification(dataset, cosines, trial, 0.02, drawn),
        "VR@FAR=0.3 mu-sigma": lambda trial: verification(dataset, cosines, trial, 0.3, drawn),
        "DIR@FAR=0.25": lambda trial: identification(dataset, cosines, trial, 0.25, 1, drawn),
        "DIR@FAR=0.25 mu-sigma": lambda trial: identification(dataset, cosines, trial, 0.25, 1, drawn),
        "DIR@FAR=0.5 rank-3": lambda trial: identification(dataset, cosines, trial, 0.5, 3, drawn),
    }
    return {name: np.array([reading(trial) for trial in dataset.trials]) for name, reading in readings.items()}


def summary(name, values):
    spread = np.std(values, ddof=1) if name.endswith("mu-sigma") else 0
    return 100 * (np.mean(values) - spread)


@pytest.mark.parametrize("seed", range(3))
def test_rates_of_all_pairs_and_searches_in_loops(tmp_path, seed):
    dataset = small(tmp_path, metrics=WANTED, seed=seed)
    features = features_of(dataset, seed)
    found = blufr.measure(dataset, features)
    assert list(found.estimates) == WANTED and blufr.suits(dataset)
    for name, values in expected(dataset, features).items():
        assert found.values()[name] == pytest.approx(summary(name, values)), name
        assert 0 < found.values()[name] < 100, "a test that tells something"
        folds = found.estimates[name].folds
        assert folds is None if name.endswith("mu-sigma") else folds == pytest.approx(100 * values)


def test_the_published_columns_and_what_they_rest_on(tmp_path):
    dataset = small(tmp_path)
    assert blufr.columns(dataset) == PUBLISHED
    found = blufr.measure(dataset, features_of(dataset))
    for name in PUBLISHED[:2]:  # so few pairs: a thousandth of them is less than one
        assert np.isnan(found.values()[name]) and found.estimates[name].folds is None
        assert found.estimates[name].why.startswith("FPR 0.001 of ")
    assert found.facts["trials"] == 3 and found.facts["people"] == 14 and found.facts["gallery"] == 7
    low, high = (int(count) for count in found.facts["impostor pairs"].split(" to "))
    assert 0 < low < high and "left out" not in found.facts


def test_facts_name_what_was_left_out(tmp_path):
    write_blufr(tmp_path, people=14)
    gone = next((tmp_path / "images").rglob("*_0001.jpg"))
    gone.unlink()
    dataset = BLUFRDataset("faces", tmp_path / "images", tmp_path / "blufr.mat", drop_missing=[gone.stem])
    assert blufr.measure(dataset, features_of(dataset)).facts["left out"] == gone.stem


def test_replicates_draw_the_people_of_all_trials_at_once(tmp_path):
    dataset = small(tmp_path, metrics=WANTED)
    features = features_of(dataset)
    found = blufr.measure(dataset, features, resamples=6, seed=4)
    for row, drawn in enumerate(resample(14, 6, 4)):
        for name, values in expected(dataset, features, drawn.astype(int)).items():
            replicate = found.estimates[name].replicates[row]
            assert replicate == pytest.approx(summary(name, values), nan_ok=True), name
    alone = blufr.measure(dataset, features)
    assert alone.values() == found.values() and alone.estimates["DIR@FAR=0.25"].replicates is None


def test_more_pairs_are_kept_where_a_trial_holds_many_of_the_highest():
    """The first trial's images are alike, those outside it are not: its pairs fill the highest of all."""
    rng = np.random.default_rng(0)
    labels = np.arange(600) // 2
    features = rng.normal(size=(600, 30)).astype(np.float32)
    features[:60] += 5
    trials = [Trial(np.arange(540, 600), np.arange(540, 560, 2), np.arange(541, 600, 2))]
    dataset = SimpleNamespace(name="faces", labels=labels, trials=trials, metrics=["VR@FAR=0.002"], dropped=[])
    value = blufr.measure(dataset, features).values()["VR@FAR=0.002"]
    cosines = all_cosines(features)
    assert value == pytest.approx(100 * verification(dataset, cosines, trials[0], 0.002))


def test_one_trial_has_no_deviation(tmp_path):
    dataset = small(tmp_path, metrics=["DIR@FAR=0.5", "DIR@FAR=0.5 mu-sigma"], trials=1)
    found = blufr.measure(dataset, features_of(dataset)).estimates
    assert found["DIR@FAR=0.5"].value > 0 and np.isnan(found["DIR@FAR=0.5 mu-sigma"].value)
    assert found["DIR@FAR=0.5 mu-sigma"].why == "one trial has no deviation"
    assert found["DIR@FAR=0.5"].folds is None  # else a table would show an error that is not known


@pytest.mark.parametrize(
    "name", ["VR", "VR@FAR=0", "VR@FAR=2", "VR@FAR=x", "VR@FAR=0.1 rank-2", "DIR@FAR=0.1 rank-0", "DIR@FAR=0.1 sigma"]
)
def test_names_that_are_not_known(tmp_path, name):
    with pytest.raises(UserError, match=f"^faces: metrics: '{name}' is not known; known are VR@FAR, DIR@FAR, VR@FAR=x"):
        blufr.columns(small(tmp_path, metrics=[name]))


def test_metrics_pick_columns(tmp_path):
    dataset = small(tmp_path, metrics=["DIR@FAR", "VR@FAR=1e-4 mu-sigma", "DIR@FAR=1e-2"])
    assert blufr.columns(dataset) == ["DIR@FAR=1e-2", "DIR@FAR=1e-2 mu-sigma", "VR@FAR=1e-4 mu-sigma"]


def test_trials_that_tell_nothing(tmp_path):
    dataset = small(tmp_path)
    whole = dataset.trials[1]
    enrolled = np.isin(dataset.labels[whole.probe], dataset.labels[whole.gallery])
    for trial, words in (
        (Trial(whole.test, whole.gallery, whole.probe[enrolled]), "all of its probes show people of the gallery"),
        (Trial(whole.test, whole.gallery, whole.probe[~enrolled]), "none of its probes show people of the gallery"),
        (Trial(whole.gallery, whole.gallery, whole.probe), "its test images are not of several people, some with two"),
    ):
        dataset.trials[1] = trial
        with pytest.raises(UserError, match=f"^faces: trial 2: {words}"):
            blufr.columns(dataset)


@pytest.mark.slow
def test_the_real_trials():
    dataset = BLUFRDataset(
        "BLUFR",
        shared("faces/lfw/images"),
        shared("protocols/blufr_lfw_config.mat"),
        drop_missing=["Betsy_Coffin_0001"],
    )
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5748, 64)).astype(np.float32)
    features = centres[dataset.labels] + 1.1 * rng.normal(size=(13232, 64)).astype(np.float32)
    found = blufr.measure(dataset, features)
    assert list(found.values()) == PUBLISHED
    assert found.facts["left out"] == "Betsy_Coffin_0001" and found.facts["gallery"] == 1000
    assert found.facts["genuine pairs"] == "59,104 to 231,834"
    x = features / np.linalg.norm(features, axis=1, keepdims=True)
    trial = dataset.trials[2]
    who = dataset.labels[trial.test]
    scores = x[trial.test] @ x[trial.test].T
    upper = np.triu(np.ones(scores.shape, bool), 1)
    same = who[:, None] == who
    impostors = np.sort(scores[upper & ~same])
    limit = impostors[len(impostors) - 1 - int(1e-3 * len(impostors))]
    assert found.estimates["VR@FAR=1e-3"].folds[2] == pytest.approx(
        100 * np.mean(scores[upper & same] > limit), abs=1e-3
    )
    scores = x[trial.probe] @ x[trial.gallery].T
    own = dataset.labels[trial.probe][:, None] == dataset.labels[trial.gallery]
    enrolled = own.any(axis=1)
    best = np.sort(scores[~enrolled].max(axis=1))
    limit = best[len(best) - 1 - int(1e-2 * len(best))]
    right = own[enrolled][np.arange(enrolled.sum()), scores[enrolled].argmax(axis=1)]
    share = np.mean(right & (scores[enrolled].max(axis=1) > limit))
    assert found.estimates["DIR@FAR=1e-2"].folds[2] == pytest.approx(100 * share, abs=0.03)
