"""The README's table of `head.py`'s figures: python benchmarks/page.py prints it."""

import json
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "head.json"


def markdown(found: dict[str, Any]) -> str:
    """The table, a row a case: multiples of the three products, and megabytes, for each number of classes."""
    sizes = list(found["results"])
    lines = ["| | " + " | ".join(f"{int(size):,} classes" for size in sizes) + " |", "| --- |" + " ---: |" * len(sizes)]
    for name in found["results"][sizes[0]]:
        cells = [_cell(found["results"][size][name]) for size in sizes]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(case: dict[str, Any]) -> str:
    return case["failed"] if "failed" in case else f"{case['ratio']:.2f} x, {case['extra_mb']:,.0f} MB"


if __name__ == "__main__":
    print(markdown(json.loads(RESULT.read_text())))
