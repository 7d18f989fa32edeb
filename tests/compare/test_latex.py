"""Tables for a paper: read back by hand, and compiled where LaTeX is installed."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from opensphere.compare.latex import escape, latex_text
from opensphere.metric.estimate import Estimate
from tests.compare.studies import study
from tests.compare.test_writing import SHARES, measured

ODD = ["Coco_Loss & co", r"50% {m} #1 \x", "[Arc]^2 ~ $s$", "*<a|b>*"]
_SPELT = {
    r"\textbackslash{}": "\\",
    r"\textasciitilde{}": "~",
    r"\textasciicircum{}": "^",
    r"\textless{}": "<",
    r"\textgreater{}": ">",
    r"\textbar{}": "|",
    "{[}": "[",
    "{*}": "*",
}


def read_back(text: str) -> str:
    """What LaTeX prints of an escaped text."""
    pattern = "|".join([*map(re.escape, _SPELT), r"\\([&%$#_{}])"])
    return re.sub(pattern, lambda match: match[1] or _SPELT[match[0]], text)


def body(text: str) -> list[list[str]]:
    """The cells of a table's rows, head first."""
    lines = text[text.index(r"\toprule") : text.index(r"\bottomrule")].splitlines()
    rows = [line.removesuffix(r" \\") for line in lines if line.endswith(r" \\")]
    return [re.split(r"(?<!\\) & ", row) for row in rows]


def tables(text: str) -> list[str]:
    return re.findall(r"\\begin\{table\}.*?\\end\{table\}", text, re.DOTALL)


@pytest.mark.parametrize("name", [*ODD, "a−b", "plain"])
def test_escaped_names_read_as_they_were(name: str) -> None:
    assert read_back(escape(name)).replace("$-$", "−") == name
    assert escape("two\nlines ") == "two lines"


@pytest.mark.parametrize("settings", [None, SHARES])
def test_tables_are_whole_and_in_the_order_of_the_study(settings: list[dict[str, Any]] | None) -> None:
    found = study(ODD, measured(ODD), title="50% & more", **({"settings": settings} if settings else {}))
    text = latex_text(found)
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}") and len(re.findall(r"(?<!\\)\$", text)) % 2 == 0
    assert all(line.startswith("%") or not re.search(r"(?<!\\)%", line) for line in text.splitlines())
    for table in tables(text):
        rows = body(table)
        (columns,) = re.findall(r"\\begin\{tabular\}\{(l+)\}", table)
        assert {len(row) for row in rows} == {len(columns)} and [read_back(row[0]) for row in rows[1:]] == ODD
        assert r"50\% \& more" in table
    labels = re.findall(r"\\label\{([^}]*)\}", text)
    assert len(set(labels)) == len(labels) == len(tables(text))


def test_marks_and_bold_say_what_the_verdicts_say() -> None:
    arms = ["A", "B", "C"]
    main, others = tables(latex_text(study(arms, measured(arms), baseline="B")))
    cells = [row[1] for row in body(main)[1:]]
    assert cells[0].endswith(r"$^{\ddagger}$") and "$^" not in cells[1] and cells[2].endswith(r"$^{\dagger}$")
    assert [r"\textbf" in cell for cell in cells] == [False, False, True]
    assert r"$^{\dagger}$ better than B; $^{\ddagger}$ worse than B" in main and "Bold: better than" in main
    assert body(others)[0][1:] == [r"EER, \% $\downarrow$", r"TPR@FPR=1e-9, \%"]
    assert [row[2] for row in body(others)[1:]] == ["--$^{?}$", "--", "--$^{?}$"]
    assert "cover other training seeds and other people" in main


def test_nobody_is_bold_where_two_are_not_told_apart() -> None:
    arms = ["A", "B", "C"]
    tied = study(arms, lambda arm, *rest: measured(arms)("B" if arm == "C" else arm, *rest))
    text = latex_text(tied)
    assert r"\textbf" not in text and "Bold" not in text


def test_captions_tell_of_lost_runs_and_of_one_seed() -> None:
    assert "1 of 6 runs did not finish" in latex_text(study(["A", "B"], measured(["A", "B"], lost=("B", 0, 1))))
    assert "One training seed, with" in latex_text(study(["A", "B"], measured(["A", "B"]), seeds=[0]))


def test_negative_numbers_have_a_minus() -> None:
    assert "$-$3.00" in latex_text(study(["A"], lambda *_: {"x": {"ACC10": Estimate(-3.0)}}))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex")
@pytest.mark.parametrize("settings", [None, SHARES])
def test_latex_compiles_within_the_page(tmp_path: Path, settings: list[dict[str, Any]] | None) -> None:
    arms = [*ODD, "–×±"]
    text = latex_text(study(arms, measured(arms), **({"settings": settings} if settings else {})))
    head = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "table.tex").write_text(f"{head}{text}\\end{{document}}\n", encoding="utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Overfull" not in done.stdout
