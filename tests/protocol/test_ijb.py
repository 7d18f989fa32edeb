import math

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from opensphere import protocol
from opensphere.dataset.ijb import IJBDataset
from opensphere.error import UserError
from opensphere.metric.bootstrap import resample
from opensphere.protocol import ijb
from tests.dataset.ijb_fixture import write_ijb, write_meta

RATES = [f"TPR@FPR=1e-{digit}" for digit in (6, 5, 4, 3, 2, 1)]
TOP = ["top-1", "top-5", "top-10"]
OPEN = ["TPIR@FPIR=1e-2", "TPIR@FPIR=1e-1"]
SEED = ["TPIR(seed)@FPIR=1e-2", "TPIR(seed)@FPIR=1e-1"]
SEARCH = [*TOP, *OPEN, *SEED]


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


def slow_templates(small, features, fusion=("norm", "faceness"), media_average=True):
    """The feature of each template from the plain lists."""
    if "norm" not in fusion:
        features = features / np.linalg.norm(features, axis=1, keepdims=True)
    template = {}
    for number in small.person_of:
        rows = [i for i, image in enumerate(small.images) if image[3] == number]
        media = [small.images[i][4] for i in rows]
        mean = np.mean(
            [
                (small.images[i][2] if "faceness" in fusion else 1)
                * features[i].astype(float)
                / (media.count(medium) if media_average else 1)
                for i, medium in zip(rows, media, strict=True)
            ],
            axis=0,
        )
        template[number] = mean / np.linalg.norm(mean)
    return template


def slow_tpr(scores, labels, fpr):
    """The best TPR of all thresholds that keep the FPR, each tried; None where FPR is less than one impostor."""
    genuine = [score for score, label in zip(scores, labels, strict=True) if label]
    impostor = [score for score, label in zip(scores, labels, strict=True) if not label]
    if fpr * len(impostor) < 1:
        return None
    shares = [
        sum(score >= threshold for score in genuine) / len(genuine)
        for threshold in [*genuine, math.inf]
        if sum(score >= threshold for score in impostor) / len(impostor) <= fpr
    ]
    return max(shares)


def slow_search(template, person_of, gallery, probes):
    """For each probe the best own score, or None, and all others', which a tie precedes."""
    found = []
    for probe in probes:
        scored = [(template[probe] @ template[entry], person_of[entry] == person_of[probe]) for entry in gallery]
        own = [score for score, same in scored if same]
        found.append((max(own, default=None), [score for score, same in scored if not same]))
    return found


def slow_open(found, fpir, resampled=False):
    """TPIR in one gallery; None where it cannot be said, which the sample decides, not a resample."""
    mated = [own if own > max(others) else -math.inf for own, others in found if own is not None]
    strangers = [max(others) for own, others in found if own is None]
    if not mated or not strangers or (fpir * len(strangers) < 1 and not resampled):
        return None
    limits = [t for t in [*strangers, *mated, math.inf] if t > -math.inf]
    kept = [t for t in limits if sum(score >= t for score in strangers) / len(strangers) <= fpir]
    return max(sum(score >= t for score in mated) / len(mated) for t in kept)


def slow_many(small, template, probes, resampled=False):
    """All columns of 1:N."""
    found = slow_search(template, small.person_of, small.galleries[0] + small.galleries[1], probes)
    places = [1 + sum(score >= own for score in others) for own, others in found]
    row = {f"top-{k}": np.mean([place <= k for place in places]) for k in (1, 5, 10)}
    impostors = sorted((score for _, others in found for score in others), reverse=True)
    for name in SEED:
        threshold = impostors[math.ceil(float(name[16:]) * len(probes)) - 1]
        row[name] = np.mean([own > threshold for own, _ in found])
    for name in OPEN:
        shares = [
            slow_open(slow_search(template, small.person_of, part, probes), float(name[10:]), resampled)
            for part in small.galleries
        ]
        row[name] = math.nan if None in shares else np.mean(shares)
    return row


def slow_ijb(small, features):
    """The whole protocol from the plain lists, one step at a time."""
    template = slow_templates(small, features)
    scores, labels = [template[a] @ template[b] for a, b, _ in small.pairs], [label for *_, label in small.pairs]
    row = {}
    for name in RATES:
        share = slow_tpr(scores, labels, float(name[8:]))
        row[name] = math.nan if share is None else share
    row.update(slow_many(small, template, small.probes))
    fpr, tpr, _ = roc_curve(labels, scores)
    row.update({name.replace("R@", "R(seed)@"): np.interp(float(name[8:]), fpr, tpr) for name in RATES})
    row["AUC"] = roc_auc_score(labels, scores)
    return {name: 100 * value for name, value in row.items()}


