"""Search of probes in a gallery, 1:N. All rates are shares, not per cent.

A score is the product of two features: the cosine, for features of unit length. If a person has several gallery
entries, the best one counts. An entry of somebody else that scores as high as the own one stands before it: features
that are all the same find nobody.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from opensphere.metric.attempts import Attempts

_ROWS, _COLUMNS = 2048, 8192  # scores held at once: 64 MiB in float32
_PIECE = 1 << 20  # scores looked through at once for the highest
_LEAST_ROWS, _LEAST_WORK = 64, 1 << 22  # below them BLAS takes other ways, whose sums are rounded otherwise


class Search:
    """What a gallery answers to probes, from blocks of scores that are given one after another.

    Args:
        probe_person: (P,), gallery_person: (G,): whom each shows; numbers or text.
        most_impostors: how many of the highest impostor scores to keep.

    Attributes:
        mated: (P,) bool, whether the gallery holds the probe's person.
        genuine: (P,), the score of each probe with its own person; minus infinity for probes that are not mated.
        other: (P,), the highest score of each probe with somebody else's entry.
        rank: (P,) int64, one more than the number of others' entries that score as high as the own one or higher; 0 for
            probes that are not mated.

    Raises:
        ValueError: there are no probes or no gallery.
    """

    def __init__(self, probe_person: np.ndarray, gallery_person: np.ndarray, most_impostors: int = 0):
        if not len(probe_person):
            raise ValueError("there are no probes")
        if not len(gallery_person):
            raise ValueError("the gallery is empty")
        people = np.concatenate([gallery_person, probe_person])
        _, codes = np.unique(people, return_inverse=True)
        enrolled, sought = codes[: len(gallery_person)], codes[len(gallery_person) :]
        self.width = len(enrolled)
        self._by_person = np.argsort(enrolled, kind="stable")
        ordered = enrolled[self._by_person]
        self._first = np.searchsorted(ordered, sought, "left")
        self._count = np.searchsorted(ordered, sought, "right") - self._first
        self.mated = self._count > 0
        self.genuine = np.full(len(sought), -np.inf)
        self.other = np.full(len(sought), -np.inf)
        self.rank = self.mated.astype(np.int64)
        self._highest = _Highest(most_impostors)

    def own(self, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
        """(E,) probes from `top` to `bottom`, and (E,) the gallery entries of their own people."""
        first, count = self._first[top:bottom], self._count[top:bottom]
        within = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
        return np.repeat(np.arange(top, bottom), count), self._by_person[np.repeat(first, count) + within]

    def meet(self, probes: np.ndarray, scores: np.ndarray) -> None:
        """Take in scores of probes with own entries; all of a probe must be known before its first block.

        Raises:
            ValueError: a score is not a number.
        """
        if np.isnan(scores).any():
            raise ValueError("scores are not numbers; check the features")
        np.maximum.at(self.genuine, probes, scores)

    def add(self, scores: np.ndarray, top: int, left: int = 0) -> None:
        """Take in a block of scores, whose first is that of the probe `top` with the gallery entry `left`.

        A block over the whole gallery brings the own scores along; for narrower ones, `meet` comes first. The block is
        changed meanwhile, and left as it was.

        Raises:
            ValueError: a score is not a number.
        """
        bottom, right = top + len(scores), left + scores.shape[1]
        probes, entries = self.own(top, bottom)
        here = (entries >= left) & (entries < right)
        probes, place = probes[here], (probes[here] - top, entries[here] - left)
        own = scores[place]
        if scores.shape[1] == self.width:
            self.meet(probes, own)
        scores[place] = -np.inf
        best = scores.max(axis=1)
        if np.isnan(best).any():
            raise ValueError("scores are not numbers; check the features")
        np.maximum(self.other[top:bottom], best, out=self.other[top:bottom])
        genuine = self.genuine[top:bottom].astype(scores.dtype)  # as it came: a wider type would slow the comparison
        for row in np.flatnonzero(self.mated[top:bottom] & (best >= genuine)).tolist():
            self.rank[top + row] += np.count_nonzero(scores[row] >= genuine[row])
        self._highest.add(scores, best, top)
        scores[place] = own

    def impostors(self) -> tuple[np.ndarray, np.ndarray]:
        """(K,) the highest scores of all pairs of a probe and another person's entry, descending; (K,) the probes."""
        return self._highest.sorted()

    def top(self, k: int) -> float:
        """The share of the mated probes whose own person is among the k best entries: rank-k identification rate.

        Raises:
            ValueError: no probe is mated.
        """
        return float(self.cmc([k])[0])

    def cmc(self, ranks: Sequence[int]) -> np.ndarray:
        """The cumulative match characteristic: `top` of each rank."""
        places = self.rank[self.mated]
        if not len(places):
            raise ValueError("the gallery holds none of the probes' people")
        return np.array([np.count_nonzero(places <= k) for k in ranks]) / len(places)

    def attempts(self, person: np.ndarray | None = None, rank: int = 1) -> Attempts:
        """Open-set identification: what is to be found, and what must not be.

        A mated probe is a genuine attempt: found when its own person is among the `rank` best entries with a score that
        reaches the threshold. A probe that is not mated is an impostor attempt with its best score in the gallery. The
        TPR of these attempts is TPIR, their FPR is FPIR, and 1 - TPIR is FNIR (Grother & Ngan 2014).

        Args:
            person: (P,) int from 0, whom each probe shows, for resamples of people.
        """
        person = np.arange(len(self.rank)) if person is None else person
        found = np.where(self.rank <= rank, self.genuine, -np.inf)[self.mated]
        best = self.other[~self.mated]
        down, most = np.argsort(-found, kind="stable"), np.argsort(-best, kind="stable")
        strangers = person[~self.mated][most, None]
        return Attempts(found[down], person[self.mated][down], best[most], strangers, len(best))

    def seed_tpir(self, fpir: float) -> float:
        """The share of probes that score above a threshold with their own person, as OpenSphere reads TPIR at FPIR.

        The threshold is the impostor score number ceil(FPIR x probes) from the top over all pairs of a probe and a
        gallery entry of somebody else. It is not the TPIR of the standards (`attempts`), whose FPIR is the share of
        searches for people outside the gallery that return anybody.

        Raises:
            ValueError: FPIR is not in (0, 1], or so many impostor scores were not kept or do not exist.
        """
        if not 0 < fpir <= 1:
            raise ValueError(f"FPIR {fpir} is not above 0 and at most 1")
        number, scores = impostors_needed(fpir, len(self.rank)), self.impostors()[0]
        if number > len(scores):
            raise ValueError(f"FPIR {fpir} needs {number} impostor scores; there are {len(scores)}")
        return float(np.mean(self.genuine > scores[number - 1]))


