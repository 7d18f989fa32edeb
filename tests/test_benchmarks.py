"""The README quotes the benchmarks' own files."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_the_readme_quotes_the_figures_of_the_heads() -> None:
    found = json.loads((ROOT / "benchmarks/results/head.json").read_text())
    assert list(found["results"]) == ["85000", "360000", "1000000"]
    assert {"processor", "cores", "torch", "python", "date"} <= found["machine"].keys()
    table = runpy.run_path(str(ROOT / "benchmarks/page.py"))["markdown"](found)
    assert table in (ROOT / "README.md").read_text(encoding="utf-8")
