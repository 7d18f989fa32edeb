"""The lists of 1:N of IJB-B and IJB-C: whom the templates of galleries and probes show."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from opensphere.dataset.annotation import Texts
from opensphere.dataset.ijb_lists import are_arrays, are_texts, kept_lists
from opensphere.dataset.numbers import whole
from opensphere.dataset.reader.index import Arrays
from opensphere.error import UserError

_HEADS = re.compile(rb"([^,\n]*,[^,\n]*)[^\n]*\n")  # the first two fields of a line, with the comma


@dataclass(frozen=True, eq=False)
class Enrolment:
    """The templates of a gallery, or of the probes, each once.

    Attributes:
        template: (G,) int64, templates of the set.
        person: (G,) text, the person of each.
    """

    template: np.ndarray
    person: np.ndarray


@dataclass(frozen=True, eq=False)
class Enrolments:
    """What the lists of 1:N say.

    Attributes:
        galleries: one for each list that names somebody.
        gallery: all galleries together, each template once.
        probe: the probes.
        person: (T,) int64, whom each template shows: a place among the sorted names, -1 where no list tells.
    """

    galleries: tuple[Enrolment, ...]
    gallery: Enrolment
    probe: Enrolment
    person: np.ndarray


def read_enrolments(
    gallery_paths: Sequence[str], probe_path: str, template_path: str, template_ids: np.ndarray
) -> Enrolments:
    """Galleries and probes. Lists have a header, then template, person and more a line; templates may be repeated.

    Raises:
        UserError: a list cannot be used, naming the line; or somebody is searched for who is in no gallery.
    """
    count = len(gallery_paths)

    def fits(kept: Arrays) -> bool:
        if not are_arrays(kept, template=("i8", 1), person=("i8", 1), bounds=("i8", 1), text=("u1", 1), ends=("i8", 1)):
            return False
        template, person, bounds = kept["template"], kept["person"], kept["bounds"]
        return (
            len(template) == len(person) == bounds[-1] > 0
            and len(bounds) == count + 2
            and bool((bounds[1:] >= bounds[:-1]).all())
            and bounds[0] == 0
            and 0 <= template.min() <= template.max() < len(template_ids)
            and 0 <= person.min() <= person.max() < len(kept["ends"])
            and are_texts(kept["text"], kept["ends"])
        )

    kept = kept_lists(
        [probe_path, *gallery_paths, template_path],
        "ijb enrolments 1",
        lambda: _build_enrolments(gallery_paths, probe_path, template_ids),
        fits,
    )
    names = np.array(list(Texts.packed(kept["text"], kept["ends"])))
    bounds, template, person = kept["bounds"].tolist(), kept["template"], kept["person"]
    lists = [
        Enrolment(template[start:stop], names[person[start:stop]])
        for start, stop in zip(bounds[:-1], bounds[1:], strict=True)
    ]
    enrolled, first = np.unique(template[: bounds[-2]], return_index=True)
    place = np.sort(first)
    gallery = Enrolment(template[place], names[person[place]])
    of_template = np.full(len(template_ids), -1)
    of_template[template[bounds[-2] :]] = person[bounds[-2] :]
    of_template[enrolled] = person[first]
    return Enrolments(tuple(part for part in lists[:-1] if len(part.template)), gallery, lists[-1], of_template)


def _build_enrolments(gallery_paths: Sequence[str], probe_path: str, template_ids: np.ndarray) -> Arrays:
    position = {template: place for place, template in enumerate(template_ids.tolist())}
    galleries, probes = _enrol(gallery_paths, position), _enrol([probe_path], position)
    strangers = sorted(set(probes[0].values()) - {name for gallery in galleries for name in gallery.values()})
    if strangers:
        also = f" and {len(strangers) - 1} more" if len(strangers) > 1 else ""
        raise UserError(f"{probe_path}: person {strangers[0]}{also} in no gallery; name all galleries in gallery_paths")
    lists = [*galleries, *probes]
    names = sorted({name for part in lists for name in part.values()})
    number = {name: place for place, name in enumerate(names)}
    text, ends = Texts(names).as_arrays()
    return {
        "template": np.array([position[template] for part in lists for template in part], np.int64),
        "person": np.array([number[name] for part in lists for name in part.values()], np.int64),
        "bounds": np.cumsum([0, *map(len, lists)]),
        "text": text,
        "ends": ends,
    }


def _enrol(paths: Sequence[str], position: dict[int, int]) -> list[dict[int, str]]:
    """For each list the persons of its templates."""
    plain = [heads for path in paths if (heads := _plain_heads(path)) is not None]
    if len(plain) == len(paths):
        try:
            return _enrol_all(paths, plain, position)
        except UserError:
            pass  # the slow way finds the line
    return _enrol_all(paths, map(_heads, paths), position)


def _enrol_all(
    paths: Sequence[str], lists: Iterable[Iterable[tuple[int, list[str]]]], position: dict[int, int]
) -> list[dict[int, str]]:
    person_of: dict[int, str] = {}
    found = []
    for path, rows in zip(paths, lists, strict=True):
        part: dict[int, str] = {}
        for line, fields in rows:
            try:
                template, person = whole(fields[0]), fields[1].strip()
            except (ValueError, IndexError):
                raise UserError(f"{path}:{line}: should begin with a template's number and a person") from None
            if person_of.setdefault(template, person) != person:
                raise UserError(f"{path}:{line}: template {template} is of person {person_of[template]} elsewhere")
            if template not in position:
                raise UserError(f"{path}:{line}: template {template} has no images; check template_path")
            part[template] = person
        found.append(part)
    if not person_of:
        raise UserError(f"{', '.join(paths)}: no templates; after a header each line should be: template,person")
    return found


def _plain_heads(path: str) -> list[tuple[int, list[str]]] | None:
    """As `_heads`, each head once and without its line; None for a table that is not of the plainest kind."""
    try:
        data = Path(path).read_bytes().replace(b"\r\n", b"\n").rstrip() + b"\n"
        header = data.find(b"\n") + 1
        if not data.isascii() or b'"' in data or b"\r" in data or b"\n\n" in data:
            return None
        heads = _HEADS.findall(data, header)
        if len(heads) != data.count(b"\n", header):
            return None
        return [(0, head.decode("ascii").split(",")) for head in dict.fromkeys(heads)]
    except OSError:
        return None


def _heads(path: str) -> Iterator[tuple[int, list[str]]]:
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
