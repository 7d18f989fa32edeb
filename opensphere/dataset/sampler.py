"""Which images a step takes.

They are a function of (seed, step) alone. A batch is that of all ranks together, and each takes its slice: any number
of ranks, and a run resumed at any step, sees the same batches.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from opensphere.dataset.augment.draw import mix
from opensphere.error import UserError

_ENDLESS = 1 << 62
_UNIT = 1 << 32  # rates are whole multiples of 1 / _UNIT, so that their sums are exact
_BLOCK = 1 << 20  # images looked at together


@dataclass(frozen=True)
class Plan:
    """The size of batches, their order, and which of them, and which part of each, a process takes.

    Args:
        batch_size: of all ranks together.
        shuffle: a new order for each epoch.
        drop_last: leave out the images that do not fill a batch.
        seed: of the orders.
        rank, world_size: which slice of how many.
        start_step: the first step to give.
        stop_step: the step to end before; None: never end.
    """

    batch_size: int
    shuffle: bool = True
    drop_last: bool = True
    seed: int = 0
    rank: int = 0
    world_size: int = 1
    start_step: int = 0
    stop_step: int | None = None

    @property
    def steps(self) -> range:
        return range(self.start_step, _ENDLESS if self.stop_step is None else self.stop_step)

    def share(self, batch: np.ndarray) -> np.ndarray:
        """This rank's part of the batch of all."""
        size = len(batch) // self.world_size
        return batch[self.rank * size : (self.rank + 1) * size]

    def generator(self, *words: int, key: tuple[int, ...] = ()) -> np.random.Generator:
        """Random numbers that are a function of the seed, of `words` and of `key`, two rows that never meet."""
        sequence = np.random.SeedSequence([self.seed % (1 << 64), *words], spawn_key=key)
        return np.random.Generator(np.random.PCG64(sequence))


