"""`opensphere data`: look into a set of face images, find what is wrong with it, write it in another form."""

import argparse

from opensphere.command import data_check, data_info, data_sheet, data_write
from opensphere.inspection.finding import CATALOGUE

PLACES = "a folder of people, a list, a .rec file, tar shards, a .bin file, a list of pairs"


VERBS = True  # arguments are those of a verb, none of which may stand before it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `data`: a verb, and what belongs to it."""
    parser.description = f"{__doc__} Sets are {PLACES}."
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="verb")
    _add_info(_verb(verbs, "info", "people, images, sizes, and what a training would hold in memory"))
    _add_check(_verb(verbs, "check", "find what makes a set unfit to train on; exit status 1 if there is anything"))
    _add_writers(verbs)
    _add_sheet(_verb(verbs, "sheet", "a picture of some people, one a row"))


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status: of `check` 1, where the set is not fit to train on.

    Raises:
        UserError: the data cannot be used, or what is to be written is there already.
    """
    return arguments.action(arguments)


def _verb(verbs: argparse._SubParsersAction, name: str, about: str) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
    parser.add_argument("path", metavar="PATH", help=PLACES)
    parser.add_argument("--list", metavar="LIST", help="a list whose paths are relative to the folder PATH")
    return parser


def _add_info(parser: argparse.ArgumentParser) -> None:
    about = "look at N images drawn at random; 0: at all (all, where there are no more than 100,000)"
    parser.add_argument("--sample", metavar="N", type=int, help=about)
    parser.set_defaults(action=data_info.info)


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", metavar="PATH2", help="a set for tests that must not share people or images")
    parser.add_argument("--list2", metavar="LIST2", help="its list")
    parser.add_argument("--model", metavar="DIR", help="a run folder: faces are compared too")
    parser.add_argument("--batch", metavar="N", type=int, default=128, help="images at a time for it (%(default)s)")
    parser.add_argument("--out", metavar="DIR", help="a folder for check.json, lists and pictures of what was found")
    about = "images with a shorter side than this many pixels are tiny (%(default)s)"
    parser.add_argument("--tiny", metavar="N", type=int, default=50, help=about)
    errors = [name for name, (severity, _) in CATALOGUE.items() if severity == "error"]
    about = f"pass over an error, may be repeated: {', '.join(errors)}"
    parser.add_argument("--allow", metavar="NAME", action="append", default=[], choices=errors, help=about)
    parser.set_defaults(action=data_check.check)


def _add_writers(verbs: argparse._SubParsersAction) -> None:
    parser = _verb(verbs, "convert", "write a set in another form; image files are copied byte for byte")
    about = "what to write: a .rec, .tar or .bin file, or a folder; nothing that is there is overwritten"
    parser.add_argument("dest", metavar="DEST", help=about)
    about = "the form, where the name of DEST does not tell: image files with a list, records, tar shards, pairs"
    parser.add_argument("--to", choices=data_write.FORMS, help=about)
    parser.set_defaults(action=data_write.convert)

    parser = _verb(verbs, "list", "write a list, one `path name` a line")
    parser.add_argument("--out", metavar="FILE", required=True, help="the list to write")
    parser.set_defaults(action=data_write.write_names)

    parser = _verb(verbs, "split", "part the people of a set: train.txt and val.txt, and val_pairs.txt to validate on")
    parser.add_argument("--out", metavar="DIR", required=True, help="a folder for the three lists")
    about = "people to keep apart, a number or a share such as 0.1 (a tenth, at least 10, at most 500)"
    parser.add_argument("--val-people", metavar="N", help=about)
    parser.add_argument("--pairs", metavar="P", type=int, help="pairs to draw (as many as there are, at most 6,000)")
    parser.add_argument("--folds", metavar="K", type=int, default=10, help="folds of the pairs (%(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="another seed draws other people and pairs")
    parser.set_defaults(action=data_write.split)


def _add_sheet(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", metavar="FILE", required=True, help="the picture to write (.png, .jpg)")
    parser.add_argument("--people", metavar="N", type=int, default=12, help="how many people (%(default)s)")
    parser.add_argument("--images", metavar="M", type=int, default=8, help="images of each, at most (%(default)s)")
    parser.add_argument("--side", metavar="N", type=int, default=112, help="pixels of a picture's side (%(default)s)")
    parser.add_argument("--seed", metavar="N", type=int, help="draw people and images; without, the first are shown")
    parser.set_defaults(action=data_sheet.sheet)
