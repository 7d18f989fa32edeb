"""Features that are extracted once: kept in a folder, found again by the key of each image.

    <folder>/<digest of network, weights, precision and way>/about.json         what that is, for people
                                                            /<name>.keys.npy     (n, 16) uint8
                                                            /<name>.features.npy (n, D) float32

A chunk's name is the digest of what its two files hold, so that it is known whether they are whole, and processes that
write at the same time do not meet. The keys are written last: a chunk without them is none.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from torch import nn

import opensphere
from opensphere import collective, storage
from opensphere.dataset.digest import BYTES
from opensphere.engine.extract import Known, extract, spread
from opensphere.engine.parallel import World

CHUNK = 4096  # images of a chunk
PATIENCE = 60.0  # seconds of work after which a chunk is written that has fewer

_VERSION = 1  # of what a feature is, and how it is kept
_KEYS, _FEATURES = ".keys.npy", ".features.npy"


class FeatureCache:
    """Where the features of one network, with the weights that it has now, are kept.

    Args:
        folder: such as `features` in a run folder; it is made when there is something to keep.
        backbone: the network.
        net: its block of the config.
        dtype: of its arithmetic.

    Attributes:
        folder: as given.
        dtype: as given.
    """

    def __init__(self, folder: str | Path, backbone: nn.Module, net: dict[str, Any], dtype: torch.dtype):
        self.folder = Path(folder)
        self.dtype = dtype
        self._about = {
            "version": _VERSION,
            "opensphere": opensphere.__version__,
            "net": net,
            "weights": weights_digest(backbone),
            "precision": str(dtype).removeprefix("torch."),
        }

    def shelf(self, mirror: bool, device: torch.device) -> "Shelf":
        """The chunks of features made in one way: with the mirror image or without, on one kind of device."""
        return Shelf(self.folder, {**self._about, "mirror": mirror, "device": device.type})


def weights_digest(module: nn.Module) -> str:
    """A digest of all that a module's state holds, whatever the layout of its memory; how often BatchNorm was called
    does not count."""
    found = hashlib.blake2b(digest_size=32)
    for name, value in sorted(module.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
            found.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


class Shelf:
    """A folder of chunks. Damaged and foreign ones are passed over."""

    def __init__(self, folder: Path, about: dict[str, Any]):
        self._text = json.dumps(about, indent=2, sort_keys=True, default=str) + "\n"
        self.folder = folder / hashlib.blake2b(self._text.encode(), digest_size=BYTES).hexdigest()

    def find(self, keys: np.ndarray) -> Known | None:
        """The features that are here, of images by their keys (N, 16); None where there is none."""
        wanted = _words(keys)
        order = np.argsort(wanted, kind="stable")
        ordered = wanted[order]
        features, found = None, np.zeros(len(keys), bool)
        for path in sorted(self.folder.glob(f"*{_KEYS}")):
            held = _read(path, np.uint8)
            if held is None or held.shape[1] != BYTES:
                continue
            rows, places = _joined(_words(held), ordered, order)
            new = ~found[places]
            if not new.any():
                continue
            values = self._values(path, held)
            if values is None or features is not None and values.shape[1] != features.shape[1]:
                continue
            if features is None:
                features = np.empty((len(keys), values.shape[1]), np.float32)
            features[places[new]] = values[rows[new]]
            found[places] = True
        return None if features is None else (features, found)

    def _values(self, path: Path, held: np.ndarray) -> np.ndarray | None:
        name = path.name.removesuffix(_KEYS)
        values = _read(path.with_name(name + _FEATURES), np.float32)
        return values if values is not None and len(values) == len(held) and _name(held, values) == name else None

    def write(self, keys: np.ndarray, features: np.ndarray) -> None:
        """Keep a chunk. Raises UserError where the folder cannot be written to."""
        name = _name(keys, features)
        if not (self.folder / "about.json").is_file():
            storage.write_text(self.folder / "about.json", self._text)
        for end, array in ((_FEATURES, features), (_KEYS, keys)):
            with storage.atomic_path(self.folder / (name + end)) as part, open(part, "wb") as file:
                np.save(file, array, allow_pickle=False)


def _name(keys: np.ndarray, features: np.ndarray) -> str:
    found = hashlib.blake2b(np.ascontiguousarray(keys).data, digest_size=BYTES)
    found.update(np.ascontiguousarray(features).data)
    return found.hexdigest()


def _read(path: Path, dtype: type) -> np.ndarray | None:
    """A matrix of a file as a memory map; None where there is none of this type that is whole."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception:  # whatever a damaged file raises in NumPy
        return None
    return array if isinstance(array, np.ndarray) and array.ndim == 2 and array.dtype == dtype else None


