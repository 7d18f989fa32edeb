"""Pairs to verify, from a list of ours, the file of LFW or the folder of CFP.

Ours has `label path path` a line; label 1: the same person, 0: two people.

LFW (Huang et al. 2007): `pairs.txt` begins with the number of folds and of pairs of a kind in each fold; then come, for
each fold, so many lines `name number number` of one person and so many `name number name number` of two. Where the
first line is one number (`pairsDevTrain.txt`, `pairsDevTest.txt`), there are no folds. Image 7 of Anna is
Anna/Anna_0007.jpg. RFW (Wang et al. 2019) has such files without the first line.

CFP (Sengupta et al. 2016): the folder Protocol has the numbered images of two poses in `Pair_list_F.txt` and
`Pair_list_P.txt`, a line `number path` each, and for each fold of Split/FF and Split/FP a `same.txt` and a `diff.txt`
of `number,number` a line. The numbers of FF are both frontal ones, those of FP a frontal and a profile one.
"""

import os
from array import array
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from opensphere.dataset.annotation import IMAGE_SUFFIXES, Lines, Texts
from opensphere.dataset.persons import numbered
from opensphere.dataset.reader.files import FileReader, check_folder
from opensphere.error import UserError

_CFP_FOLDS = 10
_CFP_POSES = {"FF": ("F", "F"), "FP": ("F", "P")}
_CFP_DEPTH = 3  # person/pose/file: how much of a path must lie in the folder of the images


@dataclass(frozen=True)
class PairList:
    """Pairs of images, and where each image is named.

    Attributes:
        path: the file or folder of the protocol.
        paths: the images, each once, in the order in which they first appear; relative to the folder of the images.
        pairs: (P, 2) int64, positions in `paths`.
        is_same: (P,) bool.
        folds: (P,) int64 from 0, or None.
        lists: the lists that name images.
        places: (N, 2) int64, of each image its list and its item there.
        persons: (N,) int64 from 0 without gaps, whom each image shows, where the protocol names people; else None.
    """

    path: str
    paths: Texts
    pairs: np.ndarray
    is_same: np.ndarray
    folds: np.ndarray | None
    lists: Sequence[Lines]
    places: np.ndarray
    persons: np.ndarray | None = None

    def where(self, index: int) -> str:
        """The file and line that name image `index`, such as `pairs.txt:17`."""
        source, item = self.places[index].tolist()
        return self.lists[source].where(item)


def read_pairs(path: str | os.PathLike, data_dir: str | os.PathLike) -> PairList:
    """The pairs of a list, of images that lie below `data_dir`.

    LFW's images may have any suffix that images have. CFP's may lie as they were distributed, with `data_dir` any
    folder from the one that holds Data to Images, or as a copy of Images, with any suffix.

    Args:
        path: a list of `label path path` a line, LFW's file, one of RFW, or CFP's folder Protocol/Split/FF or
            Protocol/Split/FP.

    Raises:
        UserError: the path holds none of these, a list is not whole, or an image does not exist.
    """
    path, data_dir = os.fspath(path), check_folder(data_dir)
    if os.path.isdir(path):
        found = _read_cfp(path, data_dir)
    else:
        found = _READERS[_kind(path)](path, data_dir)
    FileReader(data_dir, found.paths, found).check_all()
    return found


def _kind(path: str) -> str:
    """What the first line of a file shows it to be."""
    first = next(iter(Lines(path, ("label path path",), more=True)))
    number = [field.strip().isdigit() for field in first]
    if len(first) <= 2 and all(number):
        return "LFW"
    if len(first) == 3 and number == [False, True, True]:
        return "RFW"
    if len(first) == 4 and number[1] and number[3]:
        return "RFW"
    return "plain"


def _read_plain(path: str, data_dir: str) -> PairList:
    lines = Lines(path, ("label", "path", "path"))
    sides, is_same = _Sides(), bytearray()
    for label, *pair in lines:
        if label not in (b"0", b"1"):
            where = lines.where(len(is_same))
            raise UserError(f"{where}: label {label.decode()!r}; it should be 1 (same person) or 0 (two people)")
        for image in pair:
            sides.add(image, 0, len(is_same))
        is_same.append(label == b"1")
    paths = Texts()
    paths.extend(list(sides.names))
    return sides.finished(path, paths, np.frombuffer(is_same, bool).copy(), None, [lines])


