"""The content of study.json for readers: tables, notes below them, CSV and Markdown.

Arms stand in the order of the study, never in that of their numbers: a ranking would say more than is known.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opensphere.compare.notes import drawn_once, made_by
from opensphere.compare.table import BETTER, FINISHED, SAME, UNKNOWN, WORSE
from opensphere.metric.comparison import LEVEL
from opensphere.report.columns import is_number, lower_is_better, spell, spell_p

Study = Mapping[str, Any]  # as study.json reads: what is not known is None
Spot = tuple[str, str]  # a set, and one of its columns
Rows = list[dict[str, str]]  # the same keys in each row, in the order of the columns

_MARKS = {BETTER: "+", WORSE: "−", SAME: "=", UNKNOWN: "?"}
_ITSELF = "·"
_OPPOSITE = {BETTER: WORSE, WORSE: BETTER}
_NAME = ""  # the head above the names of arms
COSTS = "costs of a run"  # a table's title
_COSTS = {  # their heads, and the digits behind the point
    "seconds": ("training, s", 1),
    "images/s": ("images/s", 0),
    "memory_mb": ("memory, MB", 0),
    "energy": ("hyperspherical energy", 3),
}


class Table(NamedTuple):
    """A table of text."""

    title: str
    rows: Rows


def main_tables(study: Study) -> list[Table]:
    """What a screen has room for: results, differences against the baseline and the verdicts on every pair.

    Differences and verdicts are those of one column of each set: the study's metric, or the set's first.
    """
    return [*_results_and_differences(study), *verdict_tables(study)]


def all_tables(study: Study) -> list[Table]:
    """What a file has room for: results, differences in every column, every pair."""
    tables = result_tables(study, study["sets"])
    for family in ("baseline", "pairs"):
        for name, columns in study["sets"].items():
            tables += _filled([difference_table(study, family, name, column) for column in columns])
    return [*tables, *verdict_tables(study)]


def main_column(study: Study, name: str) -> str:
    """The column of a set that its verdicts are about: the study's metric, else the first."""
    columns = study["sets"][name]
    return study["metric"] if study["metric"] in columns else columns[0]


def result_tables(study: Study, columns: Mapping[str, Sequence[str]] | None = None) -> list[Table]:
    """Means with intervals, verdicts against the baseline, and costs.

    With one setting: a table for each set, with all its columns. With several: a table for each set and each of
    `columns`, with the settings side by side. Costs stand in the table if there is one set and one setting, else apart.

    Args:
        columns: those shown under several settings, by set; None for the main one of each set.
    """
    costs = _cost_rows(study)
    if len(study["settings"]) > 1:
        columns = columns or {name: [main_column(study, name)] for name in study["sets"]}
        tables = [_by_setting(study, name, column) for name, own in columns.items() for column in own]
    else:
        tables = [_by_column(study, name) for name in study["sets"]]
        if len(tables) == 1:
            rows = [row | cost for row, cost in zip(tables[0].rows, costs, strict=True)]
            return [tables[0]._replace(rows=rows)]
    return [*tables, Table(COSTS, costs)]


def difference_table(study: Study, family: str, name: str, column: str) -> Table:
    """The differences of a family ("baseline" or "pairs") in one column of a set."""
    several, against = len(study["settings"]) > 1, family == "baseline"
    rows = [
        {
            **({_NAME: row["first"]} if against else {"first": row["first"], "second": row["second"]}),
            **({"setting": study["settings"][row["setting"]]["name"]} if several else {}),
            "difference": _cell(row, "difference", "+"),
            "p": spell_p(row["p"]),
            "p (Holm)": spell_p(row["p (Holm)"]),
            "verdict" if against else "verdict on the first": row["verdict"],
            "seeds": _seeds(study, row),
        }
        for row in study["differences"]
        if (row["family"], row["set"], row["column"]) == (family, name, column)
    ]
    about = f"against {study['baseline']}" if against else "every pair"
    return Table(f"{name}: {column}, {about}", rows)