def search(
    probe: np.ndarray,
    probe_person: np.ndarray,
    gallery: np.ndarray,
    gallery_person: np.ndarray,
    most_impostors: int = 0,
    strangers: bool = False,
) -> Search:
    """Score all probes against all of a gallery, block by block: a million entries take no more memory than few.

    Args:
        probe: (P, D), gallery: (G, D): float features.
        probe_person: (P,), gallery_person: (G,): whom each shows.
        most_impostors: how many of the highest impostor scores to keep.
        strangers: whether probes may show people who are not in the gallery.

    Raises:
        ValueError: there are no probes or no gallery, a probe's person is not in the gallery although there should be
            no strangers, or a score is not a number.
    """
    found = Search(probe_person, gallery_person, most_impostors)
    missing = int(np.count_nonzero(~found.mated))
    if missing and not strangers:
        raise ValueError(f"{missing} of {len(probe)} probes show people who are not in the gallery")
    for top, bottom in _cuts(len(probe), _ROWS):
        rows = probe[_filled(np.arange(top, bottom), _LEAST_ROWS)]
        if len(gallery) > _COLUMNS:
            _meet(found, rows, top, bottom, gallery)
        for left, right in _cuts(len(gallery), _COLUMNS):
            found.add((rows @ gallery[left:right].T)[: bottom - top], top, left)
    return found


def impostors_needed(fpir: float, probes: int) -> int:
    """How many of the highest impostor scores `Search` must keep for `seed_tpir` at an FPIR."""
    return math.ceil(fpir * probes)


def _meet(found: Search, rows: np.ndarray, top: int, bottom: int, gallery: np.ndarray) -> None:
    """The own scores of the probes from `top` to `bottom`, rounded as a block of all scores would have them."""
    probes, entries = found.own(top, bottom)
    if not len(entries):
        return
    columns, place = np.unique(entries, return_inverse=True)
    for left, right in _cuts(len(columns), _COLUMNS):
        block = rows @ gallery[_filled(columns[left:right], _least(rows))].T
        here = (place >= left) & (place < right)
        found.meet(probes[here], block[probes[here] - top, place[here] - left])


def _cuts(length: int, most: int) -> Iterator[tuple[int, int]]:
    """Even pieces of at most so many: a last one of a few would be rounded otherwise than the others."""
    bounds = np.linspace(0, length, -(-length // most) + 1).astype(int).tolist()
    return zip(bounds[:-1], bounds[1:], strict=True)


def _filled(index: np.ndarray, least: int) -> np.ndarray:
    """An index repeated until there are so many."""
    return index if len(index) >= least else np.resize(index, least)


def _least(rows: np.ndarray) -> int:
    return -(-_LEAST_WORK // max(1, rows.size))


class _Highest:
    """The highest scores of blocks that come one after another, and their rows."""

    def __init__(self, most: int):
        self._most = most
        self._floor = -np.inf  # of no use is what does not exceed it
        self._scores, self._rows = [np.empty(0)], [np.empty(0, np.int64)]
        self._count = 0

    def add(self, scores: np.ndarray, best: np.ndarray, top: int) -> None:
        """`best`: (B,), the highest of each row. Minus infinity marks what is none."""
        if not self._most:
            return
        step = max(1, _PIECE // scores.shape[1])
        for start in range(0, len(scores), step):
            rows = start + np.flatnonzero(best[start : start + step] > self._floor)
            if len(rows):
                piece = scores[rows]
                row, column = np.nonzero(piece > self._floor)
                self._scores.append(piece[row, column].astype(np.float64))
                self._rows.append(rows[row] + top)
                self._count += len(row)
                if self._count > 2 * self._most:
                    self._cut()

    def sorted(self) -> tuple[np.ndarray, np.ndarray]:
        self._cut()
        down = np.argsort(-self._scores[0], kind="stable")
        return self._scores[0][down], self._rows[0][down]

    def _cut(self) -> None:
        scores, rows = np.concatenate(self._scores), np.concatenate(self._rows)
        if len(scores) > self._most:
            kept = np.argpartition(scores, len(scores) - self._most)[len(scores) - self._most :]
            scores, rows = scores[kept], rows[kept]
            self._floor = float(scores.min(initial=np.inf))
        self._scores, self._rows, self._count = [scores], [rows], len(scores)
