"""`opensphere data check --model`: what a trained network finds in the faces."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from opensphere import config as cfg
from opensphere.command.data_sheet import PICTURED
from opensphere.command.screen import bar
from opensphere.command.test import read_run
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.reader import Reader
from opensphere.engine.checkpoint import load_weights, read_weights
from opensphere.engine.extract import extract
from opensphere.engine.parallel import World, own_device, pick_precision
from opensphere.inspection.finding import Finding
from opensphere.inspection.identity import Noise, People, Scale, alike, mixed, one_name, scale_of, wrong_names
from opensphere.inspection.overlap import Side
from opensphere.inspection.people import spelling
from opensphere.inspection.source import Source

__all__ = ["Faces", "read_run"]

_SHOWN = 4  # images of a person, for a sheet


class _Readable(ImageSet):
    """The images of a set that can be decoded."""

    def __init__(self, name: str, reader: Reader, indices: np.ndarray, image_size: Any, crop: Any):
        super().__init__(name, image_size, crop=crop)
        self.reader = reader
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def read(self, index: int) -> np.ndarray:
        return super().read(int(self.indices[index]))


class Faces:
    """A network, and what it finds in sets.

    Args:
        folder: of the run; its latest weights are taken.
        batch: images at a time.

    Attributes:
        report: numbers for check.json.
        summary: some of them in words; "" where they tell nothing.
        centers: (C, D) float32, the mean feature of each person of the set at unit length, for `corruption.centers`.
    """

    def __init__(self, folder: str, batch: int, console: Console):
        net, view, weights = read_run(Path(folder))
        path = weights[max(weights)]
        self.device = own_device()
        self.backbone = cfg.build_backbone(**net)
        load_weights(self.backbone, read_weights(path), path)
        self.backbone = self.backbone.to(self.device)
        self.crop = view.get("crop")
        self.batch = batch
        self.console = console
        self.report: dict[str, Any] = {"weights": str(path)}
        self.summary = ""
        self.centers: np.ndarray | None = None

    def inspect(self, left: Side, right: Side | None = None) -> list[Finding]:
        """All that can be said of a set, and of it beside another one."""
        source, rows = left[0], np.flatnonzero(left[1].read)
        if not len(rows):
            return []
        people = self._people(source, rows)
        found = [] if source.labels is None else self._within(source, people, rows)
        other = np.flatnonzero(right[1].read) if right is not None else np.empty(0, np.int64)
        if right is not None and len(other):
            found += self._across(source, people, rows, right[0], self._people(right[0], other), other)
        return found

    def _people(self, source: Source, rows: np.ndarray) -> People:
        """The features of a set's images; where nothing says whom they show, each image is a person."""
        dataset = _Readable(source.name, source.reader, rows, list(self.backbone.input_size), self.crop)  # type: ignore[arg-type]
        workers = 8 if self.device.type == "cuda" else 0  # Batches takes no more than there are cores
        dtype = pick_precision("auto", self.device)
        with bar(self.console) as progress:
            task = progress.add_task(f"faces of {source.name}", total=len(rows))
            features = extract(
                self.backbone, dataset, World(0, 1, self.device), self.batch, workers, dtype,
                lambda count: progress.advance(task, count),
            )  # fmt: skip
        if source.labels is None:
            return People.of(features, np.arange(len(rows)), len(rows))
        return People.of(features, source.labels[rows], len(source.reader.names))

    def _within(self, source: Source, people: People, rows: np.ndarray) -> list[Finding]:
        self.centers = people.centres
        scale = scale_of(people)
        self.report["within"] = _numbers(scale)
        if not scale.useful:
            return [_weak(scale, "of the set")]
        device = str(self.device)
        with bar(self.console) as progress:
            step = _stepper(progress, "compare people", len(people.centres))
            pairs, scores = alike(people.centres, None, scale.same, device, step)
            parts = mixed(people, scale, _stepper(progress, "part people", int(np.sum(people.counts >= 4))))
            joined = people.under(
                one_name(people.labels, pairs, len(people.counts))
            )  # else half of each would seem wrong
            noise = wrong_names(joined, device=device, step=_stepper(progress, "compare images", len(rows)))
        self.summary = (
            f"by faces: {scale.apart:.1%} of the halves of one person score higher than 99% of pairs of people; "
            f"by estimate {noise.least:.1%} to {noise.most:.1%} of the labels are wrong"
        )
        self.report["wrong labels"] = {"least": noise.least, "most": noise.most, "compared": noise.compared}
        same = Finding("same-person", len(pairs), people=pairs, scores=scores, remark=_found(scale))
        same.shown = [[_some(people, rows, person) for person in pair] for pair in pairs[:PICTURED].tolist()]
        two = Finding("mixed-person", len(parts[0]), people=parts[0], scores=parts[1])
        two.shown = [_parts(people, rows, *part) for part in zip(parts[0][:PICTURED].tolist(), parts[2], strict=False)]
        return [same, two, self._wrong(people, rows, noise)]

    @staticmethod
    def _wrong(people: People, rows: np.ndarray, noise: Noise) -> Finding:
        wrong = Finding("wrong-person", len(noise.images), images=rows[noise.images], scores=noise.own)
        wrong.resembles = noise.others
        wrong.shown = [
            [_some(people, rows, int(people.labels[image]), image), rows[[image]], _some(people, rows, int(other))]
            for image, other in zip(noise.images[:PICTURED], noise.others, strict=False)
        ]
        return wrong

    def _across(
        self, source: Source, people: People, rows: np.ndarray, other: Source, strangers: People, others: np.ndarray
    ) -> list[Finding]:
        scale = scale_of(people, strangers)
        self.report["across"] = _numbers(scale)
        if not scale.useful:
            return [_weak(scale, "of both sets")]
        with bar(self.console) as progress:
            step = _stepper(progress, "compare sets", len(people.centres))
            pairs, scores = alike(people.centres, strangers.centres, scale.same, str(self.device), step)
        if source.labels is not None and other.labels is not None:  # those of one name have been told of
            names, seconds = source.reader.names, other.reader.names
            new = [spelling(names[one]) != spelling(seconds[two]) for one, two in pairs.tolist()]
            pairs, scores = pairs[np.array(new, bool)], scores[np.array(new, bool)]
        first = np.unique(pairs[:, 0], return_index=True)[1]  # of each person the best
        first.sort()
        pairs, scores = pairs[first], scores[first]
        some = pairs[:PICTURED].tolist()
        shown = [[_some(people, rows, one), _some(strangers, others, two)] for one, two in some]
        finding = Finding("overlap-face", len(pairs), across=True, scores=scores, remark=_found(scale), shown=shown)
        images = rows[_first(people)[pairs[:, 0]]], others[_first(strangers)[pairs[:, 1]]]
        finding.images = np.stack(images, axis=1)
        if source.labels is not None and other.labels is not None:  # without, people are images
            finding.people = pairs
        return [finding]


