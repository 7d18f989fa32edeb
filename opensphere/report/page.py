"""The page: one HTML file that needs nothing but a browser."""

import json
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import yaml
from plotly.offline import get_plotlyjs

from opensphere.report.columns import meanings
from opensphere.report.curves import curve_figures
from opensphere.report.data import Data, shown_data
from opensphere.report.differences import Verdicts, decision_rows, verdicts
from opensphere.report.facts import Sheet, checkpoint_sheet, result_sheet, run_rows, summary_sheet
from opensphere.report.figure import Figure, colour, dash
from opensphere.report.hardest import KINDS, MOST, PICTURED, Hardest, hardest
from opensphere.report.headline import headline
from opensphere.report.results import Results
from opensphere.report.run import Table
from opensphere.report.sphere import sphere_figures
from opensphere.report.study.section import Section, build_section
from opensphere.report.thrift import LIMIT, PLENTY, THRIFTS, Thrift, last, spec
from opensphere.report.training import spread_figures, training_figures, validation_figures
from opensphere.report.training_data import FILE

_SOURCE = "opensphere.report"


@dataclass(frozen=True)
class Test:
    """All of a page about one set."""

    name: str
    table: Table
    sheet: Sheet
    checkpoints: Sheet | None
    notes: list[str]
    meanings: list[tuple[str, str]]
    verdicts: list[Verdicts]
    decisions: list[dict[str, str]]
    figures: list[Figure]
    hardest: list[tuple[str, Hardest]]
    missing: list[str]


@dataclass(frozen=True)
class Parts:
    """All of a page, figures as they will be drawn."""

    tests: list[Test]
    summaries: list[tuple[Table, Sheet]]
    training: list[Figure]
    validation: list[Figure]
    spheres: list[Figure]
    data: list[Data] = field(default_factory=list)
    studies: list[Section] = field(default_factory=list)

    @property
    def figures(self) -> list[Figure]:
        """Those on the page."""
        own = [[*(entry.forest for entry in test.verdicts), *test.figures] for test in self.tests]
        own = [*(section.figures for section in self.studies), *own]
        data = [one.figure for one in self.data if one.figure is not None]
        return [*(figure for some in own for figure in some), *data, *self.validation, *self.training, *self.spheres]

    @property
    def drawings(self) -> list[Figure]:
        """Those for files: of the page, and what the page has as tables."""
        maps = [
            *(section.printed for section in self.studies),
            [one.printed for test in self.tests for one in test.verdicts],
        ]
        return [*self.figures, *(figure for some in maps for figure in some)]


def build(results: Results, thrift: Thrift = PLENTY) -> Parts:
    """Everything that results on disk allow to be shown; figures as `thrift` has them."""
    firsts = [len(results.runs)]  # colours of arms come after those of runs
    for study in results.studies:
        firsts.append(firsts[-1] + len(study.arms))
    noted = [(run.label, run.data) for run in results.runs if run.data is not None]
    sheets = len({data for _, data in noted}) + sum(len(study.data) for study in results.studies)
    pictures = thrift.pictures
    return Parts(
        tests=[_test(results, name, thrift) for name in _sets(results)],
        summaries=[(table, summary_sheet(table)) for table in results.summaries],
        training=training_figures(results.runs),
        validation=validation_figures(results.runs),
        spheres=[*spread_figures(results.runs), *sphere_figures(results.runs)],
        data=shown_data(noted, "data", sheets, pictures),
        studies=[
            build_section(study, first, thrift.numbers, sheets, pictures)
            for study, first in zip(results.studies, firsts, strict=False)
        ],
    )


def fit(results: Results, refresh: int = 0, limit: int = LIMIT) -> tuple[str, Parts]:
    """The page and its parts, made smaller step by step until it has no more bytes than the limit.

    Pictures go first, then configs, some numbers and points of curves, at last the hardest pairs and the last figures;
    the page says so. Tables always stay: those of hundreds of runs on many sets can be larger by themselves.
    """
    parts, built, over = build(results), PLENTY, 0
    for thrift in THRIFTS:
        if (thrift.pictures, thrift.numbers, thrift.pairs) != (built.pictures, built.numbers, built.pairs):
            parts, built = build(results, thrift), thrift
        html = render(results, parts, refresh, thrift)
        over = len(html.encode()) - limit
        if over <= 0:
            return html, parts
    dropped = last(parts.figures, over, thrift.points)
    return render(results, parts, refresh, replace(thrift, dropped=dropped)), parts


