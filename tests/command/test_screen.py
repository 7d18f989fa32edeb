"""Tables that people can read, in a narrow terminal too."""

import csv
import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from opensphere.command.screen import print_table, write_tables

NAMES = ["ACC", "EER", "AUC", *(f"TPR@FPR={rate}" for rate in ("1e-4", "5e-4", "1e-3", "5e-3", "5e-2"))]
ROWS = [
    {"Iter": step, **{name: 90.0 + number for number, name in enumerate(NAMES)}, "ACC10": 99.3, "ACC10 SE": 0.11}
    for step in ("66000", "70000", "average")
]


@pytest.mark.parametrize("width", [70, 80, 200])
def test_every_number_is_seen_whole(width: int) -> None:
    console = Console(file=io.StringIO(), width=width)
    print_table(console, "a [/x] b", ROWS)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text and "a [/x] b" in text
    for number in [*(f"{90 + i:.2f}" for i in range(len(NAMES))), "99.30 ± 0.11", "66000", "average"]:
        assert number in text
    assert max(map(len, text.splitlines())) <= width


def test_files_hold_the_same_numbers(tmp_path: Path) -> None:
    write_tables(tmp_path, "LFW", "title", ROWS, dataset="LFW")
    with open(tmp_path / "LFW.csv") as file:
        assert [float(row["ACC10 SE"]) for row in csv.DictReader(file)] == [0.11] * 3
    assert json.loads((tmp_path / "LFW.json").read_text()) == {"dataset": "LFW", "rows": ROWS}
    text = (tmp_path / "LFW.txt").read_text()
    assert "99.30 ± 0.11" in text and "…" not in text
