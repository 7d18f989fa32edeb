"""Bootstrap by identity: how much a number would change with other people.

The pairs of one person share that person's luck, so that drawing pairs anew, one by one, makes intervals too narrow,
often by far. Here people are drawn, with all their pairs: the subsets bootstrap (Bolle, Ratha & Pankanti 2004), and for
pairs of two people the vertex bootstrap (Snijders & Borgatti 1999). In a resample a pair within one person counts as
often as the person was drawn, a pair of two people as often as the product of both says.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from opensphere.metric.roc import Rates, Roc, check_pairs, most_accepted, sorted_roc

_CHUNK = 1 << 14  # impostor pairs whose weights are summed at once, by identities
_BLOCK = 1 << 20  # weights, or pairs, held at once: a few MiB
_SPARE = 1.5  # how many times the pairs that are accepted at the highest FPR are kept, at first
_FEW = 1 << 18  # so few pairs are kept anyway


def resample(people: int, resamples: int, seed: int) -> np.ndarray:
    """How often each person is drawn when as many people as there are are drawn at random, with replacement.

    A function of its arguments alone, so that all models meet the same resamples, today and later: numpy promises that
    the raw numbers of PCG64 stay as they are. More resamples start with the same ones.

    Returns:
        (resamples, people) signed whole numbers, of the smallest type that holds the product of any two.

    Raises:
        ValueError: there are no people, or a number is negative.
    """
    if people < 1 or resamples < 0 or seed < 0:
        raise ValueError(f"{people} people, {resamples} resamples, seed {seed}: give at least 1, 0 and 0")
    source = np.random.PCG64(seed)
    counts = np.empty((resamples, people), np.int8)
    for row in range(resamples):
        high = source.random_raw(people) >> np.uint64(32)
        persons = (high * np.uint64(people)) >> np.uint64(32)  # even to one in 2^32
        drawn = np.bincount(persons.astype(np.int64), minlength=people)
        most = int(drawn.max()) ** 2
        if most > np.iinfo(counts.dtype).max:
            counts = counts.astype(next(kind for kind in (np.int16, np.int32, np.int64) if most <= np.iinfo(kind).max))
        counts[row] = drawn
    return counts


def pair_counts(persons: np.ndarray, people: int, chosen: np.ndarray | None = None) -> sparse.csr_array:
    """How many pairs each two people have: (people, people) float64, each pair counted once, in the upper triangle.

    Args:
        persons: (P, 2) int from 0.
        people: how many there are.
        chosen: (P,) bool, the pairs to count; None for all.
    """
    total = sparse.csr_array((people, people), dtype=np.float64)
    for start in range(0, len(persons), _BLOCK):
        part = persons[start : start + _BLOCK]
        if chosen is not None:
            part = part[chosen[start : start + _BLOCK]]
        places = part.min(axis=1).astype(np.int32), part.max(axis=1).astype(np.int32)
        total += sparse.coo_array((np.ones(len(part)), places), shape=(people, people)).tocsr()
    return total


def pair_weight(counts: sparse.sparray, weights: np.ndarray) -> np.ndarray:
    """(R,) int64: the weight of all pairs in each of R resamples.

    Args:
        counts: (people, people) sparse, how many pairs each two people have.
        weights: (R, people), how often each person was drawn.
    """
    counts = sparse.csr_array(counts, dtype=np.float64)  # whole numbers, exact
    own = counts.diagonal()
    sums = np.empty(len(weights), np.int64)
    for rows in _blocks(weights):
        drawn = np.ascontiguousarray(weights[rows].T, counts.dtype)
        sums[rows] = np.einsum("pr,pr->r", drawn, counts @ drawn)
        if own.any():  # a person's own pairs count once for each time the person was drawn
            sums[rows] -= (own @ (drawn.astype(np.float64) * (drawn - 1))).astype(np.int64)
    return sums


@dataclass(frozen=True, eq=False)
class HighestPairs:
    """All genuine pairs and the impostor pairs with the highest scores: enough for low FPRs in resamples.

    Attributes:
        genuine: (G,) scores, descending; genuine_person: (G,) int from 0, whose each is.
        impostor: (K,) scores, descending; no impostor pair that is left out scores higher than the last.
        impostor_persons: (K, 2) int from 0.
        impostors: how many impostor pairs there are, kept or not.
        weights: (R, people), how often each person was drawn (`resample`).
        impostor_weight: (R,) int, the weight of all impostor pairs in each resample (`pair_weight`).

    Raises:
        ValueError: shapes do not fit, scores are not in order, or a person is not among the people.
    """

    genuine: np.ndarray
    genuine_person: np.ndarray
    impostor: np.ndarray
    impostor_persons: np.ndarray
    impostors: int
    weights: np.ndarray
    impostor_weight: np.ndarray

    def __post_init__(self) -> None:
        genuine, impostor = len(self.genuine), len(self.impostor)
        shapes = (self.genuine_person.shape, self.impostor_persons.shape, self.impostor_weight.shape)
        expected = ((genuine,), (impostor, 2), self.weights.shape[:1])
        if shapes != expected or self.impostors < impostor:
            told = f"{genuine} genuine scores, {impostor} impostor scores of {self.impostors} pairs, "
            told += f"weights of shape {self.weights.shape}"
            raise ValueError(f"{told}: persons and weights of shapes {shapes} should have {expected}")
        for scores in (self.genuine, self.impostor):
            if not np.all(scores[1:] <= scores[:-1]):
                raise ValueError("scores should be numbers in descending order")
        for persons in (self.genuine_person, self.impostor_persons):
            _check_persons(persons, self.weights.shape[1])

    def tpr_at(self, fprs: Rates) -> np.ndarray:
        """(R, F): `Roc.tpr_at` of F FPRs in each resample.

        NaN where FPR is less than one impostor pair of the sample, where a resample has no genuine or no impostor
        pair, and where its threshold lies below the impostor pairs that are kept.
        """
        return self._read(fprs, self._share)

    def threshold_at(self, fprs: Rates) -> np.ndarray:
        """(R, F): `Roc.threshold_at` in each resample, infinite as there, NaN as in `tpr_at`."""
        return self._read(fprs, self._lowest)

    def first_refused(self, fprs: Rates) -> np.ndarray:
        """(R, F): which impostor pair is the first that makes an FPR too high; K if none that is kept does."""
        most = most_accepted(np.reshape(fprs, (1, -1)), self.impostor_weight[:, None])
        return first_beyond(self.impostor_persons, self.weights, most)

    def _read(self, fprs: Rates, read: Callable[[int, np.ndarray], np.ndarray]) -> np.ndarray:
        """`read` gives, in a resample, a value for each score (F,) above which pairs are accepted."""
        rates = np.reshape(np.asarray(fprs, np.float64), -1)
        first = self.first_refused(rates)
        limits = np.append(self.impostor.astype(np.float64), -np.inf)[first]
        found = np.full(limits.shape, np.nan)
        own = np.bincount(self.genuine_person, minlength=self.weights.shape[1]) > 0
        for row in np.flatnonzero(self.weights[:, own].any(axis=1) & (self.impostor_weight > 0)).tolist():
            found[row] = read(row, limits[row])
        if len(self.impostor) < self.impostors:
            found[first == len(self.impostor)] = np.nan
        found[:, most_accepted(rates, self.impostors) < 1] = np.nan
        return found

    def _share(self, row: int, limits: np.ndarray) -> np.ndarray:
        sums = np.append(0, np.cumsum(self.weights[row, self.genuine_person], dtype=np.int64))
        return sums[_above(self.genuine, limits)] / sums[-1]

    def _lowest(self, row: int, limits: np.ndarray) -> np.ndarray:
        """The lowest score above each limit of a pair that was drawn."""
        drawn = self.weights[row].astype(np.int64)
        genuine = np.append(np.inf, self.genuine[drawn[self.genuine_person] > 0])
        found = genuine[_above(genuine[1:], limits)].astype(np.float64)
        for number, stop in enumerate(_above(self.impostor, limits)):
            for end in range(int(stop), 0, -_CHUNK):  # from the limit upwards; few pairs are looked at
                part = slice(max(0, end - _CHUNK), end)
                counted = np.flatnonzero(drawn[self.impostor_persons[part]].all(axis=1))
                if len(counted):
                    found[number] = min(found[number], self.impostor[part][counted[-1]])
                    break
        return found


def first_beyond(persons: np.ndarray, weights: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """(R, F): in each resample the first pair with which the sum of the weights exceeds a limit; K if none does.

    The sums of thousands of pairs are made for all resamples at once, as products of sparse matrices; only where the
    limit is passed are pairs looked at one by one.

    Args:
        persons: (K, 2) int from 0, the two of each pair, in order.
        weights: (R, people), how often each person was drawn.
        limits: (R, F) whole numbers.
    """
    count, people = len(persons), weights.shape[1]
    pairs = _two_persons(persons, people)
    starts = range(0, count, _CHUNK)
    tables = []
    for start in starts:
        rows, places = np.unique(pairs[start : start + _CHUNK, 0], return_inverse=True)
        ones, cells = np.ones(len(places), np.float32), (places, pairs[start : start + _CHUNK, 1])
        tables.append((rows, sparse.csr_array((ones, cells), (len(rows), people + 1))))
    found = np.full(limits.shape, count)
    for block in _blocks(weights):
        drawn = np.pad(weights[block], ((0, 0), (0, 1)), constant_values=1)  # the last is nobody, drawn once
        by_person = np.ascontiguousarray(drawn.T, np.float64 if _too_large(drawn, _CHUNK) else np.float32)
        sums = np.zeros((len(starts) + 1, len(drawn)), np.int64)
        for number, (rows, table) in enumerate(tables):
            sums[number + 1] = np.einsum("pr,pr->r", by_person[rows], table.astype(by_person.dtype) @ by_person)
        sums = np.cumsum(sums, axis=0)
        for row, own in enumerate(drawn.astype(np.int64)):
            passed = np.searchsorted(sums[:, row], limits[block][row], side="right") - 1
            for column in np.flatnonzero(passed < len(starts)):
                first = starts[passed[column]]
                left, right = pairs[first : first + _CHUNK].T
                rest = limits[block][row, column] - sums[passed[column], row]
                within = np.searchsorted(np.cumsum(own[left] * own[right]), rest, side="right")
                found[block.start + row, column] = first + within
    return found


class PairBootstrap:
    """The resamples of pairs whose persons are known.

    Args:
        scores, is_same: (P,), as `roc`.
        persons: (P, 2) int from 0, the persons of the two images of each pair.
        people: how many there are, met in pairs or not.
        resamples, seed: as `resample`.

    Raises:
        ValueError: as `roc` and `resample`, shapes do not fit, a person is not among the people, or the two persons of
            a genuine pair differ.
    """

    def __init__(
        self, scores: np.ndarray, is_same: np.ndarray, persons: np.ndarray, people: int, resamples: int, seed: int
    ):
        self._scores, self._is_same = check_pairs(scores, is_same)
        self._persons = np.asarray(persons)
        if self._persons.shape != (len(self._scores), 2):
            raise ValueError(f"persons of shape {self._persons.shape} for {len(self._scores)} pairs; give (P, 2)")
        _check_persons(self._persons, people)
        genuine = self._persons[self._is_same]
        torn = np.flatnonzero(genuine[:, 0] != genuine[:, 1])
        if len(torn):
            row, (one, other) = np.flatnonzero(self._is_same)[torn[0]], genuine[torn[0]]
            raise ValueError(f"pair {row} is genuine, and its persons are {one} and {other}; {len(torn)} such pairs")
        self.weights = resample(people, resamples, seed)

    def replicates(self, statistics: Mapping[str, Callable[[Roc], float]]) -> dict[str, np.ndarray]:
        """(R,) values of each statistic of the ROC, one a resample; NaN where no genuine or no impostor pair is drawn.

        Takes the time of R curves of all pairs: for many millions of pairs, see `tpr_at`.
        """
        order = np.argsort(self._scores, kind="stable")[::-1]
        scores, is_same = self._scores[order], self._is_same[order]
        left, right = _two_persons(self._persons[order], self.weights.shape[1]).T.astype(np.intp)
        impostors = int(np.count_nonzero(~is_same))
        found = {name: np.full(len(self.weights), np.nan) for name in statistics}
        for row, drawn in enumerate(np.pad(self.weights, ((0, 0), (0, 1)), constant_values=1)):
            try:
                # the product fits the weights' type (`resample`)
                curve = sorted_roc(scores, is_same, drawn[left] * drawn[right], impostors)
            except ValueError:  # one kind is not drawn
                continue
            for name, statistic in statistics.items():
                found[name][row] = statistic(curve)
        return found

    def tpr_at(self, fprs: Rates) -> np.ndarray:
        """(R, F): `Roc.tpr_at` of F FPRs in each resample, quick for millions of pairs if the FPRs are low.

        NaN where FPR is less than one impostor pair of the sample, and where no genuine or no impostor pair is drawn.
        """
        return self.highest(fprs).tpr_at(fprs)

    def threshold_at(self, fprs: Rates) -> np.ndarray:
        """(R, F): `Roc.threshold_at` in each resample, quick as `tpr_at`, NaN as there."""
        return self.highest(fprs).threshold_at(fprs)

    def highest(self, fprs: Rates) -> HighestPairs:
        """As many of the pairs as each resample needs for these FPRs.

        Raises:
            ValueError: an FPR is not in 0..1.
        """
        rates = np.reshape(np.asarray(fprs, np.float64), -1)
        if not np.all((rates >= 0) & (rates <= 1)):
            raise ValueError(f"FPRs {rates}; they are shares, from 0 to 1")
        impostors = int(np.count_nonzero(~self._is_same))
        kept = max(_FEW, int(_SPARE * impostors * rates.max(initial=0)))
        while True:
            pairs = self._highest(kept, impostors)
            reached = pairs.first_refused(rates) < len(pairs.impostor)
            if len(pairs.impostor) == impostors or reached[self._impostor_weight > 0].all():
                return pairs
            kept *= 2  # a resample whose people look alike

    @cached_property
    def _impostor_weight(self) -> np.ndarray:
        counts = pair_counts(self._persons, self.weights.shape[1], ~self._is_same)
        return pair_weight(counts, self.weights)

    def _highest(self, kept: int, impostors: int) -> HighestPairs:
        """With at least `kept` impostor pairs."""
        chosen = ~self._is_same
        if kept < impostors:
            scores = self._scores[chosen]
            chosen &= self._scores >= np.partition(scores, impostors - kept)[impostors - kept]
        sides = []
        for places in (np.flatnonzero(self._is_same), np.flatnonzero(chosen)):
            places = places[np.argsort(self._scores[places], kind="stable")[::-1]]
            sides.append((self._scores[places], self._persons[places]))
        (genuine, own), (impostor, persons) = sides
        return HighestPairs(genuine, own[:, 0], impostor, persons, impostors, self.weights, self._impostor_weight)


def _above(scores: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """How many of the scores, descending, are higher than each limit."""
    return len(scores) - np.searchsorted(scores[::-1], limits, side="right")


def _two_persons(persons: np.ndarray, people: int) -> np.ndarray:
    """(P, 2) int32: where the two persons are one, the second becomes `people`, nobody, whose weight is always 1."""
    pairs = persons.astype(np.int32)
    pairs[pairs[:, 0] == pairs[:, 1], 1] = people
    return pairs


def _check_persons(persons: np.ndarray, people: int) -> None:
    if persons.dtype.kind not in "iu":
        raise ValueError(f"persons of type {persons.dtype}; they are whole numbers")
    if persons.size and not (persons.min() >= 0 and persons.max() < people):
        raise ValueError(f"persons {persons.min()} to {persons.max()}; {people} people are numbered from 0")


def _blocks(weights: np.ndarray) -> Iterator[slice]:
    """Resamples to be held at once."""
    step = max(16, _BLOCK // weights.shape[1])
    for start in range(0, len(weights), step):
        yield slice(start, start + step)


def _too_large(weights: np.ndarray, pairs: float) -> bool:
    """Whether sums of the weights of so many pairs may exceed the whole numbers that float32 holds."""
    return int(weights.max(initial=0)) ** 2 * pairs >= 1 << 24
