"""What the features of a trained model tell of the labels: names that are one person, names that are two, wrong names.

Every threshold is read from the set itself: from the scores of centres of different names, and from those of two
halves of one name. All products of many rows are taken in blocks, so that nothing is images x people large.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

_BLOCK = 1 << 24  # scores held at once: 64 MiB
_ROWS = 4096  # rows that quantiles of scores are taken from
_BINS = 20_000
_MOST = 100_000  # pairs that are kept

Step = Callable[[int], None]  # called with the number of rows done since the last call


@dataclass(eq=False)
class People:
    """The features of a set by person.

    Attributes:
        features: (N, D) float32 of unit length.
        labels: (N,) int64.
        counts: (C,) int64, images of each; people without any have a centre of zeros.
        sums: (C, D) float32, of the features.
        centres: (C, D) float32, the sums at unit length.
    """

    features: np.ndarray
    labels: np.ndarray
    counts: np.ndarray
    sums: np.ndarray
    centres: np.ndarray

    @staticmethod
    def of(features: np.ndarray, labels: np.ndarray, people: int) -> "People":
        """The people of features of any length."""
        return People._named(_unit(features), labels, people)

    def under(self, labels: np.ndarray) -> "People":
        """The same images under other labels of as many people."""
        return People._named(self.features, labels, len(self.counts))

    @staticmethod
    def _named(features: np.ndarray, labels: np.ndarray, people: int) -> "People":
        sums = _sums(features, labels, people)
        return People(features, labels, np.bincount(labels, minlength=people), sums, _unit(sums))


@dataclass(frozen=True)
class Scale:
    """What scores between centres mean, for one model on one set.

    Attributes:
        two: 1 in 100 pairs of different names scores higher.
        same: what counts as one person: the score that one pair of different names in all would reach by chance, if
            the tail of their scores goes on as that of a normal distribution. Within a set no less than what 95% of the
            halves reach; another set may show a person otherwise, so that halves would ask too much.
        finds: the share of halves of one name that reach `same`: of people under two names about as many are found.
        apart: the share of halves that reach `two`.
        known: how many names with two images or more the halves are of.
    """

    two: float
    same: float
    finds: float
    apart: float
    known: int

    @property
    def useful(self) -> bool:
        """Whether the model tells these people apart: most halves of one name score higher than two names do."""
        return self.known >= 10 and self.apart >= 0.6


def halves(people: People, seed: int = 0) -> np.ndarray:
    """The score of two halves of the images of each person with two or more, drawn at random: (K,) float32."""
    order = np.random.default_rng(seed).permutation(len(people.labels))
    order = order[np.argsort(people.labels[order], kind="stable")]
    start = np.cumsum(people.counts) - people.counts
    odd = (np.arange(len(order)) - start[people.labels[order]]) % 2 == 1
    half = _sums(people.features[order[odd]], people.labels[order[odd]], len(people.counts))
    several = people.counts >= 2
    return np.einsum("cd,cd->c", _unit(half[several]), _unit((people.sums - half)[several]))


def scale_of(people: People, other: People | None = None, seed: int = 0) -> Scale:
    """The scale of scores between centres, within a set or from one to another.

    The tail is read at two places, 1 in 100 and 1 in 1,000 scores; of fewer than 1,000 names nearer to the middle,
    lest the few pairs that are one person make it. From a set to another it is that of each set within itself: all
    people of a set for tests may be in the other one.
    """
    sides = [people] if other is None else [people, other]
    known = [side for side in sides if np.any(side.counts >= 2)] or sides  # else people may be mere images
    scores = np.sum([_within(side, seed) for side in known], axis=0)
    names = [int(np.count_nonzero(side.counts)) for side in sides]
    pairs = names[0] * (names[0] - 1) // 2 if other is None else names[0] * names[1]
    count = max(int(np.count_nonzero(side.counts)) for side in known)
    common, rare = max(1e-2, min(10 / max(count, 1), 0.2)), max(1e-3, min(1 / max(count, 1), 0.02))
    two, high, higher = (_exceeded(scores, share) for share in (1e-2, common, rare))
    deviations = ndtri(1 - np.array([common, rare, min(1 / max(pairs, 1), rare)]))
    chance = higher + (higher - high) * (deviations[2] - deviations[1]) / (deviations[1] - deviations[0])
    genuine = np.concatenate([halves(side, seed) for side in sides])
    if not len(genuine):
        return Scale(two, min(chance, 1.0), 0.0, 0.0, 0)
    same = float(min(max(chance, np.quantile(genuine, 0.05)) if other is None else chance, 1.0))
    return Scale(two, same, float(np.mean(genuine >= same)), float(np.mean(genuine >= two)), len(genuine))


def _within(people: People, seed: int) -> np.ndarray:
    """As `_histogram`, of the scores between a set's centres, or, where there are many, of some with all."""
    rows = np.flatnonzero(people.counts)
    if len(rows) > _ROWS:
        rows = np.random.default_rng(seed).choice(rows, _ROWS, replace=False)
    return _histogram(people.centres[rows], people, rows)