class GlobalBatches:
    """A batch sampler: for each step, this rank's slice of the batch of all ranks.

    An epoch is a permutation of the set (or its order, without `shuffle`) cut into batches of one size. What is left
    over is dropped, or, without `drop_last`, filled up from the beginning of the same permutation.

    Args:
        num_samples: N, size of the set.
        plan: the size and the order of batches, and the rank's part of them.

    Raises:
        UserError: the batch cannot be split evenly over the ranks, or the set is empty or does not fill one batch.
    """

    def __init__(self, num_samples: int, plan: Plan):
        self.plan = plan
        batch_size, world_size = self.plan.batch_size, self.plan.world_size
        if num_samples < 1:
            raise UserError("the training set is empty; check its list")
        if batch_size < 1:
            raise UserError(f"batch_size: {batch_size} is not a number of images")
        if batch_size % world_size:
            nearest = max(world_size, batch_size // world_size * world_size)
            raise UserError(
                f"batch_size: {batch_size} images cannot be split evenly over {world_size} processes; try {nearest}"
            )
        if self.plan.drop_last and batch_size > num_samples:
            raise UserError(
                f"batch_size: a batch of {batch_size} is more than the {num_samples} images of the set; "
                f"lower batch_size, or set drop_last: false to fill the batch by repeating images"
            )
        self.num_samples = num_samples
        self.steps_per_epoch = num_samples // batch_size if self.plan.drop_last else -(-num_samples // batch_size)
        self._order: tuple[int, np.ndarray] | None = None  # epoch and order, the latest

    def order(self, epoch: int) -> np.ndarray:
        """(N,) int64: the images of an epoch, one after the other. Fewer, or more, where draws are balanced."""
        if self._order is None or self._order[0] != epoch:
            self._order = epoch, self._draw(epoch)
        return self._order[1]

    def batch(self, step: int) -> np.ndarray:
        """(batch_size,) int64: the images of all ranks at a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self.order(epoch)
        start = position * self.plan.batch_size
        batch = order[start : start + self.plan.batch_size]
        missing = self.plan.batch_size - len(batch)
        return np.concatenate([batch, np.resize(order, missing)]) if missing else batch

    def share(self, step: int) -> np.ndarray:
        """(batch_size / world_size,) int64: this rank's images at a step."""
        return self.plan.share(self.batch(step))

    def round(self, step: int) -> int:
        """A number that tells the times apart that an image comes: augmentation goes by it."""
        return step // self.steps_per_epoch

    def __len__(self) -> int:
        return len(self.plan.steps)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.plan.steps:
            yield self.share(step).tolist()

    def _draw(self, epoch: int) -> np.ndarray:
        if self.plan.shuffle:
            return self.plan.generator(epoch).permutation(self.num_samples)
        return np.arange(self.num_samples)


class BalancedBatches(GlobalBatches):
    """A batch sampler as `GlobalBatches`, which draws a person with n images in proportion to n^(1 - balance).

    Balance 0 is `GlobalBatches`: every image equally often. At 1 every person is drawn equally often, which is
    class-balanced sampling; 0.5 is square-root sampling (Kang et al. 2020, eq. 1, with q = 1 - balance).

    Nothing is left to chance but the order. An epoch has as many draws as its batches hold, so that none is dropped or
    added. A person's draws, of any one epoch and of all epochs so far, are their exact number rounded up or down. Their
    images are taken in turn, none again before all were there, each turn in an order of its own. The draws of an epoch
    are shuffled; without `shuffle` they are in the order of the set. An image may come more than once in an epoch, even
    in a batch.

    Args:
        labels: (N,) each image's person, of any numbers from 0.
        balance: in 0..1.
        plan: as `GlobalBatches`.

    Raises:
        UserError: as `GlobalBatches`, or balance is not in 0..1.
    """

    def __init__(self, labels: np.ndarray, balance: float, plan: Plan):
        super().__init__(len(labels), plan)
        if not 0 <= balance <= 1:
            raise UserError(f"balance: {balance} is not in 0..1; 0 draws every image, 1 every person equally often")
        self.balance = balance
        if balance:
            counts = np.bincount(labels)
            self._counts = counts[counts > 0]
            self._images = np.argsort(labels, kind="stable")  # person by person
            self._first = np.cumsum(self._counts) - self._counts
            self._turns = _Turns(self._counts, balance, self.steps_per_epoch * self.plan.batch_size, self.plan)

    def round(self, step: int) -> int:
        """As `GlobalBatches`; an image may come several times in an epoch."""
        return step if self.balance else super().round(step)

    def _draw(self, epoch: int) -> np.ndarray:
        if not self.balance:
            return super()._draw(epoch)
        before, after = self._turns.taken(epoch), self._turns.taken(epoch + 1)
        looked_at = np.cumsum((_up(after, self._counts) - before // self._counts) * self._counts)
        cuts = np.searchsorted(looked_at, np.arange(_BLOCK, looked_at[-1], _BLOCK))
        blocks = np.split(np.arange(len(before)), np.unique(cuts))
        drawn = np.concatenate([self._take(people, before[people], after[people]) for people in blocks])
        if not self.plan.shuffle:
            return np.sort(drawn)
        self.plan.generator(epoch).shuffle(drawn)
        return drawn

    def _take(self, people: np.ndarray, before: np.ndarray, after: np.ndarray) -> np.ndarray:
        """The images that some people give from their draw `before` up to, not including, `after`."""
        counts = self._counts[people]
        turns = _up(after, counts) - before // counts
        person, turn = np.repeat(np.arange(len(people)), turns), before // counts
        turn = turn[person] + _within(turns)
        length = counts[person]
        place = _within(length)  # of an image in its person's turn
        image = np.repeat(self._first[people][person], length) + place
        if self.plan.shuffle:
            keys = mix(image.view(np.uint64) + mix(np.repeat(turn.view(np.uint64) + self._turns.key, length)))
            segment = np.repeat(np.arange(len(length), dtype=np.uint64), length)
            image = image[np.argsort(segment << np.uint64(40) | keys >> np.uint64(24), kind="stable")]
        number = np.repeat(turn * length, length) + place  # of the draw, among all of its person
        taken = (number >= np.repeat(before[person], length)) & (number < np.repeat(after[person], length))
        return self._images[image[taken]]


class _Turns:
    """How often each person was drawn before an epoch.

    People with the same number of images stand in a circle, in an order that the seed draws, and are drawn one after
    the other. So it is only between circles that draws are shared out, and there are few: as many as different numbers.

    Attributes:
        key: a number for hashes.
    """

    def __init__(self, counts: np.ndarray, balance: float, draws: int, plan: Plan):
        sizes, self._circle, people = np.unique(counts, return_inverse=True, return_counts=True)
        self._shares = EvenShares(people * sizes ** (1.0 - balance), draws)
        generator = plan.generator(key=(0,))
        self.key = generator.integers(1 << 64, dtype=np.uint64)
        shuffled = generator.permutation(len(counts))
        standing = shuffled[np.argsort(self._circle[shuffled], kind="stable")]
        self._people = people[self._circle]
        self._later = np.empty(len(counts), np.int64)  # how many of the circle are drawn after a person
        self._later[standing] = _within(people)

    def taken(self, epochs: int) -> np.ndarray:
        """(number of people,) int64: each one's draws in the first `epochs` epochs."""
        return (self._shares.after(epochs)[self._circle] + self._later) // self._people


class EvenShares:
    """`total` things an epoch, shared out by weight, in whole numbers and as evenly as these allow.

    Every share, of any one epoch and of all epochs so far, is its exact part rounded up or down. Where processors are
    shared this is proportionate fairness (Baruah et al. 1996), and the rule here is the one of Anderson and Srinivasan
    (2004, PD2), which they prove to succeed always: the earliest deadline goes first; of equal ones, the one with the
    next thing open before it; of equal ones still, the one whose row of such overlaps, if it has half a thing an epoch
    or more, ends last. Without either tie-break a later deadline may be missed.

    Args:
        weights: (K,) positive.
        total: of an epoch.
    """

    def __init__(self, weights: np.ndarray, total: int):
        rate = np.rint(weights * (total * _UNIT / weights.sum())).astype(np.int64)
        more, rest = divmod(total * _UNIT - int(rate.sum()), len(rate))  # what rounding left, or took
        rate += more + (np.arange(len(rate)) < rest)
        self._whole, self._part = np.divmod(rate, _UNIT)
        self._extra = total - int(self._whole.sum())
        self._latest = 0, np.zeros(len(rate), np.int64)  # epochs, and what the parts have given by then

    def after(self, epochs: int) -> np.ndarray:
        """(K,) int64: what each has after some epochs. It takes time for each epoch since the latest that was asked."""
        epoch, extras = self._latest if self._latest[0] <= epochs else (0, np.zeros_like(self._part))
        for number in range(epoch, epochs):
            extras = self._next(number, extras)
        self._latest = epochs, extras
        return epochs * self._whole + extras

    def _next(self, epoch: int, extras: np.ndarray) -> np.ndarray:
        """The parts of a thing an epoch add up to whole things: one more for as many."""
        waiting = np.flatnonzero(extras * _UNIT < (epoch + 1) * self._part)
        part, number = self._part[waiting], extras[waiting] + 1
        deadline = _up(number * _UNIT, part)
        overlaps = number * _UNIT % part > 0
        gap = _UNIT - part
        # products that are too large for 64 bits are of small parts, for which the end does not count
        end = np.where(2 * part >= _UNIT, _up(_up(deadline * gap, _UNIT) * _UNIT, gap), 0)
        chosen = waiting[np.lexsort((-end, ~overlaps, deadline))[: self._extra]]
        extras = extras.copy()
        extras[chosen] += 1
        return extras


def _up(number: np.ndarray, divisor: np.ndarray | int) -> np.ndarray:
    """The quotient, rounded up."""
    return -(-number // divisor)


def _within(lengths: np.ndarray) -> np.ndarray:
    """0, 1, 2... for each of some lengths: [2, 3] gives [0, 1, 0, 1, 2]."""
    return np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)


class SuccessiveBatches:
    """A batch sampler for testing: `indices` in order, the last batch as large as what is left."""

    def __init__(self, indices: np.ndarray, batch_size: int):
        if batch_size < 1:
            raise UserError(f"batch_size: {batch_size} is not a number of images")
        self.indices = indices
        self.batch_size = batch_size

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def __iter__(self) -> Iterator[list[int]]:
        for start in range(0, len(self.indices), self.batch_size):
            yield self.indices[start : start + self.batch_size].tolist()
