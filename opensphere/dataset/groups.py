"""Batches of a few people with several images each, for losses that compare images with one another."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from opensphere.dataset.sampler import GlobalBatches, Plan
from opensphere.error import UserError


class GroupBatches:
    """A batch sampler as `GlobalBatches`, whose batches hold `batch_size / images_per_person` people.

    The images of a person stand side by side, and each rank gets whole groups. An epoch sees every person once, in a
    new order (by label, without `shuffle`). A person's images are taken in turn, none again before all were there, and
    shuffled anew whenever the end of a group is that of the turn. The images of a group are distinct, unless the person
    has fewer than a group needs: those repeat, with the same augmentation.

    It keeps one number an image; a step looks at the images of its own people only.

    Args:
        labels: (N,) each image's person, of any numbers from 0.
        images_per_person: K.
        plan: as `GlobalBatches`. Without `drop_last`, the last batch of an epoch is filled up with its first people.

    Raises:
        UserError: the batch cannot be made of whole groups, on every rank, or the set has too few people for it.
    """

    def __init__(self, labels: np.ndarray, images_per_person: int, plan: Plan):
        self.plan = plan
        batch_size = self.plan.batch_size
        _check_sizes(images_per_person, batch_size, self.plan.world_size)
        counts = np.bincount(labels)
        counts = counts[counts > 0]
        groups = batch_size // images_per_person
        if groups > len(counts):
            raise UserError(
                f"batch_size: a batch of {groups} people ({batch_size} images, {images_per_person} each) is more than "
                f"the {len(counts)} people of the set; lower batch_size, or raise images_per_person"
            )
        self.images_per_person = images_per_person
        self.people = GlobalBatches(len(counts), replace(self.plan, batch_size=groups))
        self.steps_per_epoch = self.people.steps_per_epoch
        self._images = np.argsort(labels, kind="stable")  # person by person
        self._first = np.concatenate([[0], np.cumsum(counts)])

    def order(self, epoch: int) -> np.ndarray:
        """(number of people,) int64: the order of an epoch; people are numbered by their labels, without gaps."""
        return self.people.order(epoch)

    def batch(self, step: int) -> np.ndarray:
        """(batch_size,) int64: the images of all ranks at a step."""
        return self._groups(step, self.people.batch(step))

    def share(self, step: int) -> np.ndarray:
        """(batch_size / world_size,) int64: this rank's images at a step."""
        return self._groups(step, self.people.share(step))

    def round(self, step: int) -> int:
        """As `GlobalBatches`."""
        return self.people.round(step)

    def __len__(self) -> int:
        return len(self.plan.steps)

    def __iter__(self) -> Iterator[list[int]]:
        for step in self.plan.steps:
            yield self.share(step).tolist()

    def _groups(self, step: int, people: np.ndarray) -> np.ndarray:
        epoch = step // self.steps_per_epoch
        return np.concatenate([self._group(person, epoch) for person in people.tolist()])

    def _group(self, person: int, epoch: int) -> np.ndarray:
        """(K,) images of a person. The groups of `turn` epochs go through the person's images a whole number of times:
        in one order, so that each group is distinct, though it may reach over the end."""
        images = self._images[self._first[person] : self._first[person + 1]]
        turn = len(images) // math.gcd(len(images), self.images_per_person)
        number, place = divmod(epoch, turn)
        if self.plan.shuffle:
            images = self.plan.generator(key=(person, number)).permutation(images)
        return images[(place * self.images_per_person + np.arange(self.images_per_person)) % len(images)]


def _check_sizes(images_per_person: int, batch_size: int, world_size: int) -> None:
    if images_per_person < 1:
        raise UserError(f"images_per_person: {images_per_person} is not a number of images")
    if batch_size < 1:
        raise UserError(f"batch_size: {batch_size} is not a number of images")
    whole = images_per_person * world_size
    if batch_size % whole:
        shared = f" on each of {world_size} processes" if world_size > 1 else ""
        raise UserError(
            f"batch_size: {batch_size} images are no whole number of groups of {images_per_person} "
            f"(images_per_person){shared}; try {max(whole, batch_size // whole * whole)}"
        )
