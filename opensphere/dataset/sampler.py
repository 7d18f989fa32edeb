"""Which images a step takes.

They are a function of (seed, step) alone. A batch is that of all ranks together, and each takes its slice: any number
of ranks, and a run resumed at any step, sees the same batches.
"""

from collections.abc import Iterator

import numpy as np

from opensphere.error import UserError

_ENDLESS = 1 << 62


class GlobalBatches:
    """A batch sampler: for each step, this rank's slice of the batch of all ranks.

    An epoch is a permutation of the set (or its order, without `shuffle`) cut into batches of one size. What is left
    over is dropped, or, without `drop_last`, filled up from the beginning of the same permutation.

    Args:
        num_samples: N, size of the set.
        batch_size: of all ranks together.
        shuffle: a new permutation for each epoch.
        drop_last: leave out the images that do not fill a batch.
        seed: of the permutations.
        rank, world_size: which slice of how many.
        start_step: the first step to give.
        stop_step: the step to end before; None: never end.

    Raises:
        UserError: the batch cannot be split evenly over the ranks, or the set is empty or does not fill one batch.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        shuffle: bool = True,
        drop_last: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        start_step: int = 0,
        stop_step: int | None = None,
    ):
        if num_samples < 1:
            raise UserError("the training set is empty; check its list")
        if batch_size < 1:
            raise UserError(f"batch_size: {batch_size} is not a number of images")
        if batch_size % world_size:
            nearest = max(world_size, batch_size // world_size * world_size)
            raise UserError(
                f"batch_size: {batch_size} images cannot be split evenly over {world_size} processes; try {nearest}"
            )
        if drop_last and batch_size > num_samples:
            raise UserError(
                f"batch_size: a batch of {batch_size} is more than the {num_samples} images of the set; "
                f"lower batch_size, or set drop_last: false to fill the batch by repeating images"
            )
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.start_step = start_step
        self.stop_step = _ENDLESS if stop_step is None else stop_step
        self.steps_per_epoch = num_samples // batch_size if drop_last else -(-num_samples // batch_size)
        self._order: tuple[int, np.ndarray] | None = None  # epoch and permutation, the latest

    def order(self, epoch: int) -> np.ndarray:
        """(N,) int64: the permutation of an epoch."""
        if not self.shuffle:
            epoch = 0
        if self._order is None or self._order[0] != epoch:
            if self.shuffle:
                words = [self.seed % (1 << 64), epoch]
                permutation = np.random.Generator(np.random.PCG64(np.random.SeedSequence(words)))
                self._order = epoch, permutation.permutation(self.num_samples)
            else:
                self._order = epoch, np.arange(self.num_samples)
        return self._order[1]

    def batch(self, step: int) -> np.ndarray:
        """(batch_size,) int64: the images of all ranks at a step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        order = self.order(epoch)
        start = position * self.batch_size
        batch = order[start : start + self.batch_size]
        missing = self.batch_size - len(batch)
        return np.concatenate([batch, np.resize(order, missing)]) if missing else batch

    def share(self, step: int) -> np.ndarray:
        """(batch_size / world_size,) int64: this rank's images at a step."""
        size = self.batch_size // self.world_size
        return self.batch(step)[self.rank * size : (self.rank + 1) * size]

    def __len__(self) -> int:
        return max(0, self.stop_step - self.start_step)

    def __iter__(self) -> Iterator[list[int]]:
        for step in range(self.start_step, self.stop_step):
            yield self.share(step).tolist()


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
