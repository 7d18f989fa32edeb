"""What the members of tar shards say: which of them is an image, and whom it shows.

The conventions are those of WebDataset: up to the first dot of its base name, a member's name is its key, the rest is
its kind; members that stand together and have one key are a sample. Here the kinds that count are an image's (those
of `IMAGE_SUFFIXES`, after the last dot), "cls" and "json", in small or large letters; others are passed over, and so
are members whose names begin with a dot or stand between "__", also as folders.

Whom an image shows is told by its sample: the whole number in "cls", or in "json" one of `_KEYS`; if no image of the
set has such a label, by the first folder of its name.
"""

import json
import os
from array import array

import numpy as np

from opensphere.dataset.annotation import IMAGE_SUFFIXES
from opensphere.dataset.reader.tar import BLOCK, Member, Tar, clean
from opensphere.error import UserError

LARGEST_IMAGE = 1 << 30  # bytes
_LARGEST_NOTE = 1 << 20  # bytes of a cls or json member
_KEYS = ("name", "identity", "label", "class")  # the first text among them is a name, the first number a label


class Notes:
    """What a sample says about its image: the number and the name of the person, and the path that it once had."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.name: str | None = None
        self.path: str | None = None

    def add_cls(self, data: bytes) -> None:
        """Raises ValueError that says what is wrong."""
        text = data.strip()
        if not text.isdigit() or len(text) > 18:
            raise ValueError(f"{data[:20]!r} is no label; a cls member holds one whole number")
        self.number = int(text)

    def add_json(self, data: bytes) -> None:
        """Raises ValueError that says what is wrong."""
        try:
            facts = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"it is no JSON ({str(error)[:80]}); write the shard anew") from None
        if not isinstance(facts, dict):
            return
        for value in map(facts.get, _KEYS):
            if isinstance(value, str) and value and self.name is None:
                self.name = check_name(value)
            elif isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**18:
                self.number = value if self.number is None else self.number
        path = facts.get("path")
        if isinstance(path, str) and path.lower().endswith(IMAGE_SUFFIXES) and is_text(path):
            self.path = clean(path) or None


def is_text(text: str) -> bool:
    """Whether a text can be kept as bytes: half of a surrogate pair cannot."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def check_name(name: str) -> str:
    if not name or not is_text(name):
        raise ValueError(f"{name[:80]!r} cannot be the name of a person; rename it")
    return name


def split(name: str) -> tuple[str, str] | None:
    """Key and kind of a member by its name, the kind in small letters; None for what is passed over."""
    folders, slash, base = name.rpartition("/")
    stem, dot, kind = base.partition(".")
    if not stem or not dot or name.startswith(".") or "/." in name:
        return None
    first = name.partition("/")[0]
    if first.startswith("__") and first.endswith("__") and len(first) >= 4:
        return None
    return folders + slash + stem, kind.lower()


def is_image(kind: str) -> bool:
    return f".{kind}".endswith(IMAGE_SUFFIXES)


def read_note(tar: Tar, member: Member) -> bytes:
    """The data of a cls or json member."""
    if member.size > _LARGEST_NOTE:
        raise UserError(
            f"{tar.path}: {member.name!r} at byte {member.start} has {member.size} bytes, more than a label needs; "
            "take it out of the shard"
        )
    return tar.read(member.data, member.size)


