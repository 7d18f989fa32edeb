"""MATLAB files (version 4 to 7) with the lists of a protocol. Reading one runs no code."""

import os

import numpy as np
from scipy.io import loadmat

from opensphere.error import UserError


class MatFile:
    """The variables of a MATLAB file.

    Args:
        path: the file.
        keys: the variables that it must hold.

    Raises:
        UserError: the file cannot be read, is none of MATLAB, or lacks a variable.
    """

    def __init__(self, path: str | os.PathLike, keys: tuple[str, ...]):
        self.path = os.fspath(path)
        if not os.path.isfile(self.path):
            raise UserError(f"{self.path}: there is no such file")
        try:
            self._found = loadmat(self.path, variable_names=keys, appendmat=False)
        except NotImplementedError:  # what HDF5 leads to
            raise UserError(
                f"{self.path}: a MATLAB file of version 7.3, which cannot be read; save it with -v7 in MATLAB"
            ) from None
        except MemoryError:
            raise
        except Exception as error:  # of a damaged file SciPy raises almost anything
            raise UserError(f"{self.path}: not a MATLAB file that can be read ({error}); copy it again") from None
        missing = [key for key in keys if key not in self._found]
        if missing:
            raise UserError(f"{self.path}: has no variable {missing[0]}; it should hold {', '.join(keys)}")

    def texts(self, key: str) -> list[str]:
        """A cell array of texts, in MATLAB's order. Raises UserError where it is none, or an element is empty."""
        texts = []
        for number, cell in enumerate(self._cells(key), 1):
            text = cell.item() if isinstance(cell, np.ndarray) and cell.size == 1 else cell
            if not isinstance(text, str) or not text.strip():
                raise UserError(f"{self.path}: {key}: element {number} is no text")
            texts.append(text.strip())
        return texts

    def integers(self, key: str) -> np.ndarray:
        """Whole numbers, (n,) int64. Raises UserError where they are anything else."""
        return self._whole(self._found[key], key)

    def lists(self, key: str) -> list[np.ndarray]:
        """A cell array of lists of whole numbers, each (n,) int64. Raises UserError where it is anything else."""
        return [self._whole(cell, f"{key}: element {number}") for number, cell in enumerate(self._cells(key), 1)]

    def _cells(self, key: str) -> list:
        array = self._found[key]
        if array.dtype.kind == "U":  # rows of characters instead of a cell array
            return array.ravel().tolist()
        if array.dtype != object:
            raise UserError(f"{self.path}: {key} is no cell array")
        return array.ravel(order="F").tolist()

    def _whole(self, array: object, what: str) -> np.ndarray:
        if isinstance(array, np.ndarray) and array.dtype.kind in "iuf":
            flat = array.ravel(order="F")
            whole = flat.astype(np.int64) if np.all(np.abs(flat.astype(np.float64)) < 2**53) else None
            if whole is not None and np.array_equal(whole, flat):
                return whole
        raise UserError(f"{self.path}: {what} should be whole numbers")