def alike(
    left: np.ndarray, right: np.ndarray | None, least: float, device: str = "cpu", step: Step | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of centres that score at least `least`, the highest first, at most 100,000 of them.

    Args:
        left: (C, D); right: (E, D), or None for the pairs within left.

    Returns:
        (P, 2) int64, the smaller label first within one set; (P,) float32 scores.
    """
    pairs, scores = np.empty((0, 2), np.int64), np.empty(0, np.float32)
    for start, block in _products(left, left if right is None else right, device):
        rows, columns = torch.nonzero(block >= least, as_tuple=True)
        keep = columns > rows + start if right is None else torch.ones_like(rows, dtype=torch.bool)
        rows, columns = rows[keep], columns[keep]
        found = torch.stack([rows + start, columns], dim=1).cpu().numpy()
        pairs, scores = np.concatenate([pairs, found]), np.concatenate([scores, block[rows, columns].cpu().numpy()])
        if len(scores) > 2 * _MOST:
            best = np.argpartition(-scores, _MOST)[:_MOST]
            pairs, scores = pairs[best], scores[best]
        if step is not None:
            step(len(block))
    order = np.argsort(-scores, kind="stable")[:_MOST]
    return pairs[order], scores[order]


def one_name(labels: np.ndarray, pairs: np.ndarray, people: int) -> np.ndarray:
    """Labels in which people of a pair are one: (N,) int64, the smallest label that a chain of pairs leads to."""
    root = np.arange(people)
    while True:
        lowest = root.copy()
        np.minimum.at(lowest, pairs[:, 0], root[pairs[:, 1]])
        np.minimum.at(lowest, pairs[:, 1], root[pairs[:, 0]])
        lowest = lowest[lowest]
        if np.array_equal(lowest, root):
            return root[labels]
        root = lowest


def mixed(people: People, scale: Scale, step: Step | None = None) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Names that are two people: their images fall into two parts, whose centres are no more alike than two people.

    Two means are sought in each person's features of unit length, beginning with two images far apart. The smaller part
    must hold two images and a tenth of all, which resemble each other: stray images of several people are
    `wrong_names`' matter. A person of whom there are two kinds of picture, a child and the grown-up, is found as well.

    Returns:
        (K,) int64 people, the lowest score first; (K,) float32 scores of the two centres; for each the images of the
        smaller part, positions in `labels`.
    """
    order = np.argsort(people.labels, kind="stable")
    ends = np.cumsum(people.counts)
    found: list[tuple[float, int, np.ndarray]] = []
    for person in np.flatnonzero(people.counts >= 4).tolist():
        images = order[ends[person] - people.counts[person] : ends[person]]
        part, score = _two_means(people.features[images])
        if part.sum() * 2 > len(part):
            part = ~part
        if score < scale.two and part.sum() >= max(2, 0.1 * len(part)) and _holds(people.features[images], part):
            found.append((score, person, images[part]))
        if step is not None:
            step(1)
    found.sort(key=lambda one: one[:2])
    return (
        np.array([person for _, person, _ in found], np.int64),
        np.array([score for score, _, _ in found], np.float32),
        [images for _, _, images in found],
    )


@dataclass(eq=False)
class Noise:
    """How many labels are wrong, between two estimates, and which.

    An image is compared with the centre of its name, made of that name's other images, and with the nearest other
    centre. `most` counts the images that are nearer to the other one. It is too high by those that the model mistakes,
    the more so the weaker the model and the more people there are; and by right images of names that have few, when
    the others are wrong. `least` counts those among them that are as far from their own name as 99 in 100 centres are,
    and nearer to the other than 95 in 100 rightly named images are to any. It is too low: images of people who have no
    name of their own in the set, or only one that is as mixed, are mostly left out. Images of names with a single image
    are in neither.

    Attributes:
        least, most: shares of the images that could be compared.
        compared: how many these are.
        images: (K,) int64, those of `least`, positions in `labels`, the clearest first.
        others: (K,) int64, the person whom each resembles.
        own, best: (K,) float32, its scores with its own name and with that person.
    """

    least: float
    most: float
    compared: int
    images: np.ndarray
    others: np.ndarray
    own: np.ndarray
    best: np.ndarray


def wrong_names(people: People, seed: int = 0, device: str = "cpu", step: Step | None = None) -> Noise:
    """Images whose names seem wrong."""
    count = len(people.labels)
    several = np.flatnonzero(people.counts[people.labels] >= 2)
    rows = several if len(several) <= _ROWS else np.random.default_rng(seed).choice(several, _ROWS, replace=False)
    scores = _histogram(people.features[rows], people, people.labels[rows])
    far = _exceeded(scores, 1e-2)
    own, best, who = np.zeros(count, np.float32), np.zeros(count, np.float32), np.zeros(count, np.int64)
    centres = people.centres
    for start, block in _products(people.features, centres, device):
        stop = start + len(block)
        labels = people.labels[start:stop]
        block[torch.arange(len(block)), torch.from_numpy(labels)] = -2.0
        block[:, torch.from_numpy(people.counts == 0)] = -2.0
        highest, at = block.max(dim=1)
        best[start:stop], who[start:stop] = highest.cpu().numpy(), at.cpu().numpy()
        rest = people.sums[labels] - people.features[start:stop]
        own[start:stop] = np.einsum("nd,nd->n", _unit(rest), people.features[start:stop])
        if step is not None:
            step(len(block))
    nearer = several[best[several] > own[several]]
    right = several[best[several] <= own[several]]
    near = np.quantile(best[right], 0.95) if len(right) else 1.0
    clear = nearer[(own[nearer] < far) & (best[nearer] >= near)]
    clear = clear[np.argsort(own[clear] - best[clear], kind="stable")]
    compared = max(len(several), 1)
    return Noise(
        len(clear) / compared, len(nearer) / compared, len(several), clear, who[clear], own[clear], best[clear]
    )


def _two_means(features: np.ndarray) -> tuple[np.ndarray, float]:
    """(n,) bool, which images are in one part, and the score of the parts' centres; 1 where there is one part."""
    first = features[np.argmin(features @ features.sum(axis=0))]
    second = features[np.argmin(features @ first)]
    part = np.zeros(len(features), bool)
    for _ in range(20):
        now = features @ first > features @ second
        if now.all() or not now.any():
            return now, 1.0
        first, second = _unit(np.stack([features[now].sum(axis=0), features[~now].sum(axis=0)]))
        if np.array_equal(now, part):
            break
        part = now
    return now, float(first @ second)


def _holds(features: np.ndarray, part: np.ndarray) -> bool:
    """Whether the images of a part resemble each other, at least half as much as those of the rest do on average."""
    means = []
    for images in (features[part], features[~part]):
        count, length = len(images), float(np.square(images.sum(axis=0)).sum())
        means.append((length - count) / (count * (count - 1)))  # of the scores of all pairs
    return means[0] >= means[1] / 2


def _unit(rows: np.ndarray) -> np.ndarray:
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(length > 0, length, 1)).astype(np.float32)


