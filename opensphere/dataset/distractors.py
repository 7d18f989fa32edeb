"""People to be found among more and more strangers, as MegaFace does it (Kemelmacher-Shlizerman et al. 2016)."""

import os
from collections.abc import Sequence

import numpy as np

from opensphere.dataset.annotation import Lines, Texts
from opensphere.dataset.image_set import ImageSet, parse_metrics
from opensphere.dataset.reader import FileReader, Reader, open_reader
from opensphere.dataset.reader.joined import Joined
from opensphere.error import UserError

STRANGER = -1  # the person of a distractor


class DistractorSet(ImageSet):
    """Images of people with several images each, and of distractors: strangers of whom nothing is known.

    The first so many distractors of one random order make each size, so that a larger one holds the smaller ones.

    Args:
        name: for tables and file names.
        data_dir: the people: a folder of folders, or what else `open_reader` takes; with `ann_path`, the folder that
            its paths are relative to.
        distractor_dir: the distractors: a folder with images at any depth, or what else `open_reader` takes; with
            `distractor_ann_path`, the folder that its paths are relative to.
        ann_path: a list of `path name` a line; None: all that data_dir holds.
        distractor_ann_path: a list whose lines begin with a path; None: all that distractor_dir holds.
        sizes: how many distractors to search among; 10, 100, ... and all of them if not given.
        seed: of the order of the distractors.
        metrics: names of what to report; all if not given.
        image_size: side length, or [height, width].
        crop: [left, top, right, bottom], the part of each image to keep, in pixels of the file; null keeps all.
        in_memory: decode each image once, at the start, and keep it (height x width x 3 bytes each).
        test_mode: images are given as they are; kept for configs that say so.

    Attributes:
        persons: (N,) int64, the position of each image's person in `names`; -1 for distractors.
        names: the people, sorted, each once.
        probes: (P,) int64, the images of people.
        distractors: (M,) int64, the images of distractors, in their random order.
        sizes: ascending.

    Raises:
        UserError: the data cannot be used, nobody has two images, or there are fewer distractors than a size asks for.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        distractor_dir: str | os.PathLike,
        ann_path: str | os.PathLike | None = None,
        distractor_ann_path: str | os.PathLike | None = None,
        sizes: Sequence[int] | None = None,
        seed: int = 0,
        metrics: str | Sequence[str] | None = None,
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        in_memory: bool = False,
        test_mode: bool = True,
    ):
        super().__init__(name, image_size, in_memory, crop)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        people = open_reader(data_dir, ann_path)
        if people.labels is None:
            raise UserError(f"{people.root}: it says of no image whom it shows; give a folder of people, or ann_path")
        if len(people) == 0 or np.bincount(people.labels).max() < 2:
            raise UserError(f"{people.root}: nobody has two images, so that nobody can be found; check data_dir")
        strangers = _open_distractors(distractor_dir, distractor_ann_path)
        self.reader = Joined([people, strangers])
        self.names = people.names
        self.persons = np.concatenate([people.labels, np.full(len(strangers), STRANGER)])
        self.probes = np.arange(len(people))
        self.distractors = len(people) + np.random.default_rng(seed).permutation(len(strangers))
        self.sizes = _parse_sizes(sizes, len(strangers), strangers.root)


def _open_distractors(folder: str | os.PathLike, ann_path: str | os.PathLike | None) -> Reader:
    if ann_path is None:
        reader = open_reader(folder, people=False)
    else:
        paths, lines = Texts(), Lines(ann_path, ("path",), more=True)
        for fields in lines:
            paths.add(fields[0])
        reader = FileReader(folder, paths, lines)
        reader.check_first()
    return reader


def _parse_sizes(sizes: Sequence[int] | None, available: int, where: str) -> list[int]:
    if sizes is None:
        powers = (10**power for power in range(1, len(str(available))))
        return [*(size for size in powers if size < available), available]
    whole = isinstance(sizes, list | tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in sizes)
    if not whole or not sizes or min(sizes) < 1:
        raise UserError(f"sizes: {sizes!r} is not a list of whole numbers from 1; give for example [10, 100, 1000]")
    if max(sizes) > available:
        raise UserError(f"{where}: {available} distractors where sizes ask for {max(sizes)}; give smaller sizes")
    return sorted(set(sizes))