def verdict_tables(study: Study) -> list[Table]:
    """For each set and setting a matrix of signs: what the main column says of the arm of the row against another."""
    arms = study["arms"]
    tables = []
    for name in study["sets"]:
        column = main_column(study, name)
        for place, setting in enumerate(study["settings"]):
            said = _said_of(study, name, column, place)
            rows = [
                {
                    _NAME: f"{number} {arm}",
                    **{str(k): _MARKS.get(said.get((arm, other), ""), _ITSELF) for k, other in enumerate(arms, 1)},
                }
                for number, arm in enumerate(arms, 1)
            ]
            where = f"{name}, {setting['name']}" if setting["name"] else name
            tables.append(Table(f"{where}: {column}, row against column", rows))
    return tables if len(arms) > 1 else []


def notes(study: Study) -> list[str]:
    """What stands below the tables: how to read them, what is missing, how parameters were chosen, what made it."""
    lines = [f"made smaller here: {study['cut']}"] if study.get("cut") else []
    return [*lines, *_how_to_read(study), *particulars(study), *made_by(study.get("versions", ()))]


def particulars(study: Study) -> list[str]:
    """What is not known and why, which runs are no part of the means, what the grids chose."""
    return [*_reasons(study), *_unfinished(study), *_chosen(study)]


def _how_to_read(study: Study) -> list[str]:
    lines = [_interval_note(study), *drawn_once(study), *_verdict_notes(study), *_method_notes(study)]
    lower = [column for column in _columns(study) if lower_is_better(column)]
    return [*lines, f"lower is better: {', '.join(lower)}"] if lower else lines


