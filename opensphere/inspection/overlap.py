"""From the facts of a set, and of another one, to findings."""

import numpy as np

from opensphere.inspection import scan as states
from opensphere.inspection.duplicates import SAME, confirm, groups_of, near
from opensphere.inspection.finding import Finding
from opensphere.inspection.people import shared_names, spelled_alike
from opensphere.inspection.scan import Facts, Progress
from opensphere.inspection.source import Source


def of_images(facts: Facts, tiny: int) -> list[Finding]:
    """What ails single images.

    Args:
        tiny: the shorter side, in pixels, below which an image is.
    """
    found = []
    for state in range(states.DOUBTFUL, states.MISSING + 1):
        found.append(_those(states.STATES[state], facts, facts.state == state))
    read = facts.read
    found.append(_those("blank", facts, read & facts.blank))
    small = read & (np.minimum(facts.height, facts.width) < tiny)
    found.append(_those("tiny", facts, small, f"a side of fewer than {tiny} pixels"))
    grey = _those("grey", facts, read & facts.grey & ~facts.blank)
    found.append(grey)
    sizes = np.unique(np.stack([facts.height, facts.width], axis=1)[read], axis=0)
    if len(sizes) > 1:
        found.append(Finding("sizes", len(sizes)))
    return found


def of_people(source: Source) -> list[Finding]:
    """What ails names and numbers of images."""
    if source.labels is None:
        return [Finding("no-people", len(source))]
    counts = np.bincount(source.labels, minlength=len(source.reader.names))
    single = np.flatnonzero(counts == 1)
    alike = spelled_alike(source.reader.names)
    found = [Finding("single", len(single), people=single), Finding("spelling", len(alike), people=alike)]
    people = int(np.count_nonzero(counts))
    if people < 2 and source.pairs is None:
        found.append(Finding("few-people", 1))
    return found


class Twins:
    """Images of a set, and of another one, that are there twice.

    Args:
        left: the set and its facts.
        right: the other set and its facts, or None.
        progress: of the comparison of pictures.

    Attributes:
        same: (P, 2) int64, images with the bytes of an earlier one, and that one first.
        look: (P, 2) int64, images that are one picture, but not the same file.
        same_across, look_across: the same of an image of left and one of right, each image of left once.
        whole: the search came to its end.
    """

    def __init__(
        self,
        left: tuple[Source, Facts],
        right: tuple[Source, Facts] | None = None,
        progress: Progress | None = None,
    ):
        facts = [left[1]] if right is None else [left[1], right[1]]
        count = len(left[1])
        has_bytes = np.concatenate([part.state < states.EMPTY for part in facts])
        digest = np.concatenate([part.digest for part in facts])
        first = np.arange(len(digest))
        kept = np.flatnonzero(has_bytes)
        first[kept] = kept[groups_of(digest[kept])]
        again = np.flatnonzero(first != np.arange(len(first)))
        self.same = left[1].indices[np.stack([first[again], again], axis=1)[again < count]]
        crossing = again[(again >= count) & (first[again] < count)]
        earliest, at = np.unique(first[crossing], return_index=True)
        other = dict(zip(earliest.tolist(), (crossing[at] - count).tolist(), strict=True))
        copies = np.flatnonzero(np.isin(first[:count], earliest))  # of left, all that have these bytes
        crossed = np.array([(image, other[int(first[image])]) for image in copies.tolist()], np.int64).reshape(-1, 2)
        self.same_across = crossed if right is None else _images(left, right, crossed)

        clear = np.concatenate([part.read & ~part.blank for part in facts])
        chosen = np.flatnonzero(clear & (first == np.arange(len(first))))
        look = np.concatenate([part.look for part in facts])[chosen]
        pairs, self.whole = near(look)
        pairs = chosen[pairs]
        pairs = pairs[pairs[:, 0] < count]  # pairs within the other set are its own matter
        across = pairs[:, 1] >= count
        self.look = _confirmed(left, left, pairs[~across], progress)
        self.look_across = np.empty((0, 2), np.int64)
        if right is not None:
            crossed = _confirmed(left, right, pairs[across] - [0, count], progress)
            self.look_across = crossed[np.unique(crossed[:, 0], return_index=True)[1]]


Side = tuple[Source, Facts]


def _images(left: Side, right: Side, pairs: np.ndarray) -> np.ndarray:
    """Pairs of images, from pairs of their positions in the facts."""
    return np.stack([left[1].indices[pairs[:, 0]], right[1].indices[pairs[:, 1]]], axis=1)


def _confirmed(left: Side, right: Side, pairs: np.ndarray, progress: Progress | None) -> np.ndarray:
    """Those of the candidates, positions in the facts, that are one picture; as images."""
    images = _images(left, right, pairs)
    return images[confirm((left[0].reader, right[0].reader), images, progress) >= SAME]


def of_twins(source: Source, twins: Twins) -> list[Finding]:
    """Images that are there twice: within a person, under two people, in the other set."""
    found = []
    for name, pairs in (("duplicate", twins.same), ("look", twins.look)):
        two = _of_two(source, pairs)
        told = {"duplicate": "two-people", "look": "two-people-look"}[name]
        found.append(Finding(told, int(two.sum()), images=pairs[two]))
        if source.labels is not None:  # a list of pairs may name an image as often as it likes
            found.append(Finding(name, int((~two).sum()), images=pairs[~two]))
    for name, pairs in (("overlap-file", twins.same_across), ("overlap-look", twins.look_across)):
        found.append(Finding(name, len(pairs), images=pairs, across=True))
    if not twins.whole:
        found.append(Finding("search-cut", 1))
    return found


def _of_two(source: Source, pairs: np.ndarray) -> np.ndarray:
    """(P,) bool: whether pairs of images show two people, by the labels, or by a pair that says so."""
    if source.labels is not None:
        return source.labels[pairs[:, 0]] != source.labels[pairs[:, 1]]
    if source.pairs is None or source.is_same is None:
        return np.zeros(len(pairs), bool)
    count = len(source)
    said = np.sort(source.pairs[~source.is_same], axis=1)
    return np.isin(np.sort(pairs, axis=1) @ [count, 1], said @ [count, 1])


def of_names(source: Source, other: Source) -> list[Finding]:
    """People who are in both sets, by their names."""
    if source.labels is None or other.labels is None:
        return []
    proper, counting = shared_names(source.reader.names, other.reader.names)
    found = []
    for name, pairs in (("overlap-name", proper), ("overlap-number", counting)):
        images = np.flatnonzero(np.isin(source.labels, pairs[:, 0]))
        remark = f"{len(images):,} images" if len(images) else ""
        found.append(Finding(name, len(pairs), images, pairs, across=True, remark=remark))
    return found


def _those(name: str, facts: Facts, which: np.ndarray, remark: str = "") -> Finding:
    return Finding(name, int(np.count_nonzero(which)), images=facts.indices[which], remark=remark)