@pytest.mark.parametrize("noise", [0.4, 0.8, 1.5])
def test_the_protocol_against_plain_loops(small, noise):
    features = features_of(small, noise)
    row = protocol.evaluate(open_set(small), features)
    assert list(row) == RATES + SEARCH
    expected = slow_ijb(small, features)
    assert row == pytest.approx({name: expected[name] for name in row}, abs=1e-2, nan_ok=True)
    assert len(set(row.values())) > 4 and 0 < row["top-1"] < 100  # there was something to tell apart
    asked = protocol.evaluate(open_set(small, metrics=["TPR(seed)@FPR", "AUC"]), features)
    assert asked == pytest.approx({name: expected[name] for name in asked}, abs=1e-2)
    assert len(asked) == 7


@pytest.mark.parametrize("options", [{"fusion": []}, {"fusion": "faceness"}, {"media_average": False}])
def test_templates_are_made_as_the_set_says(tmp_path, options):
    small = write_ijb(tmp_path, people=25, probes=60, seed=1)
    small.images = [(*image[:4], image[4] % 2) for image in small.images]  # media of several images
    write_meta(small)
    features = features_of(small, 0.8)
    row = protocol.evaluate(open_set(small, **options, metrics=["TPR@FPR=0.03", "AUC", "top"]), features)
    template = slow_templates(small, features, **options)
    expected = slow_many(small, template, small.probes)
    scores, labels = [template[a] @ template[b] for a, b, _ in small.pairs], [label for *_, label in small.pairs]
    expected |= {"TPR@FPR=0.03": slow_tpr(scores, labels, 0.03), "AUC": roc_auc_score(labels, scores)}
    assert row == pytest.approx({name: 100 * expected[name] for name in row}, abs=1e-3)
    assert row != protocol.evaluate(open_set(small, metrics=list(row)), features)


def test_what_cannot_be_said_has_a_reason(small):
    features = features_of(small)
    impostors = sum(not label for *_, label in small.pairs)
    found = protocol.measure(open_set(small, metrics=["TPR@FPR", "TPIR@FPIR=1e-2", "TPIR@FPIR=0.5"]), features)
    whys = {name: estimate.why for name, estimate in found.estimates.items()}
    assert whys["TPR@FPR=1e-6"] == f"FPR 1e-6 of {impostors:,} impostor pairs is less than one pair"
    assert whys["TPIR@FPIR=1e-2"].startswith("FPIR 0.01 of ")
    assert whys["TPIR@FPIR=1e-2"].endswith(" probes of people outside a gallery is less than one")
    assert whys["TPR@FPR=1e-1"] == whys["TPIR@FPIR=0.5"] == ""
    assert all(np.isnan(estimate.value) == bool(estimate.why) for estimate in found.estimates.values())


def test_one_gallery_that_holds_everyone(tmp_path):
    small = write_ijb(tmp_path, people=25, probes=20)
    small.galleries = [small.galleries[0] + small.galleries[1], []]
    write_meta(small)
    small.file("_1N_gallery_G2.csv").unlink()
    found = protocol.measure(open_set(small), features_of(small))
    for name in OPEN:
        assert np.isnan(found.estimates[name].value)
        assert found.estimates[name].why == "the gallery holds the people of all probes; FPIR needs probes of others"
    assert found.estimates["top-1"].value > 0


def test_decisions_are_those_of_the_best_threshold(small):
    features = features_of(small, 0.8)
    found = protocol.measure(open_set(small), features)
    template = slow_templates(small, features)
    scores, labels = np.array([template[a] @ template[b] for a, b, _ in small.pairs]), [x for *_, x in small.pairs]
    best = max(np.sum((scores >= threshold) == labels) for threshold in [*scores, math.inf])
    assert found.correct.shape == (len(scores),) and found.correct.sum() == best
    whole = protocol.measure(open_set(small, metrics=["EER"]), features)
    np.testing.assert_array_equal(whole.correct, found.correct)
    assert protocol.measure(open_set(small, metrics=["top"]), features).correct is None
    assert found.facts == {
        "templates": 85, "genuine pairs": sum(labels), "impostor pairs": len(labels) - sum(labels), "probes": 60,
        "gallery": 25,
    }  # fmt: skip


