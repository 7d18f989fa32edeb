"""Arrays that take long to build from large files, and are therefore kept beside them."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from opensphere.error import UserError
from opensphere.storage import atomic_path

Arrays = dict[str, np.ndarray]

_ABOUT, _LAYOUT = "about", "layout"  # what the arrays describe, and which there must be: kept as bytes of JSON


def kept_index(
    path: str | os.PathLike,
    sources: Iterable[str | os.PathLike],
    version: str,
    build: Callable[[], Arrays],
    fits: Callable[[Arrays], bool] | None = None,
) -> Arrays:
    """The arrays that `build` makes from the files `sources`, built once and then read from where they are kept.

    They are kept at `path`; in the user's cache folder where that cannot be written; nowhere where that fails too.
    What is kept is used only if it is whole, of this version, and the sources have the names, the sizes and the times
    that they had; it is never unpickled and takes no more memory than it has bytes.

    Args:
        path: where to keep the arrays, such as "train.rec.index.npz".
        sources: the files that the arrays are built from. Their order counts.
        version: names the layout of the arrays; another version is built anew.
        build: makes the arrays. None may be called "about" or "layout".
        fits: whether arrays that were kept can be used. A file beside the data may come from anyone: what an index
            must hold for it to be safe to use belongs in here.

    Raises:
        UserError: a source cannot be read; and whatever `build` raises.
    """
    path = os.path.abspath(path)
    files = [os.path.abspath(source) for source in sources]
    about = _about(path, files, version)
    places = [path, *_cache_place(path)]
    for place in places:
        arrays = _load(place, about)
        if arrays is not None and (fits is None or _does_fit(fits, arrays)):
            return arrays
    arrays = build()
    if _about(path, files, version) != about:
        return arrays  # a source changed meanwhile: the next reader shall see that
    for place in places:
        try:
            _save(place, about, arrays)
            break
        except UserError:
            continue
    return arrays


def _does_fit(fits: Callable[[Arrays], bool], arrays: Arrays) -> bool:
    try:
        return fits(arrays)
    except (KeyError, IndexError, TypeError, ValueError):  # what is missing or of another kind does not fit
        return False


def _about(path: str, sources: list[str], version: str) -> bytes:
    """What must be the same for kept arrays to be used. Paths relative to the index: a folder may be moved whole."""
    facts = []
    for source in sources:
        try:
            stat = os.stat(source)
        except FileNotFoundError:
            raise UserError(f"{source}: there is no such file; check the path") from None
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            raise UserError(f"{source}: cannot be read: {getattr(error, 'strerror', error)}; check the path") from None
        facts.append([os.path.relpath(source, os.path.dirname(path)), stat.st_size, stat.st_mtime_ns])
    return json.dumps([version, facts]).encode()


def _cache_place(path: str) -> list[str]:
    """Where to keep the arrays if not at `path`; nothing where the user has no folder of their own."""
    folder = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(folder):  # a relative one is to be ignored
        folder = os.path.expanduser("~/.cache")
    if not os.path.isabs(folder):
        return []
    mark = hashlib.sha256(os.fsencode(path)).hexdigest()[:32]
    return [os.path.join(folder, "opensphere", f"{mark}.index.npz")]


def _layout(arrays: Arrays) -> bytes:
    return json.dumps({name: [array.dtype.str, array.shape] for name, array in arrays.items()}).encode()


def _save(place: str, about: bytes, arrays: Arrays) -> None:
    notes = {_ABOUT: np.frombuffer(about, np.uint8), _LAYOUT: np.frombuffer(_layout(arrays), np.uint8)}
    assert not notes.keys() & arrays.keys()
    with atomic_path(Path(place)) as part, open(part, "wb") as file:
        np.savez(file, **notes, **arrays)  # type: ignore[arg-type]


def _load(place: str, about: bytes) -> Arrays | None:
    """The arrays kept at `place`, or None where there are none that are whole and about the same."""
    try:
        with open(place, "rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
            if packed or sum(entry.file_size for entry in entries) > os.fstat(file.fileno()).st_size:
                return None  # not written by us: a small file could unfold to any size
            if _read(archive, _ABOUT).tobytes() != about:
                return None
            names = [entry.filename.removesuffix(".npy") for entry in entries]
            arrays = {name: _read(archive, name) for name in names if name not in (_ABOUT, _LAYOUT)}
            return arrays if _read(archive, _LAYOUT).tobytes() == _layout(arrays) else None
    except Exception:  # whatever a damaged file raises in zipfile or NumPy: it is built anew
        return None


def _read(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(f"{name}.npy") as file:
        array = np.lib.format.read_array(file, allow_pickle=False)
        if file.read(1):  # the checksum is compared only when the end is reached
            raise ValueError(name)
    return array
