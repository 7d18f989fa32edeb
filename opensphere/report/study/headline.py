"""The sentences on a comparison over seeds: what came out, and how sure that is."""

from opensphere.report.columns import is_number, lower_is_better, meaning, spell, spell_p, unit
from opensphere.report.forest import BETTER, SAME, WORSE
from opensphere.report.study.pairs import leads, verdict
from opensphere.report.study.reading import BASELINE, PAIRS, Place, Row, Study

_MOST_NAMED = 6  # arms, or settings, that a sentence lists


def study_headline(study: Study) -> list[str]:
    """What was compared, who is ahead and how sure that is, what failed."""
    if not study.arms:
        return [f"{study.title}: this comparison has no results to show yet."]
    said = [_done(study)]
    explained: set[str] = set()
    for dataset in study.sets:
        column = study.main(dataset)
        if column:
            places = [Place(setting, dataset, column) for setting in range(len(study.names))]
            several = len(places) > 1
            first = [_leaders(study, places)] if several else _leading(study, places[0])
            what = [] if column in explained or not meaning(column) else [f"{column} is the {meaning(column)}."]
            second = _baselines(study, places) if several else _baseline(study, places[0])
            said.append(" ".join([*first, *what, second]).strip())
            explained.add(column)
    if not study.means:
        said.append("No result is known yet.")
    return [*said, *_ends(study)]


def _done(study: Study) -> str:
    names = f" ({_listed(study.arms)})" if len(study.arms) <= _MOST_NAMED else ""
    seeds = len(study.seeds)
    times = {0: "", 1: " once"}.get(seeds, f" from {seeds} seeds")
    under = f" under each of {len(study.names)} settings" if len(study.names) > 1 else ""
    text = f"{study.title.rstrip('.')}: {len(study.arms)} ways to train{names} were each run{times}{under}"
    if seeds > 1:
        text += " and tested on the same people"
        known = [row for row in study.differences if is_number(row.get("low"))]
        if not known:
            return f"{text}."
        if all(is_number(row.get("people_error")) for row in known):
            return f"{text}. A verdict here allows for both: other seeds, and other people."
        return f"{text}. A verdict here allows for other seeds; where a note says so, not for other people."
    return (
        f"{text} and tested on the same people. With one seed nothing is known of other seeds: the intervals say what "
        "other people would change, and another seed may turn an order round."
    )


def _values(study: Study, place: Place) -> dict[str, float]:
    """The known means, best first."""
    found = {arm: study.mean(arm, place).get("value") for arm in study.arms}
    known = {arm: float(value) for arm, value in found.items() if is_number(value)}
    return dict(sorted(known.items(), key=lambda pair: pair[1] if lower_is_better(place.column) else -pair[1]))


def _leading(study: Study, place: Place) -> list[str]:
    values = _values(study, place)
    if not values:
        return [f"On {place.dataset} no {place.column} is known."]
    best = next(iter(values))
    mean = "mean" if len(study.seeds) > 1 else "value"
    others = [arm for arm in values if arm != best]
    percent = " %" if unit(place.column) else ""
    reached = f"{place.column} {spell(values[best])}{percent}{_interval(study.mean(best, place))}"
    if not others:
        return [f"On {place.dataset}, {best} reaches {reached}; nothing else is known to hold it against."]
    ahead, level, unknown = _against(study, place, best, others)
    if not unknown and len(ahead) == len(others):
        return [
            f"On {place.dataset}, {best} wins: {reached}. It is ahead of "
            f"{_some(others, others)} by more than chance (p {_at_most(ahead)} after correction)."
        ]
    ends = list(values.values())
    if level and len(level) == len(others):
        return [
            f"On {place.dataset}, nothing is told apart from {best}, which has the best {mean}: {reached}. The {mean}s "
            f"run from {spell(min(ends))} to {spell(max(ends))}{percent}; other seeds or other people may give another "
            "order."
        ]
    said = [f"On {place.dataset}, no winner is sure. {best} has the best {mean}: {reached}."]
    if level:
        said.append(f"It is not told apart from {_some(level, others)}: that difference may be chance.")
    if ahead:
        said.append(
            f"It is ahead of {_some(list(ahead), others)} by more than chance (p {_at_most(ahead)} after correction)."
        )
    if unknown:
        said.append(f"Against {_some(unknown, others)} it cannot be said.")
    return said


