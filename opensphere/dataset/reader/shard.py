"""Images in tar shards, as WebDataset keeps them."""

import glob
import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import suppress

import numpy as np

from opensphere.dataset import digest
from opensphere.dataset.annotation import IMAGE_SUFFIXES
from opensphere.dataset.reader.index import Arrays, kept_index
from opensphere.dataset.reader.reader import Progress, Reader
from opensphere.dataset.reader.sample import LARGEST_IMAGE, Gathered, Notes, check_name, read_note
from opensphere.dataset.reader.tar import BLOCK, END, Member, Tar, TarFiles, clean, filling, header
from opensphere.error import UserError

Paths = str | os.PathLike | Sequence[str | os.PathLike]

_VERSION = "shards 1"
_KINDS = {"bounds": "i8", "data": "i8", "size": "u4", "header": "u2", "note": "i4", "label": "i4", "names": "u1"}
_KINDS |= {"loose": "i8", "nested": "b1"}  # the arrays of `Gathered`
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,12})\.\.(\d{1,12})")
_NUMBER = re.compile(r"%0?(\d{0,2})d")
_MOST_NAMES = 1_000_000  # of one pattern
_SIGNATURES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n": ".png", b"RIFF": ".webp", b"BM": ".bmp"}


class ShardReader(Reader):
    """The images of tar shards, with the people that `cls` members, `json` members or folders tell (see `sample`).

    The shards' headers are walked over once; what is found is kept beside the first shard. Afterwards an image is
    one read of a file. A path is that of the json member where there is one, else the member's name.

    Args:
        path: a `.tar` file, a folder that holds some, a pattern such as "train-{000000..000099}.tar" or "train-*.tar",
            or a list of these. Other files cannot be read: compressed shards must be unpacked.
        people: whether it matters whom the images show; if not, there are no labels and none are missed.
        progress: called with the bytes walked over and those in all, while that is done.

    Raises:
        UserError: a shard is missing, compressed, damaged, or holds no plain files; there are no images; or people
            matter and only some images have labels.
    """

    def __init__(self, path: Paths, people: bool = True, progress: Progress | None = None):
        many = isinstance(path, Sequence) and not isinstance(path, str)
        self.root = ", ".join(map(os.fspath, path[:3])) if many else os.fspath(path)  # type: ignore[index, arg-type]
        self.shards = find_shards(path)
        self._files = TarFiles(self.shards)
        first = self.shards[0] if len(self.shards) == 1 else f"{self.shards[0]}.{len(self.shards)}"
        kept = kept_index(f"{first}.index.npz", self.shards, _VERSION, lambda: self._build(progress), self._fits)
        self._bounds, self._data, self._size = kept["bounds"], kept["data"], kept["size"]
        self._header, self._note = kept["header"], kept["note"]
        if people:
            self._take_labels(kept)

    def __len__(self) -> int:
        return len(self._data)

    def data(self, index: int) -> bytes:
        shard, index = self._find(index)
        try:
            return self._files.read(shard, int(self._data[index]), int(self._size[index]))
        except UserError as error:
            raise UserError(f"{self.where(index)}: {error}") from None

    def path(self, index: int) -> str:
        shard, index = self._find(index)
        tar = self._files.tar(shard)
        member = self._member(tar, index)
        if len(self._note) and self._note[index]:
            note = tar.member(member.start + int(self._note[index]) * BLOCK)
            if note is not None:
                notes = Notes()
                with suppress(ValueError):
                    notes.add_json(read_note(tar, note))
                return notes.path or member.name
        return member.name

    def where(self, index: int) -> str:
        shard, index = self._find(index)
        try:
            name = f"{self._member(self._files.tar(shard), index).name!r} at "
        except UserError:
            name = ""
        return f"{self.shards[shard]}: {name}byte {self._data[index]}"

    def keys(self, indices: np.ndarray) -> np.ndarray:
        shards = digest.of_files([os.path.abspath(shard) for shard in self.shards])
        shard = np.searchsorted(self._bounds, indices, side="right") - 1
        return digest.digests("shard", shards[shard], self._data[indices][:, None])

    def _find(self, index: int) -> tuple[int, int]:
        """The shard of an image, and its index counted from the first. Raises IndexError."""
        index = range(len(self))[index]
        return int(np.searchsorted(self._bounds, index, side="right")) - 1, index

    def _member(self, tar: Tar, index: int) -> Member:
        member = tar.member(int(self._data[index]) - int(self._header[index]) * BLOCK)
        if member is None:
            raise UserError(f"{tar.path}: no member at byte {self._data[index]}")
        return member

    def _build(self, progress: Progress | None) -> Arrays:
        gathered = Gathered()
        total = sum(self._files.sizes)
        done, step = 0, max(total // 200, 1)
        told = 0
        for shard, size in enumerate(self._files.sizes):
            tar = self._files.tar(shard)
            for member in tar:
                gathered.add(tar, member)
                if progress is not None and done + member.data >= told + step:
                    told = done + member.data
                    progress(told, total)
            gathered.end_shard(tar)
            done += size
        if progress is not None:
            progress(total, total)
        arrays = gathered.arrays()
        if not len(arrays["data"]):
            raise UserError(f"{self.root}: no images found in {len(self.shards)} shards; see what tar -tf lists")
        return arrays

    def _fits(self, kept: Arrays) -> bool:
        """Whether a kept index can only lead to bytes within the shards."""
        if {name: array.dtype for name, array in kept.items()} != _KINDS:
            return False
        bounds, count = kept["bounds"], len(kept["data"])
        ends = bounds.shape == (len(self.shards) + 1,) and bounds[0] == 0 and bounds[-1] == count > 0
        if not ends or (np.diff(bounds) < 0).any() or any(array.ndim != 1 for array in kept.values()):
            return False
        if any(len(kept[name]) != count for name in ("size", "header", "label")) or len(kept["note"]) not in (0, count):
            return False
        for start, stop, size in zip(bounds[:-1], bounds[1:], self._files.sizes, strict=True):
            data, front = kept["data"][start:stop], kept["header"][start:stop].astype(np.int64) * BLOCK
            if ((data < front) | (data > size - kept["size"][start:stop].astype(np.int64))).any():
                return False
        people = np.count_nonzero(kept["names"] == 0) + 1 if len(kept["names"]) else 0
        low, high, loose = kept["label"].min(), kept["label"].max(), kept["loose"]
        apart = len(loose) == 0 or len(loose) == 2 and 0 <= loose[0] < len(self.shards)
        return bool(-1 <= low and high < people and apart and len(kept["nested"]) == 1)

    def _take_labels(self, kept: Arrays) -> None:
        label, text = kept["label"], os.fsdecode(kept["names"].tobytes())
        if len(kept["loose"]):
            shard, at = kept["loose"].tolist()
            raise UserError(
                f"{self.shards[shard]}: the label at byte {at} stands apart from its image; pack the members of a "
                "sample together (tar --sort=name)"
            )
        missing = label < 0
        if missing.all():
            return
        if missing.any():
            first = int(missing.argmax())
            also = f" and {np.count_nonzero(missing) - 1} more of {len(self)}"
            raise UserError(f"{self.where(first)}: no label{also}; give every image a label or a folder, or none")
        names = text.split("\0")
        if kept["nested"][0]:
            raise UserError(
                f"{self.root}: all images lie in one folder, {names[0]!r}; if the people are in there, "
                f"pack what it holds: tar -C {names[0]}"
            )
        self.labels = label.astype(np.int64)
        self.names = names


def find_shards(path: Paths) -> list[str]:
    """The shards that a path, a folder, a pattern or a list of these stands for, in order: by name where one must be
    made.

    Raises:
        UserError: there is none, or one is missing or named twice.
    """
    if isinstance(path, Sequence) and not isinstance(path, str):
        shards = [shard for part in path for shard in find_shards(part)]
    else:
        shards = _find_shards(os.fspath(path))
    if not shards:
        raise UserError("no shards are named; give a .tar file, a folder of some, or a pattern")
    if len(set(shards)) < len(shards):
        twice = next(shard for shard, after in itertools.pairwise(sorted(shards)) if shard == after)
        raise UserError(f"{twice}: this shard is named twice; name each once")
    return shards


def _find_shards(path: str) -> list[str]:
    if os.path.isdir(path):
        names = sorted(name for name in os.listdir(path) if not name.startswith("."))
        shards = [os.path.join(path, name) for name in names if name.lower().endswith(".tar")]
        if not shards:
            packed = any(re.search(r"\.(tar\.\w+|tgz)$", name) for name in names)
            hint = "unpack its compressed ones first (gunzip)" if packed else "name the folder that holds them"
            raise UserError(f"{path}: no .tar files in this folder; {hint}")
        return shards
    if os.path.exists(path):
        return [path]
    shards = []
    for name in expand(path):
        found = sorted(glob.glob(name)) if glob.has_magic(name) and not os.path.exists(name) else [name]
        if not found or not os.path.exists(found[0]):
            where = "" if name == path else f" (of {path})"
            raise UserError(f"{name}{where}: there is no such shard; check the path")
        shards += found
    return shards


def expand(pattern: str) -> Iterator[str]:
    """The names that a pattern with braces stands for: "{00..12}" is a range, "{a,b}" a choice, as in a shell."""
    match = _BRACES.search(pattern)
    if match is None:
        yield pattern
        return
    head, tail = pattern[: match.start()], pattern[match.end() :]
    bounds = _RANGE.fullmatch(match[1])
    choices: Iterable[str] = match[1].split(",") if "," in match[1] else [match[0]]
    if bounds is not None:
        first, last = int(bounds[1]), int(bounds[2])
        if last - first >= _MOST_NAMES:
            raise UserError(f"{pattern}: it names more than {_MOST_NAMES} files; correct the range")
        choices = (f"{number:0{len(bounds[1])}}" for number in range(first, last + 1))
    for choice in choices:
        for rest in expand(tail):
            yield head + choice + rest


def write_shards(
    path: str | os.PathLike,
    rows: Iterable[tuple[str, int | str | None, bytes | memoryview]],
    images_per_shard: int = 10_000,
    bytes_per_shard: int | None = None,
    progress: Progress | None = None,
) -> int:
    """Write images into tar shards, all of them or none, and return the number of images.

    Each image is a sample of three members, whose key is the image's number: the image file as it is; `cls`, the
    number of the person, counted in the order in which people come; `json` with the "name" of the person and the
    "path" that the image had. The same rows give the same bytes.

    Args:
        path: a folder, for shard-000000.tar and so on; or a pattern such as "faces/train-%06d.tar" or
            "faces/train-{000000..000099}.tar", of which as many names are used as there are shards.
        rows: path, person and image file of each. A person that is a number is itself the `cls` and has no name; None:
            nobody knows, and there is no `cls`. All are of one type.
        images_per_shard: a shard holds at most this many images,
        bytes_per_shard: and not more than this many bytes, unless a single image does.
        progress: called with the images done and those in all (0 where `rows` does not tell).

    Raises:
        UserError: there are such shards already, a row cannot be written, or the disk cannot take them.
    """
    if images_per_shard < 1 or bytes_per_shard is not None and bytes_per_shard < 1:
        raise UserError("images_per_shard and bytes_per_shard must be 1 or more")
    path = os.fspath(path)
    folder, targets = _targets(path)
    samples = _samples(path, rows, progress)
    made: list[str] = []
    count = 0
    sample = next(samples, None)
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".shards-", dir=folder) as hold:
            while sample is not None:
                target = next(targets, None)
                if target is None:
                    raise UserError(f"{path}: more than {len(made)} shards are needed; use %06d for the number")
                with open(os.path.join(hold, str(len(made))), "xb") as file:
                    images, size = 0, len(END)
                    while sample is not None and images < images_per_shard:
                        size += sum(map(len, sample))
                        if images and bytes_per_shard is not None and size > bytes_per_shard:
                            break
                        file.writelines(sample)
                        images += 1
                        sample = next(samples, None)
                    file.write(END)
                    file.flush()
                    os.fsync(file.fileno())
                made.append(os.path.join(folder, target))
                count += images
            _move(hold, made)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from error
    if not made:
        raise UserError(f"{path}: there are no images to write")
    return count