def _words(keys: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(keys).view(f"V{BYTES}").ravel()


def _joined(held: np.ndarray, ordered: np.ndarray, order: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of `held` and the places of the same keys among the images, each of which may be wanted more than once.

    Args:
        ordered, order: the keys of the images in order, and the image of each.
    """
    first, last = (np.searchsorted(ordered, held, side) for side in ("left", "right"))
    times = last - first
    rows = np.repeat(np.arange(len(held)), times)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(times) - times, times)
    return rows, order[first[rows] + nth]


class _Writer:
    """Puts features on a shelf in chunks as they come; on leaving, also after an error, what is left."""

    def __init__(self, shelf: Shelf, keys: np.ndarray):
        self._shelf, self._keys = shelf, keys
        self._waiting: list[tuple[np.ndarray, np.ndarray]] = []
        self._since = time.monotonic()

    def __enter__(self) -> "_Writer":
        return self

    def add(self, indices: np.ndarray, features: np.ndarray) -> None:
        self._waiting.append((indices, features))
        full = sum(len(indices) for indices, _ in self._waiting) >= CHUNK
        if full or time.monotonic() - self._since >= PATIENCE:
            self._write()

    def _write(self) -> None:
        if self._waiting:
            indices, features = (np.concatenate(part) for part in zip(*self._waiting, strict=True))
            self._waiting = []
            self._shelf.write(self._keys[indices], features)
        self._since = time.monotonic()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write()


def features_of(
    backbone: nn.Module,
    dataset: Any,
    world: World,
    batch_size: int,
    num_workers: int = 0,
    dtype: torch.dtype = torch.float32,
    progress: Callable[[int], None] | None = None,
    cache: FeatureCache | None = None,
) -> np.ndarray:
    """As `extract`, of images only whose features are not kept already; those are then kept too.

    What was done before an interruption is not done again, and sets that share images share features. Sets that have
    no keys (see `ImageSet.keys`) are extracted without a cache.

    Args:
        cache: made with `backbone` as it is now, and `dtype`; None: nothing is kept.
        progress: as in `extract`; images whose features are found are done at once.

    Raises:
        UserError: the folder of the cache cannot be written to, or an image cannot be read.
        ValueError: the cache is of another dtype.
    """
    if cache is not None and cache.dtype != dtype:
        raise ValueError(f"a cache of {cache.dtype} for features of {dtype}")
    keys = None if cache is None else dataset.keys()
    if cache is None or keys is None:
        return extract(backbone, dataset, world, batch_size, num_workers, dtype, progress)
    shelf = cache.shelf(bool(getattr(dataset, "mirror", True)), world.device)
    known = _told(shelf.find(keys) if world.rank == 0 else None, len(keys), world)
    if known is not None and progress is not None:
        progress(int(known[1].sum()))
    with _Writer(shelf, keys) as writer:
        features = extract(backbone, dataset, world, batch_size, num_workers, dtype, progress, known, writer.add)
    collective.barrier()  # who looks next finds what all have written
    return features


def _told(known: Known | None, count: int, world: World) -> Known | None:
    """What the first rank found, on every rank: another machine may have other files, and others write meanwhile."""
    if world.size == 1:
        return known
    width = torch.tensor([0 if known is None else known[0].shape[1]], device=world.device)
    if not collective.broadcast(width):
        return None
    found = torch.zeros(count, dtype=torch.uint8, device=world.device)
    if known is None:
        features = np.empty((count, int(width)), np.float32)
    else:
        features = known[0]
        found.copy_(torch.from_numpy(known[1]))
    whether = collective.broadcast(found).cpu().numpy().astype(bool)
    spread(features, np.flatnonzero(whether), 0, world)
    return features, whether
