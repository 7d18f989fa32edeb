"""Look-alikes against plain loops over all pairs."""

import itertools

import numpy as np
import pytest

from opensphere.metric import lookalikes

Row = tuple[float, tuple[int, int]]


def slow(rows: list[tuple[float, int, int]], persons: np.ndarray) -> dict[tuple[int, int], Row]:
    """The best score of each two people, and the images that it belongs to."""
    best: dict[tuple[int, int], Row] = {}
    for score, one, other in rows:
        a, b = sorted((int(persons[one]), int(persons[other])))
        if a < 0 or a == b:
            continue
        if (a, b) not in best or score > best[a, b][0]:
            best[a, b] = (score, (one, other))
    return best


def problem(images: int = 60, people: int = 9) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    persons = rng.integers(-1, people, images)
    features = rng.normal(size=(images, 6))
    return features / np.linalg.norm(features, axis=1, keepdims=True), persons


@pytest.mark.parametrize(("rows", "columns"), [(7, 13), (64, 5), (1024, 4096)])
@pytest.mark.parametrize("most", [1, 12, 1000])
def test_all_images_against_one_another(monkeypatch, rows: int, columns: int, most: int) -> None:
    monkeypatch.setattr(lookalikes, "_ROWS", rows)
    monkeypatch.setattr(lookalikes, "_COLUMNS", columns)
    features, persons = problem()
    cos = features @ features.T
    best = slow([(cos[i, j], i, j) for i, j in itertools.combinations(range(len(features)), 2)], persons)
    expected = sorted(best.values(), reverse=True)[:most]
    pairs, scores = lookalikes.among_all(features, persons, most)
    np.testing.assert_allclose(scores, [score for score, _ in expected], rtol=1e-12)
    assert [set(pair) for pair in pairs.tolist()] == [set(images) for _, images in expected]


@pytest.mark.parametrize("most", [1, 5, 12, 1000])
def test_the_pairs_of_a_list_alone(most: int) -> None:
    features, persons = problem(images=40, people=6)
    everyone = np.array(list(itertools.permutations(range(40), 2)))
    pairs = everyone[np.random.default_rng(0).random(len(everyone)) < 0.7]
    scores = np.einsum("pd,pd->p", features[pairs[:, 0]], features[pairs[:, 1]])
    is_same = persons[pairs[:, 0]] == persons[pairs[:, 1]]
    best = slow([(s, i, j) for s, (i, j) in zip(scores.tolist(), pairs.tolist(), strict=True)], persons)
    expected = sorted(best.values(), reverse=True)[:most]
    found, values = lookalikes.among_listed(scores, is_same, pairs, persons, most)
    np.testing.assert_allclose(values, [score for score, _ in expected], rtol=1e-12)
    assert [set(pair) for pair in found.tolist()] == [set(images) for _, images in expected]


def test_a_pair_that_the_list_calls_one_person_is_none() -> None:
    """Whatever the numbers of people say: two parts of one person that no pair joins."""
    pairs = np.array([[0, 1], [0, 2]])
    found, _ = lookalikes.among_listed(np.array([0.9, 0.1]), np.array([True, False]), pairs, np.arange(3))
    assert found.tolist() == [[0, 2]]


def test_one_person_looks_like_nobody() -> None:
    pairs, scores = lookalikes.among_all(np.eye(3), np.array([2, 2, -1]))
    assert pairs.shape == (0, 2) and scores.shape == (0,)


def test_there_is_one_feature_an_image() -> None:
    with pytest.raises(ValueError, match="2 features for 3 images"):
        lookalikes.among_all(np.eye(2), np.arange(3))
