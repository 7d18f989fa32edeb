"""Curves of single trainings, all seeds of an arm in its colour, and the ROC of each arm's first seed."""

from collections.abc import Callable
from dataclasses import replace

from opensphere.report.columns import is_number, unit
from opensphere.report.curves import MOST_POINTS, roc_figure
from opensphere.report.figure import Figure, axis, line, plain, slug
from opensphere.report.run import Run
from opensphere.report.study.reading import Row, Sample, Study
from opensphere.report.training import SPREAD, thin

POINTS = 3000  # of a figure
MOST_VALIDATIONS = 3

Lines = Callable[[Run], list[Row]]


def training_figures(study: Study, first: int) -> list[Figure]:
    """Loss, validation and spread of classes against updates, for each setting that has samples.

    Args:
        first: the colour of the first arm.
    """
    found = []
    for setting in dict.fromkeys(sample.setting for sample in study.samples):
        samples = [sample for sample in study.samples if sample.setting == setting]
        kinds: list[tuple[Lines, str, str, str, str]] = [
            (_train, "Loss", "Loss", "loss", "Different losses have different heights: compare shapes."),
            *_validations(samples),
            *((_sphere, key, title, label, caption) for key, title, label, caption in SPREAD),
        ]
        for lines, key, title, label, caption in kinds:
            figure = _figure(study, samples, lines, key, first)
            if figure is not None:
                name = f", {study.names[setting]}" if study.names[setting] else ""
                layout = {"xaxis": axis("update", rangemode="tozero"), "yaxis": axis(label), "hovermode": "closest"}
                place = f"curve-{slug(study.folder.name)}-{slug(title)}-{setting}"
                said = f"A line a training, a colour an arm. {caption}"
                found.append(replace(figure, name=place, title=title + name, caption=said, layout=layout))
    return found


def drawn(study: Study) -> str:
    """Which runs have curves, where not all have."""
    said = []
    settings = len({sample.setting for sample in study.samples})
    if settings < len(study.names):
        said.append(f"of {len(study.names)} settings the first and the last")
    most = max(
        (sum(one.arm == arm and one.setting == 0 for one in study.samples) for arm in range(len(study.arms))), default=0
    )
    if most < len(study.seeds):
        said.append(f"of {len(study.seeds)} seeds the first {most}")
    return f"Shown are {', and '.join(said)}." if said else ""


def roc_figures(study: Study, first: int) -> list[Figure]:
    """The ROC of each arm's first seed, for each set and setting whose evidence was kept."""
    found = []
    for setting in dict.fromkeys(sample.setting for sample in study.samples):
        samples = [sample for sample in study.samples if sample.setting == setting]
        for dataset in study.sets:
            held = [
                (first + sample.arm, sample.run, sample.run.evidence[dataset])
                for sample in samples
                if dataset in sample.run.evidence
            ]
            if not held:
                continue
            figure = roc_figure(held, dataset, max(60, min(MOST_POINTS, POINTS // (2 * len(held)))))
            setting_name = f", {study.names[setting]}" if study.names[setting] else ""
            name = f"{figure.name}-{slug(study.folder.name)}-{setting}"
            seeds = sorted({sample.seed for sample in samples if dataset in sample.run.evidence})
            which = f"seed {seeds[0]}" if len(seeds) == 1 else "the first seed of each arm"
            caption = f"One training of each arm, {which}; other seeds give other curves. {figure.caption}"
            found.append(replace(figure, name=name, title=f"{figure.title}, {which}{setting_name}", caption=caption))
    return found


def _train(run: Run) -> list[Row]:
    return run.train


def _sphere(run: Run) -> list[Row]:
    return run.sphere


def _validations(samples: list[Sample]) -> list[tuple[Lines, str, str, str, str]]:
    """The first metrics of validation sets."""
    keys: dict[tuple[str, str], None] = {}
    for sample in samples:
        for row in sample.run.val:
            keys.update(
                ((str(row.get("set", "validation")), key), None)
                for key, value in row.items()
                if is_number(value) and key != "iter" and not key.endswith(" SE")
            )
    return [
        (_of_set(name), key, f"{key} on {name}", f"{key}, {unit(key)}".rstrip(", "), "While training.")
        for name, key in list(keys)[:MOST_VALIDATIONS]
    ]


def _of_set(name: str) -> Lines:
    return lambda run: [row for row in run.val if str(row.get("set", "validation")) == name]


def _figure(study: Study, samples: list[Sample], lines: Lines, key: str, first: int) -> Figure | None:
    """A thin line a run; None where no run has the number twice."""
    most = max(30, min(200, POINTS // max(1, len(samples))))
    traces = []
    for sample in samples:
        rows = [row for row in lines(sample.run) if is_number(row.get(key))]
        if not rows:
            continue
        x, y = thin([row["iter"] for row in rows], [row[key] for row in rows], most)
        arm = study.arms[sample.arm]
        hover = f"{plain(arm)}, seed {sample.seed}: %{{y:.4g}}<br>update %{{x:,.0f}}<extra></extra>"
        curve = line(first + sample.arm, arm, [round(at) for at in x], y, width=1, hovertemplate=hover, opacity=0.8)
        if len(rows) == 1:
            curve["mode"] = "markers"
        traces.append({**curve, "y": [float(f"{value:.4g}") for value in y]})
    curves = any(trace["mode"] != "markers" for trace in traces)
    return Figure("", "", "", traces, {}, height=320) if curves else None
