"""BLUFR (Liao et al. 2014): verification of all pairs of a trial's test images, and open-set identification.

All numbers are in per cent: the mean over the trials, and the mean minus one standard deviation ("mu-sigma"), which is
what the benchmark's authors report.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.metric.all_pairs import impostor_weight, score_all_pairs
from opensphere.metric.attempts import Attempts
from opensphere.metric.bootstrap import resample
from opensphere.metric.estimate import Estimate
from opensphere.metric.identification import search
from opensphere.metric.verification import unit
from opensphere.protocol.measurement import Measurement

_SPREAD = " mu-sigma"
_FAMILIES = {"VR@FAR": "VR@FAR=1e-3", "DIR@FAR": "DIR@FAR=1e-2"}
_COLUMN = re.compile(r"(VR|DIR)@FAR=(\S+?)(?: rank-(\d+))?( mu-sigma)?")
_MARGIN = 4  # how many times the impostor pairs that a rate rests on are kept: a resample may need more of them


def suits(dataset: Any) -> bool:
    return hasattr(dataset, "trials")


def columns(dataset: Any) -> list[str]:
    """The columns of the table: those of the set's `metrics`, or of all that it allows if it names none.

    VR@FAR=x is the share of genuine pairs that are accepted when a share x of impostor pairs is; DIR@FAR=x that of
    searches for enrolled people that find them at rank 1 (DIR@FAR=x rank-5: among the first five) and reach the
    threshold, when a share x of searches for others finds anybody. VR@FAR and DIR@FAR stand for the published rates.

    Raises:
        UserError: a name is not known, or a trial does not allow for it.
    """
    found: dict[str, None] = {}
    for name in dataset.metrics or _FAMILIES:
        if name in _FAMILIES:
            found.update(dict.fromkeys([_FAMILIES[name], _FAMILIES[name] + _SPREAD]))
        else:
            _Column.parse(name, dataset.name)
            found[name] = None
    _check_trials(dataset)
    return list(found)


def measure(dataset: Any, features: np.ndarray, resamples: int = 0, seed: int = 0) -> Measurement:
    """Each column with its uncertainty.

    Without resamples, the values of the trials are the folds of a mean. The trials share most of their people, so that
    the error over them only describes how they vary; as an error of the mean it is too small, by a factor of three in a
    simulation. The replicates draw the people of all trials together, once for each resample; galleries stay as they
    are. A mean has these instead where they are wanted.

    Args:
        features: (N, D) of the set's images, not normalised.
        resamples: of the people; 0 for none.

    Raises:
        UserError: as `columns`.
    """
    names = columns(dataset)
    wanted = [_Column.parse(name, dataset.name) for name in names]
    directions = unit(features)
    weights = resample(int(dataset.labels.max()) + 1, resamples, seed) if resamples else None
    rates: dict[tuple, _Rates] = {}
    fars = sorted({column.far for column in wanted if column.kind == "VR"})
    if fars:
        trials = _verify(dataset, directions, fars)
        people = [dataset.labels[trial.test] for trial in dataset.trials]
        totals = [None if weights is None else impostor_weight(who, weights) for who in people]
        rates.update({("VR", far, 1): _Rates.read(trials, far, weights, totals) for far in fars})
    searches = {(column.far, column.rank) for column in wanted if column.kind == "DIR"}
    if searches:
        rates.update(_identify(dataset, directions, searches, weights))
    estimates = {
        name: rates[column.kind, column.far, column.rank].estimate(column.spread).times(100)
        for name, column in zip(names, wanted, strict=True)
    }
    return Measurement(estimates, facts=_facts(dataset))


@dataclass(frozen=True)
class _Column:
    """What a column's name asks for."""

    kind: str
    far: float
    rank: int
    spread: bool

    @classmethod
    def parse(cls, name: str, where: str) -> "_Column":
        match = _COLUMN.fullmatch(name)
        try:
            far = float(match[2]) if match else 0.0
        except ValueError:
            far = 0.0
        if match is None or not 0 < far <= 1 or match[3] and (match[1] == "VR" or int(match[3]) < 1):
            known = "VR@FAR, DIR@FAR, VR@FAR=x, DIR@FAR=x, DIR@FAR=x rank-k (0 < x <= 1), each also with ' mu-sigma'"
            raise UserError(f"{where}: metrics: {name!r} is not known; known are {known}")
        return cls(match[1], far, int(match[3] or 1), match[4] is not None)


