"""Features and lists of IJB-C's size, without IJB-C: people are directions, templates and images scatter about them."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np

LISTS = ("landmarks", "templates", "pairs", "gallery_1", "gallery_2", "probes")


@dataclass(frozen=True)
class Size:
    """How much there is; the defaults are IJB-C's (Maze et al. 2018), each person once in one of the two galleries."""

    images: int = 469_375
    people: int = 3_531
    first_gallery: int = 1_772
    probes: int = 19_593
    genuine: int = 19_557
    pairs: int = 15_658_489
    width: int = 512

    @property
    def templates(self) -> int:
        return self.people + self.probes


SMALL = Size(images=3_000, people=60, first_gallery=31, probes=240, genuine=230, pairs=6_000, width=64)


def paths(folder: Path) -> dict[str, Path]:
    """The files of the lists, named as IJB names them, and the pairs once more in random order."""
    meta = folder / "meta"
    return {
        "landmarks": meta / "ijbc_name_5pts_score.txt",
        "templates": meta / "ijbc_face_tid_mid.txt",
        "pairs": meta / "ijbc_template_pair_label.txt",
        "gallery_1": meta / "ijbc_1N_gallery_G1.csv",
        "gallery_2": meta / "ijbc_1N_gallery_G2.csv",
        "probes": meta / "ijbc_1N_probe_mixed.csv",
        "random pairs": folder / "random_order.txt",
    }


def make(folder: Path, size: Size, seed: int = 0) -> None:
    """Write features.npy, arrays.npz, size.json and the lists; the same for the same seed."""
    rng = np.random.default_rng(seed)
    (folder / "meta").mkdir(parents=True)
    (folder / "loose_crop").mkdir()
    # templates 0 to people - 1 are the galleries'
    person = np.concatenate([np.arange(size.people), rng.integers(0, size.people, size.probes)])
    template, media, faceness = _images(rng, size)
    _features(rng, size, folder / "features.npy", person, template)
    pairs, is_same = _pairs(rng, size, person)
    ids = 2 * np.arange(size.templates) + 1
    _write_lists(folder, size, person, ids, (template, media, faceness), rng)
    _write_pairs(paths(folder)["pairs"], ids[pairs], is_same)
    order = rng.permutation(len(pairs))
    _write_pairs(paths(folder)["random pairs"], ids[pairs[order]], is_same[order])
    np.savez(
        folder / "arrays.npz", person=person, template=template, media=media, faceness=faceness, pairs=pairs,
        is_same=is_same, order=order.astype(np.int32),
    )  # fmt: skip
    (folder / "size.json").write_text(json.dumps(asdict(size)))


def _images(rng: np.random.Generator, size: Size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N,) template, medium and faceness of each image: most templates are few stills, some are long videos."""
    share = rng.lognormal(0, 1.3, size.templates)
    more = rng.multinomial(size.images - size.templates, share / share.sum())
    template = np.repeat(np.arange(size.templates, dtype=np.int32), more + 1)
    new = rng.random(size.images) < 0.4
    new[np.flatnonzero(np.diff(template, prepend=-1))] = True
    return template, np.cumsum(new) + 10_000, np.round(rng.beta(8, 1, size.images), 8).astype(np.float32)


def _features(rng: np.random.Generator, size: Size, path: Path, person: np.ndarray, template: np.ndarray) -> None:
    """(N, D) float32, piece by piece. Some templates are less like their person than others, so that rates spread."""

    def directions(count: int) -> np.ndarray:
        return rng.standard_normal((count, size.width), np.float32) / np.float32(size.width**0.5)

    people, common = directions(size.people), directions(1)
    hardness = (1.0 * rng.lognormal(0, 0.45, size.templates)).astype(np.float32)
    centres = people[person] + hardness[:, None] * directions(size.templates) + 0.35 * common
    features = np.lib.format.open_memmap(path, "w+", np.float32, (size.images, size.width))
    for start in range(0, size.images, 1 << 14):
        rows = centres[template[start : start + (1 << 14)]]
        length = rng.uniform(5, 25, (len(rows), 1)).astype(np.float32)
        features[start : start + len(rows)] = (rows + 1.2 * directions(len(rows))) * length
    features.flush()


def _pairs(rng: np.random.Generator, size: Size, person: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) int32, a gallery template and a probe's, in the order of the gallery; (P,) bool."""
    probe_person = person[size.people :]
    own = probe_person * size.probes + np.arange(size.probes)
    impostors, cells = size.pairs - size.genuine, size.people * size.probes
    chosen = np.flatnonzero(rng.random(cells, np.float32) < min(1, 1.01 * impostors / (cells - size.probes)))
    chosen = chosen[probe_person[chosen % size.probes] != chosen // size.probes]
    surplus = rng.choice(len(chosen), len(chosen) - impostors, replace=False)
    cell = np.concatenate([np.delete(chosen, surplus), rng.choice(own, size.genuine, replace=False)])
    cell.sort()
    gallery, probe = np.divmod(cell, size.probes)
    pairs = np.stack([gallery, probe + size.people], axis=1).astype(np.int32)
    return pairs, probe_person[probe] == gallery


def _write_lists(
    folder: Path,
    size: Size,
    person: np.ndarray,
    ids: np.ndarray,
    images: tuple[np.ndarray, np.ndarray, np.ndarray],
    rng: np.random.Generator,
) -> None:
    template, media, faceness = images
    names = [f"{number + 1}.jpg" for number in range(size.images)]
    cv2.imwrite(str(folder / "loose_crop" / names[0]), np.full((120, 120, 3), 127, np.uint8))
    files = paths(folder)
    points = np.round(rng.uniform(20, 100, (size.images, 10)), 3).tolist()
    with open(files["landmarks"], "w") as file:
        for name, row, sure in zip(names, points, faceness.tolist(), strict=True):
            file.write(f"{name} {' '.join(f'{value:.3f}' for value in row)} {sure:.8f}\n")
    with open(files["templates"], "w") as file:
        for name, number, medium in zip(names, ids[template].tolist(), media.tolist(), strict=True):
            file.write(f"{name} {number} {medium}\n")
    parts = {
        "gallery_1": range(size.first_gallery),
        "gallery_2": range(size.first_gallery, size.people),
        "probes": range(size.people, size.templates),
    }
    bounds = np.searchsorted(template, np.arange(size.templates + 1)).tolist()
    for part, members in parts.items():
        with open(files[part], "w") as file:
            file.write("TEMPLATE_ID,SUBJECT_ID,FILENAME,SIGHTING_ID,FACE_X,FACE_Y,FACE_WIDTH,FACE_HEIGHT\n")
            for member in members:
                for image in range(bounds[member], bounds[member + 1]):
                    file.write(f"{ids[member]},{person[member] + 1},img/{image}.jpg,{image},1.5,2.5,80.0,90.0\n")


def _write_pairs(path: Path, pairs: np.ndarray, is_same: np.ndarray) -> None:
    with open(path, "w") as file:
        for start in range(0, len(pairs), 1 << 18):
            rows = zip(
                pairs[start : start + (1 << 18)].tolist(), is_same[start : start + (1 << 18)].tolist(), strict=True
            )
            file.write("".join(f"{left} {right} {int(same)}\n" for (left, right), same in rows))
