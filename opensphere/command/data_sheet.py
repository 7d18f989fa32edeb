"""`opensphere data sheet`: a picture of some people, one a row."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from opensphere import storage
from opensphere.command.screen import Rows, bar, make_console, opening, print_table
from opensphere.error import UserError
from opensphere.inspection.scan import pictures
from opensphere.inspection.sheet import LARGEST, Row, draw, shape_of
from opensphere.inspection.source import Source, open_source

PICTURED = 12  # rows of a finding, on the sheet of a check


def sheet(arguments: argparse.Namespace) -> int:
    """Carry out the verb; returns the exit status.

    Raises:
        UserError: the data cannot be read, the picture would be too large, or it cannot be written.
    """
    console = make_console()
    out = Path(arguments.out)
    check_picture(out)
    with opening(console):
        source = open_source(arguments.path, arguments.list)
    people, images, side = arguments.people, arguments.images, arguments.side
    if min(people, images, side) < 1:
        raise UserError("sheet: --people, --images and --side must be 1 or more")
    chosen = choose(source, people, images, arguments.seed)
    height, width = shape_of(len(chosen), images, side=side)
    if height * width > LARGEST or max(height, width) > 65_000:
        raise UserError(f"sheet: {height:,} x {width:,} pixels are too many: give fewer --people or --images")
    rows: list[Row] = []
    names: list[str] = []
    with bar(console) as progress:
        for number, members in enumerate(progress.track(chosen, description="draw")):
            name = source.person(int(members[0]))
            rows.append(Row(f"{number + 1} {name}", [pictures(source.reader, members)]))
            names.append(printable(name))
    write_picture(out, draw(rows, side))
    if not all(name.isascii() for name in names):  # the picture has no such letters
        table: Rows = [{"row": str(number + 1), "person": name} for number, name in enumerate(names)]
        print_table(console, "The names in full", table)
    what = "people" if source.labels is not None else "images, for nothing says whom they show"
    console.print(f"{out}: {len(rows)} rows of {what}", markup=False, soft_wrap=True)
    return 0


def choose(source: Source, people: int, images: int, seed: int | None) -> list[np.ndarray]:
    """The images of each row, (K,) int64: the first people and images; with a seed, drawn.

    Where nothing says whom images show, a row is just some of them.
    """
    random = None if seed is None else np.random.default_rng(seed)
    if source.labels is None:
        order = np.arange(len(source)) if random is None else random.permutation(len(source))
        return [order[start : start + images] for start in range(0, min(len(source), people * images), images)]
    order = np.argsort(source.labels, kind="stable")
    counts = np.bincount(source.labels, minlength=len(source.reader.names))
    ends = np.cumsum(counts)
    there = np.flatnonzero(counts)
    some = there[:people]
    if random is not None:
        some = np.sort(random.choice(there, min(people, len(there)), replace=False))
    rows = []
    for person in some:
        own = order[ends[person] - counts[person] : ends[person]]
        rows.append(own[:images] if random is None else np.sort(random.permutation(own)[:images]))
    return rows


def check_picture(path: Path) -> None:
    """Raises UserError where a name is none of a picture that can be written."""
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UserError(f"{path}: is no name of a picture; end it in .png or .jpg")


def write_picture(path: Path, image: np.ndarray) -> None:
    """Write (height, width, 3) uint8 RGB. Raises UserError where the file cannot be written."""
    done, data = cv2.imencode(path.suffix.lower(), image[:, :, ::-1])
    if not done:
        raise UserError(f"{path}: a picture of {image.shape[0]} x {image.shape[1]} pixels cannot be written")
    storage.write_bytes(path, data.tobytes())


def printable(text: str) -> str:
    """A text from a file's name, safe to print: what is no letter, and bytes that are no text, as question marks."""
    return "".join(character if character.isprintable() else "?" for character in text)


def join(parts: Sequence[str]) -> str:
    """Names in a row, safe to print."""
    return " = ".join(printable(part) for part in parts)
