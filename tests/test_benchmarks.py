"""The README quotes the benchmarks' own files."""

import json
import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = runpy.run_path(str(ROOT / "benchmarks/page.py"))
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_quotes_the_figures_of_the_heads() -> None:
    found = json.loads((ROOT / "benchmarks/results/head.json").read_text())
    assert list(found["results"]) == ["85000", "360000", "1000000"]
    assert {"processor", "cores", "torch", "python", "date"} <= found["machine"].keys()
    assert PAGE["heads"](found) in README


def test_the_readme_quotes_the_figures_of_the_data() -> None:
    found = json.loads((ROOT / "benchmarks/results/data.json").read_text())
    assert {"processor", "cores", "torch", "python", "date"} <= found["machine"].keys()
    assert {"files", ".rec", "shards"} <= {name.split(",")[0].removeprefix("from ") for name in found["cases"]}
    assert all(case["images"] == 10_000_000 for case in found["many"].values())
    assert PAGE["data"](found) in README and PAGE["many"](found) in README


def test_the_readme_quotes_the_figures_of_templates() -> None:
    found = json.loads((ROOT / "benchmarks/results/eval.json").read_text())
    assert {"processor", "cores", "torch", "python", "date"} <= found["machine"].keys()
    assert found["cases"]["usual reading"]["pairs"] == 15_658_489 and found["search"]["entries"] == 1_000_000
    assert PAGE["templates"](found) in README and PAGE["approximate"](found) in README
    assert PAGE["million"](found) in " ".join(README.split())
