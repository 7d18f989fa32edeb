import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from opensphere.metric import ranking
from opensphere.metric.ranking import rank_probes, resampled_mean


def material(seed=0, probes=30, entries=50, people=8):
    """Whole numbers, so that many scores tie; the first entries show each person once, others nobody (-1)."""
    rng = np.random.default_rng(seed)
    gallery_person = np.concatenate([np.arange(people), rng.integers(-1, people, entries - people)])
    rng.shuffle(gallery_person)
    return (
        rng.integers(-2, 3, (probes, 4)).astype(np.float32),
        rng.integers(0, people, probes),
        rng.integers(-2, 3, (entries, 4)).astype(np.float32),
        gallery_person,
    )


def in_loops(probe, person, gallery, gallery_person):
    """Rank and average precision of one probe: others first among those that tie."""
    order = sorted(range(len(gallery)), key=lambda g: (-float(probe @ gallery[g]), gallery_person[g] == person))
    own, area, precision = 0, 0.0, 1.0
    total = int(np.sum(gallery_person == person))
    rank = None
    for place, entry in enumerate(order, 1):
        earlier = precision
        if gallery_person[entry] == person:
            own += 1
            if rank is None:
                rank = place
        precision = own / place
        if gallery_person[entry] == person:
            area += (precision + earlier) / 2 / total
    return rank, area


@pytest.mark.parametrize("held", [1, 120, 1 << 23])
def test_ranks_and_precision_in_loops(monkeypatch, held):
    monkeypatch.setattr(ranking, "_HELD", held)
    probe, person, gallery, gallery_person = material()
    found = rank_probes(probe, person, gallery, gallery_person)
    for index in range(len(probe)):
        rank, area = in_loops(probe[index], person[index], gallery, gallery_person)
        assert found.rank[index] == rank
        assert found.precision[index] == pytest.approx(area)


def test_precision_lies_near_scikit_learns_steps():
    rng = np.random.default_rng(3)
    probe, gallery = rng.normal(size=(20, 6)), rng.normal(size=(400, 6))
    person, gallery_person = np.arange(20) % 4, np.arange(400) % 5
    found = rank_probes(probe, person, gallery, gallery_person)
    steps = [average_precision_score(gallery_person == who, gallery @ x) for x, who in zip(probe, person, strict=True)]
    np.testing.assert_allclose(found.precision, steps, atol=0.03)


def test_precision_of_cases_by_hand():
    gallery, people = np.array([[4.0], [3.0], [2.0], [1.0]]), np.array([7, 7, -1, -1])
    assert rank_probes(np.ones((1, 1)), np.array([7]), gallery, people).precision == 1
    found = rank_probes(-np.ones((1, 1)), np.array([7]), gallery, people)  # the own ones come third and fourth
    assert found.rank == 3 and found.precision == pytest.approx(((1 / 3 + 0) / 2 + (2 / 4 + 1 / 3) / 2) / 2)
    alike = rank_probes(np.zeros((1, 1)), np.array([7]), gallery, people)
    assert alike.rank == 3


def test_probes_of_nobody():
    probe, person, gallery, gallery_person = material()
    with pytest.raises(ValueError, match="1 of 30 probes show people who are not in the gallery"):
        rank_probes(probe, np.where(np.arange(30) == 4, 99, person), gallery, gallery_person)
    with pytest.raises(ValueError, match="there are no probes"):
        rank_probes(probe[:0], person[:0], gallery, gallery_person)
    with pytest.raises(ValueError, match="not numbers"):
        rank_probes(np.full_like(probe, np.nan), person, gallery, gallery_person)


def test_means_of_resamples_are_as_if_values_were_repeated():
    rng = np.random.default_rng(0)
    values, persons = rng.random(40), rng.integers(0, 5, 40)
    weights = rng.multinomial(6, np.full(6, 1 / 6), 9).astype(np.uint8)  # nobody has number 5
    weights[-1] = [0, 0, 0, 0, 0, 6]
    means = resampled_mean(values, persons, weights)
    for row, mean in zip(weights[:-1].astype(int), means, strict=False):
        assert mean == pytest.approx(np.mean(np.repeat(values, row[persons])))
    assert np.isnan(means[-1])
