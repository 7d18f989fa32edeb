"""How classes spread: against plain loops over pairs, and places whose angles are known."""

import itertools
import math

import numpy as np
import pytest
import torch

from opensphere import sphere
from opensphere.metric import energy


def slow(points: np.ndarray, centers: int) -> tuple[float, float]:
    """Energy and nearest angle, pair by pair in plain Python."""
    rows = [row / np.linalg.norm(row) for row in points.astype(np.float64)]

    def angle(i: int, j: int) -> float:
        return math.acos(max(-1.0, min(1.0, float(rows[i] @ rows[j]))))

    count = len(rows)
    terms = [angle(i, j) ** -2 for i, j in itertools.combinations(range(count), 2) if i // centers != j // centers]
    nearest = []
    for label in range(count // centers):
        own = range(label * centers, (label + 1) * centers)
        nearest.append(min(angle(i, j) for i in own for j in range(count) if j not in own))
    return float(np.mean(terms)), math.degrees(np.mean(nearest))


@pytest.mark.parametrize("centers", [1, 3])
@pytest.mark.parametrize("rows", [1, 4, 512])
def test_blocks_are_a_loop_over_pairs(monkeypatch: pytest.MonkeyPatch, centers: int, rows: int) -> None:
    monkeypatch.setattr(energy, "_ROWS", rows)
    points = np.random.default_rng(0).normal(size=(7 * centers, 5)) * 3
    found = energy.spread(points, centers)
    assert (found.energy, found.nearest) == pytest.approx(slow(points, centers), rel=1e-9)


def test_the_energy_is_that_of_the_sphere() -> None:
    points = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    expected = sphere.energy(sphere.unit(torch.from_numpy(points))).item()
    assert energy.spread(points).energy == pytest.approx(expected, rel=1e-5)


def test_known_places() -> None:
    axes = energy.spread(np.eye(4))
    assert (axes.energy, axes.nearest) == pytest.approx(((math.pi / 2) ** -2, 90.0))
    opposite = energy.spread(np.array([[2.0, 0.0], [-1.0, 0.0]]))
    assert opposite.nearest == pytest.approx(180.0)
    assert opposite.energy == pytest.approx(math.pi**-2, rel=1e-2)  # the ends of the arc cosine are kept off
    same = energy.spread(np.ones((3, 2)))
    assert same.nearest == pytest.approx(0.0, abs=1e-5) and math.isfinite(same.energy)


def test_centres_of_one_class_are_no_pair() -> None:
    found = energy.spread(np.array([[1.0, 0.0], [1.0, 0.001], [0.0, 1.0], [0.001, 1.0]]), centers=2)
    assert found.nearest == pytest.approx(90.0 - math.degrees(0.002), abs=1e-3) and found.energy < 0.41


def test_few_are_drawn_of_many_and_the_same_every_time() -> None:
    np.testing.assert_array_equal(energy.draw(9), np.arange(9))
    chosen = energy.draw(100_000)
    np.testing.assert_array_equal(chosen, energy.draw(100_000))
    assert len(np.unique(chosen)) == energy.MOST and chosen[0] >= 0 and 90_000 < chosen[-1] < 100_000
    assert len(energy.draw(100_000, centers=3)) == energy.MOST // 3 and len(energy.draw(100, centers=9000)) == 2


@pytest.mark.parametrize(("count", "centers"), [(1, 1), (3, 3), (5, 2)])
def test_what_is_not_two_classes_is_an_error(count: int, centers: int) -> None:
    with pytest.raises(ValueError, match=f"{count} centres, {centers} a class"):
        energy.spread(np.ones((count, 2)), centers)
