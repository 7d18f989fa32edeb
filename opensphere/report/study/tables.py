"""Tables of a comparison over seeds: means with intervals and costs, what grids chose, runs that did not end well."""

from typing import Any

from opensphere.report.columns import is_number, spell, unit
from opensphere.report.facts import Cell, Sheet, spell_program
from opensphere.report.study.pairs import leads
from opensphere.report.study.reading import BASELINE, Place, Row, Study

COSTS = (
    ("seconds", "time", "s", 1),
    ("images/s", "images/s", "", 0),
    ("memory_mb", "memory", "MB", 0),
    ("energy", "energy", "", 3),
)
_ENDS = ("diverged", "failed")
MOST_ROWS = 300


def result_sheets(study: Study) -> list[tuple[str, Sheet]]:
    """For each set a table of means, an arm a row; costs in that of the first set."""
    return [(name, _sheet(study, name, place == 0)) for place, name in enumerate(study.sets)]


def setting_sheets(study: Study) -> list[tuple[str, Sheet]]:
    """For each set its main column, an arm a row and a setting a column; none where nothing is varied."""
    if len(study.names) < 2:
        return []
    found = []
    for name in study.sets:
        column = study.main(name)
        if column:
            places = [Place(setting, name, column) for setting in range(len(study.names))]
            rows = [[Cell(arm, arm), *(_mean(study, arm, place) for place in places)] for arm in study.arms]
            heads = [("arm", ""), *((text or "–", unit(column)) for text in study.names)]
            found.append((f"{column} on {name}", Sheet(heads, rows, [])))
    return found


def _sheet(study: Study, dataset: str, costs: bool) -> Sheet:
    columns = study.sets[dataset]
    main = study.main(dataset)
    settings = len(study.names) > 1
    known = [one for one in COSTS if costs and any(is_number(row.get(one[0])) for row in study.costs)]
    ends = [key for key in _ENDS if costs and any(row.get(key) for row in study.costs)]
    heads = [("arm", "")] + ([("setting", "")] if settings else [])
    heads += [(column, unit(column)) for column in columns] + [(f"against {study.baseline or 'the baseline'}", "")]
    fewer = any(row.get("seeds") != len(study.seeds) for row in study.means if row["set"] == dataset)
    heads += [("seeds", "")] if fewer else []
    heads += [(title, of) for _, title, of, _ in known] + [(key, "") for key in ends]
    rows: list[list[Cell]] = []
    reasons: dict[str, None] = {}
    for setting, name in enumerate(study.names):
        for arm in study.arms:
            cells = [_mean(study, arm, Place(setting, dataset, column)) for column in columns]
            reasons |= {f"{column}: {cell.why}": None for column, cell in zip(columns, cells, strict=True) if cell.why}
            place, cost = Place(setting, dataset, main), study.cost(arm, setting)
            line = [Cell(arm, arm)] + ([Cell(name, str(setting))] if settings else []) + cells
            line.append(_against(study, arm, place))
            line += [_number(study.mean(arm, place).get("seeds"), 0)] if fewer else []
            line += [_number(cost.get(key), digits) for key, _, _, digits in known]
            line += [_number(cost.get(key), 0) for key in ends]
            rows.append(line)
    return Sheet(heads, rows, list(reasons))


def _mean(study: Study, arm: str, place: Place) -> Cell:
    """A mean with its interval; bold only where it is told apart from every other arm."""
    row = study.mean(arm, place)
    if not is_number(row.get("value")):
        return Cell("–", "-inf", why=str(row.get("why") or "not known"))
    small = f"[{row['low']:.2f}, {row['high']:.2f}]" if is_number(row.get("low")) and is_number(row.get("high")) else ""
    return Cell(spell(float(row["value"])), f"{row['value']:.9g}", small, best=leads(study, arm, place))


def _against(study: Study, arm: str, place: Place) -> Cell:
    """The verdict against the baseline."""
    if arm == study.baseline:
        return Cell("baseline", "-1")
    row: Row = next((row for row in study.between(BASELINE, place) if row["first"] == arm), {})
    word = str(row.get("verdict") or "cannot be said")
    value = row.get("difference")
    order = {"better": 3, "not told apart": 2, "worse": 1}.get(word, 0)
    return Cell(word, str(order), f"{value:+.2f}" if is_number(value) else "", why=str(row.get("why") or ""))


