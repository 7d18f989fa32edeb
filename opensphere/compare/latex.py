"""The content of study.json as tables for a paper: booktabs, intervals, marks for verdicts.

Bold is an arm only where it is told apart from every other one, and better.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from opensphere.compare.table import BETTER, FINISHED, SAME, UNKNOWN, WORSE
from opensphere.compare.writing import (
    Study,
    against_baseline,
    better_than_all,
    interval_covers,
    main_column,
    means_by_place,
)
from opensphere.metric.comparison import LEVEL
from opensphere.report.columns import is_number, lower_is_better, unit

_WIDTH = 3  # columns of values that fit the width of a page
_MARKS = {BETTER: r"$^{\dagger}$", WORSE: r"$^{\ddagger}$", UNKNOWN: r"$^{?}$"}
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "[": "{[}",  # at the head of a row it would be an argument of the one before, like *
    "*": "{*}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "–": "--",
    "—": "---",
    "−": "$-$",
    "×": r"$\times$",
    "±": r"$\pm$",
}


class _Column(NamedTuple):
    """A column of values: its head in LaTeX, and where they stand in the study."""

    head: str
    setting: int
    set: str
    column: str


def latex_text(study: Study) -> str:
    """Tables that need the package booktabs alone; letters beyond Latin need XeLaTeX or LuaLaTeX.

    With one setting: the main column of each set, then the other columns set by set. With several: the main column of
    each set, setting by setting.
    """
    mains = {name: main_column(study, name) for name in study["sets"]}
    tables: list[tuple[str, list[_Column]]] = []
    if len(study["settings"]) > 1:
        for name, main in mains.items():
            places = [_Column(escape(one["name"]), k, name, main) for k, one in enumerate(study["settings"])]
            tables.append((f"{escape(name)}, {_head(main)}", places))
    else:
        places = [_Column(f"{escape(name)}, {_head(main)}", 0, name, main) for name, main in mains.items()]
        tables.append(("", places))
        for name, columns in study["sets"].items():
            places = [_Column(_head(column), 0, name, column) for column in columns if column != mains[name]]
            tables.append((f"{escape(name)}, other columns", places))
    parts: list[str] = []
    for what, places in tables:
        for start in range(0, len(places), _WIDTH):
            parts.append(_table(study, what, places[start : start + _WIDTH], len(parts) + 1))
    return "\n".join(["% needs \\usepackage{booktabs}", *parts])


def escape(text: str) -> str:
    """Text as LaTeX prints it, on one line."""
    return "".join(_SPECIAL.get(sign, sign) for sign in " ".join(text.split()))


def _head(column: str) -> str:
    about = ", ".join(filter(None, [column, unit(column)]))
    return escape(about) + (r" $\downarrow$" if lower_is_better(column) else "")


def _table(study: Study, what: str, places: Sequence[_Column], number: int) -> str:
    means, said = means_by_place(study), against_baseline(study)
    lines = []
    for arm in study["arms"]:
        cells = [escape(arm)]
        for _, setting, name, column in places:
            cell = _cell(means[arm, setting, name, column], better_than_all(study, arm, setting, name, column))
            cells.append(cell + _MARKS.get(said.get((arm, setting, name, column), ""), ""))
        lines.append(f"{' & '.join(cells)} \\\\")
    label = re.sub(r"[^A-Za-z0-9]+", "-", str(study["study"])).strip("-")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering\footnotesize\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{_caption(study, what, places)}}}",
            rf"\label{{tab:{label}-{number}}}",
            rf"\begin{{tabular}}{{l{'l' * len(places)}}}",
            r"\toprule",
            f" & {' & '.join(place.head for place in places)} \\\\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _cell(row: Mapping[str, Any], bold: bool) -> str:
    if not is_number(row["value"]):
        return "--"
    value = _number(row["value"])
    value = rf"\textbf{{{value}}}" if bold else value
    if not is_number(row["low"]) or not is_number(row["high"]):
        return value
    return rf"{value} {{\tiny[{_number(row['low'])}, {_number(row['high'])}]}}"


def _number(value: float) -> str:
    return f"{value:.2f}".replace("-", "$-$")


def _caption(study: Study, what: str, places: Sequence[_Column]) -> str:
    """What the table says and how sure it is; only marks that it has are explained."""
    seeds, baseline = len(study["seeds"]), escape(study["baseline"])
    told = against_baseline(study)
    verdicts = {told.get((arm, one.setting, one.set, one.column), "") for arm in study["arms"] for one in places}
    over = f"means over {seeds} training seeds" if seeds > 1 else "one training seed"
    covers = escape(interval_covers(study, {(one.set, one.column) for one in places}))
    sentences = [": ".join(filter(None, [escape(study["title"]), what]))]
    sentences.append(f"{over}, with 95\\,\\% intervals that cover {covers}" if covers else f"{over}, without intervals")
    if len(study["arms"]) > 1:
        marks = ((BETTER, f"better than {baseline}"), (WORSE, f"worse than {baseline}"), (UNKNOWN, "cannot be said"))
        known = [f"{_MARKS[kind]} {text}" for kind, text in marks if kind in verdicts]
        known += [f"without a mark: not told apart from {baseline}"] if SAME in verdicts else []
        sentences.append(f"{'; '.join(known)} ($p \\leq {LEVEL:g}$, paired, Holm-corrected)")
    if any(better_than_all(study, arm, one.setting, one.set, one.column) for arm in study["arms"] for one in places):
        sentences.append("Bold: better than, and told apart from, every other")
    if any(lower_is_better(one.column) for one in places):
        sentences.append(r"$\downarrow$: lower is better")
    lost = sum(run["status"] != FINISHED for run in study["runs"])
    if lost:
        sentences.append(f"{lost} of {len(study['runs'])} runs did not finish and are left out")
    return ". ".join(sentence[0].upper() + sentence[1:] for sentence in sentences) + "."
