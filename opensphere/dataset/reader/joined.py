"""Several readers as one."""

from collections.abc import Sequence

import numpy as np

from opensphere.dataset.reader.reader import Reader


class Joined(Reader):
    """The images of several readers, one after another. Nothing is said of whom they show."""

    def __init__(self, readers: Sequence[Reader]):
        self.readers = readers
        self.root = readers[0].root
        self._ends = np.cumsum([len(reader) for reader in readers])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def data(self, index: int) -> bytes:
        reader, item = self._find(index)
        return reader.data(item)

    def path(self, index: int) -> str:
        reader, item = self._find(index)
        return reader.path(item)

    def where(self, index: int) -> str:
        reader, item = self._find(index)
        return reader.where(item)

    def keys(self, indices: np.ndarray) -> np.ndarray | None:
        number = np.searchsorted(self._ends, indices, side="right")
        found = np.empty((len(indices), 16), np.uint8)
        for position, reader in enumerate(self.readers):
            here = number == position
            keys = reader.keys(indices[here] - (self._ends[position] - len(reader)))
            if keys is None:
                return None
            found[here] = keys
        return found

    def _find(self, index: int) -> tuple[Reader, int]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        number = int(np.searchsorted(self._ends, index, side="right"))
        return self.readers[number], int(index - self._ends[number] + len(self.readers[number]))
