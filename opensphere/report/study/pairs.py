"""Which arms differ: for each number of a study its seeds, the differences from the baseline, every pair's verdict."""

from dataclasses import dataclass
from typing import Any

from opensphere.report.columns import is_number, lower_is_better, meaning, spell, spell_p
from opensphere.report.figure import Figure, short, slug
from opensphere.report.forest import (
    BETTER,
    SAME,
    SELF,
    UNKNOWN,
    WORSE,
    Cell,
    forest,
    numbers_of,
    signed,
    verdict_map,
)
from opensphere.report.study.means import singles_figure
from opensphere.report.study.reading import BASELINE, PAIRS, Place, Row, Study

MOST_CELLS = 3000  # pairs of arms of a page
_MANY = 10  # arms, from which on pairs are not listed one by one
_MARKS = {BETTER: "▲", WORSE: "▼", SAME: "·"}


@dataclass(frozen=True)
class Choice:
    """One number of a study.

    Attributes:
        label, about: what it is, and what its column means.
        singles: the seeds' values beside the means.
        forest: differences from the baseline; None where there are none.
        printed: the map of verdicts as a figure, for files; None where no pair is known.
        names: of the rows and columns of the map.
        cells: the map.
        details: rows of a table of differences.
        reasons: why some differences are not known.
        methods: how differences were tested.
    """

    label: str
    about: str
    singles: Figure
    forest: Figure | None
    printed: Figure | None
    names: list[str]
    cells: list[list[Cell]]
    details: list[dict[str, str]]
    reasons: list[str]
    methods: list[str]


def choices(study: Study, first: int, most: int) -> tuple[list[Choice], str]:
    """What can be chosen, and a sentence on what is left out.

    Args:
        first: the colour of the first arm.
        most: numbers to choose from.
    """
    places = [place for place in study.places() if any(study.mean(arm, place) for arm in study.arms)]
    kept = places[: max(1, min(most, MOST_CELLS // max(1, len(study.arms) ** 2)))]
    left = ""
    if len(kept) < len(places):
        rest = len(places) - len(kept)
        more = "1 more number is" if rest == 1 else f"{rest:,} more numbers are"
        left = f"{more} not on this page, which stays small; study.json has all."
    return [_choice(study, place, first) for place in kept], left


def verdict(row: Row) -> str:
    """The kind of a difference, as the study judged it: of the first arm."""
    known = {"better": BETTER, "worse": WORSE, "not told apart": SAME}
    return known.get(str(row.get("verdict")), UNKNOWN) if is_number(row.get("difference")) else UNKNOWN


def leads(study: Study, arm: str, place: Place) -> bool:
    """Whether an arm is better than every other one by more than chance."""
    ahead = 0
    for row in study.between(PAIRS, place):
        kind = verdict(row)
        ahead += (kind == BETTER and row["first"] == arm) or (kind == WORSE and row["second"] == arm)
    return len(study.arms) > 1 and ahead == len(study.arms) - 1


def _choice(study: Study, place: Place, first: int) -> Choice:
    against = study.between(BASELINE, place)
    pairs = study.between(PAIRS, place)
    name = f"{slug(study.folder.name)}-{slug(place.dataset)}-{slug(place.column)}-{place.setting}"
    known = {arm for row in pairs for arm in (row["first"], row["second"])}
    names = [arm for arm in study.arms if arm in known]
    about = {(row["first"], row["second"]): row for row in pairs}
    cells = [[_cell(one, other, about) for other in names] for one in names]
    title = f"{study.said(place)}: the row against the column"
    printed = verdict_map(f"verdicts-{name}", title, names, cells, _COVERED) if names else None
    few = len(names) <= _MANY
    return Choice(
        label=study.said(place),
        about=meaning(place.column),
        singles=singles_figure(study, place, first),
        forest=_forest(study, place, f"forest-{name}", against) if against else None,
        printed=printed,
        names=names,
        cells=cells,
        details=[_detail(row) for row in (pairs if pairs and few else against)],
        reasons=sorted({str(row["why"]) for row in [*against, *pairs] if row.get("why")}),
        methods=sorted({str(row["method"]) for row in [*against, *pairs] if row.get("method")}),
    )


_COVERED = "Differences over the seeds that both arms have; verdicts at 5 % after Holm's correction."


def _forest(study: Study, place: Place, name: str, rows: list[Row]) -> Figure:
    better = "left" if lower_is_better(place.column) else "right"
    caption = (
        f"Each arm less {study.baseline or 'the baseline'}, seed by seed on the same people, with 95 % intervals that "
        f"allow for {study.covered}; to the {better} the arm is better. Filled: more than chance at 5 % after "
        "correction."
    )
    title = f"{study.said(place)}: less {short(rows[0]['second'])}"
    return forest(name, title, place.column, rows, [short(row["first"], 34) for row in rows], caption)


def _cell(one: str, other: str, about: dict[tuple[str, str], Row]) -> Cell:
    """The arm of the row against that of the column."""
    if one == other:
        return SELF, "", ""
    row, sign = about.get((one, other)), 1
    if row is None:
        row, sign = about.get((other, one), {}), -1
    kind = verdict(row)
    if kind == UNKNOWN:
        return UNKNOWN, "–", f"{one} against {other}: {row.get('why') or 'cannot be said'}"
    if sign < 0:
        kind = {BETTER: WORSE, WORSE: BETTER}.get(kind, kind)
    return kind, f"{_MARKS[kind]} {signed(sign * row['difference'])}", _hint(row, sign)


def _hint(row: Row, sign: int) -> str:
    """The interval and p, short: a page has thousands of them."""
    ends = [sign * row[key] for key in ("low", "high") if is_number(row.get(key))]
    said = f"[{min(ends):+.2f}, {max(ends):+.2f}], " if len(ends) == 2 else ""
    return f"{said}p {spell_p(row.get('p (Holm)'))}"


def _detail(row: Row) -> dict[str, Any]:
    word = str(row.get("verdict") or "cannot be said")
    return {
        **numbers_of(row),
        "error of seeds": spell(row.get("seed_error")),
        "error of people": spell(row.get("people_error")),
        "seeds": spell(row.get("seeds")),
        "verdict": f"first is {word}" if word in ("better", "worse") else word,
    }
