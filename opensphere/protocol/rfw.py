"""RFW (Wang et al. 2019): how much better some groups of people are told apart than others.

All numbers are in per cent. ACC10 of a group is the ten-fold accuracy of its own pairs, with thresholds of its own;
mean, std (with groups - 1) and gap (the largest minus the smallest) are over the groups.
"""

from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.metric.bootstrap import resample
from opensphere.metric.estimate import Estimate
from opensphere.metric.fold_resamples import resampled_ten_fold
from opensphere.metric.verification import cosine_scores, fold_decisions, ten_fold
from opensphere.protocol.columns import expand
from opensphere.protocol.measurement import Measurement
from opensphere.protocol.verification import check_folds

_OVER_GROUPS = {
    "mean": lambda values: values.mean(axis=0),
    "std": lambda values: values.std(axis=0, ddof=1),
    "gap": lambda values: values.max(axis=0) - values.min(axis=0),
}


def suits(dataset: Any) -> bool:
    return hasattr(dataset, "pair_group") and hasattr(dataset, "group_names")


def columns(dataset: Any) -> list[str]:
    """The columns of the table: those of the set's `metrics`, or each group and mean, std and gap if it names none.

    Raises:
        UserError: a name is not known, or the pairs of a group do not allow for ten-fold accuracy.
    """
    known = {"ACC10": list(dataset.group_names), **{name: [name] for name in (*dataset.group_names, *_OVER_GROUPS)}}
    clash = set(dataset.group_names) & {"ACC10", *_OVER_GROUPS}
    if clash:
        raise UserError(f"{dataset.name}: groups: {min(clash)!r} is the name of a column; call the group otherwise")
    found = expand(dataset.metrics or ["ACC10", *_OVER_GROUPS], known, dataset.name)
    for number, name in enumerate(dataset.group_names):
        own = dataset.pair_group == number
        check_folds(dataset.is_same[own], dataset.folds[own], f"{dataset.name}: {name}")
    return found


def measure(dataset: Any, features: np.ndarray, resamples: int = 0, seed: int = 0) -> Measurement:
    """Each column with its uncertainty: groups have the values of their folds.

    The people of each group are drawn by themselves. Chance alone drives groups apart, so that std and gap are above 0
    where there is no difference, and in resamples above those of the sample: an interval that lies high is no proof.

    Args:
        features: (N, D) of the set's images, not normalised.
        resamples: of the people; 0 for none.

    Raises:
        UserError: as `columns`.
    """
    wanted = columns(dataset)
    scores = cosine_scores(features, dataset.pairs)
    correct = np.empty(len(scores), bool)
    values: list[float] = []
    groups: dict[str, Estimate] = {}
    for number, name in enumerate(dataset.group_names):
        own = np.flatnonzero(dataset.pair_group == number)
        is_same, folds = dataset.is_same[own], dataset.folds[own]
        accuracies, thresholds = ten_fold(scores[own], is_same, folds)
        correct[own] = fold_decisions(scores[own], is_same, folds, thresholds)
        replicates = None
        if resamples:
            people, persons = np.unique(dataset.persons[dataset.pairs[own]], return_inverse=True)
            weights = resample(len(people), resamples, _seed(seed, number))
            replicates = resampled_ten_fold(scores[own], is_same, folds, persons.reshape(-1, 2), weights)
        values.append(float(np.mean(accuracies)))
        groups[name] = Estimate(values[-1], replicates=replicates, folds=accuracies)
    estimates = {name: groups[name] if name in groups else _over_groups(name, groups) for name in wanted}
    return Measurement(
        {name: estimate.times(100) for name, estimate in estimates.items()}, correct, _facts(dataset, resamples)
    )


def _over_groups(name: str, groups: dict[str, Estimate]) -> Estimate:
    read = _OVER_GROUPS[name]
    rows = [group.replicates for group in groups.values() if group.replicates is not None]
    value = float(read(np.array([group.value for group in groups.values()])))
    return Estimate(value, replicates=read(np.stack(rows)) if rows else None)


def _seed(seed: int, group: int) -> int:
    """One of its own for each group: two of as many people would be drawn alike."""
    return int(np.random.SeedSequence([seed, group]).generate_state(1, np.uint64)[0])


def _facts(dataset: Any, resamples: int) -> dict[str, int | str]:
    genuine = int(np.count_nonzero(dataset.is_same))
    facts: dict[str, int | str] = {
        "groups": len(dataset.group_names),
        "genuine pairs": genuine,
        "impostor pairs": len(dataset.is_same) - genuine,
    }
    if resamples:
        facts["people"] = int(dataset.persons.max()) + 1
    return facts