def render(results: Results, parts: Parts, refresh: int = 0, thrift: Thrift = PLENTY) -> str:
    """The page's HTML.

    Args:
        refresh: seconds after which the page loads itself anew, while a run goes on; 0 for never.
    """
    names, facts = run_rows(results.runs)
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    template = environment.get_template("page.html")
    lines = [{"label": label, "colour": colour(i), "dash": dash(i)} for i, label in enumerate(_lines(results))]
    figures = [spec(figure, thrift.points) for figure in parts.figures if figure.name not in thrift.dropped]
    configs = [(run.label, yaml.safe_dump(run.config, sort_keys=False)) for run in results.runs if run.config]
    general = [*results.problems, *(f"{one.title}: {text}" for one in results.studies for text in one.problems)]
    return template.render(
        title=_title(results),
        headline=headline(results),
        runs=results.runs,
        lines=lines,
        names=names,
        facts=facts,
        problems=[(run.label, run.problems) for run in results.runs if run.problems],
        general=general,
        absent=_absent(results),
        warnings=[(run.label, run.warnings[-20:]) for run in results.runs if run.warnings],
        configs=configs if thrift.configs else [],
        parts=parts,
        refresh=refresh,
        spared=thrift.said,
        dropped=thrift.dropped,
        css=jinja2.utils.markupsafe.Markup(_text("page.css")),
        script=jinja2.utils.markupsafe.Markup(_text("page.js")),
        plotly=jinja2.utils.markupsafe.Markup(_plotly()),
        figures=jinja2.utils.markupsafe.Markup(embed({"runs": lines, "figures": figures})),
    )


def embed(content: Any) -> str:
    """JSON that may stand inside a script element, whatever text it has."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _absent(results: Results) -> list[str]:
    """What runs may lack without anything being wrong: those of older versions, and those sent without pictures."""
    named = [run.label for run in results.runs if run.data is None and not _told(run.problems)]
    named += [study.title for study in results.studies if study.arms and not study.data and not _told(study.problems)]
    return [f"Nothing on the training data of {_some(named)}: there is no {FILE}."] if named else []


def _told(problems: list[str]) -> bool:
    """Whether it is said already that the file is damaged."""
    return any(FILE in problem for problem in problems)


def _some(names: list[str]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _title(results: Results) -> str:
    labels = [*(study.title for study in results.studies), *(run.label for run in results.runs)]
    return f"{_some(labels)} · opensphere report" if labels else "opensphere report"


def _lines(results: Results) -> list[str]:
    """What has a colour on the page: runs, then the arms of comparisons over seeds."""
    several = len(results.studies) > 1
    arms = [f"{study.folder.name}: {arm}" if several else arm for study in results.studies for arm in study.arms]
    return [*(run.label for run in results.runs), *arms]


def _sets(results: Results) -> list[str]:
    """The sets with tables, then those with evidence or a comparison alone."""
    names = [*results.datasets, *(name for run in results.runs for name in run.evidence)]
    return list(dict.fromkeys([*names, *(one.dataset for one in results.comparisons)]))


def _test(results: Results, name: str, thrift: Thrift) -> Test:
    sheet = result_sheet(results, name)
    tables = [run.tables[name] for run in results.runs if name in run.tables]
    table = tables[0] if tables else Table(name, [], [])
    comparison = next((one for one in results.comparisons if one.dataset == table.name), None)
    kinds = sum(kind in arrays for run in results.runs for arrays in run.evidence.values() for kind in KINDS)
    most = max(2, min(MOST, PICTURED // max(1, kinds)))  # pictures are most of a page's size
    pictures = thrift.pictures
    held = [run for run in results.runs if name in run.evidence and thrift.pairs]
    found = [(run.label, hardest(run.evidence[name], most, pictures)) for run in held]
    without = [run.label for run in results.runs if name in run.tables and name not in run.evidence]
    missing = []
    if without:
        missing.append(
            f"No curves, score histograms and hardest pairs of {', '.join(without)}: {name}_evidence.npz is not there. "
            "Test again to have it."
        )
    if len(tables) > 1 and comparison is None:
        missing.append("No comparison: test the runs in one call of `opensphere test` to have it.")
    return Test(
        name=table.name,
        table=table,
        sheet=sheet,
        checkpoints=checkpoint_sheet(results, name),
        notes=_notes(table),
        meanings=meanings(head for head, _ in sheet.heads),
        verdicts=verdicts(comparison) if comparison else [],
        decisions=decision_rows(comparison) if comparison else [],
        figures=curve_figures(results.runs, name),
        hardest=[(label, pairs) for label, pairs in found if pairs is not None],
        missing=missing,
    )


def _notes(table: Table) -> list[str]:
    """How to read the small numbers of a table."""
    known = [value for row in table.uncertainty for value in row.values() if isinstance(value, dict)]
    notes = []
    if any(value.get("folds") is not None for value in known):
        notes.append("± standard error over the folds.")
    if any(value.get("folds") is None and "low" in value for value in known):
        rest = f" from {table.resamples:,} resamples of the people" if table.resamples else ""
        notes.append(f"[ ] {table.confidence:.0%} interval{rest}.")
    if table.rows and not notes:
        notes.append("Single values: nothing is known of their uncertainty.")
    return notes


@cache
def _text(name: str) -> str:
    return resources.files(_SOURCE).joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    # a literal end of a script inside the library would end ours
    return get_plotlyjs().replace("</script", "<\\/script")
