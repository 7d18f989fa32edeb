"""The sentences on top of a page, for people who know nothing of the project."""

from typing import Any

from opensphere.report.columns import is_number, lower_is_better, main_column, meaning, spell, spell_p, unit
from opensphere.report.differences import winner
from opensphere.report.forest import apart
from opensphere.report.results import Comparison, Results
from opensphere.report.run import Run, Table
from opensphere.report.study.headline import study_headline


def headline(results: Results) -> list[str]:
    """What was done, what came out, and how sure that is."""
    sentences = [sentence for study in results.studies for sentence in study_headline(study)]
    if not results.runs and sentences:
        return sentences
    sentences += [_done(results.runs), *_progress(results.runs)]
    tested = [_won(results, name) for name in results.datasets]
    if tested:
        tested.append(_once(results.runs))
    else:
        tested = [_validated(results.runs)] if results.runs else []
    sentences += tested
    if not results.datasets and results.summaries:
        sentences.append("The table below has what the runs reached together.")
    return [sentence for sentence in sentences if sentence]


def described(run: Run) -> str:
    """The network and the data of a run in a few words."""
    net, people = run.get("model.backbone.net.type"), run.get("model.head.net.num_class")
    data = training_data(run)
    parts = [f"a {net} network" if net else "", f"{people:,} people" if isinstance(people, int) else ""]
    return " on ".join(part for part in parts if part) + (f" ({data})" if data and any(parts) else "")


def training_data(run: Run) -> str:
    """The names of the training sets."""
    block = run.get("data.train", {})
    blocks = block if isinstance(block, list) else [block]
    sets = [entry.get("dataset") for entry in blocks if isinstance(entry, dict)]
    names = [str(one.get("name") or one.get("type")) for one in sets if isinstance(one, dict)]
    drawn = any(isinstance(one, dict) and one.get("type") == "SyntheticFaces" for one in sets)
    return ", ".join(names) + (" drawn by a program" if drawn else "")


def _done(runs: list[Run]) -> str:
    if not runs:
        return "This page shows a table of results whose runs are not beside it."
    about = described(runs[0])
    task = "to turn a picture of a face into numbers that are alike for one person and unlike for two"
    if len(runs) == 1:
        head = runs[0].get("model.head.net.type")
        how = f", {about}," if about else ""
        return f"This model{how} was trained {task}" + (f", with the loss {head}." if head else ".")
    alike = all(described(run) == about for run in runs)
    heads = list(dict.fromkeys(str(run.get("model.head.net.type")) for run in runs))
    how = f", each {about}," if about and alike else ""
    if len(heads) == len(runs):
        what = f"each with another loss: {_listed(heads)}"
    else:
        what = f"with {_listed(heads)}" if heads != ["None"] else ""
    return f"{_count(len(runs))} models{how} were trained {task}, {what}".strip(" ,") + "."


def _once(runs: list[Run]) -> str:
    """What no single training can say."""
    if not runs:
        return ""
    what, other = "Each of these is one training", "other numbers and another order"
    if len(runs) == 1:
        what, other = "This is one training", "other numbers"
    return (
        f"{what}, from one seed: nothing is known of other training seeds, which may give {other}. "
        "`opensphere compare` trains from several seeds."
    )


