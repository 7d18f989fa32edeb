"""What a training notes of its data at its start, for the page of `opensphere report`."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from opensphere import config as cfg
from opensphere import storage
from opensphere.command.build import Sets
from opensphere.error import UserError
from opensphere.protocol import name_of
from opensphere.report.picture import SIDE, jpeg
from opensphere.report.training_data import FILE

PEOPLE, IMAGES = 8, 8  # who are pictured, and how many pictures of each
MOST_BYTES = 230_000  # of all pictures
_SIDES = (SIDE, 64, 32)  # pixels of the longer side, the next where the pictures are too large
_THREADS = 8  # a disk far away answers several questions at once


def write_training_data(folder: Path, sets: Sets, data: cfg.Config) -> None:
    """Write `<folder>/training_data.npz`, whose keys `opensphere.report.training_data` lists.

    Args:
        folder: of the run.
        sets: as `build_sets` made them; the training set of N images has `labels` (N,), `names` and `num_class`.
        data: the block of the config that they were made of.

    Raises:
        UserError: the file cannot be written.
    """
    train, generator = sets.train, np.random.default_rng(0)
    each = np.bincount(train.labels, minlength=train.num_class)
    holders = np.bincount(each)
    holders[0] = 0  # whoever has no image
    some = draw_people(each, holders, PEOPLE, generator)
    images = draw_images(train.labels, some, train.num_class, IMAGES, generator)
    rows, names, jpegs = pictures(train, images)
    counts = np.flatnonzero(holders)
    found = {
        "name": np.array(train.name),
        "images": np.array(len(train)),
        "people": np.array(train.num_class),
        "counts": counts,
        "holders": holders[counts],
        "remarks": np.array([*_remarks(sets, data), *sets.remarks], dtype=str),
        "person": np.array([str(train.names[person]) for person in some], dtype=str),
        "person_images": each[some],
        "picture_person": np.array(rows, np.int64),
        "picture_name": np.array(names, dtype=str),
        "jpeg": np.frombuffer(b"".join(jpegs), np.uint8),
        "jpeg_end": np.cumsum([len(jpeg) for jpeg in jpegs], dtype=np.int64),
    }
    with storage.atomic_path(folder / FILE) as part, open(part, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **found)


def draw_people(each: np.ndarray, holders: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    """Some people, from fewest images to most: one of each of equal parts of them, and both ends.

    Args:
        each: (C,) how many images each has.
        holders: how many people have 0, 1, 2, ... images; that of 0 is 0, for they are left out.
    """
    ends = np.cumsum(holders)
    people = int(ends[-1])
    places = np.arange(people)
    if people > most:
        bounds = np.linspace(0, people, most + 1).astype(np.int64)
        places = generator.integers(bounds[:-1], bounds[1:])
        places[0], places[-1] = 0, people - 1
    sizes = np.searchsorted(ends, places, side="right")
    before = ends[sizes] - holders[sizes]
    # without a sort: there may be millions of people
    found = [np.flatnonzero(each == size)[place] for size, place in zip(sizes, places - before, strict=True)]
    return np.array(found, np.int64)


def draw_images(
    labels: np.ndarray, people: np.ndarray, num_class: int, most: int, generator: np.random.Generator
) -> list[np.ndarray]:
    """Some images of each of some people, in the order of the set."""
    wanted = np.zeros(num_class, bool)
    wanted[people] = True
    images = np.flatnonzero(wanted[labels])  # one walk over all labels, however many people
    own = [images[labels[images] == person] for person in people]
    return [np.sort(generator.choice(some, min(most, len(some)), replace=False)) for some in own]


def pictures(dataset: Any, rows: Sequence[np.ndarray]) -> tuple[list[int], list[str], list[bytes]]:
    """Images as small JPEGs: the row of each, its name, and its bytes. Those that cannot be read are left out."""
    images = [int(image) for row in rows for image in row]
    number = [place for place, row in enumerate(rows) for _ in row]
    with ThreadPoolExecutor(_THREADS) as threads:
        pixels = list(threads.map(lambda image: _pixels(dataset, image), images))
    known = [place for place, one in enumerate(pixels) if one is not None]
    jpegs: list[bytes] = []
    for side in _SIDES:
        jpegs = [jpeg(one, side) for one in pixels if one is not None]
        if sum(map(len, jpegs)) <= MOST_BYTES:
            break
    return [number[place] for place in known], [name_of(dataset, images[place]) for place in known], jpegs


def _pixels(dataset: Any, image: int) -> np.ndarray | None:
    try:
        return np.asarray(dataset.image(image))
    except UserError:  # training says which, once it comes to it
        return None


def _remarks(sets: Sets, data: cfg.Config) -> list[str]:
    """What was done before subset and corruption, which say so themselves."""
    found = []
    share = data["train"]["dataset"].get("noise_ratio")
    if share:
        found.append(f"noise_ratio: the labels of {share:.3g} of the images were drawn anew")
    if isinstance(data["val"], dict):
        apart = sets.val[0][0].dataset
        found.append(f"hold-out: {apart.num_class:,} people with {len(apart):,} images are kept apart for validation")
    return found
