"""Verification pairs out of any set of people: to validate on people that are not trained on."""

from bisect import bisect_right
from typing import Any

import numpy as np

from opensphere.dataset.image_set import parse_metrics
from opensphere.dataset.pair import successive_folds
from opensphere.dataset.view import Subset, View
from opensphere.error import UserError

_MOST_PEOPLE, _LEAST_PEOPLE, _MOST_PAIRS = 500, 10, 6000


class DrawnPairs(View):
    """Pairs drawn from the images of a set with labels.

    Args:
        dataset: has `labels`.
        pairs: as `draw_pairs`. If not given: as many as there are, at most 6,000.
        folds, seed: as `draw_pairs`; None folds: one draw from everybody.
        name: for tables and file names; the set's own if not given.
        metrics: names of what to report; the usual ones if not given.

    Attributes:
        pairs: (P, 2) int64, indices of this set's images, which are those that appear in a pair.
        is_same: (P,) bool.
        folds: (P,) int64 or None.
        persons: (N,) int64 from 0 without gaps, whom each image shows.
    """

    def __init__(
        self,
        dataset: Any,
        pairs: int | None = None,
        folds: int | None = 10,
        seed: int = 0,
        name: str | None = None,
        metrics: list[str] | None = None,
    ):
        super().__init__(dataset, name)
        self.metrics = parse_metrics(metrics)
        if pairs is None:
            pairs = _available(dataset.labels, folds or 1, seed)
        drawn, self.is_same, fold = draw_pairs(dataset.labels, pairs, folds or 1, seed)
        self.folds = None if folds is None else fold
        self.indices, positions = np.unique(drawn, return_inverse=True)
        self.pairs = positions.reshape(-1, 2).astype(np.int64)
        self.persons = np.unique(dataset.labels[self.indices], return_inverse=True)[1].astype(np.int64)


def hold_out(
    dataset: Any,
    people: int | None = None,
    pairs: int | None = None,
    folds: int | None = 10,
    seed: int = 0,
) -> tuple[Subset, DrawnPairs]:
    """Keep people apart from a set, and draw pairs of their images.

    The people are drawn from those with two images or more, for a single image makes no genuine pair.

    Args:
        dataset: a set with `labels` and `names`.
        people: how many to keep apart. If not given: a tenth of them, at least 10 and at most 500, but never more than
            half.
        pairs: how many to draw, half genuine and half impostor. If not given: as many as there are, at most 6,000.
        folds: as `draw_pairs`; None for no folds.
        seed: fixes people and pairs.

    Returns:
        The set without these people, its labels without gaps, and the pairs.

    Raises:
        UserError: the set has too few people or images, or its labels hold noise.
    """
    if folds is not None and folds < 2:
        raise UserError(f"holdout of {dataset.name}: folds: {folds} is too few; give 2 or more, or null for none")
    if getattr(dataset, "noise_ratio", 0):
        raise UserError(f"{dataset.name}: noise_ratio makes labels that are not people; validate on lists of pairs")
    counts = np.bincount(dataset.labels, minlength=len(dataset.names))
    several = np.flatnonzero(counts >= 2)
    chosen = _choose_people(dataset.name, several, len(dataset.names), people, seed)
    rest = np.setdiff1d(np.arange(len(dataset.names)), chosen)
    apart = Subset.of_people(dataset, chosen)
    name = f"{dataset.name}_holdout"
    try:
        return Subset.of_people(dataset, rest), DrawnPairs(apart, pairs, folds, seed, name)
    except UserError as error:
        raise UserError(f"holdout of {dataset.name}: {error}; or train without: data.val=[]") from None


def _choose_people(name: str, several: np.ndarray, total: int, people: int | None, seed: int) -> np.ndarray:
    """`people` of the labels `several`, sorted."""
    if people is None:
        people = min(max(_LEAST_PEOPLE, min(total // 10, _MOST_PEOPLE)), total // 2, len(several))
    have = f"the set has {total} people, {len(several)} of them with two images or more"
    if people < 2 or people > len(several):
        raise UserError(
            f"holdout of {name}: {people} people cannot be kept apart: {have}; at least 2 are "
            "needed, or train without: data.val=[]"
        )
    if total - people < 2:
        raise UserError(f"holdout of {name}: keeping {people} people apart leaves none to train on: {have}")
    return np.sort(_generator(seed, 0).choice(several, people, replace=False))


def _available(labels: np.ndarray, folds: int, seed: int) -> int:
    """How many pairs `draw_pairs` can draw, at most 6,000; with a person in one fold only, if that gives any."""
    share = min(_deal(labels, folds, seed)[1] or _capacity(labels) // folds, max(1, _MOST_PAIRS // (2 * folds)))
    if share < 1:
        raise UserError(f"{len(np.unique(labels))} people with {len(labels)} images are too few for {folds} folds")
    return share * 2 * folds


def draw_pairs(labels: np.ndarray, pairs: int, folds: int = 10, seed: int = 0) -> tuple[np.ndarray, ...]:
    """Draw pairs of images, half of one person and half of two, none twice, evenly over the people.

    Each person belongs to one fold, so that folds are independent of each other, unless there are too few people or
    images for that: then the pairs are drawn from everybody and dealt out to the folds.

    Args:
        labels: (N,) the person of each image.
        pairs: P, a multiple of 2 x folds.
        folds: in each one are P / folds pairs, first the genuine, then the impostor ones.
        seed: fixes the result.

    Returns:
        pairs (P, 2) int64 of indices into `labels`; is_same (P,) bool; fold (P,) int64, ascending.

    Raises:
        UserError: the pairs do not divide into the folds, or there are not so many.
    """
    labels = np.asarray(labels)
    if folds < 1 or pairs < 1 or pairs % (2 * folds):
        raise UserError(
            f"pairs: {pairs} pairs in {folds} folds, half genuine and half impostor, need a multiple of {2 * folds}"
        )
    share = pairs // (2 * folds)
    generator = _generator(seed, 1)
    fold_of_person, disjoint = _deal(labels, folds, seed)
    if share <= disjoint:
        parts = [np.flatnonzero(fold_of_person == fold) for fold in range(folds)]
        drawn = [_draw(labels, images, share, generator) for images in parts]
    elif share * folds <= _capacity(labels):
        genuine, impostor = _draw(labels, np.arange(len(labels)), share * folds, generator)
        drawn = list(zip(np.split(genuine, folds), np.split(impostor, folds), strict=True))
    else:
        genuine_most, impostor_most = _capacities(np.unique(labels, return_counts=True)[1])
        raise UserError(
            f"pairs: {pairs} are wanted, half genuine and half impostor, but the {len(np.unique(labels))} people "
            f"with {len(labels)} images make {genuine_most} genuine and {impostor_most} impostor pairs"
        )
    is_same = np.tile(np.repeat([True, False], share), folds)
    return np.concatenate([kind for fold in drawn for kind in fold]), is_same, successive_folds(pairs, folds)


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed % (1 << 64), purpose])))


