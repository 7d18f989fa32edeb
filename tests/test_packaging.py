"""A wheel and an sdist build, install into a fresh environment, and run there."""

import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import opensphere

ROOT = Path(__file__).resolve().parents[1]


def test_one_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == opensphere.__version__


@pytest.mark.slow
def test_wheel_and_sdist_install(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "opensphere/model/head/sphereface.py" in names
    assert not [name for name in names if name.startswith(("tests", "config"))]
    with tarfile.open(sdist) as archive:
        assert any(name.endswith("/LICENSE") for name in archive.getnames())
    again = tmp_path / "again"  # a wheel made from the sdist alone
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(again),
        str(sdist),
    ]
    subprocess.run(command, check=True, cwd=tmp_path)
    for number, package in enumerate((wheel, *again.glob("*.whl"))):
        place = tmp_path / f"venv{number}"
        venv.create(place, with_pip=True)
        python = place / "bin" / "python"
        # the libraries come from this environment: what is under test is the package, not the download of torch
        site = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
        (Path(site) / "libraries.pth").write_text(sysconfig.get_path("purelib"))
        install = [python, "-m", "pip", "install", "-q", "--no-deps", str(package)]
        subprocess.run(install, check=True, cwd=tmp_path)
        script = place / "bin" / "opensphere"
        shown = subprocess.run([script, "--version"], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert shown.stdout.strip() == f"opensphere {opensphere.__version__}"
        where = (
            "import opensphere.config as c; print(c.__file__, c.build_head('ArcFace', feat_dim=4, num_class=3).w.shape)"
        )
        shown = subprocess.run([python, "-c", where], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert str(place) in shown.stdout and "torch.Size([4, 3])" in shown.stdout
