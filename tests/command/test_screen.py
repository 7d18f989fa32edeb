"""Tables that people can read, in a narrow terminal too."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from opensphere.command.screen import print_table, reasons, write_tables
from opensphere.metric.estimate import Estimate

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


@pytest.mark.parametrize("width", [50, 80, 120])
def test_no_number_is_lost_of_more_rows_than_a_screen_holds(width: int) -> None:
    rows = [
        {"Iter": str(100 * step), **{name: Estimate(10.0 * step + n, replicates=np.array([1.0, 99.0, 50.0]))
                                     for n, name in enumerate(NAMES)}}
        for step in range(1, 10)
    ]  # fmt: skip
    console = Console(file=io.StringIO(), width=width)
    print_table(console, "title", rows)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in text and max(map(len, text.splitlines())) <= width
    for name in NAMES:
        cells = [line for line in text.splitlines() if line.split()[:1] == [name]]
        found = [float(number) for line in cells for number in line.replace("[", " [").split()[1::3]]
        assert found == [row[name].value for row in rows]  # type: ignore[attr-defined]


def test_files_hold_the_same_numbers(tmp_path: Path) -> None:
    write_tables(tmp_path, "LFW", "title", ROWS, dataset="LFW")
    with open(tmp_path / "LFW.csv") as file:
        assert [float(row["ACC10 SE"]) for row in csv.DictReader(file)] == [0.11] * 3
    assert json.loads((tmp_path / "LFW.json").read_text()) == {"dataset": "LFW", "rows": ROWS}
    text = (tmp_path / "LFW.txt").read_text()
    assert "99.30 ± 0.11" in text and "…" not in text


ESTIMATES = [
    {
        "Iter": "12",
        "ACC10": Estimate(99.0, folds=np.array([98.0, 100.0])),
        "EER": Estimate(1.5, replicates=np.linspace(1, 2, 1001)),
        "TPR@FPR=1e-9": Estimate(float("nan"), "too few pairs"),
    }
]


def test_an_interval_that_only_some_rows_have(tmp_path: Path) -> None:
    rows = [
        {"Iter": "6", "EER": Estimate(1.5, replicates=np.linspace(1, 2, 1001)), "AUC": Estimate(99.0)},
        {"Iter": "average", "EER": Estimate(float("nan"), "why"), "AUC": Estimate(99.0)},
    ]
    write_tables(tmp_path, "LFW", "title", rows)
    first, second = (tmp_path / "LFW.csv").read_text().splitlines()[1:]
    assert (tmp_path / "LFW.csv").read_text().startswith("Iter,EER,EER low,EER high,AUC\n")
    assert first.split(",")[2:] == ["1.025", "1.975", "99.0"] and second == "average,,,,99.0"


def test_uncertainty_is_seen_and_written(tmp_path: Path) -> None:
    console = Console(file=io.StringIO(), width=120)
    print_table(console, "title", ESTIMATES)
    line = console.file.getvalue().splitlines()[-2]  # type: ignore[attr-defined]
    assert line.split() == ["12", "99.00", "±", "1.00", "1.50", "[1.02,", "1.98]", "–"]
    assert reasons(ESTIMATES) == ["–  TPR@FPR=1e-9: too few pairs"]
    write_tables(tmp_path, "LFW", "title", ESTIMATES, ["a note"], dataset="LFW")
    content = json.loads((tmp_path / "LFW.json").read_text())
    assert content["rows"] == [{"Iter": "12", "ACC10": 99.0, "EER": 1.5, "TPR@FPR=1e-9": None}]
    known = content["uncertainty"][0]
    assert known["TPR@FPR=1e-9"] == {"why": "too few pairs"}
    assert known["EER"]["low"] == pytest.approx(1.025) and known["EER"]["error"] == pytest.approx(0.289, abs=1e-3)
    assert known["ACC10"]["folds"] == [98.0, 100.0] and known["ACC10"]["error"] == 1.0
    with open(tmp_path / "LFW.csv") as file:
        row = next(csv.DictReader(file))
    assert row["TPR@FPR=1e-9"] == "" and float(row["EER low"]) == pytest.approx(1.025)
    assert (tmp_path / "LFW.txt").read_text().endswith("a note\n")
