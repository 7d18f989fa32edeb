"""Features of two or three numbers, as each arm's first training made them: pictures in which nothing is left out."""

from dataclasses import replace

from opensphere.report.figure import Figure, slug
from opensphere.report.sphere import feature_figure
from opensphere.report.study.reading import Sample, Study

_EXACT = (2, 3)  # numbers of a feature that a picture shows as they are
_MOST = {2: 12, 3: 6}  # figures; a browser draws no more than 16 turning ones at a time


def exact_samples(study: Study) -> list[Sample]:
    """The trainings whose features can be drawn as they are, at most as many as a page has room for."""
    left = dict(_MOST)
    found = []
    for sample in study.samples:
        numbers = _numbers(sample)
        if left.get(numbers, 0):
            left[numbers] -= 1
            found.append(sample)
    return found


def sphere_figures(study: Study) -> list[Figure]:
    """A figure for each of `exact_samples`."""
    found = []
    for number, sample in enumerate(exact_samples(study)):
        figure = feature_figure(sample.arm, sample.run)
        if figure is not None:
            place = [study.arms[sample.arm], study.names[sample.setting], f"seed {sample.seed}"]
            name = f"sphere-{slug(study.folder.name)}-{number + 1}"
            found.append(replace(figure, name=name, title=", ".join(part for part in place if part)))
    return found


def _numbers(sample: Sample) -> int:
    """Of a feature of the sample's first set that holds any; 0 where none does, or where there are too many."""
    shapes = [arrays["sample"].shape for arrays in sample.run.evidence.values() if "sample" in arrays]
    return shapes[0][1] if shapes and len(shapes[0]) == 2 and shapes[0][1] in _EXACT else 0