@dataclass(frozen=True, eq=False)
class _Rates:
    """One rate on each trial, (T,), and on each resample, (R, T) or None."""

    values: np.ndarray
    replicates: np.ndarray | None
    why: str

    @classmethod
    def read(cls, trials: list[Attempts], far: float, weights: np.ndarray | None, totals: list) -> "_Rates":
        values = np.array([trial.tpr_at(far) for trial in trials])
        why = next(filter(None, (trial.too_few(far) for trial in trials)), "")
        replicates = None
        if weights is not None:
            rows = [trial.resampled_tpr_at(far, weights, total) for trial, total in zip(trials, totals, strict=True)]
            replicates = np.stack(rows, axis=1)
        return cls(values, replicates, why)

    def estimate(self, spread: bool) -> Estimate:
        """Of the mean over the trials, or of the mean minus the deviation (with T - 1)."""
        if spread and len(self.values) < 2:
            return Estimate(float("nan"), "one trial has no deviation")
        value = float(_summary(self.values, spread))
        replicates = None if self.replicates is None else _summary(self.replicates, spread)
        several = len(self.values) > 1
        folds = self.values if several and not spread and not self.why and replicates is None else None
        return Estimate(value, self.why, replicates, folds)


def _summary(values: np.ndarray, spread: bool) -> np.ndarray:
    mean = values.mean(axis=-1)
    return mean - values.std(axis=-1, ddof=1) if spread else mean


def _verify(dataset: Any, directions: np.ndarray, fars: list[float]) -> list[Attempts]:
    """The pairs of each trial. All images are compared once; each trial then takes its own pairs of the highest."""
    size = len(directions)
    most = int(_MARGIN * fars[-1] * size * (size - 1) / 2) + 1
    while True:
        pairs = score_all_pairs(directions, dataset.labels, most)
        trials = [pairs.within(_members(trial.test, size)) for trial in dataset.trials]
        if all(trial.reaches(fars[-1]) for trial in trials):
            return trials
        most *= 2  # a trial has more than its share of the pairs outside


def _members(index: np.ndarray, size: int) -> np.ndarray:
    members = np.zeros(size, bool)
    members[index] = True
    return members


def _identify(dataset: Any, directions: np.ndarray, wanted: set, weights: np.ndarray | None) -> dict:
    """The rates of open-set identification that are wanted, as (FAR, rank)."""
    labels = dataset.labels
    found = [
        search(directions[t.probe], labels[t.probe], directions[t.gallery], labels[t.gallery], strangers=True)
        for t in dataset.trials
    ]
    rates = {}
    for far, rank in wanted:
        trials = [one.attempts(labels[trial.probe], rank) for one, trial in zip(found, dataset.trials, strict=True)]
        totals = [None if weights is None else _drawn(trial, weights) for trial in trials]
        rates["DIR", far, rank] = _Rates.read(trials, far, weights, totals)
    return rates


def _drawn(trial: Attempts, weights: np.ndarray) -> np.ndarray:
    """(R,): the weight of a trial's impostor searches, all of which are kept."""
    return weights.astype(np.int64) @ np.bincount(trial.impostor_persons[:, 0], minlength=weights.shape[1])


def _check_trials(dataset: Any) -> None:
    for number, trial in enumerate(dataset.trials, 1):
        where = f"{dataset.name}: trial {number}"
        images = np.bincount(dataset.labels[trial.test])
        if images.max() < 2 or images.max() == images.sum():
            raise UserError(f"{where}: its test images are not of several people, some with two images; check labels")
        enrolled = np.isin(dataset.labels[trial.probe], dataset.labels[trial.gallery])
        if enrolled.all() or not enrolled.any():
            kind = "all" if enrolled.all() else "none"
            raise UserError(f"{where}: {kind} of its probes show people of the gallery; open-set search needs both")


def _facts(dataset: Any) -> dict[str, int | str]:
    images = [np.bincount(dataset.labels[trial.test]).astype(np.int64) for trial in dataset.trials]
    genuine = [int((count * (count - 1) // 2).sum()) for count in images]
    pairs = [int(count.sum()) * (int(count.sum()) - 1) // 2 for count in images]
    facts: dict[str, int | str] = {
        "trials": len(dataset.trials),
        "people": len(np.unique(dataset.labels)),
        "genuine pairs": _span(genuine),
        "impostor pairs": _span([total - own for total, own in zip(pairs, genuine, strict=True)]),
        "gallery": _span([len(trial.gallery) for trial in dataset.trials]),
        "probes": _span([len(trial.probe) for trial in dataset.trials]),
    }
    if dataset.dropped:
        facts["left out"] = ", ".join(dataset.dropped)
    return facts


def _span(counts: list[int]) -> int | str:
    """Of the trials: one number, or from which to which."""
    return counts[0] if len(set(counts)) == 1 else f"{min(counts):,} to {max(counts):,}"
