import math

import numpy as np
import pytest
from sklearn.metrics import roc_curve

from opensphere import protocol
from opensphere.dataset.ijb import IJBDataset
from opensphere.error import UserError
from tests.dataset.ijb_fixture import write_ijb, write_meta

RATES = [f"TPR@FPR=1e-{digit}" for digit in (6, 5, 4, 3, 2, 1)]
SEARCH = ["top-1", "top-5", "top-10", "TPIR(seed)@FPIR=1e-2", "TPIR(seed)@FPIR=1e-1"]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return write_ijb(tmp_path_factory.mktemp("ijb"), people=25, probes=60, seed=1)


def open_set(small, **arguments):
    return IJBDataset("IJB-X", small.data_dir, small.meta_dir, **arguments)


def features_of(small, noise=1.0):
    """Features of very different lengths that tell something about the person."""
    rng = np.random.default_rng(2)
    centres = rng.normal(0, 1, (25, 6))
    rows = [centres[small.person_of[template]] + rng.normal(0, noise, 6) for *_, template, _ in small.images]
    return (np.stack(rows) * rng.uniform(1, 30, (len(rows), 1))).astype(np.float32)


def slow_ijb(small, features):
    """The whole protocol from the plain lists, one step at a time."""
    template = {}
    for number in small.person_of:
        rows = [i for i, image in enumerate(small.images) if image[3] == number]
        media = [small.images[i][4] for i in rows]
        mean = np.mean(
            [
                small.images[i][2] * features[i].astype(float) / media.count(medium)
                for i, medium in zip(rows, media, strict=True)
            ],
            axis=0,
        )
        template[number] = mean / np.linalg.norm(mean)
    scores = [template[a] @ template[b] for a, b, _ in small.pairs]
    fpr, tpr, _ = roc_curve([label for *_, label in small.pairs], scores)
    row = {name: np.interp(float(name[8:]), fpr, tpr) for name in RATES}
    gallery = small.galleries[0] + small.galleries[1]
    hits, genuine, impostors = {1: 0, 5: 0, 10: 0}, [], []
    for probe in small.probes:
        scored = sorted(((template[probe] @ template[g], small.person_of[g]) for g in gallery), reverse=True)
        people = [person for _, person in scored]
        for k in hits:
            hits[k] += small.person_of[probe] in people[:k]
        genuine += [score for score, person in scored if person == small.person_of[probe]]
        impostors += [score for score, person in scored if person != small.person_of[probe]]
    impostors.sort(reverse=True)
    row.update({f"top-{k}": count / len(small.probes) for k, count in hits.items()})
    for name in SEARCH[3:]:
        threshold = impostors[math.ceil(float(name[16:]) * len(small.probes)) - 1]
        row[name] = np.mean(np.array(genuine) > threshold)
    return {name: 100 * value for name, value in row.items()}


@pytest.mark.parametrize("noise", [0.4, 0.8, 1.5])
def test_the_protocol_against_plain_loops(small, noise):
    features = features_of(small, noise)
    row = protocol.evaluate(open_set(small), features)
    assert list(row) == RATES + SEARCH
    expected = slow_ijb(small, features)
    assert row == pytest.approx(expected, abs=1e-2)
    assert len(set(row.values())) > 4 and 0 < row["top-1"] < 100  # there was something to tell apart


def test_metrics_pick_columns(small):
    features = features_of(small)
    every = protocol.evaluate(open_set(small), features)
    for metrics, columns in (
        (["TPR@FPR"], RATES),
        (["top"], SEARCH[:3]),
        (["TPIR(seed)@FPIR", "top-5"], [*SEARCH[3:], "top-5"]),
        ("TPIR(seed)@FPIR=1e-2", ["TPIR(seed)@FPIR=1e-2"]),
    ):
        dataset = open_set(small, metrics=metrics)
        assert protocol.check(dataset) == columns
        assert protocol.evaluate(dataset, features) == {name: every[name] for name in columns}
    assert list(protocol.evaluate(open_set(small, metrics=["TPR@FPR=0.3", "TPIR(seed)@FPIR=0.5"]), features)) == [
        "TPR@FPR=0.3",
        "TPIR(seed)@FPIR=0.5",
    ]


def test_unknown_metrics(small):
    for name in ("ACC", "top-3", "TPIR@FPIR", "TPIR(seed)@FPIR=2", "top=1"):
        with pytest.raises(
            UserError, match="^IJB-X: metrics: .* is not known; known are TPR@FPR, top, top-1, .*, TPIR"
        ):
            protocol.check(open_set(small, metrics=[name]))


def test_a_set_without_search(tmp_path):
    small = write_ijb(tmp_path, people=25, probes=20)
    full = protocol.evaluate(open_set(small), features_of(small))
    for path in small.meta_dir.glob("*.csv"):
        path.unlink()
    assert protocol.check(open_set(small)) == RATES
    assert protocol.evaluate(open_set(small), features_of(small)) == {name: full[name] for name in RATES}
    for name in ("top", "top-1", "TPIR(seed)@FPIR=0.1"):
        with pytest.raises(UserError, match="IJB-X: metrics: 1:N needs galleries and probes"):
            protocol.check(open_set(small, metrics=["TPR@FPR", name]))


def test_pairs_of_one_kind_are_refused(tmp_path):
    small = write_ijb(tmp_path)
    small.pairs = [(a, b, 1) for a, b, _ in small.pairs]
    write_meta(small)
    with pytest.raises(UserError, match="^IJB-X: there are no impostor pairs"):
        protocol.check(open_set(small))


def test_too_few_impostors_for_a_rate(tmp_path):
    small = write_ijb(tmp_path, people=2, probes=10)
    dataset = open_set(small, metrics=["TPIR(seed)@FPIR=1"])
    features = np.random.default_rng(0).normal(0, 1, (len(dataset), 4)).astype(np.float32)
    assert set(protocol.evaluate(dataset, features)) == {"TPIR(seed)@FPIR=1"}
    dataset.gallery.person[:] = dataset.probe.person[:] = "anna"
    with pytest.raises(UserError, match="IJB-X: FPIR 1.0 needs 10 impostor scores; there are 0"):
        protocol.evaluate(dataset, features)
