import numpy as np
import pytest

from opensphere.metric.attempts import Attempts


def attempts(seed=0, genuine=60, impostors=400, kept=None, people=7, columns=2, levels=25):
    """Scores with many ties, and all impostors that there are."""
    rng = np.random.default_rng(seed)
    own = np.sort(rng.integers(8, levels, genuine) / levels)[::-1]
    other = np.sort(rng.integers(0, levels - 5, impostors) / levels)[::-1]
    persons = np.stack([rng.permutation(people)[:columns] for _ in range(impostors)])
    who = rng.integers(0, people, genuine)
    kept = impostors if kept is None else kept
    return Attempts(own, who, other[:kept], persons[:kept], impostors), other, persons


def best_share(own, own_weight, other, other_weight, fpr):
    """The largest share of the genuine over all thresholds whose share of impostors is at most `fpr`, in loops."""
    best, other, other_weight = 0.0, other.tolist(), other_weight.tolist()
    for threshold in {np.inf, *own, *other, -np.inf}:
        false = sum(w for score, w in zip(other, other_weight, strict=True) if score >= threshold)
        if false / sum(other_weight) <= fpr:
            true = sum(w for score, w in zip(own, own_weight, strict=True) if score >= threshold)
            best = max(best, true / sum(own_weight))
    return best


@pytest.mark.parametrize("fpr", [0.0025, 0.01, 0.0999, 0.1, 0.29, 0.5, 1.0])
def test_rates_over_all_thresholds(fpr):
    found, other, _ = attempts()
    expected = best_share(found.genuine, np.ones(60), other, np.ones(400), fpr)
    assert found.tpr_at(fpr) == pytest.approx(expected)


def test_the_kept_impostors_are_enough_or_it_is_said():
    whole, *_ = attempts()
    part, *_ = attempts(kept=41)
    assert part.reaches(0.1) and part.tpr_at(0.1) == whole.tpr_at(0.1)
    assert not part.reaches(0.11)
    with pytest.raises(ValueError, match="FPR 0.11 needs more than the 41 impostors that are kept"):
        part.tpr_at(0.11)


def test_a_rate_below_one_impostor_cannot_be_said():
    found, *_ = attempts()
    assert found.too_few(0.0024) == "FPR 0.0024 of 400 impostor attempts is less than one"
    assert np.isnan(found.tpr_at(0.0024)) and not found.too_few(0.0025)
    empty = Attempts(np.empty(0), np.empty(0, int), found.impostor, found.impostor_persons, 400)
    assert "no genuine" in empty.too_few(0.1) and np.isnan(empty.tpr_at(0.1))


def test_what_nothing_accepts_is_not_accepted_at_any_rate():
    found, *_ = attempts()
    own = found.genuine.copy()
    own[-15:] = -np.inf
    refused = Attempts(own, found.genuine_person, found.impostor, found.impostor_persons, 400)
    assert refused.tpr_at(1.0) == 0.75
    weights = np.ones((1, 7), np.uint8)
    assert refused.resampled_tpr_at(1.0, weights, np.array([400])) == 0.75


@pytest.mark.parametrize("columns", [1, 2])
@pytest.mark.parametrize("fpr", [0.01, 0.1, 0.6, 1.0])
def test_resamples_are_as_if_attempts_were_repeated(columns, fpr):
    found, other, persons = attempts(columns=columns)
    weights = np.random.default_rng(1).multinomial(7, np.full(7, 1 / 7), 8).astype(np.uint8)
    counts = weights[:, persons].astype(int).prod(axis=2)
    rates = found.resampled_tpr_at(fpr, weights, counts.sum(axis=1))
    for row, (drawn, count) in enumerate(zip(weights.astype(int), counts, strict=True)):
        own = drawn[found.genuine_person]
        repeated = Attempts(
            np.repeat(found.genuine, own), np.zeros(own.sum(), int), np.repeat(other, count), None, int(count.sum())
        )
        assert rates[row] == pytest.approx(repeated.tpr_at(fpr))
        assert rates[row] == pytest.approx(best_share(found.genuine, own, other, count, fpr))


def test_each_person_drawn_once_is_the_whole_in_many_pieces():
    found, *_ = attempts(impostors=5000, levels=4000, people=40)
    weights = np.ones((3, 40), np.uint8)
    for fpr in (0.001, 0.2048, 0.7):
        rates = found.resampled_tpr_at(fpr, weights, np.full(3, 5000))
        np.testing.assert_allclose(rates, found.tpr_at(fpr))


def test_a_resample_that_cannot_say():
    part, other, persons = attempts(kept=20)
    weights = np.array([[1] * 7, [3] * 7, [0] * 6 + [9]], np.uint8)
    totals = weights[:, persons].astype(int).prod(axis=2).sum(axis=1)
    rates = part.resampled_tpr_at(0.04, weights, totals)  # 16 of the impostors
    assert rates[0] == part.tpr_at(0.04) and rates[1] == pytest.approx(rates[0]) and np.isnan(rates[2])
    rates = part.resampled_tpr_at(0.06, weights, totals)  # 24 of them, more than are kept
    assert np.isnan(rates).all()
    nobody = np.zeros((1, 7), np.uint8)
    assert np.isnan(part.resampled_tpr_at(0.04, nobody, np.array([400]))).all()
