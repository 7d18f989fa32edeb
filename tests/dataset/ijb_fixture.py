"""A small IJB in the true formats, written where a test wants it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opensphere.geometry import ARCFACE_112
from tests.dataset.pictures import save


@dataclass
class SmallIJB:
    """What was written: plain lists, a row for each line."""

    data_dir: Path
    meta_dir: Path
    images: list[tuple[str, np.ndarray, float, int, int]]  # path, points (5, 2), faceness, template, medium
    pairs: list[tuple[int, int, int]]
    person_of: dict[int, int]  # of each template
    galleries: list[list[int]]
    probes: list[int]

    def file(self, suffix: str) -> Path:
        return self.meta_dir / f"ijbx{suffix}"

    def edit(self, suffix: str, line: int, text: str) -> Path:
        """Replace a line, counted from 1."""
        path = self.file(suffix)
        lines = path.read_text().splitlines()
        lines[line - 1] = text
        path.write_text("\n".join(lines) + "\n")
        return path


def write_ijb(folder: Path, people: int = 8, probes: int = 12, pictures: bool = False, seed: int = 0) -> SmallIJB:
    """Write meta files and, with `pictures`, all images; without, the first alone.

    Template ids have gaps and stand in no order; media are shared between templates; CSVs repeat templates.
    """
    rng = np.random.default_rng(seed)
    ids = (10 * rng.permutation(people + probes) + 3).tolist()
    person_of = {t: n if n < people else int(rng.integers(people)) for n, t in enumerate(ids)}
    images = []
    for template in rng.permutation([t for t in ids for _ in range(int(rng.integers(1, 5)))]).tolist():
        points = np.round(ARCFACE_112 / 3 + rng.normal(0, 2, (5, 2)) + 5, 3)
        images.append(
            (f"{len(images) + 1}.png", points, round(float(rng.random()), 8), template, int(rng.integers(100, 130)))
        )
    pairs = [
        (a, b, int(person_of[a] == person_of[b])) for a in ids[:people] for b in ids[people:] if rng.random() < 0.8
    ]
    small = SmallIJB(
        folder / "loose_crop", folder / "meta", images, pairs, person_of,
        [ids[: people // 2], ids[people // 2 : people]], ids[people:],
    )  # fmt: skip
    small.meta_dir.mkdir(parents=True)
    for number, (path, *_) in enumerate(images if pictures else images[:1]):
        save(small.data_dir / path, number, height=56, width=50)
    write_meta(small)
    return small


def write_meta(small: SmallIJB) -> None:
    def write(suffix: str, lines: list[str]) -> None:
        small.file(suffix).write_text("\n".join(lines) + "\n")

    write(
        "_name_5pts_score.txt",
        [f"{p} {' '.join(f'{v:.3f}' for v in x.ravel())} {faceness:.8f}" for p, x, faceness, _, _ in small.images],
    )
    write("_face_tid_mid.txt", [f"{path} {template} {medium}" for path, _, _, template, medium in small.images])
    write("_template_pair_label.txt", [f"{a} {b} {label}" for a, b, label in small.pairs])
    named = {"_1N_gallery_G1.csv": small.galleries[0], "_1N_gallery_G2.csv": small.galleries[1]}
    for suffix, templates in {**named, "_1N_probe_mixed.csv": small.probes}.items():
        rows = [f"{t},{small.person_of[t]},img/{t}_{n}.jpg,{n},1.5,," for t in templates for n in range(t % 3 + 1)]
        write(suffix, ["TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,", *rows])
