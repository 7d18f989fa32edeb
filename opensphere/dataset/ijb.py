"""IJB-B and IJB-C: templates of a person's images, compared one to one and searched one to many."""

import csv
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opensphere.dataset.annotation import Lines, Texts, split
from opensphere.dataset.image_set import ImageSet, decode, parse_metrics
from opensphere.dataset.reader.files import FileReader, check_folder
from opensphere.error import UserError
from opensphere.geometry import align

_CHUNK = 1 << 24  # bytes of a list of numbers that are read at once
_LANDMARKS = ("image", *(f"{axis}{point}" for point in range(1, 6) for axis in "xy"), "faceness")


class IJBDataset(ImageSet):
    """The loosely cropped images of IJB-B (Whitelam et al. 2017) or IJB-C (Maze et al. 2018), aligned as they are read,
    with the templates that they belong to.

    The lists are found in `meta_dir` by the ends of their names; a list given by its key is used instead. The set may
    lack the lists of 1:N, all of them.

    Args:
        name: for tables and file names.
        data_dir: the folder of the loosely cropped images.
        meta_dir: the folder of the lists.
        metrics: names of what to report; all if not given.
        landmark_path: `*_name_5pts_score.txt`: image, five points as x y, faceness a line.
        template_path: `*_face_tid_mid.txt`: image, template, medium a line, in the same order.
        pair_path: `*_template_pair_label.txt`: template, template, 1 (same person) or 0 a line.
        gallery_paths: `*_1N_gallery_*.csv`: after a header, template, person and more a line; merged.
        probe_path: `*_1N_probe_mixed.csv`: the same.
        image_size: side length, or [height, width].
        test_mode: images are given as they are; kept for configs that say so.

    Attributes:
        points: (N, 5, 2) float32, the landmarks of each image.
        faceness: (N,) float32.
        template: (N,) int32, the template of each image, from 0 to T - 1 in order of their ids.
        media: (N,) int64, the medium of each image, as listed.
        template_ids: (T,) int64.
        template_pairs: (P, 2) int32, templates.
        is_same: (P,) bool.
        gallery, probe: `Enrolment`, or None where the set has no lists of 1:N.
        metrics: empty for all.

    Raises:
        UserError: a list is missing or cannot be used (naming the line), or the first image does not exist.
    """

    def __init__(
        self,
        name: str,
        data_dir: str | os.PathLike,
        meta_dir: str | os.PathLike,
        metrics: str | Sequence[str] | None = None,
        landmark_path: str | os.PathLike | None = None,
        template_path: str | os.PathLike | None = None,
        pair_path: str | os.PathLike | None = None,
        gallery_paths: Sequence[str | os.PathLike] | None = None,
        probe_path: str | os.PathLike | None = None,
        image_size: int | Sequence[int] = 112,
        test_mode: bool = True,
    ):
        super().__init__(name, image_size)
        self.test_mode = test_mode
        self.metrics = parse_metrics(metrics)
        folder = check_folder(data_dir)
        meta = MetaFiles(meta_dir)
        landmark_path = landmark_path or meta.one("*_name_5pts_score.txt", "landmark_path")
        template_path = template_path or meta.one("*_face_tid_mid.txt", "template_path")
        pair_path = pair_path or meta.one("*_template_pair_label.txt", "pair_path")
        galleries = [os.fspath(path) for path in gallery_paths or meta.all("*_1N_gallery_*.csv")]
        probes = [os.fspath(path) for path in ([probe_path] if probe_path else meta.all("*_1N_probe_mixed.csv"))]
        if bool(galleries) != bool(probes) or len(probes) > 1:
            found = ", ".join(galleries + probes) or "nothing"
            raise UserError(
                f"{os.fspath(meta_dir)}: 1:N needs galleries and one list of probes, but there is {found}; "
                f"give gallery_paths and probe_path"
            )
        lines = Lines(landmark_path, _LANDMARKS)
        paths, numbers = _read_landmarks(lines)
        self.reader = FileReader(folder, paths, lines)
        self.reader.check_first()
        self.points = numbers[:, :10].reshape(-1, 5, 2)
        self.faceness = numbers[:, 10].copy()
        ids, self.media = _read_templates(template_path, paths, landmark_path)
        self.template_ids, index = np.unique(ids, return_inverse=True)
        self.template = index.astype(np.int32)
        self.template_pairs, self.is_same = self._read_pairs(pair_path)
        self.gallery = self.probe = None
        if galleries:
            self.gallery, self.probe = self._read_enrolment(galleries), self._read_enrolment(probes)
            _check_persons(probes[0], self.probe, self.gallery)

    def read(self, index: int) -> np.ndarray:
        image = decode(self.reader.data(index), self.reader.where(index))
        try:
            return align(image, self.points[index], self.image_size)
        except UserError as error:
            raise UserError(f"{self.reader.where(index)}: {error}") from None

    def _read_pairs(self, path: str | os.PathLike) -> tuple[np.ndarray, np.ndarray]:
        pairs, is_same, first = [], [], 0
        for rows in read_integers(path, ("template", "template", "label")):
            index = self._find(rows[:, :2])
            wrong = np.flatnonzero((index < 0).any(axis=1) | (rows[:, 2] < 0) | (rows[:, 2] > 1))
            if len(wrong):
                where = f"{os.fspath(path)}:{nth_line(path, first + int(wrong[0]))}"
                left, right, label = rows[wrong[0]].tolist()
                if label not in (0, 1):
                    raise UserError(f"{where}: label {label}; it should be 1 (same person) or 0 (two people)")
                stranger = left if index[wrong[0], 0] < 0 else right
                raise UserError(f"{where}: template {stranger} has no images; check template_path")
            pairs.append(index.astype(np.int32))
            is_same.append(rows[:, 2] == 1)
            first += len(rows)
        if not first:
            raise UserError(f"{os.fspath(path)}: the list is empty; each line should be: template template label")
        return np.concatenate(pairs), np.concatenate(is_same)

    def _find(self, ids: np.ndarray) -> np.ndarray:
        """The templates of ids, -1 for one that no image has; of the same shape."""
        position = np.searchsorted(self.template_ids, ids)
        position[position == len(self.template_ids)] = 0
        return np.where(self.template_ids[position] == ids, position, -1)

    def _read_enrolment(self, paths: Sequence[str]) -> "Enrolment":
        person_of: dict[int, str] = {}
        for path in paths:
            for line, fields in _csv_rows(path):
                try:
                    template, person = _whole(fields[0]), fields[1].strip()
                except (ValueError, IndexError):
                    raise UserError(f"{path}:{line}: should begin with a template's number and a person") from None
                if person_of.setdefault(template, person) != person:
                    raise UserError(f"{path}:{line}: template {template} is of person {person_of[template]} elsewhere")
                if self._find(np.array([template]))[0] < 0:
                    raise UserError(f"{path}:{line}: template {template} has no images; check template_path")
        if not person_of:
            raise UserError(f"{', '.join(paths)}: no templates; after a header each line should be: template,person")
        templates = np.array(list(person_of), np.int64)
        return Enrolment(self._find(templates), np.array(list(person_of.values())))