class _Sides:
    """The two images of each pair, one after the other; each image is numbered when it first appears."""

    def __init__(self) -> None:
        self.names: dict[Any, int] = {}
        self.places = array("q")
        self.pairs = array("q")

    def add(self, name: Any, source: int, item: int) -> None:
        """`name` tells the image from others; it is item `item` of list `source`."""
        index = self.names.setdefault(name, len(self.names))
        if 2 * index == len(self.places):
            self.places.extend((source, item))
        self.pairs.append(index)

    def finished(
        self,
        path: str,
        paths: Texts,
        is_same: np.ndarray,
        folds: np.ndarray | None,
        lists: Sequence[Lines],
        people: Iterable[Hashable] | None = None,
    ) -> PairList:
        pairs, places = (np.array(numbers, np.int64).reshape(-1, 2) for numbers in (self.pairs, self.places))
        persons = None if people is None else numbered(people)
        return PairList(path, paths, pairs, is_same, folds, lists, places, persons)


def _number(field: bytes, where: str) -> int:
    digits = field.strip()
    if not digits.isdigit() or len(digits) > 9 or not int(digits):
        raise UserError(f"{where}: {field.decode(errors='replace')!r} where a number from 1 is expected")
    return int(digits)


def _suffix(folder: str, stem: str, usual: str) -> str | None:
    """The suffix with which an image lies in the folder; None if with none that images have."""
    suffixes = (usual, *IMAGE_SUFFIXES)
    return next((suffix for suffix in suffixes if os.path.isfile(os.path.join(folder, stem + suffix))), None)


def _read_lfw(path: str, data_dir: str) -> PairList:
    lines = Lines(path, ("name number number",), more=True)
    sides = _Sides()
    half, total = 0, 0
    for item, fields in enumerate(lines):
        where = lines.where(item)
        if item == 0:
            numbers = [_number(field, where) for field in fields]
            half, total = numbers[-1], 2 * numbers[0] * (numbers[-1] if len(numbers) == 2 else 1)
            continue
        if item > total:
            raise UserError(
                f"{where}: more than the {total} pairs that the first line promises; download or copy it again"
            )
        same = (item - 1) % (2 * half) < half
        if len(fields) != (3 if same else 4):
            wanted = "one person, name number number," if same else "two people, name number name number,"
            raise UserError(
                f"{where}: {len(fields)} fields where a pair of {wanted} is expected; the first line promises {half} "
                "pairs of either kind in turn"
            )
        for name in _numbered_images(fields, where):
            sides.add(name, 0, item)
    if lines.count - 1 != total:
        raise UserError(
            f"{path}: {lines.count - 1} pairs where the first line promises {total}; download or copy it again"
        )
    pair = np.arange(total)
    folds = pair // (2 * half) if total > 2 * half else None
    paths, people = _numbered_paths(sides, data_dir)
    return sides.finished(path, paths, pair % (2 * half) < half, folds, (lines,), people)


def _read_rfw(path: str, data_dir: str) -> PairList:
    lines = Lines(path, ("name number number",), more=True)
    sides, is_same = _Sides(), bytearray()
    for item, fields in enumerate(lines):
        if len(fields) not in (3, 4):
            wanted = "name number number or name number name number"
            raise UserError(f"{lines.where(item)}: {len(fields)} fields where {wanted} is expected")
        for name in _numbered_images(fields, lines.where(item)):
            sides.add(name, 0, item)
        is_same.append(len(fields) == 3)
    paths, people = _numbered_paths(sides, data_dir)
    return sides.finished(path, paths, np.frombuffer(is_same, bool).copy(), None, (lines,), people)


_READERS = {"plain": _read_plain, "LFW": _read_lfw, "RFW": _read_rfw}


def _numbered_images(fields: list[bytes], where: str) -> list[tuple[bytes, int]]:
    """(name, number) of both images in a line of three fields, for one person, or of four, for two."""
    is_same = len(fields) == 3
    first, other = fields[0], fields[0] if is_same else fields[2]
    for name in (first, other):
        if b"/" in name or name in (b".", b".."):
            raise UserError(f"{where}: {name.decode(errors='replace')!r} is no name of a person")
    if not is_same and first == other:
        raise UserError(f"{where}: a pair of two people names {os.fsdecode(first)!r} twice")
    return [(first, _number(fields[1], where)), (other, _number(fields[-1], where))]