def csv_text(study: Study) -> str:
    """Every mean and every difference, a line each; what is not known is empty."""
    varied = list(dict.fromkeys(key for setting in study["settings"] for key in setting["values"]))
    numbers = ("low", "high", "p", "p (Holm)", "seed_error", "people_error", "seeds", "verdict", "method", "why")
    heads = ["kind", "first", "second", "setting", *varied, "set", "column", "value", *numbers]
    rows = [{**row, "kind": "mean", "first": row["arm"]} for row in study["means"]]
    for row in study["differences"]:
        kind = "difference to the baseline" if row["family"] == "baseline" else "difference of a pair"
        rows.append({**row, "kind": kind, "value": row["difference"]})
    text = io.StringIO()
    writer = csv.DictWriter(text, heads, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        setting = study["settings"][row["setting"]]
        writer.writerow({**row, **setting["values"], "setting": setting["name"]})
    return text.getvalue()


def markdown_text(study: Study) -> str:
    """The results and the differences against the baseline as a section of a page."""
    lines = [f"## {_markdown(study['title'])}", ""]
    lines += [f"{_markdown(study['claim'])}", ""] if study.get("claim") else []
    lines += [f"<{study['paper']}>", ""] if study.get("paper") else []
    return "\n".join([*lines, markdown_tables(study), markdown_list(notes(study))])


def markdown_tables(study: Study) -> str:
    """The results and the differences against the baseline, without costs that have a table of their own."""
    lines = []
    for title, rows in _results_and_differences(study):
        if title != COSTS:
            lines += [f"**{_markdown(title)}**", ""]
            lines += [_pipes(rows[0]), _pipes(["---"] * len(rows[0])), *(_pipes(row.values()) for row in rows), ""]
    return "\n".join(lines)


def markdown_list(lines: Iterable[str]) -> str:
    """Lines of text as a list."""
    return "".join(f"- {_markdown(line)}\n" for line in lines)


def _pipes(cells: Iterable[str]) -> str:
    return f"| {' | '.join(map(_markdown, cells))} |"


def _markdown(text: str) -> str:
    return re.sub(r"([\\|*_`<])", r"\\\1", " ".join(text.split()))


def _results_and_differences(study: Study) -> list[Table]:
    mains = [(name, main_column(study, name)) for name in study["sets"]]
    differences = [difference_table(study, "baseline", name, column) for name, column in mains]
    return [*result_tables(study), *_filled(differences)]


def _filled(tables: Sequence[Table]) -> list[Table]:
    return [table for table in tables if table.rows]


def _columns(study: Study) -> list[str]:
    return list(dict.fromkeys(column for columns in study["sets"].values() for column in columns))


def _cell(row: Mapping[str, Any], key: str, sign: str = "") -> str:
    """The value with its interval, where there is one."""
    if not is_number(row[key]):
        return "–"
    value, *ends = (f"{row[k]:{sign}.2f}" if is_number(row[k]) else "" for k in (key, "low", "high"))
    return f"{value} [{', '.join(ends)}]" if all(ends) else value


def _seeds(study: Study, row: Mapping[str, Any]) -> str:
    asked = len(study["seeds"])
    return str(asked) if row["seeds"] == asked else f"{row['seeds']} of {asked}"


def against_baseline(study: Study) -> dict[tuple[str, int, str, str], str]:
    """The verdicts on arms against the baseline, by arm, setting, set and column."""
    rows = [row for row in study["differences"] if row["family"] == "baseline"]
    return {(row["first"], row["setting"], row["set"], row["column"]): row["verdict"] for row in rows}


def means_by_place(study: Study) -> dict[tuple[str, int, str, str], Mapping[str, Any]]:
    """The rows of means, by arm, setting, set and column."""
    return {(row["arm"], row["setting"], row["set"], row["column"]): row for row in study["means"]}


def better_than_all(study: Study, arm: str, setting: int, name: str, column: str) -> bool:
    """Whether an arm is told apart from every other one, and better."""
    said = _said_of(study, name, column, setting)
    others = [other for other in study["arms"] if other != arm]
    return bool(others) and all(said.get((arm, other)) == BETTER for other in others)


def _said_of(study: Study, name: str, column: str, setting: int) -> dict[tuple[str, str], str]:
    """The verdicts among all pairs, on the first of two arms, both ways round."""
    said = {}
    for row in study["differences"]:
        if (row["family"], row["set"], row["column"], row["setting"]) == ("pairs", name, column, setting):
            said[row["first"], row["second"]] = row["verdict"]
            said[row["second"], row["first"]] = _OPPOSITE.get(row["verdict"], row["verdict"])
    return said


def _by_column(study: Study, name: str) -> Table:
    means, said, main = means_by_place(study), against_baseline(study), main_column(study, name)
    own = {arm: {column: means[arm, 0, name, column] for column in study["sets"][name]} for arm in study["arms"]}
    partly = any(cells[main]["seeds"] != len(study["seeds"]) for cells in own.values())
    rows = []
    for arm, cells in own.items():
        row = {_NAME: arm, main: _cell(cells[main], "value")}
        row[f"against {study['baseline']}"] = said.get(
            (arm, 0, name, main), "baseline" if arm == study["baseline"] else "–"
        )
        row |= {column: _cell(cell, "value") for column, cell in cells.items()}
        rows.append(row | ({"seeds": _seeds(study, cells[main])} if partly else {}))
    return Table(f"{study['title']}: {name}", rows)


def _by_setting(study: Study, name: str, column: str) -> Table:
    means, said = means_by_place(study), against_baseline(study)
    rows = []
    for arm in study["arms"]:
        row = {_NAME: arm}
        for place, setting in enumerate(study["settings"]):
            mark = _MARKS.get(said.get((arm, place, name, column), ""), _ITSELF)
            row[setting["name"]] = f"{_cell(means[arm, place, name, column], 'value')} {mark}"
        rows.append(row)
    return Table(f"{study['title']}: {name}, {column}", rows)


def _cost_rows(study: Study) -> Rows:
    """One for each arm in each setting, with the columns that anything is known of."""
    costs, several = study["costs"], len(study["settings"]) > 1
    known = [key for key in _COSTS if any(is_number(row.get(key)) for row in costs)]
    ends = [key for key in ("diverged", "failed") if any(row[key] for row in costs)]
    rows = []
    for row in costs:
        cells = {_NAME: row["arm"], **({"setting": study["settings"][row["setting"]]["name"]} if several else {})}
        for key in known:
            head, digits = _COSTS[key]
            cells[head] = spell(row[key] if row[key] is None else float(row[key]), digits)
        rows.append(cells | {key: f"{row[key]} of {row['runs']}" for key in ends})
    return rows


def interval_covers(study: Study, spots: Collection[Spot] | None = None) -> str:
    """What the intervals of means and differences are about: "" where none is known.

    Args:
        study: as study.json reads.
        spots: the columns that are meant; None for all.
    """
    rows = [*study["means"], *study["differences"]]
    known = [row for row in rows if is_number(row["low"]) and (spots is None or _spot(row) in spots)]
    if not known:
        return ""
    if len(study["seeds"]) == 1:
        return "other people in the test set; with one seed, nothing is known of other trainings"
    alone = dict.fromkeys(_spot(row) for row in known if not is_number(row["people_error"]))
    if not alone:
        return "other training seeds and other people in the test set"
    if len(alone) == len({_spot(row) for row in known}):
        return "other training seeds, on these people"
    return f"other training seeds and, but for {_named(study, alone)}, other people in the test set"


def _spot(row: Mapping[str, Any]) -> Spot:
    return row["set"], row["column"]


def _named(study: Study, spots: Collection[Spot]) -> str:
    """Columns of sets; without their set where those of all sets are meant."""
    names = []
    for name, column in spots:
        everywhere = all((other, column) in spots for other, own in study["sets"].items() if column in own)
        names.append(column if everywhere else f"{column} of {name}")
    return ", ".join(dict.fromkeys(names))


def _interval_note(study: Study) -> str:
    seeds, covers = ", ".join(map(str, study["seeds"])), interval_covers(study)
    means = f"means over the seeds {seeds}" if len(study["seeds"]) > 1 else f"values of seed {seeds}"
    return f"{means}; in brackets the 95% interval, which covers {covers}" if covers else f"{means}; without intervals"


def _method_notes(study: Study) -> list[str]:
    """How intervals and p were found; of which columns, where there are several ways."""
    methods: dict[str, dict[Spot, None]] = {}
    for row in [*study["means"], *study["differences"]]:
        if row["method"]:
            methods.setdefault(row["method"], {})[_spot(row)] = None
    if len(methods) < 2:
        return [f"interval and p: {method}" for method in methods]
    return [f"interval and p of {_named(study, spots)}: {method}" for method, spots in methods.items()]


def _verdict_notes(study: Study) -> list[str]:
    if not study["differences"]:
        return []
    counts = []
    for column in dict.fromkeys(main_column(study, name) for name in study["sets"]):
        tested = [row["family"] for row in study["differences"] if row["column"] == column and is_number(row["p"])]
        counts.append(f"{column} {tested.count('baseline')} to {study['baseline']}, {tested.count('pairs')} of pairs")
    return [
        "difference: the first less the second, seed by seed on the same people",
        f"verdict: at {LEVEL:.0%} of p (Holm), which is p corrected for the number of differences of one column in all "
        f"sets and settings, those to {study['baseline']} and those of all pairs apart: {'; '.join(counts)}",
        "not told apart: chance may have made the difference; it does not say that the two are equal",
        "signs: + better, − worse, = not told apart, ? cannot be said, · itself; of the row against the column, or "
        f"behind a value against {study['baseline']} in the same setting",
    ]


def _reasons(study: Study) -> list[str]:
    """Why there is no value, no interval or no verdict, one line for each column and reason."""
    rows = [*study["means"], *study["differences"]]
    found = dict.fromkeys((row["column"], row["why"]) for row in rows if row["why"])
    return [f"{column}: {why}" for column, why in found]


def _unfinished(study: Study) -> list[str]:
    """The runs that are no part of the means, together where they ended alike."""
    alike: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    for run in study["runs"]:
        if run["status"] != FINISHED:
            places = alike.setdefault((run["arm"], run["status"], run["why"]), {})
            places.setdefault(study["settings"][run["setting"]]["name"], []).append(str(run["seed"]))
    lines = []
    for (arm, status, why), places in alike.items():
        which = [
            f"{f'{setting}, ' if setting else ''}seed{'s' if len(seeds) > 1 else ''} {', '.join(seeds)}"
            for setting, seeds in places.items()
        ]
        lines.append(f"{arm} {status}: {'; '.join(which)}{f' ({why})' if why else ''}")
    if lines:
        lines.append("means and differences leave these runs out, and so flatter an arm whose runs diverge or fail")
    return lines


def _chosen(study: Study) -> list[str]:
    """One line: what each grid chose, of how many points."""
    chosen = []
    for row in study.get("chosen") or []:
        values = ", ".join(f"{key.rpartition('.')[2]} {value}" for key, value in row["values"].items())
        chosen.append(f"{row['arm']} {values} (of {len(row['tried'])})")
    return [f"chosen on validation people, not on the test: {'; '.join(chosen)}"] if chosen else []
