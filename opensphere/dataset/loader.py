"""Batches, and the threads that read them ahead. Which images a batch holds is a sampler's matter."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from opensphere.cores import usable_cores
from opensphere.dataset.broken import Broken
from opensphere.dataset.groups import GroupBatches
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.sampler import BalancedBatches, GlobalBatches, Plan, SuccessiveBatches
from opensphere.error import UserError
from opensphere.memory import keep_freed_blocks

TrainSampler = GlobalBatches | GroupBatches
Change = Callable[[np.ndarray, int, int, int], np.ndarray]
_AHEAD = 4  # batches that are read while one is used
_TASK = 32  # images that a thread takes at a time: with fewer, threads wait for one another more often


class Batches:
    """The batches of a set, read ahead by threads: (images (B, H, W, 3) uint8, index (B,) int64) each.

    Threads and not processes: decoders release the interpreter's lock, each image is written to its place in the batch,
    and nothing is copied from one process to another. They live as long as an iteration, which in training is the whole
    run, and end with it, however it ends.

    Attributes:
        sampler: says which images make a batch.
    """

    def __init__(
        self,
        dataset: ImageSet,
        sampler: TrainSampler | SuccessiveBatches,
        num_workers: int = 0,
        pin_memory: bool = False,
    ):
        if num_workers < 0:
            raise UserError(f"num_workers: {num_workers} is not a number of threads")
        self.dataset = dataset
        self.sampler = sampler
        self._workers = 0 if dataset.in_memory else min(num_workers, usable_cores())
        self._pinned = pin_memory and torch.cuda.is_available()
        keep_freed_blocks()

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        if not self._workers:
            for number, indices in enumerate(self.sampler):
                batch = _Batch(self, number, indices, self._pinned)
                batch.fill(0, len(indices))
                yield batch.images, batch.index
            return
        with ThreadPoolExecutor(self._workers, "reader") as pool:
            waiting: deque[_Batch] = deque()
            try:
                coming = enumerate(self.sampler)
                waiting.extend(self._begin(pool, *each) for each in islice(coming, _AHEAD))
                while waiting:
                    batch = waiting.popleft()
                    for task in batch.tasks:
                        task.result()
                    waiting.extend(self._begin(pool, *each) for each in islice(coming, 1))
                    yield batch.images, batch.index
            finally:
                pool.shutdown(cancel_futures=True)

    def _begin(self, pool: ThreadPoolExecutor, number: int, indices: Sequence[int]) -> "_Batch":
        batch = _Batch(self, number, indices, self._pinned)
        for first in range(0, len(indices), _TASK):
            batch.tasks.append(pool.submit(batch.fill, first, first + _TASK))
        return batch

    def read(self, number: int, index: int) -> tuple[np.ndarray, int]:
        """Image `index` for batch `number`, counted from the first of this iteration, and the index that it has."""
        return self.dataset.image(index), index


class _Batch:
    """A batch on its way: threads fill its places."""

    def __init__(self, batches: Batches, number: int, indices: Sequence[int], pinned: bool = False):
        self.read, self.number = batches.read, number
        self.images = torch.empty(len(indices), *batches.dataset.image_size, 3, dtype=torch.uint8, pin_memory=pinned)
        self._index = np.array(indices, np.int64)
        self.index = torch.from_numpy(self._index)
        self.tasks: list[Future] = []
        self._pixels = self.images.numpy()  # numpy may be written from any thread, also where nothing is differentiated

    def fill(self, first: int, last: int) -> None:
        for place, index in enumerate(self._index[first:last].tolist(), first):
            self._pixels[place], self._index[place] = self.read(self.number, index)


class TrainBatches(Batches):
    """`Batches` of training.

    Args:
        sampler: as `train_sampler` makes it.
        max_broken: the share of the set's images that may be broken; others take their place, as `Broken` says.
        change: what happens to each image before it joins its batch: from image (H, W, 3), index, seed and the
            sampler's `round` to an image.

    Attributes:
        broken: tells which images could not be read.
    """

    def __init__(
        self,
        dataset: ImageSet,
        sampler: TrainSampler,
        num_workers: int = 0,
        pin_memory: bool = False,
        max_broken: float = 0.0,
        change: Change | None = None,
    ):
        super().__init__(dataset, sampler, num_workers, pin_memory)
        self.steps_per_epoch = sampler.steps_per_epoch
        self.round = sampler.round
        self.broken = Broken(dataset, max_broken)
        self._change, self._plan = change, sampler.plan
        if change:  # work for threads, also where images are in memory
            self._workers = min(num_workers, usable_cores())

    def read(self, number: int, index: int) -> tuple[np.ndarray, int]:
        image, index = self.broken.read(index)
        if self._change:
            image = self._change(image, index, self._plan.seed, self.round(self._plan.start_step + number))
        return image, index


def train_sampler(dataset: Any, plan: Plan, images_per_person: int | None = None, balance: float = 0.0) -> TrainSampler:
    """Which images of a set a rank takes at each step.

    Args:
        plan: the size and the order of batches, and the rank's part of them.
        images_per_person: how many images of each person a batch holds, as `GroupBatches`; None: as they come.
        balance: how far people are made equally frequent, as `BalancedBatches`.

    Raises:
        UserError: as the samplers, or both are asked for.
    """
    if images_per_person is None:
        return BalancedBatches(dataset.labels, balance, plan) if balance else GlobalBatches(len(dataset), plan)
    if balance:
        raise UserError(
            "balance: batches of images_per_person see every person equally often already; set one of the two"
        )
    return GroupBatches(dataset.labels, images_per_person, plan)


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
