"""Whom the records of InsightFace's and MXNet's training files show.

A record begins with a head, `<IfQQ`: flag, label, id, id2 (MXNet, python/mxnet/recordio.py). Where the flag is not 0,
that many float32 labels follow it, and the label in the head is unused. The rest is the image file. The first label is
the person.

InsightFace adds a directory (recognition/data/face2rec2.py). Record 0 has no image but two labels, [first, last + 1],
the keys of the records of identities; images are the records 1 to first - 1. The record of an identity has no image
either but two labels, [first, last + 1], the keys of its images. A float32 holds all whole numbers up to 2^24 only, and
there are sets with more images (Glint360K has 17,091,657): beyond, what the directory tells is rounded.
"""

import struct

import numpy as np

from opensphere.dataset.reader.recordio import REBUILD, Progress, RecordFile, read_idx
from opensphere.error import UserError

HEAD = struct.Struct("<IfQQ")
WHOLE = 1 << 24

_FLAG, _LABEL, _ID, _LABELS = 0, 1, 2, 6  # the words of a record in which these begin
_ENTRY = HEAD.size + 8  # bytes of a record of the directory
_AGAIN = "download or copy the file and its index again"


def entry(key: int, first: int, stop: int) -> bytes:
    """A record of the directory."""
    return HEAD.pack(2, 0.0, key, 0) + struct.pack("<2f", first, stop)


def image_part(record: bytes) -> bytes:
    """The image file in a record. Raises ValueError where the record is too short for its labels."""
    start = HEAD.size + 4 * int.from_bytes(record[:4], "little")
    if len(record) < start:
        raise ValueError(too_short(len(record)))
    return record[start:]


def too_short(length: int) -> str:
    return f"its {length} bytes are too few for its head and labels; {_AGAIN}"


