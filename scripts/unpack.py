"""Check, unpack and place an archive: what the dataset_setup scripts need beside the shell. Standard library only.

    unpack.py sha256 FILE                  print the checksum
    unpack.py into FOLDER ARCHIVE PROOF    unpack a tar (plain or compressed) or zip
    unpack.py move STAGE FOLDER LAST       move what STAGE holds into FOLDER, the entry LAST at the end

Exit status: 1 refused or no room, 2 wrong arguments, 3 no archive or a damaged one.
"""

import gzip
import hashlib
import lzma
import os
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath


class Refused(Exception):
    """The archive holds what must not be unpacked."""


class Damaged(Exception):
    """The file is no archive, or not a whole one."""


BROKEN = (
    tarfile.ReadError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    NotImplementedError,  # a compression that zipfile does not know
)


def sha256(path: Path) -> str:
    """The SHA-256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unpack(archive: Path, folder: Path, proof: str) -> None:
    """Unpack `archive` into `folder`, an empty one.

    Where all lies in one folder of the archive and `proof` in that, the folder itself is left out.

    Raises:
        Refused: a member, or the target of a link, is absolute or climbs with ".."; a member is neither a file, a
            folder nor a link; an archive with a password.
        Damaged: no archive, or not a whole one.
    """
    try:
        try:
            with tarfile.open(archive) as tar:
                _unpack_tar(tar, folder)
        except tarfile.ReadError:
            if not zipfile.is_zipfile(archive):
                raise
            with zipfile.ZipFile(archive) as zipped:
                _unpack_zip(zipped, folder)
    except BROKEN as error:
        with open(archive, "rb") as file:
            page = file.read(64).lstrip().startswith(b"<")
        raise Damaged("is a web page, no archive" if page else f"is no archive, or damaged: {error}") from None
    entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
    if len(entries) == 1 and (entries[0] / proof).exists():
        inner = entries[0].rename(folder / ".inner")  # its own name may stand inside once more
        move(inner, folder)
        inner.rmdir()


def _unpack_tar(tar: tarfile.TarFile, folder: Path) -> None:
    while (member := tar.next()) is not None:
        _check_path(member.name, "member")
        if member.issym() or member.islnk():
            # With ".." in neither names nor targets, no chain of links can lead out of the folder.
            _check_path(member.linkname, f"{member.name}: target")
        try:
            tar.extract(member, folder, filter="data")
        except tarfile.FilterError as error:
            raise Refused(str(error)) from None
        tar.members = []  # type: ignore[attr-defined]  # millions of images would fill the memory


def _unpack_zip(archive: zipfile.ZipFile, folder: Path) -> None:
    members = archive.infolist()
    for member in members:
        _check_path(member.filename, "member")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise Refused(f"member {member.filename!r} is a link")
        if member.flag_bits & 1:
            raise Refused("it is locked with a password: unpack it by hand")
    for member in members:
        archive.extract(member, folder)


def _check_path(name: str, what: str) -> None:
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        raise Refused(f"{what} {name!r} leads out of the folder")


def move(source: Path, target: Path, last: str = "") -> None:
    """Move the entries of `source` into `target`, folders into those of the same name, the entry `last` at the end."""
    for name in sorted(os.listdir(source), key=lambda name: (name == last, name)):
        here, there = source / name, target / name
        if here.is_dir() and not here.is_symlink() and there.is_dir():
            move(here, there)
            here.rmdir()
        else:
            here.replace(there)


def main(arguments: Iterable[str]) -> int:
    """The command line; returns the exit status."""
    match list(arguments):
        case ["sha256", path]:
            step, subject = (lambda: print(sha256(Path(path)))), path
        case ["into", folder, path, proof]:
            step, subject = (lambda: unpack(Path(path), Path(folder), proof)), path
        case ["move", stage, folder, last]:
            step, subject = (lambda: move(Path(stage), Path(folder), last)), folder
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    try:
        step()
    except Refused as error:
        print(f"{subject}: refused: {error}", file=sys.stderr)
        return 1
    except Damaged as error:
        print(f"{subject}: {error}", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"{subject}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
