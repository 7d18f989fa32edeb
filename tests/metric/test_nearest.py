import sys

import numpy as np
import pytest

from opensphere.metric import nearest as module
from opensphere.metric.nearest import index_roughly, nearest, recall


def unit_rows(seed, count, width=16):
    rows = np.random.default_rng(seed).normal(0, 1, (count, width)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("blocks", [(7, 11, 2), (2048, 8192, 512), (100, 3, 1), (2048, 8192, 9)])
@pytest.mark.parametrize("k", [1, 5, 60])
def test_the_nearest_of_a_full_sort(blocks, k, monkeypatch):
    monkeypatch.setattr(module, "_ROWS", blocks[0])
    monkeypatch.setattr(module, "_COLUMNS", blocks[1])
    monkeypatch.setattr(module, "_FIRST", blocks[2])
    probe, gallery = unit_rows(0, 20), unit_rows(1, 60)
    scores = probe @ gallery.T
    expected = np.argsort(-scores, axis=1)[:, :k]
    entries, values = nearest(probe, gallery, k)
    np.testing.assert_array_equal(entries, expected)
    np.testing.assert_allclose(values, np.take_along_axis(scores, expected, axis=1), atol=1e-6)


def test_recall():
    exact = np.array([[1, 2, 3], [4, 5, 6]])
    found = np.array([[2, 1, -1], [9, 4, 6]])
    assert [recall(found, exact, k) for k in (1, 2, 3)] == pytest.approx([0, 3 / 4, 4 / 6])


def test_what_cannot_be_searched():
    rows = unit_rows(0, 4)
    for k in (0, 5):
        with pytest.raises(ValueError, match=f"k {k} is not from 1 to 4"):
            nearest(rows, rows, k)
    with pytest.raises(ValueError, match="not numbers"):
        nearest(rows, np.full_like(rows, np.nan), 1)
    with pytest.raises(ValueError, match="'tree' is not known; known are ivf, hnsw"):
        index_roughly(rows, "tree")


def test_faiss_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ValueError, match="needs faiss, which is not installed: pip install"):
        index_roughly(unit_rows(0, 4))


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
def test_an_index_finds_more_with_more_effort(kind):
    pytest.importorskip("faiss")
    probe, gallery = unit_rows(2, 50), unit_rows(3, 2000)
    exact, scores = nearest(probe, gallery, 10)
    index = index_roughly(gallery, kind)
    shares = [recall(index.search(probe, 10, effort)[0], exact, 10) for effort in (1, 20, 2000)]
    assert shares[0] < shares[2] and shares[2] > 0.999
    np.testing.assert_allclose(index.search(probe, 10, 2000)[1], scores, atol=1e-5)
    with pytest.raises(ValueError, match="effort 0 is not above 0"):
        index.search(probe, 10, 0)
    with pytest.raises(ValueError, match="k 2001 is not from 1 to 2000"):
        index.search(probe, 2001, 1)
