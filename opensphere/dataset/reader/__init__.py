"""Readers of stored face images. `open_reader` takes the one for what a path holds."""

import glob
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opensphere.dataset.annotation import find_images
from opensphere.dataset.reader.files import FileReader, read_folder, read_images, read_list
from opensphere.dataset.reader.pickled import PickledPairs
from opensphere.dataset.reader.reader import Reader
from opensphere.dataset.reader.record import RecordReader
from opensphere.dataset.reader.shard import ShardReader
from opensphere.error import UserError

__all__ = ["FileReader", "Reader", "open_reader", "watched"]

Watcher = Callable[[str, int, int], None]  # called with what is read, how much of it is done, and the whole
_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)
LIST_SUFFIXES = (".txt", ".lst", ".list", ".tsv")


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """While it lasts, whoever opens large data for the first time, anywhere below, tells `watcher` how far it is."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def open_reader(path: str | os.PathLike, ann_path: str | os.PathLike | None = None, people: bool = True) -> Reader:
    """The images of people that a path holds.

    Args:
        path: a folder of people; a `.rec` file, or a folder that holds one; a `.tar` shard, a folder of them, or a
            pattern such as `train-{0000..0099}.tar`; a `.bin` file; a list of `path name` a line, relative to its own
            folder.
        ann_path: a list of `path name` a line; `path` is then the folder that its paths are relative to.
        people: whether it matters whom the images show; if not, a folder is taken with all images below it.

    Raises:
        UserError: there is nothing that can be read, or it is not whole.
    """
    path = os.fspath(path)
    watcher = _watcher.get()
    title = os.path.basename(os.fspath(ann_path or path))

    def progress(done: int, total: int) -> None:
        if watcher is not None:
            watcher(title, done, total)

    if ann_path is not None:
        return read_list(path, ann_path, progress)
    kind = _kind(path)
    if kind == "record":
        return RecordReader(path, progress)
    if kind == "shard":
        return ShardReader(path, people, progress)
    if kind == "pickled":
        return PickledPairs(path)
    if kind == "list":
        return read_list(os.path.dirname(path) or ".", path, progress)
    return read_folder(path) if people else read_images(path)


def _kind_of_folder(path: str) -> str:
    try:
        with os.scandir(path) as entries:
            shown = [entry for entry in entries if not entry.name.startswith(".")]
            files = [entry.name for entry in shown if entry.is_file()]
            folders = [entry.name for entry in shown if entry.is_dir()]
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    for kind, end in (("record", ".rec"), ("shard", ".tar")):
        found = sorted(name for name in files if name.lower().endswith(end))
        if found and folders and next(find_images(os.path.join(path, folders[0])), None) is not None:
            raise UserError(
                f"{path}: it holds {found[0]} and folders of images; name {os.path.join(path, found[0])}, or a folder "
                "that holds the folders alone"
            )
        if found:
            return kind
    return "folder"


def _kind(path: str) -> str:
    """What a path holds, by its name and, for a folder, by the names in it."""
    lower = path.lower()
    if os.path.isdir(path):
        return _kind_of_folder(path)
    for kind, ends in (("record", (".rec", ".idx")), ("shard", (".tar", ".tar.gz", ".tgz")), ("pickled", (".bin",))):
        if lower.endswith(ends):
            return kind
    if lower.endswith(LIST_SUFFIXES):
        return "list"
    if os.path.isfile(path + ".rec"):
        return "record"
    if os.path.isfile(path):
        raise UserError(
            f"{path}: no kind of data that is known by its name; name a folder of people, a list (.txt), "
            "a .rec, a .tar or a .bin file"
        )
    if glob.has_magic(path) and glob.glob(path):
        return "shard"
    raise UserError(f"{path}: there is no such file or folder")
