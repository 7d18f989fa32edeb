"""What libjpeg and libpng say of broken data: they tell nobody but the standard error stream."""

import os
import sys
import tempfile
from types import TracebackType

# a picture comes out all the same, and only the words tell that it is not whole
DAMAGE = (b"premature end", b"bad huffman", b"bad arithmetic", b"libpng error", b"invalid sos", b"inconsistent")
DOUBT = (b"corrupt jpeg data", b"extraneous bytes")


class Complaints:
    """Within `with`, all that is written to the standard error stream goes to a file, where it can be read.

    It catches what any thread of the process writes: which image a complaint belongs to is known for certain only
    where one image is decoded at a time. At the end, what is no complaint of a decoder is passed on.
    """

    def __enter__(self) -> "Complaints":
        sys.stderr.flush()
        self._file = tempfile.TemporaryFile()
        self._before = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        sys.stderr.flush()
        text = self.since(0)
        os.dup2(self._before, 2)
        os.close(self._before)
        self._file.close()
        for line in text.splitlines(keepends=True):
            low = line.lower()
            if not any(mark in low for mark in (*DAMAGE, *DOUBT, b"jpeg", b"libpng")):
                os.write(2, line)

    def size(self) -> int:
        """How many bytes were written so far."""
        return os.fstat(self._file.fileno()).st_size

    def since(self, start: int) -> bytes:
        """What was written from a size on."""
        return os.pread(self._file.fileno(), max(self.size() - start, 0), start)
