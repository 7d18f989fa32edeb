"""docs/add-a-loss.md, followed word by word in a copy of the package."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HERE = (ROOT / "opensphere/model/head/li_arcface.py").exists()
pytestmark = pytest.mark.skipif(HERE, reason="somebody has followed the page already")
PAGE = (ROOT / "docs" / "add-a-loss.md").read_text(encoding="utf-8")
LINES = 15

# Run in the copy: every classifier gives the same loss and gradients as the plain one.
AGREE = """
import torch, opensphere
from opensphere.classifier import blocks
blocks.block_width = lambda batch, device: 7
for gradient in ("detached", "full"):
    found = []
    for kind in ("plain", "chunked", "sharded", {"type": "sampled", "rate": 1.0}):
        torch.manual_seed(0)
        facts = dict(feat_dim=8, num_class=40, gradient=gradient, s=16.0)
        head = opensphere.build_head("LiArcFace", classifier=kind, **facts).double()
        x = torch.randn(12, 8, dtype=torch.float64).requires_grad_()
        loss = head(x, torch.arange(12))
        loss.backward()
        found.append((loss.detach(), x.grad, head.w.grad))
    for other in found[1:]:
        for one, two in zip(found[0], other):
            torch.testing.assert_close(two, one, rtol=1e-10, atol=1e-12)
"""


def block(after: str, language: str = "python") -> str:
    """The first block of a language behind some words of the page."""
    rest = PAGE[PAGE.index(after) :]
    return re.search(rf"^```{language}\n(.*?)^```$", rest, re.S | re.M).group(1)


def additions() -> list[tuple[str, str]]:
    """Lines to add to the list of losses, each with the line before it."""
    return [tuple(line[1:] for line in text.splitlines()) for text in re.findall(r"```diff\n(.*?)```", PAGE, re.S)]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository that has done what the page says."""
    folder = tmp_path_factory.mktemp("copy")
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("opensphere", "config", "tests/model/head"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    for name in ("train.py", *(str(path.relative_to(ROOT)) for path in (ROOT / "tests").glob("*.py"))):
        shutil.copy(ROOT / name, folder / name)
    (folder / "tests" / "model" / "__init__.py").touch()
    write(folder, "opensphere/model/head/li_arcface.py", block("Write `opensphere/model/head/li_arcface.py`"))
    for before, line in additions():
        add_line(folder / "opensphere/model/head/__init__.py", before, line)
    table = folder / "tests/model/head/material.py"
    before = next(
        line for line in table.read_text(encoding="utf-8").splitlines() if line.startswith('    "GAsoftmax": ')
    )
    add_line(table, before, block("line in the table `HEADS`").rstrip("\n"))
    write(folder, "tests/model/head/test_li_arcface.py", block("`tests/model/head/test_li_arcface.py`"))
    return folder


def write(folder: Path, name: str, text: str) -> None:
    assert f"`{name}`" in PAGE and not (ROOT / name).exists()
    (folder / name).write_text(text, encoding="utf-8")


def add_line(path: Path, before: str, line: str) -> None:
    lines = path.read_text(encoding="utf-8").split("\n")
    lines.insert(lines.index(before) + 1, line)
    path.write_text("\n".join(lines), encoding="utf-8")


def run(folder: Path, *words: str) -> str:
    """Run Python in the copy: its output, once it has ended well."""
    settings = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run([sys.executable, *words], cwd=folder, env=settings, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_loss_is_fifteen_lines() -> None:
    lines = [line for line in block("Write `opensphere/model/head/li_arcface.py`").splitlines() if line.strip()]
    assert len(lines) + len(additions()) <= LINES
    assert f"A loss takes {LINES} lines" in PAGE


def test_the_page_is_about_what_is_there() -> None:
    """Files and attributes that the page names exist; the loss is not in the project yet."""
    for name in re.findall(r"\| `(\w+\.py)` \|", PAGE):
        assert (ROOT / "opensphere" / "model" / "head" / name).is_file(), name
    for target in re.findall(r"\]\(\.\./([\w/.]+)\)", PAGE):
        assert (ROOT / target).exists(), target
    source = (ROOT / "opensphere" / "model" / "head" / "head.py").read_text(encoding="utf-8")
    pieces = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", PAGE[PAGE.index("| piece |") :], re.M)))
    assert len(pieces) >= 12
    for piece in pieces:
        assert re.search(rf"\b{piece}\b", source), piece
    assert "LiArcFace" not in (ROOT / "opensphere" / "model" / "head" / "__init__.py").read_text(encoding="utf-8")


@pytest.mark.slow
def test_it_trains_as_the_page_says(copy: Path) -> None:
    words = shlex.split(block("## Train it", "console"))
    assert words[0] == "python" and "\n" not in block("## Train it", "console").strip()
    out = run(copy, *words[1:])
    losses = [float(text) for text in re.findall(r"Loss: ([\d.]+)", out)]
    begins, ends = re.search(r"loss begins at ([\d.]+) and ends near ([\d.]+)\.", PAGE).groups()
    assert losses[0] == pytest.approx(float(begins), rel=0.02) and losses[-1] == pytest.approx(float(ends), rel=0.3)
    accuracy = float(re.search(r"ACC10 ([\d.]+)", out).group(1))
    assert accuracy == pytest.approx(float(re.search(r"training, (\d+) % of the pairs", PAGE).group(1)), abs=3.0)
    assert "warning" not in out


@pytest.mark.slow
def test_every_classifier_agrees_with_the_plain_one(copy: Path) -> None:
    run(copy, "-c", AGREE)


@pytest.mark.slow
def test_its_tests_pass(copy: Path) -> None:
    """The textbook, and the tests over all heads, which find it in the list."""
    names = ["tests/model/head/test_li_arcface.py", "tests/model/head/test_head.py"]
    run(copy, "-m", "pytest", "-q", "-p", "no:cacheprovider", *names)