class Gathered:
    """Images and labels, gathered sample by sample, and in the end as arrays.

    Arrays, for N images of which those of shard i are bounds[i] to bounds[i + 1]:
        bounds: (shards + 1,) int64.
        data, size: (N,) int64 and uint32, where an image's bytes lie, and how many.
        header: (N,) uint16, how many blocks before them its first header begins.
        note: (N,) int32, how many blocks after that header the json member's begins that knows the image's path; 0:
            none does. Empty if that is so for all.
        label: (N,) int32, the person's position in `names`; -1: unknown.
        names: uint8, the names, sorted, with zero bytes between.
        loose: (0,) or (2,) int64, shard and byte of the first label without an image, where an image lacks one.
        nested: (1,) bool, whether the only folder that all images lie in holds folders.
    """

    def __init__(self) -> None:
        self._bounds = array("q", [0])
        self._data, self._size = array("q"), array("I")
        self._header, self._note = array("H"), array("i")
        self._own, self._folder = _Labels(), _Labels()
        self._loose: list[int] = []
        self._nested = False
        self._key: str | None = None
        self._images: list[Member] = []
        self._labels: dict[str, Member] = {}

    def add(self, tar: Tar, member: Member) -> None:
        """Take the next member of a shard."""
        parts = split(member.name)
        if parts is None:
            return
        key, kind = parts
        if key != self._key:
            self._close(tar)
            self._key = key
        if is_image(kind):
            if member.size > LARGEST_IMAGE:
                self._refuse(tar, member, f"has {member.size} bytes, too many for an image; take it out of the shard")
            self._images.append(member)
        elif kind in ("cls", "json"):
            if kind in self._labels:
                self._refuse(tar, member, "stands twice in one sample; give each image a key of its own")
            self._labels[kind] = member

    def end_shard(self, tar: Tar) -> None:
        self._close(tar)
        self._bounds.append(len(self._data))

    def _close(self, tar: Tar) -> None:
        """End the sample: what its members say is known only now."""
        images, labels = self._images, self._labels
        self._key, self._images, self._labels = None, [], {}
        notes = Notes()
        for kind, member in labels.items():
            data = read_note(tar, member)
            try:
                (notes.add_cls if kind == "cls" else notes.add_json)(data)
            except ValueError as error:
                self._refuse(tar, member, f"cannot be used: {error}")
        labelled = notes.number is not None or notes.name is not None
        if labelled and len(images) > 1:
            self._refuse(tar, images[1], "is the second image of one label; give each image a key of its own")
        if len(images) > 1 and len({image.name for image in images}) < len(images):
            self._refuse(tar, images[1], "stands twice in the shard; give each image a name of its own")
        if labelled and not images and not self._loose:
            self._loose = [len(self._bounds) - 1, next(iter(labels.values())).start]
        for image in images:
            self._data.append(image.data)
            self._size.append(image.size)
            self._header.append((image.data - image.start) // BLOCK)
            distance = (labels["json"].start - image.start) // BLOCK if notes.path else 0
            self._note.append(distance if abs(distance) < 1 << 31 else 0)
            self._own.add(notes.number, notes.name)
            folder, slash, rest = image.name.partition("/")
            self._folder.add(None, folder if slash else None)
            self._nested = self._nested or "/" in rest

    def _refuse(self, tar: Tar, member: Member, what: str) -> None:
        raise UserError(f"{tar.path}: {member.name!r} at byte {member.start} {what}")

    def arrays(self) -> dict[str, np.ndarray]:
        labels = self._own if self._own.known() else self._folder
        label, names = labels.sorted()
        loose = self._loose if labels is self._folder or (label < 0).any() else []
        note = np.frombuffer(self._note, np.int32) if any(self._note) else np.zeros(0, np.int32)
        return {
            "bounds": np.array(self._bounds, np.int64),
            "data": np.frombuffer(self._data, np.int64),
            "size": np.frombuffer(self._size, np.uint32),
            "header": np.frombuffer(self._header, np.uint16),
            "note": note,
            "label": label,
            "names": np.frombuffer(b"\0".join(names), np.uint8),
            "loose": np.array(loose, np.int64),
            "nested": np.array([labels is self._folder and len(names) == 1 and self._nested]),
        }


class _Labels:
    """The people that images show, as they come."""

    def __init__(self) -> None:
        self._ids = array("i")
        self._number_ids: dict[int, int] = {}
        self._name_ids: dict[str, int] = {}
        self._names: dict[int, str | None] = {}  # of numbers; None: more than one, or sometimes none

    def add(self, number: int | None, name: str | None) -> None:
        people = len(self._number_ids) + len(self._name_ids)
        if number is not None:
            self._ids.append(self._number_ids.setdefault(number, people))
            if self._names.setdefault(number, name) != name:
                self._names[number] = None
        elif name is not None:
            self._ids.append(self._name_ids.setdefault(name, people))
        else:
            self._ids.append(-1)

    def known(self) -> bool:
        return bool(self._number_ids or self._name_ids)

    def sorted(self) -> tuple[np.ndarray, list[bytes]]:
        """(N,) int32 labels, -1 where unknown, and the names that they stand for, sorted by their bytes.

        Numbers have the names that stood beside them if those tell them apart, else they are written with as many
        digits as the largest, so that they sort as numbers do.
        """
        texts = {number: name for number, name in self._names.items() if name is not None}
        if len(texts) < len(self._names) or len(set(texts.values())) < len(texts):
            digits = len(str(max(self._names)))
            texts = {number: f"{number:0{digits}}" for number in self._names}
        people = [(os.fsencode(texts[number]), person) for number, person in self._number_ids.items()]
        people += [(os.fsencode(name), person) for name, person in self._name_ids.items()]
        names = sorted({name for name, _ in people})
        place = dict(zip(names, range(len(names)), strict=True))
        rank = np.full(len(people) + 1, -1, np.int32)  # the last for -1
        rank[[person for _, person in people]] = [place[name] for name, _ in people]
        return rank[np.frombuffer(self._ids, np.int32)], names
