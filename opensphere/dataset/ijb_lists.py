"""The lists of IJB-B and IJB-C: images and pairs of templates. What was read of large ones is kept.

Each list is read in the plainest way if it can be (`numbers.py`), else line by line; the slow way finds what is wrong.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opensphere.dataset.annotation import Lines, Texts
from opensphere.dataset.numbers import nth_line, read_integers, read_named, whole
from opensphere.dataset.reader.index import Arrays, kept_index
from opensphere.error import UserError

_LANDMARKS = ("image", *(f"{axis}{point}" for point in range(1, 6) for axis in "xy"), "faceness")
_LARGE = 1 << 20  # bytes of lists of which the result is kept
_SHORTEST = 6  # bytes of the shortest line of pairs
_TABLE = 1 << 22  # ids up to here are found in a table


class MetaFiles:
    """Finds lists in a folder by the ends of their names. Raises UserError where there is no such folder."""

    def __init__(self, folder: str | os.PathLike):
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise UserError(f"{self.folder}: there is no such folder; set meta_dir to the folder that holds the lists")

    def all(self, pattern: str) -> list[Path]:
        return sorted(path for path in self.folder.glob(pattern) if not path.name.startswith("."))

    def one(self, pattern: str, key: str) -> Path:
        """The only list that fits. Raises UserError that names `key` if there is none or several."""
        found = self.all(pattern)
        if len(found) != 1:
            names = ", ".join(path.name for path in found)
            what = f"several fit {pattern} ({names})" if found else f"there is no {pattern}"
            raise UserError(f"{self.folder}: {what}; give {key}")
        return found[0]


@dataclass(frozen=True)
class Source:
    """A list that says in which of its lines an image stands."""

    path: str

    def where(self, item: int) -> str:
        try:
            return f"{self.path}:{nth_line(self.path, item)}"
        except (OSError, IndexError):  # it is no longer what was read
            return self.path


def kept_lists(
    sources: Sequence[str], version: str, build: Callable[[], Arrays], fits: Callable[[Arrays], bool] | None = None
) -> Arrays:
    """What `build` makes of lists, kept beside the first of them if they are large."""
    if not all(map(os.path.isfile, sources)) or sum(map(os.path.getsize, sources)) < _LARGE:
        return build()
    return kept_index(f"{sources[0]}.index.npz", sources, version, build, fits)


def are_arrays(kept: Arrays, **kinds: tuple[str, int]) -> bool:
    """Whether arrays have these types and numbers of dimensions."""
    return {name: (array.dtype.str[1:], array.ndim) for name, array in kept.items()} == kinds


def are_texts(text: np.ndarray, ends: np.ndarray) -> bool:
    return not len(ends) or bool(ends[0] >= 0 and (ends[1:] >= ends[:-1]).all() and ends[-1] == len(text))


# ------------------------------------------------------------------------------------------------------------ images


@dataclass(frozen=True, eq=False)
class Images:
    """The images, and the templates that they belong to.

    Attributes:
        paths: (N,) as listed.
        points: (N, 5, 2) float32.
        faceness: (N,) float32.
        template: (N,) int32, positions in template_ids.
        media: (N,) int64.
        template_ids: (T,) int64, sorted.
    """

    paths: Texts
    points: np.ndarray
    faceness: np.ndarray
    template: np.ndarray
    media: np.ndarray
    template_ids: np.ndarray


def read_images(landmark_path: str, template_path: str) -> Images:
    """The images of the list of landmarks and the list of templates, which must name the same in the same order.

    Raises:
        UserError: a list cannot be used; the line is named.
    """
    sources = [landmark_path, template_path]
    kept = kept_lists(sources, "ijb images 1", lambda: _build_images(*sources), _images_fit)
    paths = Texts.packed(kept["text"], kept["ends"])
    return Images(
        paths, kept["points"], kept["faceness"], kept["template"], kept["media"], kept["template_ids"]
    )  # fmt: skip


def _images_fit(kept: Arrays) -> bool:
    kinds = {"text": ("u1", 1), "ends": ("i8", 1), "points": ("f4", 3), "faceness": ("f4", 1), "template": ("i4", 1)}
    if not are_arrays(kept, **kinds, media=("i8", 1), template_ids=("i8", 1)):
        return False
    count, templates, ids = len(kept["ends"]), kept["template"], kept["template_ids"]
    return (
        count > 0
        and len(kept["faceness"]) == len(templates) == len(kept["media"]) == count
        and kept["points"].shape == (count, 5, 2)
        and 0 <= templates.min() <= templates.max() == len(ids) - 1
        and bool((ids[1:] > ids[:-1]).all())
        and are_texts(kept["text"], kept["ends"])
    )


def _build_images(landmark_path: str, template_path: str) -> Arrays:
    paths, numbers = _read_landmarks(landmark_path)
    wrong = np.flatnonzero(~np.isfinite(numbers).all(axis=1))
    if len(wrong):
        where = Source(landmark_path).where(int(wrong[0]))
        raise UserError(f"{where}: a number is not finite; correct or leave out the image")
    ids, media = _read_templates(template_path, paths, landmark_path)
    template_ids, template = np.unique(ids, return_inverse=True)
    text, ends = paths.as_arrays()
    return {
        "text": text,
        "ends": ends,
        "points": np.ascontiguousarray(numbers[:, :10]).reshape(-1, 5, 2),
        "faceness": numbers[:, 10].copy(),
        "template": template.astype(np.int32),
        "media": np.ascontiguousarray(media),
        "template_ids": template_ids,
    }


def _read_landmarks(path: str) -> tuple[Texts, np.ndarray]:
    """The paths, and (N, 11) float32: five points as x y, and faceness."""
    plain = read_named(path, len(_LANDMARKS) - 1, np.float64)
    if plain is not None:
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
            return plain[0], plain[1].astype(np.float32)
    lines, paths, numbers = Lines(path, _LANDMARKS), Texts(), []
    for name, *fields in lines:
        try:
            numbers.append(np.array(fields, np.float32))
        except ValueError:
            where, text = lines.where(len(paths)), b" ".join(fields).decode()
            raise UserError(f"{where}: {text!r} should be numbers: five points and faceness") from None
        paths.add(name)
    return paths, np.stack(numbers)


def _read_templates(path: str, paths: Texts, landmark_path: str) -> tuple[np.ndarray, np.ndarray]:
    """(N,) ids of templates and (N,) of media; the images must be `paths`, in this order."""
    plain = read_named(path, 2, np.int64)
    if plain is not None and same_texts(plain[0], paths):
        return plain[1][:, 0], plain[1][:, 1]
    lines = Lines(path, ("image", "template", "medium"))
    rows: list[tuple[int, int]] = []
    for image, template, medium in lines:
        where = lines.where(len(rows))
        if len(rows) == len(paths) or os.fsdecode(image) != paths[len(rows)]:
            raise UserError(f"{where}: image {os.fsdecode(image)}; {landmark_path} has another or none here")
        try:
            rows.append((whole(template), whole(medium)))
        except ValueError:
            raise UserError(f"{where}: template and medium should be whole numbers") from None
    if len(rows) < len(paths):
        raise UserError(f"{lines.path}: {len(rows)} images, but {landmark_path} has {len(paths)}")
    table = np.array(rows, np.int64)
    return table[:, 0], table[:, 1]


def same_texts(left: Texts, right: Texts) -> bool:
    return all(map(np.array_equal, left.as_arrays(), right.as_arrays()))


# ------------------------------------------------------------------------------------------------------------- pairs


def read_pairs(path: str, template_path: str, template_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P, 2) int32, positions in template_ids, and (P,) bool, whether they are of one person.

    Args:
        path: template, template, label a line.
        template_path: what the templates were read from.
        template_ids: (T,) int64, sorted.

    Raises:
        UserError: the list cannot be used; the line is named.
    """

    def fits(kept: Arrays) -> bool:
        if not are_arrays(kept, pairs=("i4", 2), is_same=("b1", 1)):
            return False
        pairs, is_same = kept["pairs"], kept["is_same"]
        return (
            pairs.shape == (len(is_same), 2)
            and len(pairs) > 0
            and bool(pairs.view(np.uint32).max() < len(template_ids) and is_same.view(np.uint8).max() <= 1)
        )

    kept = kept_lists([path, template_path], "ijb pairs 1", lambda: _build_pairs(path, template_ids), fits)
    return kept["pairs"], kept["is_same"]