def _numbered_paths(sides: _Sides, data_dir: str) -> tuple[Texts, list[bytes]]:
    """The path of each image, with the suffix that the first one has, and the name of its person."""
    stems = [os.fsdecode(b"%b/%b_%04d" % (name, name, number)) for name, number in sides.names]
    suffix = _suffix(data_dir, stems[0], ".jpg") or ".jpg"
    return Texts(stem + suffix for stem in stems), [name for name, _ in sides.names]


def _read_cfp(path: str, data_dir: str) -> PairList:
    kind = os.path.basename(os.path.abspath(path))
    if kind not in _CFP_POSES:
        raise UserError(
            f"{path}: of a folder it must be known which pairs are meant; name CFP's folder Protocol/Split/FF or "
            "Protocol/Split/FP, or a list"
        )
    poses = _CFP_POSES[kind]
    lists = {pose: _cfp_list(path, pose) for pose in poses}
    images = {pose: _cfp_paths(lines) for pose, lines in lists.items()}
    sides, sources = _Sides(), {pose: source for source, pose in enumerate(lists)}
    half, first = 0, ""
    for fold in range(_CFP_FOLDS):
        for name in ("same.txt", "diff.txt"):
            lines = Lines(os.path.join(path, f"{fold + 1:02d}", name), ("number,number",), more=True)
            for item, fields in enumerate(lines):
                where = lines.where(item)
                numbers = b" ".join(fields).split(b",")
                if len(numbers) != 2:
                    raise UserError(f"{where}: {len(numbers)} numbers where number,number is expected")
                for pose, digits in zip(poses, numbers, strict=True):
                    number = _number(digits, where)
                    if number > len(images[pose]):
                        raise UserError(f"{where}: image {number}, but {lists[pose].path} ends at {len(images[pose])}")
                    sides.add((pose, number), sources[pose], number - 1)
            half, first = half or lines.count, first or lines.path
            if lines.count != half:
                raise UserError(
                    f"{lines.path}: {lines.count} pairs where {first} has {half}; download or copy it again"
                )
    parts = [images[pose][number - 1] for pose, number in sides.names]
    paths, people = Texts(_cfp_located(parts, data_dir)), ("/".join(names[:-2]) for names in parts)
    pair = np.arange(2 * half * _CFP_FOLDS)
    return sides.finished(path, paths, pair % (2 * half) < half, pair // (2 * half), tuple(lists.values()), people)


def _cfp_list(path: str, pose: str) -> Lines:
    """The list of a pose: in Protocol, two folders up; the readme of CFP draws it in Split."""
    name = f"Pair_list_{pose}.txt"
    places = [os.path.normpath(os.path.join(path, *up, name)) for up in (("..", ".."), ("..",))]
    return Lines(next((place for place in places if os.path.isfile(place)), places[0]), ("number", "path"))


def _cfp_paths(lines: Lines) -> list[list[str]]:
    """The folders and the name of each image; where a path begins is of no account."""
    paths = []
    for item, (number, path) in enumerate(lines):
        if _number(number, lines.where(item)) != item + 1:
            raise UserError(f"{lines.where(item)}: image {number.decode()} where {item + 1} is expected")
        parts = [part for part in os.fsdecode(path).split("/") if part not in ("", ".", "..")]
        if not parts:
            raise UserError(f"{lines.where(item)}: {os.fsdecode(path)!r} is no path of an image")
        paths.append(parts)
    return paths


def _cfp_located(paths: list[list[str]], data_dir: str) -> list[str]:
    """Paths relative to data_dir, with the part of them and the suffix with which the first image lies there."""
    depth, suffix = _CFP_DEPTH, None
    for length in range(len(paths[0]), 0, -1):
        stem, usual = os.path.splitext("/".join(paths[0][-length:]))
        found = _suffix(data_dir, stem, usual)
        if found is not None:
            depth, suffix = length, None if found == usual else found
            break
    tails = ["/".join(parts[-depth:]) for parts in paths]
    return tails if suffix is None else [os.path.splitext(tail)[0] + suffix for tail in tails]
