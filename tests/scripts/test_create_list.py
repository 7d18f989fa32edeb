import os
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from opensphere.dataset.annotation import Lines

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "create_list.py"


@dataclass
class Result:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def create_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture) -> Callable[..., Result]:
    """Runs the script in tmp_path. Within this process: a fresh one imports torch for seconds."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    script = runpy.run_path(str(SCRIPT))

    def run(*arguments: str) -> Result:
        status = script["main"](list(arguments))
        return Result(status, *capfd.readouterr())

    return run


def images(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_last_folder_is_the_name_and_only_spaces_need_tabs(tmp_path: Path, create_list: Callable[..., Result]) -> None:
    images(
        tmp_path / "people", "Žofie/é.PNG", "Ada Lovelace/a 1.jpg", "bob/2.jpeg", "bob/1.jpg", "bob/trip/3.jpg",
        "bob/notes.txt", "bob/.hidden.jpg", "お\u3000名前/1.jpg",
    )  # fmt: skip
    result = create_list("--dataset_dir", "people", "--list_name", "my list")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "my list.txt").read_text(encoding="utf-8") == (
        "people/Ada Lovelace/a 1.jpg\tAda Lovelace\n"
        "people/bob/1.jpg bob\n"
        "people/bob/2.jpeg bob\n"
        "people/bob/trip/3.jpg trip\n"
        "people/Žofie/é.PNG Žofie\n"
        "people/お\u3000名前/1.jpg\tお\u3000名前\n"
    )
    assert "6 images of 5 people" in result.stdout


def test_a_list_reads_back_as_paths_of_files_that_exist(tmp_path: Path, create_list: Callable[..., Result]) -> None:
    images(tmp_path / "my people", "Ada Lovelace/1.jpg", "Zoë/2.png")
    create_list("--dataset_dir", "my people", "--list_name", "ann")
    rows = [[field.decode() for field in row] for row in Lines(tmp_path / "ann.txt", ("path", "name"))]
    assert [name for _, name in rows] == ["Ada Lovelace", "Zoë"]
    assert all((tmp_path / path).is_file() for path, _ in rows)


def test_label_path_keeps_folders_of_one_name_apart(tmp_path: Path, create_list: Callable[..., Result]) -> None:
    images(tmp_path / "p", "a/x/1.jpg", "b/x/1.jpg", "0.jpg")
    folder = create_list("--dataset_dir", "p", "--list_name", "folder")
    assert (tmp_path / "folder.txt").read_text() == "p/0.jpg p\np/a/x/1.jpg x\np/b/x/1.jpg x\n"
    assert "1 names stand for several folders (x for 2)" in folder.stderr
    path = create_list("--dataset_dir", "p", "--list_name", "path", "--label", "path")
    assert (tmp_path / "path.txt").read_text() == "p/0.jpg p\np/a/x/1.jpg a/x\np/b/x/1.jpg b/x\n"
    assert path.stderr == ""


def test_paths_relative_to_another_folder(tmp_path: Path, create_list: Callable[..., Result]) -> None:
    images(tmp_path / "data/train/set", "x/1.jpg")
    create_list("--dataset_dir", "data/train/set", "--list_name", "ann", "--relative_to", "data/train")
    assert (tmp_path / "ann.txt").read_text() == "set/x/1.jpg x\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset_dir", "nowhere"], "nowhere: there is no such folder"),
        (["--dataset_dir", "empty"], "empty: holds no images"),
        (["--dataset_dir", "tab"], "cannot stand in a list"),
        (["--dataset_dir", "people", "--relative_to", "empty"], "does not lie within empty"),
        (["--dataset_dir", "people", "--list_name", "people/x/1.jpg/ann"], "cannot be written"),
    ],
)
def test_errors_are_one_line(
    tmp_path: Path, create_list: Callable[..., Result], arguments: list[str], message: str
) -> None:
    images(tmp_path, "people/x/1.jpg", "tab/a\tb/1.jpg", "empty/x/notes.txt")
    if "--list_name" not in arguments:
        arguments = [*arguments, "--list_name", "ann"]
    result = create_list(*arguments)
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.count("\n") == 1
    assert not (tmp_path / "ann.txt").exists()


@pytest.mark.slow
def test_the_command_line_itself(tmp_path: Path) -> None:
    images(tmp_path / "people", "x/1.jpg")
    command = [sys.executable, str(SCRIPT), "--dataset_dir", "people", "--list_name", "ann"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "ann.txt").read_text() == "people/x/1.jpg x\n"
    result = subprocess.run([*command[:3], "nowhere", *command[4:]], cwd=tmp_path, capture_output=True, timeout=120)
    assert result.returncode == 2


def test_says_so_where_opensphere_cannot_be_imported(tmp_path: Path) -> None:
    """A copy of the script outside the checkout, run by a Python without site packages."""
    (tmp_path / "scripts").mkdir()
    copy = tmp_path / "scripts" / "create_list.py"
    copy.write_text(SCRIPT.read_text())
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    result = subprocess.run(
        [sys.executable, "-S", str(copy), "--help"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 2
    assert "opensphere is not installed here" in result.stderr and result.stderr.count("\n") == 1
