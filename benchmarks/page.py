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


def templates(found: dict[str, Any]) -> str:
    """A row a step on templates of IJB-C's size: ours, the usual way, how many times as fast, and memory."""
    lines = ["| | ours | the usual way | times as fast | memory, ours | usual |", "| --- |" + " ---: |" * 5]
    usual = {"reading": "usual reading", **{f"table, {order} order": f"usual table, {order} order" for order in ORDERS}}
    for name, case in found["cases"].items():
        if name.startswith("usual"):
            continue
        other = found["cases"].get(usual.get(name, usual.get(name.partition(",")[0], "")))
        told = f"{other['seconds']:.1f} s | {found['ratios'][name]:,.1f}" if other else " | "
        also = f"{other['bytes'] / 1e9:.2f} GB" if other else ""
        lines.append(f"| {ROWS[name]} | {case['seconds']:.3g} s | {told} | {case['bytes'] / 1e9:.2f} GB | {also} |")
    return "\n".join(lines)


ORDERS = ("listed", "random")
ROWS = {
    "reading, first time": "reading the lists, first time",
    "reading, second time": "reading the lists again",
    "table, listed order": "templates, 1:1 and 1:N",
    "table, random order": "the same, pairs in random order",
    "intervals": "the same with intervals, 1,000 resamples",
}


def million(found: dict[str, Any]) -> str:
    """What a search in a million entries took."""
    case = found["search"]
    parts = [
        f"{case['probes']:,} probes in a gallery of {case['entries']:,}, 512 numbers each",
        f"exactly: {case['seconds']:.0f} s",
        f"{case['of_the_product']:.0%} of the speed of the bare product",
        f"{case['extra_bytes'] / 1e6:,.0f} MB beside the features",
    ]
    return ", ".join(parts) + "."


def approximate(found: dict[str, Any]) -> str:
    """A row an index of faiss: time to build and to search, and how much of the exact result it finds."""
    lines = ["| | build | search | recall@1 | recall@10 |", "| --- | ---: | ---: | ---: | ---: |"]
    for name, case in found["faiss"].items():
        if not isinstance(case, dict):
            continue
        recall = [f"{case[key]:.1%}" if key in case else "" for key in ("recall@1", "recall@10")]
        build = f"{case['build']:.1f} s" if "build" in case else ""
        lines.append(f"| {name} | {build} | {case['search']:.1f} s | {' | '.join(recall)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(heads(json.loads((RESULTS / "head.json").read_text())), end="\n\n")
    figures = json.loads((RESULTS / "data.json").read_text())
    print(data(figures), many(figures), sep="\n\n")
    figures = json.loads((RESULTS / "eval.json").read_text())
    print(templates(figures), million(figures), approximate(figures), sep="\n\n")
