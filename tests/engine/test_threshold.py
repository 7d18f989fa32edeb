"""Thresholds for false match rates, and the file that keeps them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from opensphere.engine.threshold import (
    NAME,
    angle,
    choose,
    distance,
    entry,
    find_thresholds,
    read_thresholds,
    write_thresholds,
)
from opensphere.error import UserError

SHA256 = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"  # of b"weights"


def people_and_scores(seed: int = 0, people: int = 12, images: int = 4) -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(people) * 7, images)  # numbers with gaps
    first, second = np.triu_indices(len(labels), k=1)
    is_same = labels[first] == labels[second]
    scores = rng.normal(0.5 * is_same, 0.2).clip(-1, 1).round(2)  # with ties
    return scores, is_same, np.stack([labels[first], labels[second]], axis=1)


@pytest.mark.parametrize("fmr", [0.002, 0.01, 0.05, 0.5])
def test_the_lowest_score_that_keeps_to_the_rate(fmr: float) -> None:
    scores, is_same, _ = people_and_scores()
    (found,) = find_thresholds(scores, is_same, [fmr])
    strangers, own = scores[~is_same], scores[is_same]
    assert np.mean(strangers >= found.cosine.value) <= fmr
    lower = max(score for score in scores if score < found.cosine.value)
    assert np.mean(strangers >= lower) > fmr
    assert found.fnmr.value == pytest.approx(np.mean(own < found.cosine.value))
    assert found.accepted == np.sum(strangers >= found.cosine.value) and found.impostors == len(strangers)


def test_too_few_pairs_are_a_dash_with_the_reason() -> None:
    scores, is_same, persons = people_and_scores()
    strangers = int(np.sum(~is_same))
    first, second = find_thresholds(scores, is_same, [1 / strangers, 0.9 / strangers], persons, resamples=20)
    assert math.isfinite(first.cosine.value) and not first.cosine.why
    assert math.isnan(second.cosine.value) and math.isnan(second.fnmr.value)
    assert f"{strangers:,} impostor pairs" in second.cosine.why
    assert second.needed == math.ceil(strangers / 0.9) and second.accepted == 0
    told = entry(second)
    unknown = {"value": None, "low": None, "high": None}
    assert [told[scale] for scale in ("cosine", "distance", "angle", "fnmr")] == [unknown] * 4
    assert told["why"] == second.cosine.why


def test_copies_under_two_names_leave_no_threshold() -> None:
    scores, is_same, persons = people_and_scores()
    scores[np.flatnonzero(~is_same)[:20]] = 1.0
    first, second = find_thresholds(scores, is_same, [0.01, 0.05], persons, resamples=10)
    assert "share the highest score" in first.cosine.why and math.isnan(first.fnmr.value)
    assert second.cosine.value < 1 and not second.cosine.why


def test_a_caution_below_thirty_errors() -> None:
    scores, is_same, _ = people_and_scores()
    few, many = find_thresholds(scores, is_same, [0.01, 0.2])
    assert few.accepted < 30 <= many.accepted
    assert f"rests on {few.accepted} of" in few.remark and "(3,000 pairs)" in few.remark and not many.remark


def test_the_interval_is_that_of_the_resampled_people() -> None:
    """Against thresholds that are read off copies of the pairs of people who were drawn with replacement."""
    scores, is_same, persons = people_and_scores()
    (found,) = find_thresholds(scores, is_same, [0.05], persons, resamples=200, seed=3)
    rng, known = np.random.default_rng(9), np.unique(persons)
    thresholds = []
    for _ in range(200):
        count = dict.fromkeys(known.tolist(), 0)
        for person in rng.choice(known, len(known)):
            count[int(person)] += 1
        weight = np.array([count[a] if a == b else count[a] * count[b] for a, b in persons.tolist()])
        copies = np.repeat(scores[~is_same], weight[~is_same])
        candidates = np.unique(np.repeat(scores, weight))
        accepted = (copies >= candidates[:, None]).mean(axis=1)
        thresholds.append(candidates[accepted <= 0.05].min())
    low, high = found.cosine.interval()
    assert low < found.cosine.value < high
    assert (low, high) == pytest.approx(np.percentile(thresholds, [2.5, 97.5]), abs=0.04)
    again = find_thresholds(scores, is_same, [0.05], persons, resamples=200, seed=3)[0]
    np.testing.assert_array_equal(again.cosine.replicates, found.cosine.replicates)
    assert find_thresholds(scores, is_same, [0.05], persons, resamples=200, seed=4)[0].cosine.interval() != (low, high)


def test_nobody_knows_the_people() -> None:
    scores, is_same, persons = people_and_scores()
    for found in (
        find_thresholds(scores, is_same, [0.05], None, resamples=50)[0],
        find_thresholds(scores, is_same, [0.05], persons, resamples=0)[0],
    ):
        assert found.cosine.replicates is None and entry(found)["cosine"]["low"] is None


def test_one_threshold_on_three_scales() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        one, two = (vector / np.linalg.norm(vector) for vector in rng.normal(size=(2, 8)))
        cosine = float(one @ two)
        assert distance(cosine) == pytest.approx(np.linalg.norm(one - two))
        assert math.cos(math.radians(angle(cosine))) == pytest.approx(cosine)
    assert (distance(1.0000001), angle(1.0000001), angle(-1.0000001)) == (0, 0, 180)
    scores, is_same, persons = people_and_scores()
    told = entry(find_thresholds(scores, is_same, [0.05], persons, resamples=50)[0])
    for scale in ("cosine", "distance", "angle", "fnmr"):
        assert told[scale]["low"] <= told[scale]["value"] <= told[scale]["high"], scale
    assert told["distance"]["low"] == distance(told["cosine"]["high"])


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "backbone_9.pth").write_bytes(b"weights")
    return tmp_path


def write(run: Path) -> Path:
    scores, is_same, persons = people_and_scores()
    found = find_thresholds(scores, is_same, [1e-4, 0.01, 0.05], persons, resamples=30)
    return write_thresholds(run, run / "models" / "backbone_9.pth", found, data={"folder": "faces"})


def test_what_is_written_is_read(run: Path) -> None:
    path = write(run)
    before = path.read_bytes()
    assert path == run / NAME and write(run).read_bytes() == before
    content = read_thresholds(run)
    assert content["weights"] == {"file": "models/backbone_9.pth", "sha256": SHA256}
    assert content["data"] == {"folder": "faces"} and [one["fmr"] for one in content["thresholds"]] == [
        1e-4,
        0.01,
        0.05,
    ]
    assert choose(content, None, run)["fmr"] == 0.01  # the first with a value
    assert choose(content, 5e-2, run)["cosine"]["value"] < choose(content, None, run)["cosine"]["value"]


def test_rates_without_a_threshold(run: Path) -> None:
    write(run)
    content = read_thresholds(run)
    for fmr in (1e-4, 0.3):
        with pytest.raises(UserError, match=rf"no threshold for FMR {fmr:g}, known are: 0.01, 0.05"):
            choose(content, fmr, run)
    content["thresholds"] = content["thresholds"][:1]
    with pytest.raises(UserError, match="no threshold for any FMR, known are: none"):
        choose(content, None, run)


def test_files_that_cannot_be_used(run: Path) -> None:
    with pytest.raises(UserError, match="has no threshold.json; set thresholds with: opensphere calibrate --model"):
        read_thresholds(run)
    path = write(run)
    content = json.loads(path.read_text())
    for broken in ("{", "[]", "{}", json.dumps({**content, "thresholds": []}), json.dumps({**content, "weights": 3})):
        path.write_text(broken)
        with pytest.raises(UserError, match="threshold.json: is damaged"):
            read_thresholds(run)
    write(run)
    (run / "models" / "backbone_9.pth").write_bytes(b"other weights")
    with pytest.raises(UserError, match="belong to weights that have changed since"):
        read_thresholds(run)
    (run / "models" / "backbone_9.pth").unlink()
    with pytest.raises(UserError, match="belong to weights that are gone"):
        read_thresholds(run)