@dataclass(frozen=True, eq=False)
class Enrolment:
    """The templates of a gallery, or of the probes, each once.

    Attributes:
        template: (G,) int64, templates of the set.
        person: (G,) text, the person of each.
    """

    template: np.ndarray
    person: np.ndarray


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


def _read_landmarks(lines: Lines) -> tuple[Texts, np.ndarray]:
    """The paths, and (N, 11) float32: five points as x y, and faceness."""
    paths, numbers = Texts(), []
    for path, *fields in lines:
        try:
            numbers.append(np.array(fields, np.float32))
        except ValueError:
            where, text = lines.where(len(paths)), b" ".join(fields).decode()
            raise UserError(f"{where}: {text!r} should be numbers: five points and faceness") from None
        paths.add(path)
    table = np.stack(numbers)
    wrong = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(wrong):
        raise UserError(f"{lines.where(int(wrong[0]))}: a number is not finite; correct or leave out the image")
    return paths, table


def _read_templates(
    path: str | os.PathLike, paths: Texts, landmark_path: str | os.PathLike
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) ids of templates and (N,) of media; the images must be `paths`, in this order."""
    lines = Lines(path, ("image", "template", "medium"))
    rows: list[tuple[int, int]] = []
    for image, template, medium in lines:
        where = lines.where(len(rows))
        if len(rows) == len(paths) or os.fsdecode(image) != paths[len(rows)]:
            raise UserError(f"{where}: image {os.fsdecode(image)}; {os.fspath(landmark_path)} has another or none here")
        try:
            rows.append((_whole(template), _whole(medium)))
        except ValueError:
            raise UserError(f"{where}: template and medium should be whole numbers") from None
    if len(rows) < len(paths):
        raise UserError(f"{lines.path}: {len(rows)} images, but {os.fspath(landmark_path)} has {len(paths)}")
    table = np.array(rows, np.int64)
    return table[:, 0], table[:, 1]


def _check_persons(path: str, probe: Enrolment, gallery: Enrolment) -> None:
    strangers = np.setdiff1d(probe.person, gallery.person)
    if len(strangers):
        also = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise UserError(f"{path}: person {strangers[0]}{also} in no gallery; name all galleries in gallery_paths")


def _whole(text: bytes | str) -> int:
    """A whole number of 64 bits. Raises ValueError for anything else."""
    number = int(text)
    if number.bit_length() > 63:
        raise ValueError
    return number


def _csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    """The number and the fields of each line of a table that is not empty, without the header."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            next(reader, None)
            for fields in reader:
                if fields:
                    yield reader.line_num, fields
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: is no table of comma-separated UTF-8 text: {error}") from None


