"""`opensphere faces`: write the built-in procedural faces to a folder with a list, or a sheet of them to look at."""

import argparse
from pathlib import Path

import cv2

from opensphere import storage
from opensphere.command.screen import bar, make_console
from opensphere.dataset.synthetic import SyntheticFaces, sheet, write_folder
from opensphere.error import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `faces`."""
    parser.add_argument("--out", metavar="DIR", help="a folder to write: one folder a person, and list.txt")
    parser.add_argument("--sheet", metavar="FILE", help="a picture to write (.png, .jpg): one person a row")
    parser.add_argument("--people", type=int, default=100, help="how many people (%(default)s)")
    parser.add_argument("--images", type=int, default=20, help="images of each (%(default)s)")
    parser.add_argument("--image_size", type=int, default=112, help="pixels of a side (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other people (%(default)s)")
    parser.add_argument("--first_person", type=int, default=0, help="number of the first person (%(default)s)")
    parser.add_argument("--nuisance", type=float, default=1.0, help="strength of pose, light, blur ... (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status.

    Raises:
        UserError: there is nothing to write, or it cannot be written.
    """
    if not arguments.out and not arguments.sheet:
        raise UserError("faces: give --out DIR for files with a list, or --sheet FILE for a picture to look at")
    dataset = SyntheticFaces(
        people=arguments.people,
        images=arguments.images,
        image_size=arguments.image_size,
        seed=arguments.seed,
        first_person=arguments.first_person,
        nuisance=arguments.nuisance,
        in_memory=False,
    )
    if arguments.sheet:
        write_sheet(dataset, Path(arguments.sheet))
    if not arguments.out:
        return 0
    with bar(make_console()) as progress:
        task = progress.add_task("write faces", total=len(dataset))
        write_folder(dataset, arguments.out, progress=lambda done, total: progress.update(task, completed=done))
    out = Path(arguments.out)
    print(f"{len(dataset):,} images of {arguments.people} people in {out}, listed in {out / 'list.txt'}")
    return 0


def write_sheet(dataset: SyntheticFaces, path: Path) -> None:
    """Write a contact sheet of the set's people, as many images of each as it has."""
    picture = sheet(dataset, dataset.num_class, dataset.album.images)
    try:
        done, data = cv2.imencode(path.suffix, picture[:, :, ::-1])
    except cv2.error:
        done = False
    if not done:
        raise UserError(f"{path}: is no name of a picture; end it in .png or .jpg")
    storage.write_bytes(path, data.tobytes())