def _against(study: Study, place: Place, best: str, others: list[str]) -> tuple[dict[str, float], list[str], list[str]]:
    """Arms that the best is ahead of, with p; arms that it is not told apart from; arms that cannot be compared."""
    rows: dict[frozenset[str], Row] = {}
    for family in (BASELINE, PAIRS):  # all pairs have the last word: they were searched for the best
        rows |= {frozenset((row["first"], row["second"])): row for row in study.between(family, place)}
    ahead: dict[str, float] = {}
    level, unknown = [], []
    for other in others:
        row = rows.get(frozenset((best, other)), {})
        kind = verdict(row)
        if kind == (BETTER if row.get("first") == best else WORSE):
            p = row.get("p (Holm)")
            ahead[other] = float(p) if is_number(p) else 1.0
        elif kind in (SAME, BETTER, WORSE):  # behind in pairs though ahead in the means: seeds that only one has
            level.append(other)
        else:
            unknown.append(other)
    return ahead, level, unknown


def _baseline(study: Study, place: Place) -> str:
    """How the others stand to the baseline."""
    rows = study.between(BASELINE, place)
    if not rows or len(study.arms) < 3:
        return ""
    named = {kind: [row["first"] for row in rows if verdict(row) == kind] for kind in (BETTER, WORSE, SAME)}
    said = [f"{_some(arms, [])} {'is' if len(arms) == 1 else 'are'} {word}" for word, arms in (
        ("better by more than chance", named[BETTER]),
        ("worse by more than chance", named[WORSE]),
        ("not told apart", named[SAME]),
    ) if arms]  # fmt: skip
    return f"Against {study.baseline}, {_listed(said)}." if said else ""


def _leaders(study: Study, places: list[Place]) -> str:
    """Under which settings one arm is ahead of all others."""
    dataset, column = places[0].dataset, places[0].column
    found = {place: next((arm for arm in study.arms if leads(study, arm, place)), "") for place in places}
    sure = [place for place in places if found[place]]
    ahead = f"ahead of all others in {column} by more than chance"
    if not sure:
        return f"On {dataset}, under no setting is one {ahead}."
    if len(sure) == len(places) and len(set(found.values())) == 1:
        return f"On {dataset}, under every setting {found[sure[0]]} is {ahead}."
    named = "; ".join(f"{study.names[place.setting]}: {found[place]}" for place in sure[:_MOST_NAMED])
    rest = len(places) - len(sure)
    text = f"On {dataset}, one is {ahead} under {len(sure)} of {len(places)} settings ({named})"
    return text + (f"; under the other {rest} no winner is sure." if rest else ".")


def _baselines(study: Study, places: list[Place]) -> str:
    """How often each arm differs from the baseline."""
    if not any(study.between(BASELINE, place) for place in places):
        return ""
    counts = []
    for arm in study.arms:
        kinds = [verdict(row) for place in places for row in study.between(BASELINE, place) if row["first"] == arm]
        words = [f"{kind} in {kinds.count(kind)}" for kind in (BETTER, WORSE) if kind in kinds]
        counts += [f"{arm} is {_listed(words)}"] if words else []
    if not counts:
        return f"Against {study.baseline}, no difference under any setting is more than chance."
    shown = counts[:_MOST_NAMED]
    if len(counts) > len(shown):
        shown.append(f"{len(counts) - len(shown)} more differ")
    return f"Against {study.baseline}, of {len(places)} settings: {'; '.join(shown)}; else not told apart."


def _ends(study: Study) -> list[str]:
    """What did not end as it should."""
    said = []
    for kind, word in (("diverged", "diverged"), ("failed", "failed"), ("missing", "are missing")):
        own = [row for row in study.runs if row.get("status") == kind]
        if own:
            arms = list(dict.fromkeys(row["arm"] for row in own))
            said.append(f"{len(own)} of {len(study.runs)} trainings {word} ({_some(arms, [])}).")
    if said:
        said.append("Means and differences are over the seeds that are there.")
    return [" ".join(said)] if said else []


def _interval(row: Row) -> str:
    if is_number(row.get("low")) and is_number(row.get("high")):
        return f" (95% interval: {spell(float(row['low']))} to {spell(float(row['high']))})"
    return ""


def _at_most(ahead: dict[str, float]) -> str:
    text = spell_p(max(ahead.values()))
    return text if text.startswith("<") else f"≤ {text}"


def _some(names: list[str], others: list[str]) -> str:
    if len(names) == len(others) > 3:
        return f"all {len(others)} others"
    if len(names) > _MOST_NAMED:
        return f"{', '.join(names[:_MOST_NAMED])} and {len(names) - _MOST_NAMED} more"
    return _listed(names)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
