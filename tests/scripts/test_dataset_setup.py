import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.scripts.stand_in import CONTENTS, SCRIPTS, Server, files, serve, setup, tar, zipped

SHELL_SCRIPTS = sorted(SCRIPTS.glob("*.sh"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A working folder whose name holds spaces."""
    path = tmp_path / "open sphere"
    path.mkdir()
    return path


@pytest.mark.parametrize("script", SHELL_SCRIPTS, ids=lambda path: path.name)
def test_shell_syntax(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)
    if shutil.which("shellcheck"):
        subprocess.run(["shellcheck", "--external-sources", str(script)], check=True, cwd=SCRIPTS.parent)


def test_all_sets_from_links_and_a_second_run_does_nothing(tmp_path: Path, folder: Path) -> None:
    links = {
        "VGGFACE2_URL": tar(tmp_path / "a b.tar", CONTENTS["vggface2"]).as_uri(),
        "IJB_URL": tar(tmp_path / "ijb", CONTENTS["ijb"], "w:gz").as_uri(),
        "VALIDATION_URL": zipped(tmp_path / "v", CONTENTS["validation"]).as_uri(),
    }
    result = setup("dataset_setup.sh", folder, **links)
    assert result.returncode == 0, result.stderr
    expected = {f"train/{name}": text for name, text in CONTENTS["vggface2"].items()}
    expected |= {f"test/{name}": text for name, text in CONTENTS["ijb"].items()}
    expected |= {f"val/{name}": text for name, text in CONTENTS["validation"].items()}
    assert files(folder / "data") == expected  # neither archives nor unfinished folders are left
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    for archive in ("a b.tar", "ijb", "v"):
        (tmp_path / archive).unlink()
    again = setup("dataset_setup.sh", folder, **links)
    assert again.returncode == 0
    assert again.stderr.count("already there") == 3 and "fetching" not in again.stderr
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["webface", "glint360k"])
def test_a_training_set_gets_its_list(tmp_path: Path, folder: Path, name: str) -> None:
    url = tar(tmp_path / name, CONTENTS[name]).as_uri()
    result = setup(f"dataset_setup_{name}.sh", folder, **{f"{name.upper()}_URL": url})
    assert result.returncode == 0, result.stderr
    made = {"webface_train_ann.txt": "webface_112x112/w 1/1.jpg\tw 1\nwebface_112x112/w2/1.jpg w2\n"}
    assert files(folder / "data/train") == CONTENTS[name] | (made if name == "webface" else {})
    again = setup(f"dataset_setup_{name}.sh", folder, **{f"{name.upper()}_URL": url})
    assert again.returncode == 0 and "already there" in again.stderr and "fetching" not in again.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ms1m_refine_112x112/m1/1.jpg one\nms1m_refine_112x112/m2/1.jpg two\n", None),
        ("elsewhere/1.jpg one\n", "the list names elsewhere/1.jpg, which the archive does not hold"),
        (None, "the link gives nothing"),
    ],
)
def test_the_list_of_ms1m_lies_beside_its_archive(
    tmp_path: Path, folder: Path, text: str | None, message: str | None
) -> None:
    if text is not None:
        (tmp_path / "list.txt").write_text(text)
    links = {
        "MS1M_REFINE_URL": tar(tmp_path / "archive", CONTENTS["ms1m_refine"]).as_uri(),
        "MS1M_REFINE_LIST_URL": (tmp_path / "list.txt").as_uri(),
    }
    result = setup("dataset_setup_ms1m.sh", folder, **links)
    assert result.returncode == 0, result.stderr
    made = "ms1m_refine_112x112/m1/1.jpg m1\nms1m_refine_112x112/m2/1.jpg m2\n"
    expected = CONTENTS["ms1m_refine"] | {"ms1m_refine_train_ann.txt": text if message is None else made}  # type: ignore[operator]
    assert files(folder / "data/train") == expected
    if message:
        assert message in result.stderr and "making the list" in result.stderr
    assert "already there" in setup("dataset_setup_ms1m.sh", folder, **links).stderr


def test_a_dead_link_says_how_to_go_on_and_the_others_are_set_up(tmp_path: Path, folder: Path) -> None:
    with serve(Server(b"")) as server:
        result = setup(
            "dataset_setup.sh", folder, VGGFACE2_URL=f"{server.url}/missing.tar",
            VALIDATION_URL=tar(tmp_path / "v.tar", CONTENTS["validation"]).as_uri(),
        )  # fmt: skip
    assert result.returncode == 1
    assert f"vggface2: the link gives nothing (status 22): {server.url}/missing.tar" in result.stderr
    assert "--from vggface2=FILE" in result.stderr and "VGGFACE2_URL=https://..." in result.stderr
    assert "https://github.com/ox-vgg/vgg_face2" in result.stderr
    assert "ijb: no link is known" in result.stderr
    assert result.stderr.splitlines()[-1] == "not set up: vggface2 ijb"
    assert files(folder / "data") == {f"val/{name}": text for name, text in CONTENTS["validation"].items()}


def test_an_interrupted_download_goes_on_where_it_stopped(tmp_path: Path, folder: Path) -> None:
    content = tar(tmp_path / "a.tar", {**CONTENTS["glint360k"], "big": os.urandom(300_000)}).read_bytes()
    with serve(Server(content, breaks_after=100_000)) as server:
        link = {"GLINT360K_URL": f"{server.url}/a.tar", "GLINT360K_SHA256": hashlib.sha256(content).hexdigest()}
        first = setup("dataset_setup_glint360k.sh", folder, **link)
        assert first.returncode == 1 and "the download broke off" in first.stderr
        arrived = (folder / "data/.download/glint360k.part").stat().st_size
        assert 0 < arrived <= 100_000
        assert not (folder / "data/train/glint360k_train_ann.txt").exists()
        second = setup("dataset_setup_glint360k.sh", folder, **link)
        assert second.returncode == 0, second.stderr
        assert server.asked == [None, f"bytes={arrived}-"]
    assert (folder / "data/train/glint360k_train_ann.txt").exists()


def test_a_server_without_ranges_is_asked_anew(tmp_path: Path, folder: Path) -> None:
    content = tar(tmp_path / "a.tar", {**CONTENTS["glint360k"], "big": os.urandom(300_000)}).read_bytes()
    with serve(Server(content, ranges=False, breaks_after=100_000)) as server:
        link = {"GLINT360K_URL": f"{server.url}/a.tar", "GLINT360K_SHA256": hashlib.sha256(content).hexdigest()}
        assert setup("dataset_setup_glint360k.sh", folder, **link).returncode == 1
        assert setup("dataset_setup_glint360k.sh", folder, **link).returncode == 0


def test_the_beginning_of_another_link_is_not_continued(tmp_path: Path, folder: Path) -> None:
    other = tar(tmp_path / "other.tar", {"big": os.urandom(300_000)}).read_bytes()
    with serve(Server(other, breaks_after=100_000)) as server:
        assert setup("dataset_setup_glint360k.sh", folder, GLINT360K_URL=server.url).returncode == 1
    right = tar(tmp_path / "right.tar", CONTENTS["glint360k"])
    result = setup("dataset_setup_glint360k.sh", folder, GLINT360K_URL=right.as_uri())
    assert result.returncode == 0, result.stderr
    assert files(folder / "data") == {f"train/{name}": text for name, text in CONTENTS["glint360k"].items()}


def commands_without(tmp_path: Path, missing: str, **fakes: str) -> str:
    """A PATH that holds what the scripts call, except `missing`, and `fakes` in its stead."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in "bash basename cat cp dirname ls mkdir mv rm rmdir sed tr curl wget".split():
        found = shutil.which(name)
        if name != missing and found:
            (folder / name).symlink_to(found)
    for name, text in fakes.items():
        (folder / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (folder / name).chmod(0o755)
    return str(folder)


@pytest.mark.skipif(shutil.which("wget") is None, reason="wget is not installed")
def test_wget_where_there_is_no_curl(tmp_path: Path, folder: Path) -> None:
    content = tar(tmp_path / "a.tar", CONTENTS["glint360k"]).read_bytes()
    path = commands_without(tmp_path, "curl")
    with serve(Server(content)) as server:
        result = setup("dataset_setup_glint360k.sh", folder, path=path, GLINT360K_URL=f"{server.url}/a.tar")
        assert result.returncode == 0, result.stderr
        assert len(server.asked) == 1
    assert (folder / "data/train/glint360k_train_ann.txt").exists()


def test_google_drive_is_left_to_gdown(tmp_path: Path, folder: Path) -> None:
    archive = tar(tmp_path / "a.tar", CONTENTS["glint360k"])
    link = {"GLINT360K_URL": "https://drive.google.com/file/d/1Ab_c-9/view?usp=sharing"}
    without = setup("dataset_setup_glint360k.sh", folder, path=commands_without(tmp_path, "gdown"), **link)
    assert without.returncode == 1 and "pip install gdown" in without.stderr
    shutil.rmtree(tmp_path / "bin")
    gdown = f'printf "%s\\n" "$@" > "{tmp_path}/asked"; cp "{archive}" "$3"'
    path = commands_without(tmp_path, "gdown", gdown=gdown)
    result = setup("dataset_setup_glint360k.sh", folder, path=path, **link)
    assert result.returncode == 0, result.stderr
    options, target = (tmp_path / "asked").read_text().split("\n")[:2], (tmp_path / "asked").read_text().split("\n")[3]
    assert options == ["--continue", "--output"] and target == "https://drive.google.com/uc?id=1Ab_c-9"


def test_a_wrong_checksum_is_refused_and_the_right_one_needs_no_new_download(tmp_path: Path, folder: Path) -> None:
    archive = tar(tmp_path / "a.tar", CONTENTS["glint360k"])
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    link = {"GLINT360K_URL": archive.as_uri()}
    wrong = setup("dataset_setup_glint360k.sh", folder, **link, GLINT360K_SHA256="0" * 64)
    assert wrong.returncode == 1
    assert f"sha256 {digest}, not {'0' * 64}: not unpacked" in wrong.stderr
    assert not (folder / "data/train/glint360k").exists()
    archive.unlink()
    right = setup("dataset_setup_glint360k.sh", folder, **link, GLINT360K_SHA256=digest.upper())
    assert right.returncode == 0, right.stderr


def test_without_a_known_checksum_the_found_one_is_shown(tmp_path: Path, folder: Path) -> None:
    archive = tar(tmp_path / "a.tar", CONTENTS["glint360k"])
    result = setup("dataset_setup_glint360k.sh", folder, GLINT360K_URL=archive.as_uri())
    assert f"sha256 {hashlib.sha256(archive.read_bytes()).hexdigest()} (none is known" in result.stderr


def test_a_web_page_in_place_of_an_archive(tmp_path: Path, folder: Path) -> None:
    page = tmp_path / "page"
    page.write_text("\n<!DOCTYPE html><html>Please log in</html>")
    result = setup("dataset_setup_glint360k.sh", folder, GLINT360K_URL=page.as_uri())
    assert result.returncode == 1
    assert "is a web page, no archive" in result.stderr and "--from glint360k=FILE" in result.stderr
    assert files(folder) == {}  # the next run fetches it anew


def test_a_malicious_archive_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    archive = tar(tmp_path / "a.tar", {**CONTENTS["glint360k"], "../../../escaped": "x"})
    result = setup("dataset_setup_glint360k.sh", folder, "--from", f"glint360k={archive}")
    assert result.returncode == 1
    assert "refused: member '../../../escaped' leads out of the folder" in result.stderr
    assert files(folder) == {} and not list(tmp_path.rglob("escaped"))
    assert archive.exists()


def test_an_archive_of_something_else_says_what_it_holds(tmp_path: Path, folder: Path) -> None:
    archive = tar(tmp_path / "a.tar", {"photos/1.jpg": "x", "readme.txt": "x"})
    result = setup("dataset_setup.sh", folder, "--only", "validation", "--from", f"validation={archive}")
    assert result.returncode == 1
    assert "holds no combined_ann.txt, but: photos, readme.txt" in result.stderr


@pytest.mark.parametrize("how", ["folder", "file", "name"])
def test_own_copies(tmp_path: Path, folder: Path, how: str) -> None:
    copies = tmp_path / "my copies"
    copies.mkdir()
    contents = {f"faces/{name}": text for name, text in CONTENTS["validation"].items()}  # all in one folder
    archive = zipped(copies / ("Validation.zip" if how != "name" else "faces 2.zip"), contents)
    before = archive.read_bytes()
    source = {"folder": str(copies), "file": str(archive), "name": f"validation={archive}"}[how]
    result = setup("dataset_setup.sh", folder, "--only", "validation", "--from", source, "--data", "my data")
    assert result.returncode == 0, result.stderr
    assert files(folder / "my data/val") == CONTENTS["validation"]
    assert archive.read_bytes() == before


def test_a_set_placed_by_hand_is_left_alone(folder: Path) -> None:
    for proof in ("train/vggface2_train_ann.txt", "test/IJB-C/meta/m.txt", "val/combined_ann.txt"):
        path = folder / "data" / proof
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    result = setup("dataset_setup.sh", folder, VGGFACE2_URL="file:///nowhere")
    assert result.returncode == 0
    assert set(files(folder / "data").values()) == {"mine"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--form", "x"], "unknown argument --form"),
        (["--from"], "--from needs a value"),
        (["--from", "nowhere"], "--from nowhere: there is no such file or folder"),
        (["--from", "ijb=nowhere"], "--from ijb=nowhere: there is no such file"),
        (["--from", "other.tar"], "say which set it is"),
        (["--only", "lfw"], "the sets of this script are: vggface2 ijb validation"),
    ],
)
def test_wrong_arguments(folder: Path, arguments: list[str], message: str) -> None:
    (folder / "other.tar").write_text("x")
    result = setup("dataset_setup.sh", folder, *arguments)
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not (folder / "data").exists()


def test_an_older_python_is_named(tmp_path: Path, folder: Path) -> None:
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    result = setup("dataset_setup.sh", folder, PYTHON=str(old))
    assert result.returncode == 2 and "Python 3.11 or newer is needed" in result.stderr


def test_help_names_the_sets(folder: Path) -> None:
    result = setup("dataset_setup.sh", folder, "--help")
    assert result.returncode == 0 and "one of: vggface2 ijb validation" in result.stdout
    assert not (folder / "data").exists()


def test_an_unpacking_that_was_cut_off_starts_anew(tmp_path: Path, folder: Path) -> None:
    rest = folder / "data/train/.glint360k.unpacking"
    rest.mkdir(parents=True)
    (rest / "half.jpg").write_text("x")
    archive = tar(tmp_path / "a.tar", CONTENTS["glint360k"])
    result = setup("dataset_setup_glint360k.sh", folder, GLINT360K_URL=archive.as_uri())
    assert result.returncode == 0, result.stderr
    assert "train/half.jpg" not in files(folder / "data") and not rest.exists()
