"""`opensphere data convert`, `list` and `split`: write a set in another form, or lists of it."""

import argparse
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from opensphere.command.data_info import amount, reporter
from opensphere.command.screen import bar, make_console, opening
from opensphere.dataset.annotation import write_list
from opensphere.dataset.holdout import hold_out
from opensphere.dataset.image_set import ImageSet
from opensphere.dataset.image_set import Progress as Report
from opensphere.dataset.reader.identities import WHOLE
from opensphere.dataset.reader.pickled import write_bin
from opensphere.dataset.reader.record import without, write_records
from opensphere.dataset.reader.shard import write_shards
from opensphere.error import UserError
from opensphere.inspection.header import read_header
from opensphere.inspection.source import Source, open_source

FORMS = ("list", "rec", "tar", "bin")
_ENDS = {".rec": "rec", ".tar": "tar", ".bin": "bin"}


class Rows:
    """A set's images in the order of its people: (path, person or None, image file) of each; counts its bytes.

    Attributes:
        bytes: of the images given so far.
    """

    def __init__(self, source: Source):
        labels = source.labels
        self.order = np.arange(len(source)) if labels is None else np.argsort(labels, kind="stable")
        self.bytes = 0
        self._source = source

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[tuple[str, Any, bytes | memoryview]]:
        reader = self._source.reader
        for index in self.order.tolist():
            data = reader.data(index)
            self.bytes += len(data)
            yield reader.path(index), self._source.person(index) or None, data


def convert(arguments: argparse.Namespace) -> int:
    """Carry out `convert`; returns the exit status.

    Raises:
        UserError: the data cannot be read, do not fit the form, or the destination is there or cannot be written.
    """
    dest = arguments.dest
    form = arguments.to or _ENDS.get(os.path.splitext(dest)[1].lower(), "list")
    _refuse_existing(dest, form)
    console = make_console()
    with opening(console):
        source = open_source(arguments.path, arguments.list)
    if form == "rec" and source.labels is None:
        raise UserError(f"{source.reader.root}: nothing says whom its images show, which records must")
    if form == "bin" and (source.pairs is None or source.is_same is None):
        raise UserError(f"{source.reader.root}: holds no pairs, which a .bin file is made of")
    rows = Rows(source)
    with bar(console) as progress:
        report = reporter(progress, f"write {os.path.basename(os.path.normpath(dest))}")
        if form == "rec":
            _write_records(dest, source, rows, report)
        elif form == "tar":
            single = dest.lower().endswith(".tar") and not any(mark in dest for mark in "%{")
            write_shards(dest, rows, **({"images_per_shard": len(rows)} if single else {}), progress=report)
        elif form == "bin":
            _write_pairs(dest, source, rows, report)
        else:
            write_files(Path(dest), source, rows, report)
    what = f"{len(rows):,} images" if form != "bin" else f"{len(source.pairs):,} pairs"  # type: ignore[arg-type]
    console.print(f"{dest}: {what}, {amount(rows.bytes)} of image files", markup=False, soft_wrap=True)
    if form == "rec" and not _have_directory(source):
        text = "too many for InsightFace's directory of identities; each record says itself whom it shows, as im2rec's"
        console.print(f"{dest}: {text}", markup=False, soft_wrap=True)
    if form in ("rec", "tar") and source.pairs is not None:
        text = f"the {len(source.pairs):,} pairs are not kept in this form; convert to a folder or a .bin file for them"
        console.print(f"{dest}: {text}", markup=False, soft_wrap=True)
    return 0


def _refuse_existing(dest: str, form: str) -> None:
    ends = (".rec", ".idx", ".lst", ".REC", ".IDX", ".LST") if form == "rec" else ("",)
    stem = without(dest, ".rec") if form == "rec" else dest
    for end in ends:
        path = stem + end
        empty = form in ("list", "tar") and os.path.isdir(path) and not os.listdir(path)
        if os.path.lexists(path) and not empty:
            raise UserError(f"{path}: is there already; name another destination, or remove it first")


def _write_records(dest: str, source: Source, rows: Rows, report: Report) -> None:
    size = read_header(source.reader.data(int(rows.order[0])))
    beside = os.path.join(os.path.dirname(dest), "property")  # of a set that is there already
    told = size.height and not os.path.lexists(beside)
    shape = (size.height, size.width) if told else None
    write_records(dest, rows, report, shape, identities=_have_directory(source))


def _have_directory(source: Source) -> bool:
    """Whether InsightFace's directory can tell of so many images and people."""
    return len(source) + len(np.unique(source.labels)) + 1 < WHOLE  # type: ignore[arg-type]


def _write_pairs(dest: str, source: Source, rows: Rows, report: Report) -> None:
    assert source.pairs is not None and source.is_same is not None
    sides = source.pairs.ravel().tolist()

    def images() -> Iterator[bytes | memoryview]:
        for number, index in enumerate(sides):
            data = source.reader.data(index)
            rows.bytes += len(data)
            yield data
            if number % 100 == 99 or number + 1 == len(sides):
                report(number + 1, len(sides))

    write_bin(dest, images(), source.is_same)


