import numpy as np
import pytest

from opensphere.metric import all_pairs
from opensphere.metric.all_pairs import Highest, impostor_weight, score_all_pairs


def material(size=60, people=14, seed=0):
    """Features of small whole numbers: products are exact, and many tie."""
    rng = np.random.default_rng(seed)
    return rng.integers(-2, 3, (size, 5)).astype(np.float32), rng.integers(0, people, size)


def in_loops(features, persons, members):
    genuine, impostor = [], []
    for a in range(len(features)):
        for b in range(a + 1, len(features)):
            if members[a] and members[b]:
                kind = genuine if persons[a] == persons[b] else impostor
                kind.append(float(sum(x * y for x, y in zip(features[a], features[b], strict=True))))
    return sorted(genuine, reverse=True), sorted(impostor, reverse=True)


@pytest.mark.parametrize("most", [0, 1, 37, 400, 10**6])
@pytest.mark.parametrize(("rows", "columns"), [(1024, 4096), (7, 11), (1, 1), (16, 5)])
def test_the_highest_pairs_of_any_blocks(monkeypatch, most, rows, columns):
    monkeypatch.setattr(all_pairs, "_ROWS", rows)
    monkeypatch.setattr(all_pairs, "_COLUMNS", columns)
    features, persons = material(size=30 if rows == 1 else 60)
    pairs = score_all_pairs(features, persons, most)
    own, other = in_loops(features, persons, np.ones(len(features), bool))
    assert pairs.genuine_scores.tolist() == own
    assert pairs.impostor_scores.tolist() == other[:most]
    for index, scores, same in (
        (pairs.genuine, pairs.genuine_scores, True),
        (pairs.impostor, pairs.impostor_scores, False),
    ):
        assert len({frozenset(pair) for pair in index.tolist()}) == len(index)  # each once, none with itself
        assert (index[:, 0] != index[:, 1]).all()
        assert ((persons[index[:, 0]] == persons[index[:, 1]]) == same).all()
        assert [features[a] @ features[b] for a, b in index] == scores.tolist()


def test_some_images_alone():
    features, persons = material()
    pairs = score_all_pairs(features, persons, 300)
    members = np.random.default_rng(1).random(60) < 0.6
    own, other = in_loops(features, persons, members)
    part = pairs.within(members)
    assert part.genuine.tolist() == own and part.impostors == len(other)
    assert part.impostor.tolist() == other[: len(part.impostor)] and 50 < len(part.impostor) < 300
    fpr = len(part.impostor) / len(other) - 0.01
    assert part.reaches(fpr) and not part.reaches(1.0)
    limit = other[int(fpr * len(other))]
    assert part.tpr_at(fpr) == np.mean([score > limit for score in own])


def test_the_weight_of_all_impostor_pairs():
    _, persons = material()
    weights = np.random.default_rng(2).integers(0, 12, (4, 14)).astype(np.uint8)
    for row, found in zip(weights.tolist(), impostor_weight(persons, weights), strict=True):
        total = 0
        for a in range(60):
            for b in range(a + 1, 60):
                if persons[a] != persons[b]:
                    total += row[persons[a]] * row[persons[b]]
        assert found == total


def test_what_cannot_be_scored():
    features, persons = material()
    with pytest.raises(ValueError, match="60 features for 59 images"):
        score_all_pairs(features, persons[1:], 10)
    features[3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        score_all_pairs(features, persons, 10)


def test_few_are_held_at_any_time():
    highest, rng = Highest(50), np.random.default_rng(0)
    blocks = [rng.normal(size=(20, 10)) for _ in range(40)]
    for number, block in enumerate(blocks):
        highest.add(block, 20 * number, 0)
        assert highest._count <= 2 * 50
    places, scores = highest.sorted()
    every = np.concatenate(blocks)
    assert scores.tolist() == sorted(every.ravel(), reverse=True)[:50]
    np.testing.assert_array_equal(every[places[:, 0], places[:, 1]], scores)
