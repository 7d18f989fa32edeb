import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere.metric.bootstrap import resample
from opensphere.metric.fold_resamples import resampled_ten_fold
from opensphere.metric.verification import ten_fold


def case(seed, pairs=60, folds=3, people=8, ties=True):
    """Scores that tell something, folds of both kinds, and persons that agree with the labels."""
    rng = np.random.default_rng(seed)
    is_same = np.arange(pairs) % 2 == 0
    one = rng.integers(0, people, pairs)
    other = np.where(is_same, one, (one + rng.integers(1, people, pairs)) % people)
    scores = rng.normal(0, 1, pairs) + is_same
    scores = np.round(scores, 1) if ties else scores
    return scores, is_same, np.arange(pairs) * folds // pairs, np.stack([one, other], axis=1)


def slow(scores, is_same, folds, persons, drawn):
    """One resample, one fold, one threshold at a time."""
    weight = [drawn[a] if a == b else drawn[a] * drawn[b] for a, b in persons]
    accuracies = []
    for fold in np.unique(folds):
        known = [i for i in range(len(scores)) if folds[i] != fold]
        values = sorted({scores[i] for i in known}, reverse=True)
        middles = [(above + below) / 2 for above, below in zip(values, values[1:], strict=False)]
        best, most = None, -1
        for threshold in [np.inf, *middles, -np.inf]:
            right = sum(weight[i] for i in known if (scores[i] > threshold) == is_same[i])
            if right > most:
                best, most = threshold, right
        own = [i for i in range(len(scores)) if folds[i] == fold]
        total = sum(weight[i] for i in own)
        kinds = {bool(is_same[i]) for i in known if weight[i]}
        right = sum(weight[i] for i in own if (scores[i] > best) == is_same[i])
        accuracies.append(right / total if total and len(kinds) == 2 else np.nan)
    return np.mean(accuracies)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 1000), st.integers(2, 4), st.booleans())
def test_against_loops(seed, folds, ties):
    arguments = case(seed, folds=folds, ties=ties)
    weights = resample(8, 4, seed)
    expected = [slow(*arguments, drawn.tolist()) for drawn in weights]
    np.testing.assert_allclose(resampled_ten_fold(*arguments, weights), expected, rtol=1e-12)


def test_everybody_drawn_once_is_the_sample():
    scores, is_same, folds, persons = case(0, pairs=400, folds=10)
    found = resampled_ten_fold(scores, is_same, folds, persons, np.ones((2, 8), np.int8))
    assert found.tolist() == pytest.approx([ten_fold(scores, is_same, folds)[0].mean()] * 2, abs=1e-12)


def test_float32_scores_have_the_thresholds_of_the_sample():
    scores, is_same, folds, persons = case(3, pairs=400, folds=10, ties=False)
    scores = scores.astype(np.float32)
    found = resampled_ten_fold(scores, is_same, folds, persons, np.ones((1, 8), np.int8))
    assert found[0] == pytest.approx(ten_fold(scores, is_same, folds)[0].mean(), abs=1e-12)


def test_what_a_resample_cannot_say():
    scores, is_same, folds, persons = case(1, people=4)
    only_one = np.array([[5, 0, 0, 0], [1, 1, 1, 1]])
    found = resampled_ten_fold(scores, is_same, folds, persons, only_one)
    assert np.isnan(found[0]) and not np.isnan(found[1])


def test_blocks_change_nothing(monkeypatch):
    arguments, weights = case(2), resample(8, 30, 0)
    whole = resampled_ten_fold(*arguments, weights)
    monkeypatch.setattr("opensphere.metric.fold_resamples._BLOCK", 200)
    np.testing.assert_array_equal(resampled_ten_fold(*arguments, weights), whole)
