"""Which images and people of a set are taken: pure functions of labels.

Each returns the images taken, (N',) int64, ascending; and the people left, (P',) int64: the labels that still occur,
ascending. `labels` are (N,) of any numbers from 0, in any order, and none is changed: to number people from 0 without
gaps is the caller's.
"""

import numpy as np

from opensphere.error import UserError

Selection = tuple[np.ndarray, np.ndarray]


def select(
    labels: np.ndarray,
    min_images: int = 1,
    people: int | None = None,
    max_images: int | None = None,
    seed: int = 0,
) -> Selection:
    """All that is asked, in this order: people with `min_images` or more in the whole set; of these, `people` drawn;
    of these, `max_images` each. So `min_images` larger than `max_images` makes sense, and nobody drawn is lost again.

    Args:
        min_images: as `at_least`.
        people: as `some_people`; None: all.
        max_images: as `at_most`; None: all.
        seed: of the drawing.
    """
    indices, kept = at_least(labels, min_images)
    if people is not None:
        part, kept = some_people(labels[indices], people, seed)
        indices = indices[part]
    if max_images is not None:
        part, kept = at_most(labels[indices], max_images, seed)
        indices = indices[part]
    return indices, kept


def at_least(labels: np.ndarray, min_images: int) -> Selection:
    """The people with `min_images` or more. Raises UserError if there is nobody."""
    if min_images < 1:
        raise UserError(f"min_images: {min_images} is not a number of images; 1 keeps everybody")
    counts = np.bincount(labels)
    kept = np.flatnonzero(counts >= min_images)
    if not len(kept):
        raise UserError(f"min_images: nobody has {min_images} images; the most are {counts.max(initial=0)}")
    return _of(labels, kept), kept


def some_people(labels: np.ndarray, people: int, seed: int = 0) -> Selection:
    """So many people, drawn with the seed.

    They are drawn, for the first by label would be the first of the alphabet, or of however a list was made: names say
    where people come from, and lists are often sorted by size. With one seed, fewer people are part of more people.

    Raises:
        UserError: there are not so many, for a study of 10,000 people with fewer would be another; or none is wanted.
    """
    present = np.flatnonzero(np.bincount(labels))
    if not 1 <= people <= len(present):
        raise UserError(f"people: {people} are wanted, but there are {len(present)} to draw from")
    kept = np.sort(_generator(seed, 0).permutation(present)[:people])
    return _of(labels, kept), kept


def at_most(labels: np.ndarray, max_images: int, seed: int = 0) -> Selection:
    """At most so many images of each person, drawn with the seed; fewer are part of more. Raises UserError below 1."""
    if max_images < 1:
        raise UserError(f"max_images: {max_images} is not a number of images")
    return np.flatnonzero(drawn_places(labels, seed) < max_images), np.flatnonzero(np.bincount(labels))


def drawn_places(labels: np.ndarray, seed: int) -> np.ndarray:
    """(N,) int64: the place, from 0, of each image among those of its person, in an order drawn with the seed."""
    shuffled = _generator(seed, 1).permutation(len(labels))
    by_person = shuffled[np.argsort(labels[shuffled], kind="stable")]
    counts = np.bincount(labels)
    places = np.empty(len(labels), np.int64)
    places[by_person] = np.arange(len(labels)) - (np.cumsum(counts) - counts)[labels[by_person]]
    return places


def _of(labels: np.ndarray, people: np.ndarray) -> np.ndarray:
    """The images of some people."""
    taken = np.zeros(int(labels.max(initial=-1)) + 1, bool)
    taken[people] = True
    return np.flatnonzero(taken[labels])


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed % (1 << 64), spawn_key=(purpose,))))
