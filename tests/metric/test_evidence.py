import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.metric import evidence
from opensphere.metric.roc import roc

# few distinct scores, so that many tie and many lie on edges of bins
SCORES = st.lists(st.tuples(st.integers(-20, 20), st.booleans()), min_size=2, max_size=60).filter(
    lambda rows: len({same for _, same in rows}) == 2
)


def arrays(rows: list[tuple[int, bool]]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([score / 20 for score, _ in rows]), np.array([same for _, same in rows])


@settings(max_examples=30, deadline=None)
@given(SCORES)
def test_counts_are_those_of_a_plain_loop(rows: list[tuple[int, bool]]) -> None:
    scores, same = arrays(rows)
    found = evidence.collect(scores, same)
    edges = found["edges"]
    for kind, wanted in (("genuine", True), ("impostor", False)):
        for place, edge in enumerate(edges[:-1]):
            last = place == len(edges) - 2
            inside = [s for s, y in zip(scores, same, strict=True) if y == wanted and s >= edge]
            inside = inside if last else [s for s in inside if s < edges[place + 1]]
            assert found[f"{kind}_counts"][place] == len(inside)


@settings(max_examples=30, deadline=None)
@given(SCORES)
def test_points_are_counts_at_their_thresholds(rows: list[tuple[int, bool]]) -> None:
    scores, same = arrays(rows)
    found = evidence.collect(scores, same)
    for threshold, false, true in zip(found["thresholds"], found["false_accepts"], found["true_accepts"], strict=True):
        assert false == np.sum(scores[~same] >= threshold) and true == np.sum(scores[same] >= threshold)
    assert (found["impostors"], found["genuines"]) == (np.sum(~same), np.sum(same))


def test_angles_are_counted_by_degrees() -> None:
    scores = np.cos(np.deg2rad([0.5, 10.2, 10.9, 90.5, 179.5]))
    found = evidence.collect(scores, np.array([True, True, True, False, False]))
    assert {int(degree): int(found["angle_genuine_counts"][degree]) for degree in (0, 9, 10, 11)} == {
        0: 1, 9: 0, 10: 2, 11: 0
    }  # fmt: skip
    assert np.flatnonzero(found["angle_impostor_counts"]).tolist() == [90, 179]


def test_long_curves_keep_few_points_the_ends_and_the_best_threshold() -> None:
    rng = np.random.default_rng(0)
    same = np.arange(40_000) < 10_000
    scores = rng.normal(np.where(same, 0.3, 0.0), 0.1)
    found, curve = evidence.collect(scores, same), roc(scores, same)
    assert len(found["thresholds"]) <= evidence.POINTS
    assert found["thresholds"][0] == np.inf and found["false_accepts"][-1] == found["impostors"]
    right = found["true_accepts"] + found["impostors"] - found["false_accepts"]
    assert right.max() == curve.correct().max()
    low = found["false_accepts"] / found["impostors"]
    assert np.sum((low > 0) & (low < 1e-2)) > 100  # the low end, where work is done, is well drawn


def test_hardest_pairs_are_the_worst_of_a_sort() -> None:
    rng = np.random.default_rng(1)
    same = rng.random(500) < 0.5
    scores, pairs = rng.random(500), rng.integers(0, 99, (500, 2))
    found = evidence.collect(scores, same, pairs, 7)
    genuine = [i for i in np.argsort(scores) if same[i]][:7]
    impostor = [i for i in np.argsort(-scores) if not same[i]][:7]
    np.testing.assert_array_equal(found["hard_genuine"], pairs[genuine])
    np.testing.assert_array_equal(found["hard_impostor"], pairs[impostor])
    np.testing.assert_array_equal(found["hard_impostor_scores"], scores[impostor])


def test_scores_that_are_no_cosines_have_bins_of_their_own_and_no_angles() -> None:
    found = evidence.collect(np.array([3.0, 8.0, 5.0]), np.array([False, True, False]))
    assert (found["edges"][0], found["edges"][-1]) == (3.0, 8.0)
    assert found["genuine_counts"].sum() == 1 and found["impostor_counts"].sum() == 2
    assert "angle_genuine_counts" not in found and "hard_genuine" not in found


def test_a_band_is_made_of_percentiles_and_leaves_out_what_is_not_known() -> None:
    replicates = np.stack([np.linspace(0, 1, 41), np.full(41, np.nan), np.full(41, 0.5)], axis=1)
    found = evidence.band(np.array([0.1, 0.2, 0.3]), replicates, confidence=0.9)
    np.testing.assert_array_equal(found["band_fpr"], [0.1, 0.3])
    np.testing.assert_allclose(found["band_low"], [0.05, 0.5])
    np.testing.assert_allclose(found["band_high"], [0.95, 0.5])
    with pytest.raises(ValueError, match=r"should be \(R, F\)"):
        evidence.band(np.array([0.1]), replicates)


def test_band_fprs_begin_with_one_pair() -> None:
    fprs = evidence.band_fprs(1000)
    assert fprs[0] == pytest.approx(1e-3) and fprs[-1] == 1 and 25 <= len(fprs) <= 40
    assert np.all(np.diff(fprs) > 0) and np.all(evidence.band_fprs(1) == 1)


def test_a_file_gives_back_what_was_written(tmp_path) -> None:
    found = evidence.collect(np.array([0.1, 0.9, 0.4]), np.array([False, True, True]), np.zeros((3, 2), int))
    found["image_name"] = np.array(["Ünïcode <b>.jpg"])
    evidence.write(tmp_path / "pairs_evidence.npz", found)
    again = evidence.read(tmp_path / "pairs_evidence.npz")
    assert set(again) == set(found)
    for key, value in found.items():
        np.testing.assert_array_equal(again[key], value)


@pytest.mark.parametrize("damage", ["short", "pickle", "other", "shapes"])
def test_what_is_no_evidence_is_refused(tmp_path, damage: str) -> None:
    path = tmp_path / "pairs_evidence.npz"
    found = evidence.collect(np.array([0.1, 0.9]), np.array([False, True]))
    if damage == "shapes":
        found["thresholds"] = found["thresholds"][:1]
    evidence.write(path, found)
    if damage == "short":
        path.write_bytes(path.read_bytes()[:200])
    elif damage == "pickle":
        np.savez(path, thresholds=np.array([{}], object))
    elif damage == "other":
        np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match="no evidence"):
        evidence.read(path)


@pytest.mark.parametrize("pairs", [np.zeros((2, 2), int), np.zeros(3, int)])
def test_pairs_must_fit(pairs: np.ndarray) -> None:
    with pytest.raises(ValueError, match="for 3 scores"):
        evidence.collect(np.array([0.1, 0.2, 0.3]), np.array([True, False, True]), pairs)