def _number(value: Any, digits: int) -> Cell:
    if not is_number(value):
        return Cell("–", "-inf")
    return Cell(f"{value:,.{digits}f}", f"{value:.9g}")


def chosen_rows(study: Study) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """What the grids chose, and all that they tried."""
    chosen, tried = [], []
    for row in study.chosen:
        points = [point for point in row.get("tried") or [] if isinstance(point, dict)]
        best = next((point for point in points if point.get("values") == row.get("values")), {})
        number = {"tried": str(len(points))} if points else {"tried": "–"}
        chosen.append(
            {"arm": row["arm"], "chosen": _values(row.get("values")), "score": spell(best.get("score")), **number}
        )
        for point in points:
            score = spell(point.get("score"))
            tried.append(
                {
                    "arm": row["arm"],
                    "values": _values(point.get("values")),
                    "score": score,
                    "why": str(point.get("why") or ""),
                }
            )
    return chosen, tried[:MOST_ROWS]


def _values(values: Any) -> str:
    if not isinstance(values, dict):
        return "–"
    return ", ".join(f"{key.removeprefix('model.head.net.')} {_spelt(value)}" for key, value in values.items()) or "–"


def _spelt(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def unfinished_rows(study: Study) -> list[dict[str, str]]:
    """Runs that have no result, with why."""
    rows = [row for row in study.runs if row.get("status") != "finished"]
    return [
        {
            "arm": row["arm"],
            **({"setting": study.names[row["setting"]]} if len(study.names) > 1 else {}),
            "seed": str(row["seed"]),
            "ended": str(row.get("status") or "–"),
            "why": str(row.get("why") or "–"),
            "folder": str(row.get("folder") or "–"),
        }
        for row in rows[:MOST_ROWS]
    ]


def run_sheet(study: Study) -> Sheet:
    """Every run with the main column of each set and its costs."""
    mains = [(name, study.main(name)) for name in study.sets if study.main(name)]
    settings = len(study.names) > 1
    heads = [("arm", "")] + ([("setting", "")] if settings else []) + [("seed", ""), ("ended", "")]
    heads += [(f"{column} on {name}" if len(mains) > 1 else column, unit(column)) for name, column in mains]
    heads += [(title, of) for _, title, of, _ in COSTS]
    rows = []
    for row in study.runs[:MOST_ROWS]:
        values = row["values"] if isinstance(row.get("values"), dict) else {}
        line = [Cell(row["arm"], row["arm"])]
        line += [Cell(study.names[row["setting"]], str(row["setting"]))] if settings else []
        line += [Cell(str(row["seed"]), str(row["seed"])), Cell(str(row.get("status") or "–"), str(row.get("status")))]
        line += [_number((values.get(name) or {}).get(column), 2) for name, column in mains]
        line += [_number(row.get(key), digits) for key, _, _, digits in COSTS]
        rows.append(line)
    return Sheet(heads, rows, [])


def made_rows(study: Study) -> list[tuple[str, str]]:
    """How the study was made: seeds, machine, time, programs."""
    counts = {
        key: sum(row.get("status") == key for row in study.runs)
        for key in ("finished", "diverged", "failed", "missing")
    }
    ended = ", ".join(f"{count} {key}" for key, count in counts.items() if count)
    facts = [
        ("folder", str(study.folder)),
        ("seeds", ", ".join(map(str, study.seeds))),
        ("runs", f"{len(study.runs)}" + (f": {ended}" if ended else "")),
        ("time in all", _time(study.seconds)),
        ("machine", study.machine),
        ("programs", "; ".join(dict.fromkeys(_program(row) for row in study.versions))),
    ]
    return [(name, text) for name, text in facts if text]


def _time(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _program(row: Row) -> str:
    names = [f"{key} {row[key]}" for key in ("python", "torch", "numpy") if row.get(key)]
    return ", ".join([spell_program(row), *names, *([str(row["processor"])] if row.get("processor") else [])])
