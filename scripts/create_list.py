"""Write the list of a folder of images, one `path name` a line, for `type: ClassDataset`.

    python scripts/create_list.py --dataset_dir people --list_name people_ann

writes people_ann.txt, sorted by folder, then by file. A name is that of the last folder of the path; a path begins with
the folder as it was given, so that `data_dir: .` is right where the command was run.
"""

import argparse
import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # a checkout works without being installed
try:
    from opensphere.dataset.annotation import find_images, write_list
    from opensphere.error import UserError
except ImportError as error:
    print(f"create_list.py: opensphere is not installed here ({error}); run: pip install --editable .", file=sys.stderr)
    sys.exit(2)


class Folder:
    """A folder of images as rows of a list.

    Args:
        path: the folder, as paths should begin.
        relative_to: the folder that paths should be relative to instead.
        label: "folder": the name of an image is its last folder; "path": its folder relative to `path`, for folders of
            the same name in different places.

    Raises:
        UserError: there is no such folder, or it does not lie within `relative_to`.
    """

    def __init__(self, path: str, relative_to: str | None, label: str):
        if not os.path.isdir(path):
            raise UserError(f"{path}: there is no such folder")
        self.path = path
        self.label = label
        self.prefix = path
        if relative_to is not None:
            self.prefix = os.path.relpath(path, relative_to)
            if self.prefix.split(os.sep)[0] == os.pardir:
                raise UserError(f"{path}: does not lie within {relative_to}, which --relative_to names")
        self.count = 0
        self.places: dict[str, set[str]] = {}  # the folders that a name stands for

    def rows(self) -> Iterator[tuple[str, str]]:
        """Path and name of each image."""
        own_name = os.path.basename(os.path.abspath(self.path))  # of images that lie in the folder itself
        for image in find_images(self.path):
            place = os.path.dirname(image)
            name = (place if self.label == "path" else os.path.basename(place)) or own_name
            self.count += 1
            self.places.setdefault(name, set()).add(place)
            yield os.path.normpath(os.path.join(self.prefix, image)), name


def arguments(words: list[str] | None) -> argparse.Namespace:
    """The command line's words as options."""
    parser = argparse.ArgumentParser(prog="create_list.py", description=__doc__.splitlines()[0])
    parser.add_argument("--dataset_dir", metavar="DIR", required=True, help="the folder; images may lie at any depth")
    parser.add_argument("--list_name", metavar="NAME", required=True, help="the list to write, without its .txt")
    parser.add_argument(
        "--label", choices=("folder", "path"), default="folder",
        help="the name of an image: its last folder (default), or its folder relative to --dataset_dir",
    )  # fmt: skip
    parser.add_argument(
        "--relative_to", metavar="DIR",
        help="write paths relative to this folder, the data_dir of the config (default: they begin with --dataset_dir)",
    )  # fmt: skip
    return parser.parse_args(words)


def create(options: argparse.Namespace) -> None:
    """Write the list, say what is in it.

    Raises:
        UserError: no folder, no images, a name that cannot stand in a list, or no place to write to.
    """
    folder = Folder(options.dataset_dir, options.relative_to, options.label)
    rows = folder.rows()
    first = next(rows, None)
    if first is None:
        raise UserError(f"{options.dataset_dir}: holds no images")
    path = f"{options.list_name}.txt"
    write_list(path, itertools.chain([first], rows))
    data_dir = options.relative_to if options.relative_to is not None else "."
    if options.relative_to is None and os.path.isabs(options.dataset_dir):
        data_dir = "/"
    print(f"{path}: {folder.count:,} images of {len(folder.places):,} people; data_dir: {data_dir}")
    shared = [name for name, places in folder.places.items() if len(places) > 1]
    if shared:
        print(
            f"warning: {len(shared):,} names stand for several folders ({shared[0]} for "
            f"{len(folder.places[shared[0]])}), so these count as one person; --label path keeps them apart",
            file=sys.stderr,
        )


def main(words: list[str] | None = None) -> int:
    """The command line; returns the exit status."""
    try:
        create(arguments(words))
    except UserError as error:
        print(f"create_list.py: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
