"""Batches: which images a step takes, and the processes that read them.

The images of a step are a function of (seed, step) alone. A batch is that of all ranks together, and each takes its
slice: any number of ranks, and a run resumed at any step, sees the same batches.
"""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from opensphere.dataset.image_set import ImageSet
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


class Batches:
    """The batches of a set, read ahead by worker processes: (images (B, H, W, 3) uint8, index (B,) int64) each.

    What can go wrong in a worker reaches the caller as the UserError that it was. The workers live as long as an
    iteration, which in training is the whole run, and end with it, however it ends.

    Attributes:
        sampler: says which images make a batch.
    """

    def __init__(
        self,
        dataset: ImageSet,
        sampler: GlobalBatches | SuccessiveBatches,
        num_workers: int = 0,
        pin_memory: bool = False,
    ):
        if num_workers < 0:
            raise UserError(f"num_workers: {num_workers} is not a number of processes")
        self.sampler = sampler
        workers = 0 if dataset.in_memory else min(num_workers, len(sampler), os.cpu_count() or 1)
        self._loader = DataLoader(
            _Guarded(dataset),
            batch_sampler=sampler,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin_memory and torch.cuda.is_available(),
            worker_init_fn=single_thread,
            generator=torch.Generator(),  # of its own: the global one belongs to the model
        )

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in start_workers(self._loader):
            if isinstance(batch, UserError):
                raise UserError(str(batch))
            images, index = batch
            yield images, index


class TrainBatches(Batches):
    """`Batches` of training.

    Attributes:
        steps_per_epoch: steps that see the set once.
    """

    def __init__(self, dataset: ImageSet, sampler: GlobalBatches, num_workers: int, pin_memory: bool):
        super().__init__(dataset, sampler, num_workers, pin_memory)
        self.steps_per_epoch = sampler.steps_per_epoch


def train_loader(
    dataset: ImageSet,
    batch_size: int,
    shuffle: bool = True,
    drop_last: bool = True,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    num_workers: int = 0,
    pin_memory: bool = False,
    start_step: int = 0,
    stop_step: int | None = None,
) -> TrainBatches:
    """This rank's batches from `start_step` up to, not including, `stop_step`. Arguments as of `GlobalBatches`.

    Args:
        num_workers: processes that read; no number changes what is read. A set in memory is read without.
        pin_memory: for faster copies to a GPU; without one it does nothing.

    Raises:
        UserError: as `GlobalBatches`; while iterating, as the set's `read`.
    """
    sampler = GlobalBatches(len(dataset), batch_size, shuffle, drop_last, seed, rank, world_size, start_step, stop_step)
    return TrainBatches(dataset, sampler, num_workers, pin_memory)


def test_loader(
    dataset: ImageSet,
    batch_size: int,
    num_workers: int = 0,
    indices: Sequence[int] | np.ndarray | None = None,
    pin_memory: bool = False,
) -> Batches:
    """The images `indices` of a set, or all, in order. Raises UserError while iterating, as the set's `read`."""
    chosen = np.arange(len(dataset)) if indices is None else np.asarray(indices, np.int64)
    return Batches(dataset, SuccessiveBatches(chosen, batch_size), num_workers, pin_memory)


test_loader.__test__ = False  # type: ignore[attr-defined]  # no test, though pytest collects by name


class _Guarded(Dataset):
    """Gives whole batches, and a UserError as a value: raised in a worker it would arrive as text with a traceback."""

    def __init__(self, dataset: ImageSet):
        self.dataset = dataset

    def __getitems__(self, indices: list[int]) -> list[Tensor] | UserError:
        try:
            return default_collate(self.dataset.__getitems__(indices))  # in a worker, into shared memory
        except UserError as error:
            return error


def _as_it_is(batch: list[Tensor] | UserError) -> list[Tensor] | UserError:
    return batch


def start_workers(loader: DataLoader) -> Iterator[Any]:
    """The loader's iterator, whose making starts its workers; their `worker_init_fn` should be `single_thread`.

    A worker is a fork of this process, and OpenCV's threads do not survive a fork: to change their number, or to
    use them, waits forever. So there are none at that moment.
    """
    threads = cv2.getNumThreads()
    if loader.num_workers:
        cv2.setNumThreads(1)
    try:
        return iter(loader)
    finally:
        if loader.num_workers:
            cv2.setNumThreads(threads)


def single_thread(worker: int) -> None:
    """Set OpenCV and signals up in a worker process, whose number does not matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if cv2.getNumThreads() != 1:  # a worker that is no fork
        cv2.setNumThreads(1)  # the processes are the parallelism
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what cannot be read is told by a UserError
