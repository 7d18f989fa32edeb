import io
import os
import runpy
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scripts.stand_in import SCRIPTS, files, tar, zipped

main: Callable[[list[str]], int] = runpy.run_path(str(SCRIPTS / "unpack.py"))["main"]


@pytest.fixture
def stage(tmp_path: Path) -> Path:
    path = tmp_path / "around" / "stage"
    path.mkdir(parents=True)
    return path


def into(stage: Path, archive: Path, proof: str = "list.txt") -> int:
    return main(["into", str(stage), str(archive), proof])


def link(path: Path, name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> Path:
    """A tar that holds a file, a link, and a file behind the link."""
    with tarfile.open(path, "w") as archive:
        for member in (tarfile.TarInfo("folder/file"), tarfile.TarInfo(name)):
            if member.name == name:
                member.type, member.linkname = kind, target
            archive.addfile(member, io.BytesIO())
        behind = tarfile.TarInfo(f"{name}/planted")
        behind.size = 1
        archive.addfile(behind, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tars_whatever_their_name(tmp_path: Path, stage: Path, mode: str) -> None:
    assert into(stage, tar(tmp_path / "archive", {"a/ü 1.jpg": "1", "list.txt": "2"}, mode)) == 0
    assert files(stage) == {"a/ü 1.jpg": "1", "list.txt": "2"}


def test_zip(tmp_path: Path, stage: Path) -> None:
    assert into(stage, zipped(tmp_path / "archive", {"a/ü 1.jpg": "1", "list.txt": "2"})) == 0
    assert files(stage) == {"a/ü 1.jpg": "1", "list.txt": "2"}


def test_one_folder_around_all_is_left_out_only_where_it_holds_the_proof(tmp_path: Path, stage: Path) -> None:
    assert into(stage, tar(tmp_path / "a", {"set/list.txt": "2", "set/set/1.jpg": "1", "._set": "x"})) == 0
    assert files(stage) == {"list.txt": "2", "set/1.jpg": "1", "._set": "x"}
    other = stage.with_name("other")
    other.mkdir()
    assert into(other, tar(tmp_path / "b", {"set/a/1.jpg": "1"})) == 0
    assert files(other) == {"set/a/1.jpg": "1"}


@pytest.mark.parametrize("name", ["/absolute", "../up", "a/../../up", "a/..", "a\\..\\..\\up"])
@pytest.mark.parametrize("pack", [tar, zipped])
def test_members_that_lead_out_are_refused(
    tmp_path: Path, stage: Path, pack: Callable[..., Path], name: str, capfd: pytest.CaptureFixture
) -> None:
    before = files(tmp_path)
    archive = pack(tmp_path / "archive", {name: "x"})
    assert into(stage, archive) == 1
    assert "leads out of the folder" in capfd.readouterr().err
    archive.unlink()
    assert files(tmp_path) == before


@pytest.mark.parametrize("target", ["/etc", "../../around", "folder/../../..", "..", "folder/../folder"])
@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_that_lead_out_or_climb_are_refused(tmp_path: Path, stage: Path, target: str, kind: bytes) -> None:
    assert into(stage, link(tmp_path / "archive", "link", target, kind)) == 1
    assert not list(tmp_path.rglob("planted"))


def test_a_chain_of_links_stays_inside(tmp_path: Path, stage: Path) -> None:
    """Two harmless-looking links of which the second climbs through the first."""
    with tarfile.open(tmp_path / "archive", "w") as archive:
        for name, target in (("a", "."), ("b", "a/a/../..")):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)
    assert into(stage, tmp_path / "archive") == 1
    assert not os.path.lexists(stage / "b")


def test_links_within_the_folder_are_kept(tmp_path: Path, stage: Path) -> None:
    assert into(stage, link(tmp_path / "archive", "link", "folder")) == 0
    assert (stage / "link").is_symlink() and (stage / "folder/planted").read_text() == "x"


def test_devices_and_links_in_zips_are_refused(tmp_path: Path, stage: Path) -> None:
    with tarfile.open(tmp_path / "a", "w") as archive:
        device = tarfile.TarInfo("device")
        device.type = tarfile.FIFOTYPE
        archive.addfile(device)
    assert into(stage, tmp_path / "a") == 1
    with zipfile.ZipFile(tmp_path / "b", "w") as packed:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        packed.writestr(info, "/etc")
    assert into(stage, tmp_path / "b") == 1
    assert not list(stage.iterdir())


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz", "zip"])
def test_a_damaged_archive(tmp_path: Path, stage: Path, mode: str, capfd: pytest.CaptureFixture) -> None:
    content = {"a.jpg": os.urandom(50_000).hex()}
    archive = zipped(tmp_path / "a", content) if mode == "zip" else tar(tmp_path / "a", content, mode)
    archive.write_bytes(archive.read_bytes()[:30_000])
    assert into(stage, archive) == 3
    assert "is no archive, or damaged" in capfd.readouterr().err


@pytest.mark.parametrize(("text", "message"), [(b"", "damaged"), (b"  <html>", "web page"), (b"hello", "damaged")])
def test_no_archive(tmp_path: Path, stage: Path, text: bytes, message: str, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "a").write_bytes(text)
    assert into(stage, tmp_path / "a") == 3
    assert message in capfd.readouterr().err


def test_move_merges_folders_and_replaces_files(tmp_path: Path) -> None:
    for name, text in {
        "from/a/1": "new",
        "from/a/b/2": "2",
        "from/list": "new",
        "to/a/1": "old",
        "to/a/3": "3",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert main(["move", str(tmp_path / "from"), str(tmp_path / "to"), "list"]) == 0
    assert files(tmp_path) == {"to/a/1": "new", "to/a/3": "3", "to/a/b/2": "2", "to/list": "new"}


def test_move_leaves_the_proof_to_the_end(tmp_path: Path) -> None:
    """A file stands where a folder should go: the move fails, and nothing says that the set is there."""
    (tmp_path / "from/z").mkdir(parents=True)
    (tmp_path / "from/a_proof").write_text("x")
    (tmp_path / "from/b").write_text("x")
    (tmp_path / "to/b").mkdir(parents=True)
    (tmp_path / "to/b/full").write_text("x")
    assert main(["move", str(tmp_path / "from"), str(tmp_path / "to"), "a_proof"]) == 1
    assert not (tmp_path / "to/a_proof").exists()


def test_sha256_of_a_known_text(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    (tmp_path / "a").write_bytes(b"abc")  # the example of FIPS 180-4
    assert main(["sha256", str(tmp_path / "a")]) == 0
    assert capfd.readouterr().out.split() == ["ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"]
    assert main(["sha256", str(tmp_path / "missing")]) == 1
    assert main([]) == 2