def test_replicates_are_what_the_resamples_say(small):
    features, resamples = features_of(small, 0.8), 6
    dataset = open_set(small, metrics=["TPR@FPR=0.05", "TPR@FPR=1e-6", "TPR(seed)@FPR=0.05", *SEARCH])
    found = protocol.measure(dataset, features, resamples, 3).estimates
    template, number = slow_templates(small, features), {t: n for n, t in enumerate(dataset.template_ids.tolist())}
    drawn = resample(int(dataset.persons.max()) + 1, resamples, 3)
    for row, weights in enumerate(drawn.tolist()):
        weight = {t: weights[dataset.persons[n]] for t, n in number.items()}
        probes = [probe for probe in small.probes for _ in range(weight[probe])]
        expected = slow_many(small, template, probes, resampled=True)
        expected[OPEN[0]] = math.nan  # as the sample
        scores, labels = [], []
        for left, right, same in small.pairs:
            count = weight[left] if same else weight[left] * weight[right]
            scores += count * [template[left] @ template[right]]
            labels += count * [same]
        expected["TPR@FPR=0.05"] = slow_tpr(scores, labels, 0.05)
        fpr, tpr, _ = roc_curve(labels, scores)
        expected["TPR(seed)@FPR=0.05"] = np.interp(0.05, fpr, tpr)
        for name, value in expected.items():
            assert found[name].replicates[row] == pytest.approx(100 * value, abs=1e-2, nan_ok=True), name
    assert len(set(found["top-1"].replicates)) > 1 and found["top-1"].interval()[0] < found["top-1"].interval()[1]
    assert np.isnan(found["TPR@FPR=1e-6"].replicates).all()
    again = protocol.measure(dataset, features, resamples, 3).estimates
    np.testing.assert_array_equal(again["top-1"].replicates, found["top-1"].replicates)
    assert protocol.measure(dataset, features).estimates["top-1"].replicates is None


def test_scores_are_looked_through_in_pieces(small, monkeypatch):
    features = features_of(small)
    whole = protocol.evaluate(open_set(small), features)
    monkeypatch.setattr(ijb, "_ROWS_AT_ONCE", 70)
    assert protocol.evaluate(open_set(small), features) == pytest.approx(whole, nan_ok=True)


def test_pairs_in_any_order_and_either_side_first(tmp_path):
    small = write_ijb(tmp_path, people=25, probes=60, seed=1)
    features = features_of(small)
    before = protocol.evaluate(open_set(small), features)
    order = np.random.default_rng(0).permutation(len(small.pairs))
    small.pairs = [
        small.pairs[n] if n % 2 else (small.pairs[n][1], small.pairs[n][0], small.pairs[n][2]) for n in order
    ]
    write_meta(small)
    assert protocol.evaluate(open_set(small), features) == pytest.approx(before, nan_ok=True)


def test_metrics_pick_columns(small):
    features = features_of(small)
    every = protocol.evaluate(open_set(small), features)
    for metrics, columns in (
        (["TPR@FPR"], RATES),
        (["top"], TOP),
        (["TPIR@FPIR"], OPEN),
        (["TPIR(seed)@FPIR", "top-5"], [*SEED, "top-5"]),
        ("TPIR(seed)@FPIR=1e-2", ["TPIR(seed)@FPIR=1e-2"]),
    ):
        dataset = open_set(small, metrics=metrics)
        assert protocol.check(dataset) == columns
        row = protocol.evaluate(dataset, features)
        assert list(row) == columns and row == pytest.approx({name: every[name] for name in columns}, nan_ok=True)
    asked = ["TPR@FPR=0.3", "TPIR(seed)@FPIR=0.5", "TPIR@FPIR=0.5", "TPR(seed)@FPR=0.3", "EER"]
    assert list(protocol.evaluate(open_set(small, metrics=asked), features)) == asked


def test_unknown_metrics(small):
    for name in ("ACC", "top-3", "FPIR", "TPIR(seed)@FPIR=2", "top=1"):
        with pytest.raises(
            UserError, match="^IJB-X: metrics: .* is not known; known are TPR@FPR, .*EER, AUC, top, top-1, .*, TPIR"
        ):
            protocol.check(open_set(small, metrics=[name]))


def test_a_set_without_search(tmp_path):
    small = write_ijb(tmp_path, people=25, probes=20)
    full = protocol.evaluate(open_set(small), features_of(small))
    for path in small.meta_dir.glob("*.csv"):
        path.unlink()
    assert protocol.check(open_set(small)) == RATES
    row = protocol.evaluate(open_set(small), features_of(small))
    assert row == pytest.approx({name: full[name] for name in RATES}, nan_ok=True)
    measured = protocol.measure(open_set(small), features_of(small), 20)
    drawn = measured.estimates["TPR@FPR=1e-1"]
    assert measured.facts["people"] <= 25 + 20 and "probes" not in measured.facts
    assert len(drawn.replicates) == 20 and drawn.interval()[0] < drawn.value
    for name in ("top", "top-1", "TPIR(seed)@FPIR=0.1", "TPIR@FPIR"):
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
