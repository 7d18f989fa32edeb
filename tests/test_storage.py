"""Writes are whole or not at all."""

import os
from pathlib import Path

import pytest

from opensphere import storage
from opensphere.error import UserError


def test_a_write_replaces_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "naïve 名前.txt"
    storage.write_text(path, "first")
    storage.write_text(path, "zweite ü")
    assert path.read_bytes() == "zweite ü".encode()
    assert os.listdir(path.parent) == [path.name]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    storage.write_bytes(path, b"old")
    with pytest.raises(ZeroDivisionError), storage.atomic_path(path) as part:
        part.write_bytes(b"half")
        raise ZeroDivisionError
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file.bin"]


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        storage.write_text(tmp_path / "a", "")
    finally:
        os.umask(previous)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o644


def test_a_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file/a.txt: cannot be written"):
        storage.write_text(tmp_path / "file" / "a.txt", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    storage.write_text(path, "old")
    with pytest.raises(UserError, match="file.txt: cannot be written: No space left"):
        with storage.atomic_path(path) as part:
            os.unlink(part)
            os.symlink("/dev/full", part)
            part.write_bytes(b"x" * 100_000)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]
