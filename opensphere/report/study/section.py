"""All of a page about one comparison over seeds."""

from dataclasses import dataclass

from opensphere.report.columns import meanings
from opensphere.report.data import SIDE, Data, shown_data
from opensphere.report.facts import Sheet
from opensphere.report.figure import Figure, slug
from opensphere.report.study import tables
from opensphere.report.study.means import cost_figures
from opensphere.report.study.pairs import Choice, choices
from opensphere.report.study.reading import Study
from opensphere.report.study.spheres import sphere_figures
from opensphere.report.study.sweep import sweep_figures
from opensphere.report.study.trainings import drawn, roc_figures, training_figures


@dataclass(frozen=True)
class Section:
    """What the page shows of a study.

    Attributes:
        sheets: for each set, the means; `settings` has its main column by setting.
        left, drawn: sentences on numbers that are left out, and on which runs have curves.
    """

    study: Study
    sheets: list[tuple[str, Sheet]]
    settings: list[tuple[str, Sheet]]
    meanings: list[tuple[str, str]]
    sweeps: list[Figure]
    choices: list[Choice]
    left: str
    costs: list[Figure]
    chosen: list[dict[str, str]]
    tried: list[dict[str, str]]
    unfinished: list[dict[str, str]]
    runs: Sheet
    drawn: str
    training: list[Figure]
    roc: list[Figure]
    spheres: list[Figure]
    data: list[Data]
    made: list[tuple[str, str]]

    @property
    def figures(self) -> list[Figure]:
        own = [figure for one in self.choices for figure in (one.singles, one.forest) if figure is not None]
        data = [one.figure for one in self.data if one.figure is not None]
        return [*self.sweeps, *own, *self.costs, *self.roc, *self.training, *self.spheres, *data]

    @property
    def printed(self) -> list[Figure]:
        """Figures for files that the page has as tables."""
        return [one.printed for one in self.choices if one.printed is not None]


def build_section(study: Study, first: int, most: int, sheets: int = 1, pictures: int = SIDE) -> Section:
    """Everything that a study on disk allows to be shown.

    Args:
        first: the colour of the first arm.
        most: numbers whose differences are shown.
        sheets, pictures: how many different training data the page has in all, and pixels of a picture's longer side.
    """
    found, left = choices(study, first, most)
    chosen, tried = tables.chosen_rows(study)
    return Section(
        study=study,
        sheets=tables.result_sheets(study),
        settings=tables.setting_sheets(study),
        meanings=meanings(column for columns in study.sets.values() for column in columns),
        sweeps=sweep_figures(study, first),
        choices=found,
        left=left,
        costs=cost_figures(study, first),
        chosen=chosen,
        tried=tried,
        unfinished=tables.unfinished_rows(study),
        runs=tables.run_sheet(study),
        drawn=drawn(study),
        training=training_figures(study, first),
        roc=roc_figures(study, first),
        spheres=sphere_figures(study),
        data=shown_data(study.data, f"data-{slug(study.folder.name)}", sheets, pictures),
        made=tables.made_rows(study),
    )
