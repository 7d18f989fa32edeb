"""What every reader of stored images is."""

from collections.abc import Callable, Sequence

import numpy as np

Progress = Callable[[int, int], None]  # called with how much is done, and the whole


class Reader:
    """Encoded images by index, as they lie on disk; nothing is decoded here.

    A reader may be used by several threads at once, and after a fork: files are opened by whoever first needs them.

    Attributes:
        root: what was named: a list, a folder, a file. Errors begin with it.
        labels: (N,) int64, the person of each image by its position in `names`; None where nothing says.
        names: the people, each once; empty without labels.
    """

    root: str
    labels: np.ndarray | None = None
    names: Sequence[str] = ()

    def __len__(self) -> int:
        raise NotImplementedError

    def data(self, index: int) -> bytes:
        """The image file of `index`, byte for byte. Raises UserError, which begins with `where(index)`."""
        raise NotImplementedError

    def path(self, index: int) -> str:
        """A relative path for the image, with "/": the one it has, or the one that writing it as a file would give."""
        raise NotImplementedError

    def where(self, index: int) -> str:
        """What to call the image in an error, such as "faces.txt:7: data/anna/1.jpg" or "train.rec: record 17"."""
        raise NotImplementedError

    def keys(self, indices: np.ndarray) -> np.ndarray | None:
        """A key of the bytes of some images, (n, 16) uint8; None of a reader that cannot say when they change."""
        return None
