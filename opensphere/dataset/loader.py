"""Batches, and the processes that read them. Which images a batch holds is a sampler's matter."""

import os
import signal
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate

from opensphere.dataset.groups import GroupBatches
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.sampler import GlobalBatches, SuccessiveBatches
from opensphere.error import UserError

TrainSampler = GlobalBatches | GroupBatches


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
        sampler: TrainSampler | SuccessiveBatches,
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
        steps_per_epoch: steps that see the set once, or every person once where batches are groups.
    """

    def __init__(self, dataset: ImageSet, sampler: TrainSampler, num_workers: int, pin_memory: bool):
        super().__init__(dataset, sampler, num_workers, pin_memory)
        self.steps_per_epoch = sampler.steps_per_epoch


def train_sampler(
    dataset: Any,
    batch_size: int,
    shuffle: bool = True,
    drop_last: bool = True,
    seed: int = 0,
    rank: int = 0,
    world_size: int = 1,
    start_step: int = 0,
    stop_step: int | None = None,
    images_per_person: int | None = None,
) -> TrainSampler:
    """Which images of a set this rank takes at each step. Arguments and errors as `GlobalBatches`.

    Args:
        images_per_person: how many images of each person a batch holds, as `GroupBatches`; None: as they come.
    """
    plan = (batch_size, shuffle, drop_last, seed, rank, world_size, start_step, stop_step)
    if images_per_person is None:
        return GlobalBatches(len(dataset), *plan)
    return GroupBatches(dataset.labels, images_per_person, *plan)


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
    images_per_person: int | None = None,
) -> TrainBatches:
    """This rank's batches from `start_step` up to, not including, `stop_step`. Arguments as of `train_sampler`.

    Args:
        num_workers: processes that read; no number changes what is read. A set in memory is read without.
        pin_memory: for faster copies to a GPU; without one it does nothing.

    Raises:
        UserError: as `train_sampler`; while iterating, as the set's `read`.
    """
    plan = (batch_size, shuffle, drop_last, seed, rank, world_size, start_step, stop_step)
    sampler = train_sampler(dataset, *plan, images_per_person=images_per_person)
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
