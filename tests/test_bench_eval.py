"""The parts of the benchmark of templates: what is drawn, and that the usual way measures the same."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from opensphere import protocol

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def bench():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import eval
    import ijbc
    import plain_ijb

    yield {"eval": eval, "ijbc": ijbc, "plain": plain_ijb}
    sys.path.remove(str(ROOT / "benchmarks"))


@pytest.fixture(scope="module")
def folder(bench, tmp_path_factory):
    made = tmp_path_factory.mktemp("bench") / "ijbc"
    bench["ijbc"].make(made, bench["ijbc"].SMALL)
    return made


def test_what_is_drawn_has_the_size_asked_for(bench, folder):
    size, arrays = bench["ijbc"].SMALL, dict(np.load(folder / "arrays.npz"))
    features = np.load(folder / "features.npy")
    assert features.shape == (3000, 64) and features.dtype == np.float32
    pairs, is_same, person = arrays["pairs"], arrays["is_same"], arrays["person"]
    assert len(pairs) == 6000 and is_same.sum() == 230 and len(np.unique(pairs, axis=0)) == 6000
    np.testing.assert_array_equal(is_same, person[pairs[:, 0]] == person[pairs[:, 1]])
    assert pairs[:, 0].max() < 60 <= pairs[:, 1].min() and pairs[:, 1].max() < size.templates == 300
    assert np.unique(arrays["template"]).tolist() == list(range(300))
    media = np.unique(np.stack([arrays["template"], arrays["media"]]), axis=1)
    assert len(np.unique(media[1])) == media.shape[1] < 3000  # a medium of several frames, in one template


def test_the_same_seed_draws_the_same(bench, folder, tmp_path):
    ijbc = bench["ijbc"]
    ijbc.make(tmp_path / "again", ijbc.SMALL)
    ijbc.make(tmp_path / "other", ijbc.SMALL, seed=1)
    for name in ["features.npy", *(str(path.relative_to(folder)) for path in ijbc.paths(folder).values())]:
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert (folder / "features.npy").read_bytes() != (tmp_path / "other/features.npy").read_bytes()


def test_the_true_size_is_that_of_ijb_c(bench):
    size = bench["ijbc"].Size()
    assert (size.templates, size.images, size.pairs, size.genuine) == (23_124, 469_375, 15_658_489, 19_557)


@pytest.mark.parametrize("order", ["listed", "random"])
def test_the_lists_say_what_was_drawn(bench, folder, order):
    dataset, arrays = bench["eval"].open_set(folder, order), dict(np.load(folder / "arrays.npz"))
    drawn = slice(None) if order == "listed" else arrays["order"]
    np.testing.assert_array_equal(dataset.template_pairs, arrays["pairs"][drawn])
    np.testing.assert_array_equal(dataset.is_same, arrays["is_same"][drawn])
    np.testing.assert_array_equal(dataset.template, arrays["template"])
    np.testing.assert_allclose(dataset.faceness, arrays["faceness"])
    np.testing.assert_array_equal(np.unique(dataset.media), np.unique(arrays["media"]))
    assert [len(gallery.template) for gallery in dataset.galleries] == [31, 29]
    assert bench["plain"].read(bench["ijbc"].paths(folder)) == {"images": 3000, "pairs": 6000, "searched": 300}


@pytest.mark.parametrize("order", ["listed", "random"])
def test_the_usual_way_measures_the_same(bench, folder, order):
    usual = bench["eval"].table_plainly(folder, order)["seed row"]
    dataset = bench["eval"].open_set(folder, order, list(usual))
    row = protocol.evaluate(dataset, np.load(folder / "features.npy"))
    assert row == pytest.approx(usual, abs=1e-4)
    assert 10 < row["top-1"] < 99 and len(set(row.values())) > 5


def test_a_search_finds_what_it_should(bench):
    probe, probe_person, gallery, gallery_person = bench["eval"].million(2000, 50, 32, 2)
    assert np.bincount(gallery_person).tolist() == [5] * 400
    np.testing.assert_allclose(np.linalg.norm(gallery, axis=1), 1, atol=1e-5)
    scores = probe @ gallery.T
    own = probe_person[:, None] == gallery_person
    assert scores[own].mean() > scores[~own].mean() + 0.1
    clearer = bench["eval"].million(2000, 50, 32, 1)
    assert (clearer[0] @ clearer[2].T)[own].mean() > scores[own].mean()


@pytest.mark.long
def test_the_whole_benchmark_in_small(bench, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["eval.py", "--small", "--result", str(tmp_path / "eval.json")])
    bench["eval"].main()
    found = json.loads((tmp_path / "eval.json").read_text())
    assert {"machine", "versions", "cases", "ratios", "search"} <= found.keys()
    assert found["ratios"]["largest difference of a reading, random order"] < 1e-3
    assert found["cases"]["table, listed order"]["row"] == found["cases"]["table, random order"]["row"]
    low, high = found["cases"]["intervals"]["intervals"]["top-1"]
    assert low < found["cases"]["intervals"]["row"]["top-1"] < high
