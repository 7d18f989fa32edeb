"""A small benchmark in the shape of BLUFR: its MATLAB file, and the images that it lists."""

from pathlib import Path

import numpy as np
from scipy.io import savemat

from tests.dataset.pictures import save


def write_blufr(folder: Path, people=9, trials=3, seed=0, suffix=".jpg", nested=True, **changes) -> dict:
    """Write `images` and `blufr.mat` below a folder, and return the file's variables. `changes` replace some."""
    rng = np.random.default_rng(seed)
    names, labels = [], []
    for person in range(people):
        for number in range(1, 2 + person % 4):
            names.append(f"Per_Son{person}_{number:04d}")
            labels.append(10 * person + 1)  # with gaps
    for index, name in enumerate(names):
        place = Path(name.rpartition("_")[0]) if nested else Path()
        save(folder / "images" / place / (name + suffix), index)
    labels = np.array(labels)
    test, gallery, probe = [], [], []
    for _ in range(trials):
        chosen = rng.permutation(people)[: people - 2]  # of the people; the first half of them are enrolled
        images = np.flatnonzero(np.isin((labels - 1) // 10, chosen)) + 1
        enrolled = [rng.choice(np.flatnonzero((labels - 1) // 10 == person)) + 1 for person in chosen[: people // 2]]
        test.append(images)
        gallery.append(np.sort(enrolled))
        probe.append(np.setdiff1d(images, enrolled))
    variables = {
        "imageList": _cells([name + ".jpg" for name in names]),
        "labels": labels[:, None].astype(np.uint16),
        **{key: _cells([index[:, None].astype(np.uint16) for index in lists]) for key, lists in
           (("testIndex", test), ("galIndex", gallery), ("probIndex", probe))},
        **changes,
    }  # fmt: skip
    savemat(folder / "blufr.mat", {key: value for key, value in variables.items() if value is not None})
    return variables


def _cells(values: list) -> np.ndarray:
    array = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        array[row, 0] = value
    return array
