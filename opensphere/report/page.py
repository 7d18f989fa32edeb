"""The page: one HTML file that needs nothing but a browser."""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import yaml
from plotly.offline import get_plotlyjs

from opensphere.report.columns import meanings
from opensphere.report.curves import curve_figures
from opensphere.report.differences import Verdicts, decision_rows, verdicts
from opensphere.report.facts import Sheet, checkpoint_sheet, result_sheet, run_rows, summary_sheet
from opensphere.report.figure import COLOURS, DASHES, Figure
from opensphere.report.hardest import LIMIT, MOST, Hardest, hardest
from opensphere.report.headline import headline
from opensphere.report.results import Results, Table
from opensphere.report.sphere import sphere_figures
from opensphere.report.training import training_figures, validation_figures

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

    @property
    def figures(self) -> list[Figure]:
        own = [[*(entry.forest for entry in test.verdicts), *test.figures] for test in self.tests]
        return [*(figure for some in own for figure in some), *self.validation, *self.training, *self.spheres]


def build(results: Results) -> Parts:
    """Everything that results on disk allow to be shown."""
    return Parts(
        tests=[_test(results, name) for name in _sets(results)],
        summaries=[(table, summary_sheet(table)) for table in results.summaries],
        training=training_figures(results.runs),
        validation=validation_figures(results.runs),
        spheres=sphere_figures(results.runs),
    )


def render(results: Results, parts: Parts, refresh: int = 0) -> str:
    """The page's HTML.

    Args:
        refresh: seconds after which the page loads itself anew, while a run goes on; 0 for never.
    """
    names, facts = run_rows(results.runs)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    template = environment.from_string(_text("page.html"))
    runs = [
        {"label": run.label, "colour": COLOURS[i % len(COLOURS)], "dash": DASHES[i // len(COLOURS) % len(DASHES)]}
        for i, run in enumerate(results.runs)
    ]
    return template.render(
        title=_title(results),
        headline=headline(results),
        runs=runs,
        names=names,
        facts=facts,
        problems=[(run.label, run.problems) for run in results.runs if run.problems],
        general=results.problems,
        warnings=[(run.label, run.warnings[-20:]) for run in results.runs if run.warnings],
        configs=[(run.label, yaml.safe_dump(run.config, sort_keys=False)) for run in results.runs if run.config],
        parts=parts,
        refresh=refresh,
        css=jinja2.utils.markupsafe.Markup(_text("page.css")),
        script=jinja2.utils.markupsafe.Markup(_text("page.js")),
        plotly=jinja2.utils.markupsafe.Markup(_plotly()),
        figures=jinja2.utils.markupsafe.Markup(embed({"runs": runs, "figures": [_spec(f) for f in parts.figures]})),
    )


def embed(content: Any) -> str:
    """JSON that may stand inside a script element, whatever text it has."""
    text = json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _title(results: Results) -> str:
    labels = [run.label for run in results.runs]
    shown = ", ".join(labels[:4]) + (f" and {len(labels) - 4} more" if len(labels) > 4 else "")
    return f"{shown} · opensphere report" if shown else "opensphere report"


def _sets(results: Results) -> list[str]:
    """The sets with tables, then those with evidence or a comparison alone."""
    names = [*results.datasets, *(name for run in results.runs for name in run.evidence)]
    return list(dict.fromkeys([*names, *(one.dataset for one in results.comparisons)]))


def _test(results: Results, name: str) -> Test:
    sheet = result_sheet(results, name)
    tables = [run.tables[name] for run in results.runs if name in run.tables]
    table = tables[0] if tables else Table(name, [], [])
    comparison = next((one for one in results.comparisons if one.dataset == table.name), None)
    shown = sum(len(run.evidence) for run in results.runs)
    most = max(2, min(MOST, LIMIT // (2 * max(1, shown))))  # pictures are most of a page's size
    found = [(run.label, hardest(run.evidence[name], most)) for run in results.runs if name in run.evidence]
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


def _spec(figure: Figure) -> dict[str, Any]:
    return {
        "name": figure.name,
        "data": figure.data,
        "layout": figure.layout,
        "height": figure.height,
        "sliders": figure.sliders,
    }


@cache
def _text(name: str) -> str:
    return resources.files(_SOURCE).joinpath(name).read_text(encoding="utf-8")


@cache
def _plotly() -> str:
    # a literal end of a script inside the library would end ours
    return get_plotlyjs().replace("</script", "<\\/script")
