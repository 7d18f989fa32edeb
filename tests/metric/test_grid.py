import numpy as np
import pytest

from opensphere.metric import grid
from opensphere.metric.grid import dots, grid_scores, pair_scores


def case(seed, size=40, probes=15, gallery=9, pairs=200):
    rng = np.random.default_rng(seed)
    features = rng.normal(0, 1, (size, 5)).astype(np.float32)
    order = rng.permutation(size)
    return features, rng.integers(0, size, (pairs, 2)), order[:probes], order[probes : probes + gallery]


def slow(features, pairs):
    return np.array([sum(features[left].astype(float) * features[right]) for left, right in pairs])


@pytest.mark.parametrize("limit", [1, 9 * 4, 3 * 9 * 4, 14 * 9 * 4, 1 << 29])
@pytest.mark.parametrize("piece", [7, 1 << 18])
def test_scores_of_pairs_wherever_they_lie(limit, piece, monkeypatch):
    monkeypatch.setattr(grid, "_BYTES", limit)
    monkeypatch.setattr(grid, "_PAIRS", piece)
    features, pairs, probe, gallery = case(0)
    inside = np.stack([np.repeat(gallery, len(probe)), np.tile(probe, len(gallery))], axis=1)
    for some in (pairs, inside, inside[:, ::-1], np.concatenate([inside, inside[:, ::-1], pairs]), pairs[:0]):
        mixed = np.random.default_rng(1).permutation(some)
        for kind in (np.int64, np.int32):
            scores = grid_scores(features, mixed.astype(kind), probe, gallery)
            assert scores.dtype == np.float32
            np.testing.assert_allclose(scores, slow(features, mixed), atol=1e-5)


@pytest.mark.parametrize("limit", [1, 4 * 9 * 4, 1 << 29])
def test_all_blocks_are_seen(limit, monkeypatch):
    monkeypatch.setattr(grid, "_BYTES", limit)
    features, pairs, probe, gallery = case(2)
    seen = []
    grid_scores(features, pairs, probe, gallery, lambda scores, top: seen.append((top, scores.copy())))
    assert [top for top, _ in seen] == np.cumsum([0, *(len(scores) for _, scores in seen[:-1])]).tolist()
    np.testing.assert_allclose(
        np.concatenate([scores for _, scores in seen]), features[probe] @ features[gallery].T, 1e-5, 1e-5
    )


def test_entries_that_repeat_and_are_both():
    features, pairs, probe, _ = case(3)
    both = np.concatenate([probe, probe[:4]])
    np.testing.assert_allclose(grid_scores(features, pairs, both, both[::-1]), slow(features, pairs), atol=1e-5)


def test_without_probes_or_gallery():
    features, pairs, probe, _ = case(4)
    for empty in ((probe[:0], probe), (probe, probe[:0])):
        np.testing.assert_allclose(grid_scores(features, pairs, *empty), slow(features, pairs), atol=1e-5)


@pytest.mark.parametrize("dense", [0, 64])
def test_pairs_alone(dense, monkeypatch):
    monkeypatch.setattr(grid, "_DENSE", dense)
    features, pairs, *_ = case(5)
    np.testing.assert_allclose(pair_scores(features, pairs), slow(features, pairs), atol=1e-5)
    assert len(pair_scores(features, pairs[:0])) == 0


def test_dots_in_blocks(monkeypatch):
    monkeypatch.setattr(grid, "_BLOCK", 12)
    features, pairs, *_ = case(6)
    np.testing.assert_allclose(dots(features, pairs), slow(features, pairs), atol=1e-5)
