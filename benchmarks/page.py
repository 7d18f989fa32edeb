"""The README's tables of the benchmarks' figures: python benchmarks/page.py prints them."""

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"


def heads(found: dict[str, Any]) -> str:
    """A row a case: multiples of the three products, and megabytes, for each number of classes."""
    sizes = list(found["results"])
    lines = ["| | " + " | ".join(f"{int(size):,} classes" for size in sizes) + " |", "| --- |" + " ---: |" * len(sizes)]
    for name in found["results"][sizes[0]]:
        cells = [_cell(found["results"][size][name]) for size in sizes]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(case: dict[str, Any]) -> str:
    return case["failed"] if "failed" in case else f"{case['ratio']:.2f} x, {case['extra_mb']:,.0f} MB"


def data(found: dict[str, Any]) -> str:
    """A row a case: images a second, beside the decoder on as many threads and the usual loader."""
    lines = ["| | images/s | of the decoder | times the usual loader |", "| --- | ---: | ---: | ---: |"]
    for name, case in found["cases"].items():
        cells = f"{case['images_per_second']:,} | {case['of_the_decoder']:.0%} | {case['times_the_usual']:.2f}"
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def many(found: dict[str, Any]) -> str:
    """A row an opening of ten million images: seconds to the first batch, and memory."""
    lines = ["| ten million images | first batch after | memory |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {case['seconds']:.1f} s | {case['gb']:.2f} GB |" for name, case in found["many"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    print(heads(json.loads((RESULTS / "head.json").read_text())), end="\n\n")
    figures = json.loads((RESULTS / "data.json").read_text())
    print(data(figures), many(figures), sep="\n\n")
