"""Numbered pictures of numbered people, rendered one by one or all at once."""

import hashlib
import multiprocessing
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from opensphere.cores import usable_cores
from opensphere.dataset.digest import digests
from opensphere.dataset.reader.reader import Progress
from opensphere.dataset.synthetic.picture import render
from opensphere.error import UserError

_WORTH_WORKERS, _MOST_WORKERS = 2000, 16  # pictures below which one process is faster; and enough is enough
_rendered: dict["Album", np.ndarray] = {}  # the last albums, for all sets of this process that show the same
_KEPT = 4


@dataclass(frozen=True)
class Album:
    """Which pictures of which people: picture `index` shows person `first_person + index // images`.

    Raises:
        UserError: a value of the wrong kind or below its least.
    """

    people: int
    images: int
    seed: int
    first_person: int
    size: tuple[int, int]
    nuisance: float
    hair: bool
    marks: bool

    def __post_init__(self) -> None:
        for key, least in (("people", 1), ("images", 1), ("seed", 0), ("first_person", 0)):
            value = getattr(self, key)
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise UserError(f"{key}: {value!r} should be a whole number, {least} or more")
        if not isinstance(self.nuisance, int | float) or not 0 <= self.nuisance <= 3:
            raise UserError(f"nuisance: {self.nuisance!r} should be a number from 0 (none) to 3; 1 is usual")

    def __len__(self) -> int:
        return self.people * self.images

    def read(self, index: int) -> np.ndarray:
        """Render picture `index`: (H, W, 3) uint8 RGB. Raises IndexError outside the album."""
        if not 0 <= index < len(self):
            raise IndexError(f"picture {index} of {len(self)}")
        person, image = divmod(int(index), self.images)
        return render(self.seed, self.first_person + person, image, self.size, self.nuisance, self.hair, self.marks)

    def keys(self, indices: np.ndarray) -> np.ndarray:
        """A key of each picture, (n, 16) uint8, as `ImageSet.keys`. One picture stands for the code that renders."""
        settings = (self.seed, self.size, self.nuisance, self.hair, self.marks)
        sample = render(self.seed, 0, 0, *settings[1:])
        about = f"rendered {settings} {hashlib.blake2b(sample.tobytes(), digest_size=16).hexdigest()}"
        person, image = np.divmod(indices.astype(np.int64), self.images)
        return digests(about, np.stack([self.first_person + person, image], axis=1))

    def pixels(self, progress: Progress | None = None) -> np.ndarray:
        """All pictures, (N, H, W, 3) uint8, to be read only: rendered once for all who ask."""
        if self not in _rendered:
            pixels = self._render_all(progress)
            while len(_rendered) >= _KEPT:
                del _rendered[next(iter(_rendered))]
            _rendered[self] = pixels
        return _rendered[self]

    def _render_all(self, progress: Progress | None) -> np.ndarray:
        """On all cores for large albums: rendering is many small calls, which threads would only queue up for."""
        pixels = np.empty((len(self), *self.size, 3), np.uint8)
        may_fork = not multiprocessing.current_process().daemon
        workers = min(usable_cores(), _MOST_WORKERS, self.people) if may_fork and len(self) >= _WORTH_WORKERS else 0
        loader = DataLoader(
            _People(self),
            batch_size=None,
            num_workers=workers if workers > 1 else 0,
            worker_init_fn=_single_thread,
            generator=torch.Generator(),  # leave the global one as it is
        )
        for person, pictures in enumerate(_start_workers(loader)):
            pixels[person * self.images : (person + 1) * self.images] = pictures.numpy()
            if progress is not None:
                progress((person + 1) * self.images, len(self))
        return pixels


class _People(Dataset):
    """An album by person, for worker processes to render."""

    def __init__(self, album: Album):
        self.album = album

    def __len__(self) -> int:
        return self.album.people

    def __getitem__(self, person: int) -> Tensor:
        first = person * self.album.images
        return torch.from_numpy(np.stack([self.album.read(first + image) for image in range(self.album.images)]))


def _start_workers(loader: DataLoader) -> Iterator[Any]:
    """The loader's iterator, whose making starts its workers; their `worker_init_fn` should be `_single_thread`.

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


def _single_thread(worker: int) -> None:
    """Set OpenCV and signals up in a worker process, whose number does not matter."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the training, which ends its workers
    for number in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    if cv2.getNumThreads() != 1:  # a worker that is no fork
        cv2.setNumThreads(1)  # the processes are the parallelism
