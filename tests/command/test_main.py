"""The installed command: its help, its errors, its doors at the root."""

import subprocess
import sys
from pathlib import Path

import pytest

from opensphere import __version__
from opensphere.command.main import ABOUT, guarded, main
from opensphere.error import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_version(capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0 and __version__ in capsys.readouterr().out


@pytest.mark.parametrize("name", ABOUT)
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    text = capsys.readouterr().out
    assert stop.value.code == 0 and f"opensphere {name}" in text and len(text.splitlines()) > 8


@pytest.mark.parametrize("argv", [[], ["trian"], ["test", "--config"]])
def test_a_wrong_command_line_has_status_2(argv: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 2


def test_errors_for_people_are_one_line(capsys: pytest.CaptureFixture) -> None:
    def fail() -> int:
        raise UserError("list.txt:3: no good")

    assert guarded(fail) == 2
    assert capsys.readouterr().err == "error: list.txt:3: no good\n"


def test_defects_of_ours_keep_their_traceback() -> None:
    def fail() -> int:
        raise ValueError("a defect")

    with pytest.raises(ValueError):
        guarded(fail)


@pytest.mark.slow
@pytest.mark.parametrize("door", ["train.py", "test.py"])
def test_the_doors_at_the_root(door: str) -> None:
    done = subprocess.run([sys.executable, ROOT / door, "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--config" in done.stdout