def _build_pairs(path: str, template_ids: np.ndarray) -> Arrays:
    find = _finder(template_ids)
    most = os.path.getsize(path) // _SHORTEST + 1 if os.path.isfile(path) else 0
    pairs, is_same, count = np.empty((most, 2), np.int32), np.empty(most, bool), 0  # what is not used takes no memory
    for rows in read_integers(path, ("template", "template", "label")):
        index, label = find(rows[:, :2]), rows[:, 2]
        if index.min(initial=0) < 0 or label.view(np.uint64).max(initial=0) > 1:  # a negative label is a large one
            wrong = int(np.argmax((index < 0).any(axis=1) | (label < 0) | (label > 1)))
            _refuse_pair(f"{path}:{nth_line(path, count + wrong)}", rows[wrong].tolist(), index[wrong].tolist())
        pairs[count : count + len(rows)] = index
        np.equal(label, 1, out=is_same[count : count + len(rows)])
        count += len(rows)
    if not count:
        raise UserError(f"{path}: the list is empty; each line should be: template template label")
    return {"pairs": pairs[:count], "is_same": is_same[:count]}


def _refuse_pair(where: str, row: list[int], index: list[int]) -> None:
    left, right, label = row
    if label not in (0, 1):
        raise UserError(f"{where}: label {label}; it should be 1 (same person) or 0 (two people)")
    raise UserError(f"{where}: template {left if index[0] < 0 else right} has no images; check template_path")


