"""`opensphere faces`: write the built-in procedural faces to a folder, with a list that any config can name."""

import argparse
from pathlib import Path

from opensphere.command.screen import bar, make_console
from opensphere.dataset.synthetic import SyntheticFaces, write_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `faces`."""
    parser.add_argument(
        "--out", metavar="DIR", required=True, help="the folder to write: one folder a person, and list.txt"
    )
    parser.add_argument("--people", type=int, default=100, help="how many people (%(default)s)")
    parser.add_argument("--images", type=int, default=20, help="images of each (%(default)s)")
    parser.add_argument("--image_size", type=int, default=112, help="pixels of a side (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="another seed draws other people (%(default)s)")
    parser.add_argument("--first_person", type=int, default=0, help="number of the first person (%(default)s)")
    parser.add_argument("--nuisance", type=float, default=1.0, help="strength of pose, light, blur ... (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status."""
    dataset = SyntheticFaces(
        people=arguments.people,
        images=arguments.images,
        image_size=arguments.image_size,
        seed=arguments.seed,
        first_person=arguments.first_person,
        nuisance=arguments.nuisance,
        in_memory=False,
    )
    with bar(make_console()) as progress:
        task = progress.add_task("write faces", total=len(dataset))
        write_folder(dataset, arguments.out, progress=lambda done, total: progress.update(task, completed=done))
    out = Path(arguments.out)
    print(f"{len(dataset):,} images of {arguments.people} people in {out}, listed in {out / 'list.txt'}")
    return 0
