"""Arrays that take long to build from large files, and are therefore kept beside them."""

import hashlib
import io
import json
import math
import mmap
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from opensphere.error import UserError
from opensphere.storage import atomic_path

Arrays = dict[str, np.ndarray]

_ABOUT, _LAYOUT = "about", "layout"  # what the arrays describe, and which there must be: kept as bytes of JSON
_ALIGNMENT = 64  # of each array in the file: a processor reads numbers slowly that lie across its own boundaries
_BLOCK = 4096  # bytes that are summed together
_FILLING = 0x4F53  # marks the bytes that stand before an array to align it, as zip files mark their extra fields
_SIZES = 20  # bytes of the extra field that holds an entry's sizes
_LOCAL = struct.Struct("<26xHH")  # of what stands before an entry: the lengths of its name and extra field


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
    that they had; it is never unpickled and takes no more memory than it has bytes. The arrays are not read but mapped:
    processes share them, and what is written into one stays in its process.

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
    facts = {name: [array.dtype.str, array.shape, _sum(array)] for name, array in arrays.items()}
    return json.dumps(facts).encode()


def _sum(array: np.ndarray) -> int:
    """A sum of the bytes of an array. Damage changes it: a flipped bit for certain, else by all likelihood.

    The checksums of zip files cost ten times as much, more than all else that opening does. Each block is summed as
    words of 64 bits, and of the sums a true checksum is made, so that blocks cannot change places either.
    """
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    whole = len(data) - len(data) % _BLOCK
    sums = data[:whole].view(np.uint64).reshape(-1, _BLOCK // 8).sum(axis=1, dtype=np.uint64)
    return zlib.crc32(data[whole:].tobytes(), zlib.crc32(sums.tobytes()))


def _save(place: str, about: bytes, arrays: Arrays) -> None:
    notes = {_ABOUT: about, _LAYOUT: _layout(arrays)}
    assert not notes.keys() & arrays.keys()
    with atomic_path(Path(place)) as part, open(part, "wb") as file, zipfile.ZipFile(file, "w") as archive:
        for name, text in notes.items():
            archive.writestr(f"{name}.npy", _note(text))
        for name, array in arrays.items():
            _write(archive, file.tell(), name, array)


def _note(text: bytes) -> bytes:
    """The file of an array of bytes: `numpy.load` shows the notes beside the arrays."""
    file = io.BytesIO()
    np.save(file, np.frombuffer(text, np.uint8))
    return file.getvalue()


def _write(archive: zipfile.ZipFile, offset: int, name: str, array: np.ndarray) -> None:
    """An entry as `numpy.savez` writes it, at `offset`, but for a filling that aligns the array."""
    array = np.asarray(array, order="C")
    head = io.BytesIO()  # its length is a multiple of 64
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    entry = zipfile.ZipInfo(f"{name}.npy")
    filling = -(offset + _LOCAL.size + len(entry.filename) + _SIZES + 4) % _ALIGNMENT
    entry.extra = struct.pack("<HH", _FILLING, filling) + bytes(filling)
    with archive.open(entry, "w", force_zip64=True) as file:
        file.write(head.getvalue())
        if array.size:
            file.write(array.data)


def _load(place: str, about: bytes) -> Arrays | None:
    """The arrays kept at `place`, or None where there are none that are whole and about the same."""
    try:
        with open(place, "rb") as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                return None  # not written by us: a small file could unfold to any size
            if archive.read(f"{_ABOUT}.npy") != _note(about):
                return None
            # a copy is made of what is written to, and the file is left alone
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
            names = {entry.filename.removesuffix(".npy"): entry for entry in entries}
            arrays = {
                name: _map(file, content, entry) for name, entry in names.items() if name not in (_ABOUT, _LAYOUT)
            }
            return arrays if archive.read(f"{_LAYOUT}.npy") == _note(_layout(arrays)) else None
    except Exception:  # whatever a damaged file raises in zipfile or NumPy: it is built anew
        return None


def _map(file: BinaryIO, content: mmap.mmap, entry: zipfile.ZipInfo) -> np.ndarray:
    """The array of an entry where it lies. Raises ValueError where there is none that can be used."""
    offset = entry.header_offset
    start = offset + _LOCAL.size + sum(_LOCAL.unpack_from(content, offset))
    file.seek(start)
    if np.lib.format.read_magic(file) != (1, 0):
        raise ValueError(entry.filename)
    shape, by_column, dtype = np.lib.format.read_array_header_1_0(file)
    count, at = math.prod(shape), file.tell()
    size = count * dtype.itemsize
    if dtype.hasobject or by_column or at % _ALIGNMENT or at + size != start + entry.file_size:
        raise ValueError(entry.filename)
    return np.frombuffer(content, dtype, count, at).reshape(shape)