def _finder(ids: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """What finds the positions of numbers in `ids`, as int32 of the same shape, -1 for one that is not there."""
    last = int(ids[-1])
    if ids[0] < 0 or last > _TABLE:

        def search(numbers: np.ndarray) -> np.ndarray:
            position = np.searchsorted(ids, numbers)
            position[position == len(ids)] = 0
            return np.where(ids[position] == numbers, position, -1).astype(np.int32)

        return search
    table = np.full(last + 2, -1, np.int32)
    table[ids] = np.arange(len(ids))
    beyond = np.uint64(last + 1)  # also for a negative number, which as an unsigned one is very large
    return lambda numbers: np.take(table, np.minimum(numbers.view(np.uint64), beyond).view(np.int64))


# ----------------------------------------------------------------------------------------------------------- quality


def read_quality(path: str, paths: Texts) -> np.ndarray:
    """(N,) float32: the quality of images, by a list of image, quality a line, which may name others too.

    Raises:
        UserError: the list cannot be used, or lacks an image.
    """
    plain = read_named(path, 1, np.float64)
    names, numbers = (plain[0], plain[1][:, 0]) if plain is not None else _read_qualities(path)
    with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
        numbers = numbers.astype(np.float32)
    wrong = np.flatnonzero(~(np.isfinite(numbers) & (numbers >= 0)))
    if len(wrong):
        where = Source(path).where(int(wrong[0]))
        raise UserError(f"{where}: a quality of {numbers[wrong[0]]:g}; it should be finite and not negative")
    if not same_texts(names, paths):
        place = {name: line for line, name in enumerate(names)}
        if len(place) < len(names):
            twice = next(line for line, name in enumerate(names) if place[name] != line)
            raise UserError(f"{Source(path).where(twice)}: image {names[twice]} comes again below; leave out one")
        missing = next((name for name in paths if name not in place), None)
        if missing is not None:
            raise UserError(f"{path}: image {missing} has no line; the list should name all images of the set")
        numbers = numbers[[place[name] for name in paths]]
    return numbers


def _read_qualities(path: str) -> tuple[Texts, np.ndarray]:
    lines, names, numbers = Lines(path, ("image", "quality")), Texts(), []
    for name, text in lines:
        try:
            numbers.append(float(text))
        except ValueError:
            raise UserError(f"{lines.where(len(names))}: {text.decode()!r} should be a number, the quality") from None
        names.add(name)
    return names, np.array(numbers)
