"""Lists of the images in MXNet's training files: `key TAB label [TAB label ...] TAB path` a line (tools/im2rec.py)."""

import os
import re
from array import array

import numpy as np

from opensphere.dataset.reader.identities import WHOLE
from opensphere.dataset.reader.recordio import FileBytes, Progress
from opensphere.error import UserError

_LINE = 1 << 13  # bytes of the longest line
_REPORTS = 200
_HINT = "correct it, or take the list away: it only gives names"

# a relative path that stays in its folder
_PART = rb"(?!\.{1,2}(?:/|\Z))[^/\x00-\x1f\x7f]+"
_PATH = re.compile(_PART + rb"(?:/" + _PART + rb")*")


def is_path(path: bytes) -> bool:
    """Whether a path is a relative one that stays in its folder, and a line of a list can hold it."""
    return len(path) < _LINE // 2 and _PATH.fullmatch(path) is not None


def is_folder(name: str) -> bool:
    """Whether a name can be the first folder of such a path."""
    try:
        folder = os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return b"/" not in folder and len(folder) < 256 and is_path(folder)


def are_folders(names: bytes, count: int) -> bool:
    """Whether lines are so many names that can be the first folder of such a path."""
    lines = b"\n%b\n" % names
    unfit = np.isin(np.frombuffer(names, np.uint8), [*range(10), *range(11, 32), 127, ord("/")])
    return not unfit.any() and lines.count(b"\n") == count + 1 and not re.search(rb"\n\.{0,2}(?=\n)", lines)


class Listed:
    """The lines of a list: key, first byte, label and number of the first folder of each; folders in their order."""

    def __init__(self) -> None:
        self.keys, self.starts, self.labels, self.folders = array("q"), array("q"), array("i"), array("i")
        self.names: dict[bytes, int] = {}

    def add(self, key: bytes, start: int, label: int, path: bytes) -> None:
        plain = is_path(path)
        folder, inside, _ = path.partition(b"/")
        self.keys.append(int(key))
        self.starts.append(start if plain else -1)
        self.labels.append(label)
        self.folders.append(self.names.setdefault(folder, len(self.names)) if plain and inside else -1)


def read_key_list(path: str, progress: Progress | None) -> Listed | None:
    """The lines of a list, or None where its first line shows that it is of another kind."""
    listed = Listed()
    file = FileBytes(path)
    size, at, due = file.measure(), 0, 0
    with open(path, "rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(_LINE), b""), 1):
            fields = line.rstrip(b"\r\n").split(b"\t")
            label = _label(fields[1]) if len(fields) > 2 and fields[0].isdigit() and len(fields[0]) <= 18 else None
            if label is not None:
                listed.add(fields[0], at, label, fields[-1])
            elif line.strip():
                if not listed.keys:
                    return None
                raise UserError(
                    f"{path}:{number}: {line[:50]!r} is not a key, a label and a path with TABs between; {_HINT}"
                )
            at += len(line)
            if progress is not None and at >= due:
                progress(at, size)
                due = at + size // _REPORTS
    return listed if listed.keys else None


def _label(text: bytes) -> int | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if 0 <= value < WHOLE and value == int(value) else None


def match(
    path: str, listed: Listed, rec: str, keys: np.ndarray, people: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Lines and names as `_build` keeps them."""
    known = np.frombuffer(listed.keys, np.int64)
    places = np.arange(len(keys))
    if not np.array_equal(known, keys):
        order = np.argsort(known, kind="stable")
        places = np.searchsorted(known, keys, sorter=order)
        places = order[np.minimum(places, len(known) - 1, out=places)]
        del order
    for bad in np.flatnonzero(known[places] != keys)[:1]:
        raise UserError(f"{path}: it has no line for {rec}: record {keys[bad]}; {_HINT}")
    told = np.frombuffer(listed.labels, np.int32)[places]
    for bad in np.flatnonzero(told != people[labels])[:1]:
        raise UserError(
            f"{path}: record {keys[bad]} has label {told[bad]}, but {people[labels[bad]]} in {rec}; {_HINT}"
        )
    folders = np.frombuffer(listed.folders, np.int32)[places]
    folder = np.empty(len(people), np.int32)
    folder[labels] = folders
    names = np.empty(0, np.int64)
    if folders.min() >= 0 and np.array_equal(folder[labels], folders) and len(np.unique(folder)) == len(people):
        texts = list(listed.names)
        names = np.frombuffer(b"\n".join([texts[number] for number in folder.tolist()]), np.uint8)
    return np.frombuffer(listed.starts, np.int64)[places], names


def listed_path(file: FileBytes, start: int) -> bytes:
    path = file.read(start, _LINE).partition(b"\n")[0].removesuffix(b"\r").rpartition(b"\t")[2]
    if not is_path(path):
        raise UserError(f"{file.path}: it has changed while it was in use; start again")
    return path