def _count(number: int) -> str:
    words = ("Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
    return words[number - 2] if 2 <= number < 2 + len(words) else str(number)


def _progress(runs: list[Run]) -> list[str]:
    """A word on each run that has not ended."""
    return [
        f"{run.label} is not finished: {run.updates:,} of {run.get('project.max_iters'):,} updates are done, so its "
        "numbers are not final."
        for run in runs
        if run.finished is False
    ]


def value_of(table: Table, column: str) -> tuple[Any, dict[str, Any]]:
    """The value of a table's last row, the average over checkpoints, and what is known of its uncertainty."""
    return table.rows[-1].get(column), table.uncertainty[-1].get(column, {})


def _won(results: Results, name: str) -> str:
    """Which run is best on a set, and whether that is more than chance."""
    tables = {run.label: run.tables[name] for run in results.runs if name in run.tables}
    dataset = next(iter(tables.values())).name
    shared = [key for key in next(iter(tables.values())).rows[-1] if all(key in t.rows[-1] for t in tables.values())]
    column = main_column([key for key in shared if any(is_number(value_of(t, key)[0]) for t in tables.values())])
    if column is None:
        return f"On {dataset} no number is shared by all runs."
    values = {label: value_of(table, column)[0] for label, table in tables.items()}
    known = {label: value for label, value in values.items() if is_number(value)}
    best = (min if lower_is_better(column) else max)(known, key=lambda label: known[label])
    said = (
        spell(known[best]) + (" %" if unit(column) else "") + _interval(value_of(tables[best], column)[1], tables[best])
    )
    what = f" {column} is the {meaning(column)}." if meaning(column) else ""
    on = f"On {dataset}{_facts(tables[best])}"
    if len(tables) == 1:
        who = "" if len(results.runs) == 1 else f"{best} "
        return f"{on}, {who or 'it '}reaches {column} {said}.{what}"
    first = f"{on}, {best} is best: {column} {said}.{what}"
    comparison = next((one for one in results.comparisons if one.dataset == dataset), None)
    return f"{first} {_sure(comparison, column, best, [label for label in known if label != best])}"


def _facts(table: Table) -> str:
    """How many pairs and people a set has, as far as its facts say."""
    facts = table.facts
    pairs = [facts.get(key) for key in ("genuine pairs", "impostor pairs")]
    words = []
    if all(isinstance(count, int) for count in pairs):
        words.append(f"{sum(count for count in pairs if isinstance(count, int)):,} pairs")
    if isinstance(facts.get("people"), int):
        words.append(f"{facts['people']:,} people")
    return f" ({' of '.join(words)})" if words else ""


def _interval(known: dict[str, Any], table: Table) -> str:
    if is_number(known.get("low")) and is_number(known.get("high")):
        return f" ({table.confidence:.0%} interval: {spell(known['low'])} to {spell(known['high'])})"
    return ""


def _sure(comparison: Comparison | None, column: str, best: str, others: list[str]) -> str:
    if comparison is None:
        return "Whether that is more than chance was not tested: run `opensphere test` on all runs at once."
    rows = {
        frozenset((row["first"], row["second"])): row for row in comparison.differences if row.get("column") == column
    }
    ahead, level, unknown = [], [], []
    for other in others:
        row = rows.get(frozenset((best, other)))
        if row is None or apart(row) is None:
            unknown.append(other)
        elif winner(row, column) == best:
            ahead.append((other, row["p (Holm)"]))
        else:
            level.append(other)
    words = []
    if ahead:
        worst = max(p for _, p in ahead)
        names = _others([other for other, _ in ahead], others)
        words.append(f"That it is ahead of {names} is more than chance (p {_at_most(worst)} after correction).")
    if level:
        words.append(f"It is not told apart from {_others(level, others)}: that difference may be chance.")
    if unknown:
        words.append(f"Against {_others(unknown, others)} this was not tested.")
    return " ".join(words)


def _others(names: list[str], others: list[str]) -> str:
    return f"all {len(others)} others" if len(names) == len(others) > 3 else _listed(names)


def _at_most(p: float) -> str:
    text = spell_p(p)
    return text if text.startswith("<") else f"≤ {text}"


def _validated(runs: list[Run]) -> str:
    """What the last validations said, where no test was made."""
    said = []
    for run in runs:
        if run.val:
            last = run.val[-1]
            column = main_column([key for key in last if is_number(last[key]) and key != "iter"])
            if column:
                percent = " %" if unit(column) else ""
                said.append(f"{run.label} {spell(last[column])}{percent} ({column} on {last.get('set', 'validation')})")
    if not said:
        return "It has not been tested yet: run `opensphere test`."
    return f"No test was made; the last validation gave {_listed(said)}. These are single values without intervals."


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
