import os
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from opensphere.command import main, report
from opensphere.command.evidence import write_evidence
from opensphere.metric import evidence
from opensphere.report import page
from tests.report.material import write_run, write_study


@pytest.fixture(autouse=True)
def command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(main.ABOUT, "report", "write one HTML page of runs")
    monkeypatch.setattr(page, "_plotly", lambda: "library()")


def test_the_page_goes_into_the_first_folder_or_where_it_is_wanted(tmp_path, capsys) -> None:
    folder = write_run(tmp_path / "run")
    assert main.main(["report", str(folder)]) == 0
    text = (folder / "report.html").read_text()
    assert text.lstrip().startswith("<!DOCTYPE html>") and "ArcFace" in text
    out = tmp_path / "pages" / "page.html"
    assert main.main(["report", str(folder), "--out", str(out)]) == 0
    assert out.read_text() == text and str(out) in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["absent"], "absent: is no folder"),
        ([".", "--out", "."], "--out .: is a folder"),
        (["run", "--watch", "0"], "--watch 0: give 1 second or more"),
    ],
)
def test_errors_are_one_line(tmp_path, monkeypatch, capsys, arguments: list[str], told: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run")
    assert main.main(["report", *arguments]) == 2
    error = capsys.readouterr().err
    assert told in error and error.count("\n") == 1


def test_what_is_not_installed_is_named(tmp_path, monkeypatch, capsys) -> None:
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name == "opensphere.report" and rest[2] and "page" in rest[2]:
            raise ModuleNotFoundError("No module named 'plotly'", name="plotly")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert main.main(["report", str(write_run(tmp_path / "run"))]) == 2
    assert "a page needs plotly: pip install 'opensphere[report]'" in capsys.readouterr().err


def test_directions_of_classes_come_from_the_last_head(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "models").mkdir()
    weights = torch.randn(16, 50)
    torch.save({"w": torch.zeros(16, 50)}, folder / "models" / "head_9.pth")
    torch.save({"w": weights}, folder / "models" / "head_60.pth")
    parts = report.write_page([folder], tmp_path / "page.html")
    assert [figure.name for figure in parts.spheres] == ["sphere-1-arcface-room", "sphere-1-arcface-classes"]
    run = report.read_results([folder]).runs[0]
    report._read_heads(SimpleNamespace(runs=[run], studies=[]))
    np.testing.assert_array_equal(run.head, weights.T.numpy())


def test_a_damaged_head_is_told_on_the_page(tmp_path) -> None:
    folder = write_run(tmp_path / "run")
    (folder / "models").mkdir()
    (folder / "models" / "head_60.pth").write_bytes(b"nothing")
    report.write_page([folder], tmp_path / "page.html")
    assert "head_60.pth: is damaged" in (tmp_path / "page.html").read_text()


def test_a_watched_page_follows_the_run_and_stays_at_the_end(tmp_path, monkeypatch) -> None:
    folder, out = write_run(tmp_path / "run", done=20), tmp_path / "page.html"
    seen = []

    def sleep(seconds: float) -> None:
        seen.append(out.read_text())
        if len(seen) == 1:
            with open(folder / "metrics.jsonl", "a") as file:
                file.write('{"kind": "train", "iter": 45, "Loss": 1.0}\n')
            os.utime(folder / "metrics.jsonl", ns=(1, time.time_ns() + 10**9))
        if len(seen) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(report.time, "sleep", sleep)
    assert main.main(["report", str(folder), "--out", str(out), "--watch", "5"]) == 0
    assert "11 of 60 updates" in seen[0] and 'http-equiv="refresh" content="5"' in seen[0]
    assert "46 of 60 updates" in seen[1]
    assert 'http-equiv="refresh"' not in out.read_text()


def test_a_comparison_over_seeds_has_a_page_of_its_own(tmp_path, capsys) -> None:
    write_study(tmp_path / "study")
    assert main.main(["report", str(tmp_path / "study")]) == 0
    text = (tmp_path / "study" / "report.html").read_text()
    assert "CosFace wins" in text and "Which differ" in text
    assert "What was trained" not in text  # its runs are no runs of the page


def test_watching_sees_the_runs_of_a_comparison(tmp_path) -> None:
    write_study(tmp_path)
    before = report._stamps([tmp_path])
    path = tmp_path / "runs" / "1-0-0" / "metrics.jsonl"
    os.utime(path, ns=(1, time.time_ns() + 10**9))
    assert {place for place, stamp in report._stamps([tmp_path]).items() if before[place] != stamp} == {path}


@pytest.mark.slow
@pytest.mark.skipif(
    not any(shutil.which(name) for name in ("chromium", "google-chrome", "chrome")), reason="needs Chromium"
)
def test_figures_are_written_as_files(tmp_path, monkeypatch) -> None:
    pytest.importorskip("kaleido")
    from opensphere.report import files

    kept = page.build

    def few(results):  # three of them: each takes a moment
        parts = kept(results)
        return page.Parts([], [], parts.training[:1], [], [])

    monkeypatch.setattr(page, "build", few)
    folder = write_run(tmp_path / "run")
    assert main.main(["report", str(folder), "--figures", str(tmp_path / "figures")]) == 0
    heads = {kind: (tmp_path / "figures" / f"train-loss.{kind}").read_bytes()[:4] for kind in files.FORMATS}
    assert heads == {"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}


def pair_set(images: int = 40, people: int = 8):
    rng = np.random.default_rng(0)
    persons = np.arange(images) % people
    pairs = np.array([(i, j) for i in range(images) for j in range(i)])
    pictures = rng.integers(0, 255, (images, 120, 100, 3), np.uint8)
    features = rng.normal(size=(people, 8))[persons] + 0.8 * rng.normal(size=(images, 8))
    return features.astype(np.float32), SimpleNamespace(
        name="pairs", pairs=pairs, is_same=persons[pairs[:, 0]] == persons[pairs[:, 1]], persons=persons,
        image=lambda index: pictures[index], path=lambda index: f"{index}.jpg",
    )  # fmt: skip


def test_evidence_of_pairs(tmp_path) -> None:
    features, dataset = pair_set()
    path = write_evidence(tmp_path, dataset, features, 60, resamples=20)
    assert path == tmp_path / "pairs_evidence.npz"
    found = evidence.read(path)
    assert found["genuine_counts"].sum() == dataset.is_same.sum() and str(found["checkpoint"]) == "60"
    assert np.all(found["band_low"] <= found["band_high"]) and len(found["band_fpr"]) > 10
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    one, other = found["hard_impostor"][0]
    assert found["hard_impostor_scores"][0] == pytest.approx(float(unit[one] @ unit[other]), abs=1e-6)
    assert dataset.persons[one] != dataset.persons[other]
    assert found["pixels"].shape[1:] == (96, 80, 3) and found["image_name"][0] == f"{found['image'][0]}.jpg"
    place = np.flatnonzero(dataset.persons == found["sample_person"][0])
    np.testing.assert_array_equal(found["sample"][: len(place)], features[place])


def test_evidence_of_pairs_without_persons_or_resamples(tmp_path) -> None:
    features, dataset = pair_set()
    assert "band_fpr" not in evidence.read(write_evidence(tmp_path, dataset, features, 60, resamples=0))
    del dataset.persons
    found = evidence.read(write_evidence(tmp_path, dataset, features, 60))
    assert "sample" not in found and "band_fpr" not in found


def test_evidence_of_searches(tmp_path) -> None:
    features, dataset = pair_set()
    gallery, probe = np.arange(8), np.arange(8, 40)
    searched = SimpleNamespace(
        name="search", persons=dataset.persons, probe_index=probe, gallery_index=gallery,
        image=dataset.image, path=dataset.path,
    )  # fmt: skip
    found = evidence.read(write_evidence(tmp_path, searched, features, 60))
    unit = features / np.linalg.norm(features, axis=1, keepdims=True)
    own = dataset.persons[probe]
    ranks = [rankdata(-row)[person] for row, person in zip(unit[probe] @ unit[gallery].T, own, strict=True)]
    np.testing.assert_allclose(found["cmc"], [np.mean(np.array(ranks) <= k) for k in found["ranks"]])
    assert found["genuines"] == 32


def test_a_set_without_scores_has_no_evidence(tmp_path) -> None:
    assert write_evidence(tmp_path, SimpleNamespace(name="x"), np.zeros((3, 2), np.float32), 1) is None
    assert list(tmp_path.iterdir()) == []