def _capacities(counts: np.ndarray) -> tuple[int, int]:
    """Genuine and impostor pairs that people with so many images make."""
    images = int(counts.sum())
    genuine = int((counts * (counts - 1) // 2).sum())
    return genuine, images * (images - 1) // 2 - genuine


def _capacity(labels: np.ndarray) -> int:
    return min(_capacities(np.unique(labels, return_counts=True)[1]))


def _deal(labels: np.ndarray, folds: int, seed: int) -> tuple[np.ndarray, int]:
    """The fold of each image, (N,), one for each person; and the pairs of a kind that every fold can give.

    People with many images are dealt first, back and forth, so that folds have about as many.
    """
    people, person, counts = np.unique(labels, return_inverse=True, return_counts=True)
    shuffled = _generator(seed, 2).permutation(len(people))
    order = shuffled[np.argsort(-counts[shuffled], kind="stable")]
    there_and_back = np.concatenate([np.arange(folds), np.arange(folds)[::-1]])
    fold = np.empty(len(people), np.int64)
    fold[order] = np.resize(there_and_back, len(people))
    return fold[person], min(min(_capacities(counts[fold == number])) for number in range(folds))


def _draw(labels: np.ndarray, images: np.ndarray, count: int, generator: np.random.Generator) -> tuple[np.ndarray, ...]:
    """`count` genuine and `count` impostor pairs of `images`, (count, 2) int64 each, in random order."""
    _, person = np.unique(labels[images], return_inverse=True)
    by_person = np.split(images[np.argsort(person, kind="stable")], np.cumsum(np.bincount(person))[:-1])
    genuine = _draw_genuine(by_person, count, generator)
    impostor = _draw_impostor(by_person, count, generator)
    return generator.permutation(genuine), generator.permutation(impostor)


def _draw_genuine(by_person: list[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    sizes = np.array([len(images) for images in by_person])
    quota = _even_shares(sizes * (sizes - 1) // 2, count, generator)
    drawn = []
    for images, wanted in zip(by_person, quota, strict=True):
        if wanted:
            first, second = np.triu_indices(len(images), k=1)
            chosen = generator.choice(len(first), wanted, replace=False)
            drawn.append(images[np.stack([first[chosen], second[chosen]], axis=1)])
    return np.concatenate(drawn)


def _even_shares(most: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Shares of `count` as even as the limits `most` allow; who gets one more is drawn."""
    level = bisect_right(range(int(most.max()) + 1), count, key=lambda level: int(np.minimum(most, level).sum())) - 1
    shares = np.minimum(most, level)
    more = generator.permutation(np.flatnonzero(most > level))[: count - int(shares.sum())]
    shares[more] += 1
    return shares


def _draw_impostor(by_person: list[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    """In rounds: people stand in a circle drawn anew, and each makes a pair with the next."""
    if 2 * count > _capacities(np.array([len(images) for images in by_person]))[1]:
        return _draw_of_all(by_person, count, generator)
    seen: dict[tuple[int, int], None] = {}
    while len(seen) < count:
        circle = generator.permutation(len(by_person))[: max(2, count - len(seen))]
        faces = [int(generator.choice(by_person[person])) for person in circle]
        for first, second in zip(faces, faces[1:] + faces[:1], strict=True):
            seen.setdefault((min(first, second), max(first, second)))
    return np.array(list(seen)[:count], np.int64)


def _draw_of_all(by_person: list[np.ndarray], count: int, generator: np.random.Generator) -> np.ndarray:
    """Where more than half of all impostor pairs are wanted: list them all."""
    images = np.concatenate(by_person)
    person = np.repeat(np.arange(len(by_person)), [len(faces) for faces in by_person])
    first, second = np.triu_indices(len(images), k=1)
    differ = np.flatnonzero(person[first] != person[second])
    chosen = generator.choice(differ, count, replace=False)
    return np.stack([images[first[chosen]], images[second[chosen]]], axis=1)