def _some(people: People, rows: np.ndarray, person: int, but: int | None = None) -> np.ndarray:
    """Some images of a person, without one of them."""
    own = np.flatnonzero(people.labels == person)
    return rows[own[own != but][:_SHOWN] if but is not None else own[:_SHOWN]]


def _first(people: People) -> np.ndarray:
    """The first image of each person; 0 for people without any."""
    first = np.zeros(len(people.counts), np.int64)
    first[people.labels[::-1]] = np.arange(len(people.labels))[::-1]
    return first


def _parts(people: People, rows: np.ndarray, person: int, part: np.ndarray) -> list[np.ndarray]:
    """Some images of a person that are not in a part, and some that are."""
    own = np.flatnonzero(people.labels == person)
    return [rows[np.setdiff1d(own, part)[:_SHOWN]], rows[part[:_SHOWN]]]


def _stepper(progress: Any, what: str, total: int) -> Callable[[int], None]:
    task = progress.add_task(what, total=total)
    return lambda count: progress.advance(task, count)


def _found(scale: Scale) -> str:
    return (
        f"scores from {scale.same:.2f}, which {scale.finds:.0%} of the halves of one person reach, and about one pair "
        "of people by chance"
    )


def _numbers(scale: Scale) -> dict[str, float]:
    return {"two": scale.two, "same": scale.same, "finds": scale.finds, "apart": scale.apart, "known": scale.known}


def _weak(scale: Scale, whose: str) -> Finding:
    remark = f"only {scale.known} people {whose} have two images or more to learn their scores from"
    if scale.known >= 10:
        remark = (
            f"of the people {whose}, {scale.apart:.0%} of the halves of one score higher than 99% of pairs of two, "
            "where 60% are asked"
        )
    return Finding("weak-model", 1, remark=remark)