class Records:
    """All records of a file, in its order.

    Without an index they are found by going through the file; their keys are the ids in their heads, which are those
    that an index has, or, where these are not all different, their places.

    Attributes:
        keys, offsets: (N,) int64.
        order: (N,) the positions of the keys in ascending order.

    Raises:
        UserError: the index or the file is damaged, or one does not fit the other.
    """

    def __init__(self, file: RecordFile, idx: str | None, progress: Progress | None = None):
        self.file, self.progress = file, progress
        if idx is None:
            self.offsets = file.walk(progress)
            self.keys = np.arange(len(self.offsets))
            self._take_ids()
        else:
            self.keys, self.offsets = read_idx(idx, progress)
        self.order = np.argsort(self.keys, kind="stable")
        if idx is not None:
            self._check_index(idx)

    def where(self, position: int) -> str:
        return f"{self.file.path}: record {self.keys[position]}"

    def people(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Keys, offsets (N,) int64 and people (N,) int32 of the images: by their keys where there is a directory, else
        in the order of the file.

        Raises:
            UserError: a label is no whole number that a float32 can hold, or the directory cannot be right.
        """
        first = self._first_identity()
        if first is None:
            return self.keys, self.offsets, self._labels(np.arange(len(self.keys)))
        return np.arange(1, first), self.offsets[self.order[1:first]], self._labels_by_identity(first)

    def _take_ids(self) -> None:
        ids = np.empty(len(self.offsets), np.int64)
        for chosen, words, _ in self.file.heads(self.offsets, self.where, self.progress):
            ids[chosen] = words[:, _ID : _ID + 2].copy().view(np.int64)[:, 0]
        ascending = np.sort(ids)
        if ascending[0] >= 0 and np.all(ascending[1:] != ascending[:-1]):
            self.keys = ids

    def _check_index(self, idx: str) -> None:
        if not len(self.keys):
            raise UserError(f"{idx}: the index is empty; {REBUILD}")
        keys, offsets = self.keys[self.order], self.offsets
        for bad in np.flatnonzero(keys[1:] == keys[:-1])[:1]:
            raise UserError(f"{idx}: record {keys[bad]} stands there twice; {REBUILD}")
        for bad in np.flatnonzero(offsets >= self.file.size)[:1]:
            raise UserError(
                f"{idx}: record {self.keys[bad]}: byte {offsets[bad]} is beyond the end of {self.file.path} "
                f"({self.file.size} bytes); one of them is cut short or of another set: download both again"
            )
        for bad in np.flatnonzero(offsets[1:] <= offsets[:-1])[:1]:
            raise UserError(
                f"{idx}: record {self.keys[bad + 1]}: byte {offsets[bad + 1]} does not come after byte {offsets[bad]} "
                f"of the line before; {REBUILD}"
            )

    def _labels(self, positions: np.ndarray) -> np.ndarray:
        """(n,) int32: the people that the records at `positions` show, as they say themselves."""
        labels = np.empty(len(positions), np.int32)

        def where(at: int) -> str:
            return self.where(positions[at])

        for chosen, words, lengths in self.file.heads(self.offsets[positions], where, self.progress):
            flags = words[:, _FLAG].astype(np.int64)
            for bad in np.flatnonzero(lengths < HEAD.size + 4 * flags)[:1]:
                raise UserError(f"{where(chosen[bad])}: {too_short(lengths[bad])}")
            values = np.where(flags > 0, words[:, _LABELS], words[:, _LABEL]).view(np.float32)
            for bad in np.flatnonzero(~_are_whole(values, WHOLE))[:1]:
                raise UserError(
                    f"{where(chosen[bad])}: its label, {values[bad]}, is not a whole number from 0 to {WHOLE - 1}; "
                    "make the file with labels that number the people"
                )
            labels[chosen] = values
        return labels

    def _first_identity(self) -> int | None:
        """The key of the first identity; None where there is no directory. Images have all the keys before it but 0."""
        zero = self.order[:1]
        if self.keys[zero[0]] != 0:
            return None
        bounds, empty = self._ranges(zero)
        if not empty[0]:
            return None
        first = int(self._whole_ranges(bounds, zero)[0, 0])
        if first >= WHOLE:  # rounded: look for where images end
            off = first // WHOLE  # at most half the distance between two float32
            near = np.arange(max(1, first - off), min(first + off + 1, len(self.order)))
            found = near[self._ranges(self.order[near])[1]]
            first = int(found[0]) if len(found) else first
        if not 1 <= first <= len(self.order):
            raise UserError(
                f"{self.where(zero[0])}: identities begin with record {first}, it says, but there are "
                f"{len(self.order)} records; {_AGAIN}"
            )
        for missing in np.flatnonzero(self.keys[self.order[:first]] != np.arange(first))[:1]:
            raise UserError(
                f"{self.file.path}: record {missing} is an image, as record 0 says, but the index has no such record; "
                f"{_AGAIN}"
            )
        return first

    def _labels_by_identity(self, first: int) -> np.ndarray:
        """(first - 1,) int32: the people of images 1 to first - 1.

        Only the first image of an identity is asked, and those that belong to no identity or to one whose range is
        rounded.
        """
        identities = self.order[first:]
        ranges, empty = self._ranges(identities)
        for bad in np.flatnonzero(~empty)[:1]:
            raise UserError(f"{self.where(identities[bad])}: it should be an identity, two labels alone; {_AGAIN}")
        starts, stops = self._whole_ranges(ranges, identities).T
        exact = stops < WHOLE
        for bad in np.flatnonzero(exact & ((starts < 1) | (starts > stops) | (stops > first)))[:1]:
            raise UserError(
                f"{self.where(identities[bad])}: its images are records {starts[bad]} to {stops[bad] - 1}, "
                f"but images are 1 to {first - 1}; {_AGAIN}"
            )
        used = np.flatnonzero(exact & (starts < stops))
        used = used[np.argsort(starts[used], kind="stable")]
        starts, stops = starts[used], stops[used]
        for bad in np.flatnonzero(starts[1:] < stops[:-1])[:1]:
            raise UserError(
                f"{self.where(identities[used[bad + 1]])}: its image {starts[bad + 1]} is of another identity too; "
                f"{_AGAIN}"
            )
        change = np.zeros(first + 1, np.int8)
        change[starts] += 1
        change[stops] -= 1
        asked = np.cumsum(change, dtype=np.int8)[1:first] == 0
        asked[starts - 1] = True
        labels = self._labels(self.order[1:first][asked])
        return labels[np.cumsum(asked) - 1] if len(labels) else labels

    def _ranges(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(n, 2) float32: two labels of each record; and (n,) whether it has these and nothing else."""
        ranges = np.zeros((len(positions), 2), np.float32)
        alone = np.zeros(len(positions), bool)
        for chosen, words, lengths in self.file.heads(self.offsets[positions], lambda at: self.where(positions[at])):
            ranges[chosen] = words[:, _LABELS : _LABELS + 2].copy().view(np.float32)
            alone[chosen] = (words[:, _FLAG] == 2) & (lengths == _ENTRY)
        return ranges, alone

    def _whole_ranges(self, ranges: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """`ranges` as (n, 2) int64."""
        for bad in np.flatnonzero(~_are_whole(ranges, 1 << 40).all(axis=1))[:1]:
            raise UserError(f"{self.where(positions[bad])}: {ranges[bad].tolist()} is no range of records; {_AGAIN}")
        return ranges.astype(np.int64)


def _are_whole(values: np.ndarray, limit: int) -> np.ndarray:
    """Which are whole numbers from 0 and below `limit`; NaN is not."""
    with np.errstate(invalid="ignore"):
        return (values >= 0) & (values < limit) & (values == np.floor(values))