def _targets(path: str) -> tuple[str, Iterator[str]]:
    """The folder that shards are written to, and their names, of which none may be there."""
    folder, base = os.path.split(path) if path.lower().endswith(".tar") else (path, "shard-%06d.tar")
    others = "*.tar" if folder == path else _BRACES.sub("*", _NUMBER.sub("*", glob.escape(base)))
    there = sorted(glob.glob(others, root_dir=folder or "."))
    if there:
        raise UserError(
            f"{os.path.join(folder, there[0])}: there are shards already; move them away or write elsewhere"
        )
    number = _NUMBER.search(base)
    if number is None:
        return folder or ".", expand(base)
    head, width, tail = base[: number.start()], int(number[1] or 0), base[number.end() :]
    return folder or ".", (f"{head}{count:0{width}}{tail}" for count in itertools.count())


def _move(hold: str, targets: list[str]) -> None:
    moved = []
    try:
        for number, target in enumerate(targets):
            if os.path.lexists(target):
                raise UserError(f"{target}: somebody wrote this shard meanwhile; move it away or write elsewhere")
            os.rename(os.path.join(hold, str(number)), target)
            moved.append(target)
    except BaseException:
        for target in moved:
            with suppress(OSError):
                os.unlink(target)
        raise


def _samples(
    where: str, rows: Iterable[tuple[str, int | str | None, bytes | memoryview]], progress: Progress | None
) -> Iterator[list[bytes | memoryview]]:
    """What to write for each image, in pieces."""
    total = len(rows) if isinstance(rows, Sized) else 0
    people: dict[int | str, int] = {}
    kind: type | None = None
    number = after = 0
    for number, (path, person, data) in enumerate(rows, 1):
        person = int(person) if isinstance(person, np.integer) else person
        if number > 1 and type(person) is not kind:
            raise UserError(f"{where}: {path!r} shows {person!r}, others are unlike it; give names, numbers or None")
        kind = type(person)
        try:
            yield _sample(f"{number - 1:09}", path, person, memoryview(data).cast("B"), people)
        except ValueError as error:
            raise UserError(f"{where}: {path!r} cannot be written: {error}") from None
        if progress is not None and (number >= after or number == total):
            after = number + max(total // 200, number // 20, 1)  # few times, however many there are
            progress(number, total)


def _sample(
    key: str, path: str, person: int | str | None, data: memoryview, people: dict[int | str, int]
) -> list[bytes | memoryview]:
    """A sample's members. Raises ValueError that says why there can be none."""
    if data.nbytes > LARGEST_IMAGE:
        raise ValueError(f"{data.nbytes} bytes are too many for an image")
    notes = {"path": path} if clean(path) == path else {}
    members: list[tuple[str, bytes | memoryview]] = [(key + _suffix(path, bytes(data[:16])), data)]
    if isinstance(person, str):
        notes["name"] = check_name(person)
        person = people.setdefault(person, len(people))
    if person is not None:
        if not 0 <= person < 10**18:
            raise ValueError(f"{person} is no label; give a number from 0")
        members.append((f"{key}.cls", b"%d" % person))
    members.append((f"{key}.json", json.dumps(notes, sort_keys=True).encode()))
    return [piece for name, body in members for piece in (header(name, len(body)), body, filling(len(body)))]


def _suffix(path: str, begin: bytes) -> str:
    for suffix in IMAGE_SUFFIXES:
        if path.lower().endswith(suffix):
            return suffix
    for mark, known in _SIGNATURES.items():
        if begin.startswith(mark) and (known != ".webp" or begin[8:12] == b"WEBP"):
            return known
    raise ValueError(f"neither its name nor its content is that of an image; name it with one of {IMAGE_SUFFIXES}")
