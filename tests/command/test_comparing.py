"""What is said of several runs on one set."""

import io
import json
from pathlib import Path

import numpy as np
from rich.console import Console

from opensphere.command.comparing import show_comparisons
from opensphere.metric.estimate import Estimate
from opensphere.protocol.measurement import Measurement


def measured(accuracy: float) -> Measurement:
    """Ten folds, a column of resamples, and one that cannot be said."""
    spread = np.linspace(-1, 1, 101)
    return Measurement(
        {
            "ACC10": Estimate(accuracy, folds=accuracy + np.linspace(-1, 1, 10)),
            "ACC10 SE": Estimate(0.2),
            "EER": Estimate(100 - accuracy, replicates=100 - accuracy + spread),
            "TPR@FPR=1e-9": Estimate(float("nan"), "FPR 1e-9 of 3,000 impostor pairs is less than one pair"),
        },
        np.arange(100) < accuracy,
    )


def shown(folder: Path, width: int = 120) -> str:
    console = Console(file=io.StringIO(), width=width)
    runs = {folder / "first": measured(90.0), folder / "second": measured(80.0)}
    show_comparisons({"LFW": runs}, folder, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_every_row_is_seen_whole_and_reasons_stand_below(tmp_path: Path) -> None:
    text = shown(tmp_path)
    lines = [line.split() for line in text.splitlines()]
    (row,) = [line for line in lines if line[:1] == ["ACC10"]]
    assert row[1:5] == ["first", "second", "+10.00", "[+10.00,"] and row[-3:] == ["first", "is", "higher"]
    (row,) = [line for line in lines if line[:1] == ["TPR@FPR=1e-9"]]
    assert row[3:] == ["–", "–", "cannot", "be", "said"]
    assert "–  TPR@FPR=1e-9: FPR 1e-9 of 3,000 impostor pairs is less than one pair" in text.splitlines()
    assert "…" not in text and "McNemar: the pairs as each run's last checkpoint decides them" in text
    assert "of 3,000 impostor pairs" in (tmp_path / "LFW_comparison.txt").read_text()


def test_errors_of_columns_are_not_compared(tmp_path: Path) -> None:
    assert "ACC10 SE" not in shown(tmp_path, width=80)
    found = json.loads((tmp_path / "LFW_comparison.json").read_text())
    assert [row["column"] for row in found["differences"]] == ["ACC10", "EER", "TPR@FPR=1e-9"]
