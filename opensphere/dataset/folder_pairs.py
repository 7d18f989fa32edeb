"""Pairs drawn from a folder of people: to test on faces of one's own."""

import os
from collections.abc import Sequence

from opensphere.dataset.class_set import ClassDataset
from opensphere.dataset.holdout import DrawnPairs
from opensphere.dataset.image_set import parse_metrics
from opensphere.dataset.view import View
from opensphere.error import UserError


class FolderPairs(View):
    """Pairs of images of the people of a folder, half of one person and half of two, evenly over the people.

    The same folder gives the same pairs as long as its images stay the same.

    Args:
        name: for tables and file names.
        data_dir, ann_path: as for `ClassDataset`: a folder of people, a list, or what else it takes.
        pairs: how many, a multiple of 2 x folds. If not given: as many as there are, at most 6,000.
        folds: number of folds; no person is in two of them where there are enough people. None for none.
        seed: fixes the draw.
        metrics: names of what to report; the usual ones if not given.
        image_size, crop, test_mode, in_memory: as for `ClassDataset`.

    Attributes:
        pairs: (P, 2) int64, indices of the set's images, which are those that appear in a pair.
        is_same: (P,) bool.
        folds: (P,) int64 from 0, or None.
        persons: (N,) int64 from 0 without gaps, whom each image shows.

    Raises:
        UserError: the data cannot be used, or there are too few people or images for so many pairs.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        ann_path: str | os.PathLike | None = None,
        pairs: int | None = None,
        folds: int | None = 10,
        seed: int = 0,
        metrics: str | Sequence[str] | None = None,
        image_size: int | Sequence[int] = 112,
        crop: Sequence[int] | None = None,
        test_mode: bool = True,
        in_memory: bool = False,
    ):
        people = ClassDataset(
            name, data_dir, ann_path, image_size=image_size, crop=crop, test_mode=test_mode, in_memory=in_memory
        )
        super().__init__(people)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        if folds is not None and folds < 2:
            raise UserError(f"folds: {folds} is too few; give 2 or more, or null for none")
        try:
            drawn = DrawnPairs(people, pairs, folds, seed)
        except UserError as error:
            hint = "add images, or give other pairs or fewer folds (folds: null for none)"
            raise UserError(f"{people.reader.root}: {error}; {hint}") from None
        self.indices, self.persons = drawn.indices, drawn.persons
        self.pairs, self.is_same, self.folds = drawn.pairs, drawn.is_same, drawn.folds
