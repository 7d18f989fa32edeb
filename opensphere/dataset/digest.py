"""Keys of images: digests of all that their pixels depend on, so that what was found out about an image is found again.

A file is told by its path, its size and its time: its bytes are not read. Sets that hold the same image under the same
path give it the same key.
"""

import hashlib
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

BYTES = 16  # of a key: among a billion images, two share one with a chance of 1e-21

_TASK = 512  # files that a thread asks the system about at a time
_THREADS = 16
_SLOW = 5e-5  # seconds a file: a disk of this machine answers in a tenth of that, one behind a network takes longer


def digests(about: str, *columns: np.ndarray) -> np.ndarray:
    """A digest of each row, (n, 16) uint8.

    Args:
        about: what holds for all rows.
        columns: (n, k) each, of any type; the bytes of a row are digested.
    """
    rows = np.concatenate([_as_bytes(column) for column in columns], axis=1)
    text, width = rows.tobytes(), rows.shape[1]
    start = hashlib.blake2b(about.encode("utf-8", "surrogateescape"), digest_size=32).digest()
    found = [_digest(start + text[at : at + width]) for at in range(0, len(text), width)]
    return _table(found)


def of_files(paths: Sequence[str]) -> np.ndarray:
    """A digest of path, size and time of each file, (n, 16) uint8. One that is not there has one too."""
    began = time.monotonic()
    found = _of_some(paths[:_TASK])
    rest = [paths[at : at + _TASK] for at in range(_TASK, len(paths), _TASK)]
    if time.monotonic() - began > _SLOW * _TASK:  # threads wait together; where nobody waits they only cost
        with ThreadPoolExecutor(_THREADS) as threads:
            parts = [*threads.map(_of_some, rest)]
    else:
        parts = [_of_some(part) for part in rest]
    return _table([digest for part in (found, *parts) for digest in part])


def of_file(path: str | os.PathLike) -> np.ndarray:
    """The digest of one file, (16,) uint8."""
    return of_files([os.path.abspath(path)])[0]


def _of_some(paths: Sequence[str]) -> list[bytes]:
    found = []
    for path in paths:
        try:
            stat = os.stat(path)
            size, changed = stat.st_size, stat.st_mtime_ns
        except (OSError, ValueError):  # ValueError: a zero byte in the name. Who reads the image complains
            size = changed = -1
        found.append(_digest(b"%d %d %b" % (size, changed, os.fsencode(path))))
    return found


def _digest(text: bytes) -> bytes:
    return hashlib.blake2b(text, digest_size=BYTES).digest()


def _table(found: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(found), np.uint8).reshape(-1, BYTES)


def _as_bytes(column: np.ndarray) -> np.ndarray:
    column = np.ascontiguousarray(column)
    return column.view(np.uint8).reshape(len(column), column.shape[1] * column.itemsize)