def write_files(folder: Path, source: Source, rows: Rows, report: Report) -> None:
    """Write image files below a folder with list.txt of people, and pairs.txt of pairs, where there are any.

    All is written beside the folder first, which then gets its name. An image whose path another one has already, as
    in shards that each count from 0, becomes `person/number.jpg`; a file that is listed twice is written once.

    Raises:
        UserError: a path leads out of the folder or is another image's too, or a file cannot be written.
    """
    folder = Path(os.path.abspath(folder))
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.strerror}") from None
    try:
        paths = [""] * len(source)
        whose: str | None = None
        theirs: set[str] = set()  # the paths of one person, whose images come together
        for number, (path, person, data) in enumerate(rows):
            index = int(rows.order[number])
            if person != whose:
                whose, theirs = person, set()
            wanted = _inside(path, person, index, source)
            paths[index] = _write(part, wanted, data, wanted in theirs)
            if not paths[index]:
                other = _made_up(path, person, index)
                paths[index] = _write(part, other, data, False) if other else ""
            if not paths[index]:
                where = source.reader.where(index)
                raise UserError(f"{where}: its path {path!r} is another image's too; give each a path of its own")
            theirs.add(paths[index])
            if number % 100 == 99 or number + 1 == len(rows):
                report(number + 1, len(rows))
        if source.labels is not None:
            write_list(part / "list.txt", ((paths[index], source.person(index)) for index in rows.order.tolist()))
        if source.pairs is not None and source.is_same is not None:
            pairs = zip(source.is_same.tolist(), source.pairs.tolist(), strict=True)
            write_list(part / "pairs.txt", ((str(int(same)), paths[one], paths[two]) for same, (one, two) in pairs))
        part.chmod(0o777 & ~_umask())
        if folder.is_dir():
            folder.rmdir()  # empty, as was seen
        part.rename(folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written: {error.filename or ''} {error.strerror}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(folder: Path, path: str, data: bytes | memoryview, may_be: bool) -> str:
    """Write a file and return its path; "" where there is another one. The same one may be there if `may_be`."""
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(place, "xb") as file:
            file.write(data)
    except FileExistsError:
        return path if may_be and place.read_bytes() == data else ""
    return path


def _inside(path: str, person: str | None, index: int, source: Source) -> str:
    """The path below the new folder: as it was, or, of absolute paths, `person/number.jpg`."""
    pieces = path.split("/")
    astray = path.startswith("/") or ".." in pieces or "\0" in path
    if not astray and pieces[0] not in ("list.txt", "pairs.txt"):
        return os.path.normpath(path)
    name = _made_up(path, person, index)
    if not name:
        raise UserError(f"{source.reader.where(index)}: the path {path!r} leads out of the folder; give it another")
    return name


def _made_up(path: str, person: str | None, index: int) -> str:
    """`person/number.jpg`; "" where the person cannot name a folder."""
    name = (person or "").replace("/", "_").replace("\0", "_")
    return "" if name in ("", ".", "..") else f"{name}/{index:08d}{os.path.splitext(path)[1]}"


def write_names(arguments: argparse.Namespace) -> int:
    """Carry out `list`; returns the exit status.

    Raises:
        UserError: nothing says whom the images show, or the list is there already or cannot be written.
    """
    out = arguments.out
    if os.path.lexists(out):
        raise UserError(f"{out}: is there already; name another file, or remove it first")
    source = _of_people(arguments)
    rows = ((source.reader.path(index), source.person(index)) for index in range(len(source)))
    write_list(out, rows)
    people = len(source.reader.names)
    folder = f"; paths are relative to {arguments.path}" if os.path.isdir(arguments.path) else ""
    console = make_console()
    console.print(f"{out}: {len(source):,} images of {people:,} people{folder}", markup=False, soft_wrap=True)
    return 0


class _Set(ImageSet):
    """What `hold_out` asks of a set."""

    def __init__(self, source: Source):
        super().__init__(source.name)
        self.reader = source.reader
        self.labels, self.names = source.reader.labels, source.reader.names


def split(arguments: argparse.Namespace) -> int:
    """Carry out `split`; returns the exit status.

    Raises:
        UserError: there are too few people or images, or lists are there already or cannot be written.
    """
    source = _of_people(arguments)
    out = Path(arguments.out)
    for name in ("train.txt", "val.txt", "val_pairs.txt"):
        if os.path.lexists(out / name):
            raise UserError(f"{out / name}: is there already; name another folder, or remove it first")
    people = _people(arguments.val_people, len(source.reader.names))
    try:
        train, pairs = hold_out(_Set(source), people, arguments.pairs, arguments.folds, arguments.seed)
    except UserError as error:  # it speaks of configs
        raise UserError(str(error).removesuffix("; or train without: data.val=[]").split("; or train")[0]) from None
    val = pairs.dataset.indices
    sides = val[pairs.indices[pairs.pairs]]
    path, person = source.reader.path, source.person
    write_list(out / "train.txt", ((path(index), person(index)) for index in train.indices.tolist()))
    write_list(out / "val.txt", ((path(index), person(index)) for index in val.tolist()))
    rows = zip(pairs.is_same.tolist(), sides.tolist(), strict=True)
    write_list(out / "val_pairs.txt", ((str(int(same)), path(one), path(two)) for same, (one, two) in rows))
    console = make_console()
    for name, text in (
        ("train.txt", f"{len(train):,} images of {train.num_class:,} people"),
        ("val.txt", f"{len(val):,} images of {pairs.dataset.num_class:,} other people"),
        (
            "val_pairs.txt",
            f"{len(sides):,} pairs of these, half of one person, in {arguments.folds} successive folds",
        ),
    ):
        console.print(f"{out / name}: {text}", markup=False, soft_wrap=True)
    return 0


def _people(text: str | None, total: int) -> int | None:
    """How many people to keep apart, of a number or a share."""
    if text is None:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if 0 < number < 1:
        return max(2, round(number * total))
    if number < 1 or number != int(number):
        raise UserError(f"--val-people {text}: give a number of people, or a share between 0 and 1")
    return int(number)


def _of_people(arguments: argparse.Namespace) -> Source:
    with opening(make_console()):
        source = open_source(arguments.path, arguments.list)
    if source.labels is None:
        raise UserError(f"{source.reader.root}: nothing says whom its images show")
    return source


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
