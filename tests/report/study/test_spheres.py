"""The pictures of features of two and three numbers."""

from pathlib import Path

import numpy as np
import pytest

from opensphere.report.study.reading import read_study
from opensphere.report.study.spheres import exact_samples, sphere_figures
from tests.report.material import write_study


def change_features(folder: Path, features: np.ndarray) -> None:
    for path in folder.glob("runs/*/unseen_evidence.npz"):
        with np.load(path) as arrays:
            found = dict(arrays)
        np.savez(path, **(found | {"sample": features}))


@pytest.mark.parametrize(("numbers", "drawn", "kind"), [(2, 3, "scatter"), (3, 3, "scatter3d"), (16, 0, "")])
def test_only_features_that_a_picture_shows_as_they_are(tmp_path: Path, numbers: int, drawn: int, kind: str) -> None:
    write_study(tmp_path, evidence_of=True)
    features = np.random.default_rng(0).normal(size=(30, numbers))
    change_features(tmp_path, features)
    study = read_study(tmp_path)
    figures = sphere_figures(study)
    assert [figure.title for figure in figures] == [f"{arm}, seed 0" for arm in study.arms][:drawn]
    assert all(figure.data[-1]["type"] == kind for figure in figures)
    if numbers == 2:
        first = features[:5]  # of the first person
        assert figures[0].data[0]["x"] == pytest.approx(first[:, 0].tolist(), rel=1e-3)


def test_a_page_draws_no_more_than_a_browser_can_turn(tmp_path: Path) -> None:
    arms = [f"loss {number}" for number in range(5)]
    write_study(tmp_path, arms=arms, values=(0, 1), seeds=(3, 4), gaps=[0.0] * 5, evidence_of=True)
    change_features(tmp_path, np.eye(30, 3))
    samples = exact_samples(read_study(tmp_path))
    assert [(one.arm, one.setting, one.seed) for one in samples] == [(arm, 0, 3) for arm in range(5)] + [(0, 1, 3)]
