"""Data that several runs share: each set is built once, what it keeps in memory is kept once, and it is known again."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from opensphere import config as cfg
from opensphere.dataset.view import View
from opensphere.engine.threshold import digest
from opensphere.error import UserError

_KEPT = 4  # sets of people to learn from: those used last
_LOOKED_AT = 64  # images of a set
# What sets hold beside images: who is where, what is compared, and how images are aligned and count. Never their paths:
# there may be millions.
_FACTS = (
    *("labels", "persons", "indices", "pairs", "is_same", "folds", "template", "template_pairs"),
    *("trials", "galleries", "probe", "points", "faceness", "media", "quality"),
)


class Shelf:
    """Data sets by the blocks that describe them. Of those to learn from, which may be large, it keeps the last few."""

    def __init__(self) -> None:
        self._kept: dict[str, Any] = {}

    def build(self, block: cfg.Config) -> Any:
        """The set of a block; one that was built before is given again. Raises UserError as `config.build_dataset`."""
        key = json.dumps(block, sort_keys=True)
        if key not in self._kept:
            self._kept[key] = cfg.build_dataset(block)
        self._kept[key] = self._kept.pop(key)  # now the last
        learnt = [key for key, dataset in self._kept.items() if hasattr(dataset, "num_class")]
        for old in learnt[:-_KEPT]:
            del self._kept[old]
        return self._kept[key]


def digest_of_sets(datasets: Iterable[Any]) -> str:
    """A digest of labels, pairs and some images of sets, which changes where files change under the same paths.

    Of a set's images it looks at the stored bytes of 64, evenly spaced. Pictures that a program draws depend on their
    config alone.
    """
    found = hashlib.sha256()
    for dataset in datasets:
        found.update(f"{len(dataset)} images of {getattr(dataset, 'num_class', '')}\n".encode())
        for name in _FACTS:
            # what a set works out once it is asked is there or is not
            if not isinstance(getattr(type(dataset), name, None), cached_property):
                for values in _arrays(vars(dataset).get(name)):
                    found.update(f"{name} {values.shape}\n".encode())
                    found.update(_bytes(values))
        for data in _stored(dataset):
            found.update(hashlib.sha256(data).digest())
    return found.hexdigest()


def _arrays(value: Any) -> Iterator[np.ndarray]:
    """An array, or those that an object or a list of objects is made of."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _arrays(item)
    elif is_dataclass(value):
        for part in fields(value):
            yield from _arrays(getattr(value, part.name))


def _bytes(values: np.ndarray) -> bytes | memoryview:
    """What an array holds, the same for whole numbers of any width."""
    if values.dtype.kind == "U":
        return "\n".join(values.tolist()).encode()
    kind = np.float64 if values.dtype.kind == "f" else np.int64
    return np.ascontiguousarray(values, kind).reshape(-1).view(np.uint8).data


def _stored(dataset: Any) -> Iterator[bytes]:
    """The bytes of some images, as they are stored."""
    indices = np.unique(np.linspace(0, len(dataset) - 1, _LOOKED_AT).astype(np.int64))
    while isinstance(dataset, View):
        indices, dataset = dataset.indices[indices], dataset.dataset
    for index in indices.tolist() if hasattr(dataset, "reader") else ():
        try:
            yield dataset.reader.data(index)
        except UserError:  # training says which, once it comes to it
            yield b""


def digest_of_files(paths: Iterable[str]) -> str:
    """A digest of what files hold; empty for no file. Raises UserError naming one that cannot be read."""
    found = hashlib.sha256()
    paths = list(paths)
    for path in paths:
        try:
            found.update(bytes.fromhex(digest(Path(path))))
        except OSError as error:
            raise UserError(f"{path}: weights to begin with cannot be read: {error.strerror}") from None
    return found.hexdigest() if paths else ""