def read_integers(path: str | os.PathLike, fields: Sequence[str]) -> Iterator[np.ndarray]:
    """The lines of a long list of whole numbers, in pieces of (n, number of fields) int64.

    Blank lines are skipped. Tens of millions of lines take seconds: numpy reads the pieces that are made in the
    plainest way, and only others are split line by line.

    Raises:
        UserError: the file cannot be read, or a line has another number of fields or anything but whole numbers.
    """
    try:
        with open(path, "rb") as file:
            line = 1
            while chunk := file.read(_CHUNK):
                chunk += file.readline()
                rows = _plain_rows(chunk, len(fields))
                yield _split_rows(chunk, path, line, fields) if rows is None else rows
                line += chunk.count(b"\n")
    except OSError as error:
        raise UserError(f"{os.fspath(path)}: cannot be read: {error.strerror}") from None


def _plain_rows(chunk: bytes, width: int) -> np.ndarray | None:
    """(n, width) int64, if every line is `width` numbers with one blank between two of them; else None."""
    chunk = chunk.replace(b"\r\n", b"\n")
    if not chunk.endswith(b"\n"):
        chunk += b"\n"
    marks = np.frombuffer(chunk, np.uint8)
    gaps = marks[marks <= ord(" ")]
    if len(gaps) % width:
        return None
    gaps = gaps.reshape(-1, width)
    if (gaps[:, -1] != ord("\n")).any() or (gaps[:, :-1] == ord("\n")).any():
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            numbers = np.fromstring(chunk, np.int64, sep=" ")
        except (DeprecationWarning, ValueError):  # it stopped at something that is no number
            return None
    # one for each gap: no blank is doubled; numbers too large would have become the largest without a word
    limits = np.iinfo(np.int64)
    if len(numbers) != gaps.size or numbers.max() == limits.max or numbers.min() == limits.min:
        return None
    return numbers.reshape(-1, width)


def _split_rows(chunk: bytes, path: str | os.PathLike, first: int, fields: Sequence[str]) -> np.ndarray:
    rows = []
    for number, line in enumerate(chunk.split(b"\n"), first):
        values = split(line)
        if not values:
            continue
        try:
            if len(values) != len(fields):
                raise ValueError
            rows.append([_whole(value) for value in values])
        except ValueError:
            where = f"{os.fspath(path)}:{number}"
            text = line.decode("utf-8", "replace").strip()
            raise UserError(f"{where}: {text[:60]!r} should be whole numbers: {' '.join(fields)}") from None
    return np.array(rows, np.int64).reshape(-1, len(fields))


def nth_line(path: str | os.PathLike, item: int) -> int:
    """The number of the line that holds an item, counted from 0, when blank lines are none."""
    with open(path, "rb") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                if not item:
                    return number
                item -= 1
    raise IndexError(item)