def _sums(features: np.ndarray, labels: np.ndarray, people: int) -> np.ndarray:
    sums = torch.zeros(people, features.shape[1])
    return sums.index_add_(0, torch.from_numpy(labels), torch.from_numpy(features)).numpy()


def _products(left: np.ndarray, right: np.ndarray, device: str) -> Iterator[tuple[int, Tensor]]:
    """Scores of some rows of left with all rows of right at a time, and the number of the first of these rows."""
    columns = torch.from_numpy(right).to(device).T
    step = max(1, _BLOCK // max(len(right), 1))
    for start in range(0, len(left), step):
        yield start, torch.from_numpy(left[start : start + step]).to(device) @ columns


def _histogram(rows: np.ndarray, people: People, own: np.ndarray) -> np.ndarray:
    """How many scores of rows with centres, but for their own, lie in each of equal steps from -1 to 1."""
    counts = torch.zeros(_BINS, dtype=torch.float64)
    there = torch.from_numpy(people.counts > 0)
    for start, block in _products(rows, people.centres, "cpu"):
        kept = there.repeat(len(block), 1)
        kept[torch.arange(len(block)), torch.from_numpy(own[start : start + len(block)])] = False
        counts += torch.histc(block[kept].clamp(-1, 1), _BINS, -1, 1).double()
    return counts.numpy()


def _exceeded(histogram: np.ndarray, share: float) -> float:
    """The score that this share of those counted exceeds."""
    above = np.cumsum(histogram[::-1])[::-1]
    at = int(np.searchsorted(-above, -share * max(float(above[0]), 1.0)))  # the first step with no more above
    return -1 + 2 * at / _BINS
