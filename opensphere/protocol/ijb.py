"""IJB-B and IJB-C: 1:1 verification and 1:N identification of templates. All numbers are in per cent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.metric.bootstrap import PairBootstrap, resample
from opensphere.metric.estimate import Estimate, mean
from opensphere.metric.grid import grid_scores, pair_scores
from opensphere.metric.identification import Search, impostors_needed
from opensphere.metric.roc import Roc, roc
from opensphere.metric.template import template_features
from opensphere.protocol.columns import check_kinds, expand, rate
from opensphere.protocol.measurement import Measurement

_FPRS = [f"1e-{digits}" for digits in (6, 5, 4, 3, 2, 1)]
_FPIRS = ["1e-2", "1e-1"]
_TOP = {"top-1": 1, "top-5": 5, "top-10": 10}
_ONE_TO_ONE = {
    "TPR@FPR": [f"TPR@FPR={fpr}" for fpr in _FPRS],
    "TPR(seed)@FPR": [f"TPR(seed)@FPR={fpr}" for fpr in _FPRS],
    "EER": ["EER"],
    "AUC": ["AUC"],
}
_ONE_TO_MANY = {
    "top": list(_TOP),
    **{name: [name] for name in _TOP},
    "TPIR@FPIR": [f"TPIR@FPIR={fpir}" for fpir in _FPIRS],
    "TPIR(seed)@FPIR": [f"TPIR(seed)@FPIR={fpir}" for fpir in _FPIRS],
}
_ROWS_AT_ONCE = 1 << 22  # scores that are looked through at once: 16 MiB in float32
_SPARE = 16  # so many times the impostors that a threshold needs are kept for resamples that leave some out


def suits(dataset: Any) -> bool:
    return hasattr(dataset, "template_pairs")


def columns(dataset: Any) -> list[str]:
    """The columns of the table: those of the set's `metrics`; if it names none, all but EER, AUC and OpenSphere's
    reading of TPR, as far as the set allows for them.

    Raises:
        UserError: a name is not known, or the set's lists do not allow for it.
    """
    searched = dataset.gallery is not None
    names = dataset.metrics or ["TPR@FPR", *(["top", "TPIR@FPIR", "TPIR(seed)@FPIR"] if searched else [])]
    found = expand(names, {**_ONE_TO_ONE, **_ONE_TO_MANY}, dataset.name)
    if not searched and not all(map(_is_one_to_one, found)):
        raise UserError(f"{dataset.name}: metrics: 1:N needs galleries and probes, and meta_dir has none")
    check_kinds(dataset.is_same, dataset.name)
    return found


def templates_of(dataset: Any, features: np.ndarray) -> np.ndarray:
    """(T, D) features of unit length of the set's templates, made of its images' as its options say."""
    norm, media_average = "norm" in dataset.fusion, dataset.media_average
    return template_features(
        features, dataset.template, dataset.media, dataset.weight, norm=norm, media_average=media_average
    )


def measure(dataset: Any, features: np.ndarray, resamples: int = 0, seed: int = 0) -> Measurement:
    """Each column's value, in per cent. `features`: (N, D) of the set's images, not normalised.

    In a resample the people of the pairs and of the probes are drawn anew; the galleries stay.

    Raises:
        UserError: as `columns`, or there are too few impostor scores for OpenSphere's reading of TPIR.
    """
    wanted = columns(dataset)
    one = [column for column in wanted if _is_one_to_one(column)]
    many = [column for column in wanted if column not in one]
    people = _People.draw(dataset, resamples, seed)
    try:
        templates = templates_of(dataset, features)
        answers = _Answers(dataset, many, bool(resamples)) if many else None
        scores = _compare(dataset, templates, bool(one), answers)
        found, correct = _verify(dataset, scores, one, people) if one else ({}, None)
        found |= {column: answers.estimate(column, people) for column in many if answers is not None}
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error}") from None
    return Measurement({column: found[column].times(100) for column in wanted}, correct, _facts(dataset, people))


@dataclass(frozen=True, eq=False)
class _People:
    """The people of a set, and how often each is drawn in each resample.

    Attributes:
        of: (T,) int32, of each template, from 0.
        weights: (R, people) whole numbers; None without resamples.
    """

    of: np.ndarray
    weights: np.ndarray | None
    resamples: int
    seed: int

    @classmethod
    def draw(cls, dataset: Any, resamples: int, seed: int) -> "_People":
        if not resamples:  # then it does not matter who they are
            return cls(np.zeros(len(dataset.template_ids), np.int32), None, 0, seed)
        of = dataset.persons.astype(np.int32)
        return cls(of, resample(int(of.max()) + 1, resamples, seed), resamples, seed)


# ---------------------------------------------------------------------------------------------------------- scores


def _compare(dataset: Any, templates: np.ndarray, one: bool, answers: "_Answers | None") -> np.ndarray:
    """The scores of the pairs, none if not `one`; `answers` sees those of all probes with the gallery."""
    pairs = dataset.template_pairs if one else dataset.template_pairs[:0]
    if dataset.gallery is None:
        return pair_scores(templates, pairs)
    see = None if answers is None else answers.see
    return grid_scores(templates, pairs, dataset.probe.template, dataset.gallery.template, see)


# ------------------------------------------------------------------------------------------------------------- 1:1


def _verify(
    dataset: Any, scores: np.ndarray, wanted: list[str], people: _People
) -> tuple[dict[str, Estimate], np.ndarray]:
    """The columns of 1:1, as shares, and which pairs the best threshold decides rightly."""
    names = [column for column in wanted if column.startswith("TPR@")]
    fprs = [rate(column) for column in names]
    genuine = np.count_nonzero(dataset.is_same)
    # no threshold that accepts more impostors than there are genuine pairs is better than one that accepts nothing
    needed = min(1, genuine / (len(scores) - genuine))
    curve = roc(scores, dataset.is_same, reach=max([needed, *fprs]) if len(names) == len(wanted) else 1)
    threshold = curve.thresholds[int(np.argmax(curve.true_accepts - curve.false_accepts))]
    statistics = {column: _statistic(column) for column in wanted if column not in names}
    values = dict(zip(names, curve.tpr_at(fprs), strict=True))
    values |= {column: statistic(curve) for column, statistic in statistics.items()}
    replicates: dict[str, np.ndarray] = {}
    if people.weights is not None:
        sides = people.of[dataset.template_pairs]
        drawn = PairBootstrap(scores, dataset.is_same, sides, people.weights.shape[1], people.resamples, people.seed)
        if names:
            replicates |= zip(names, drawn.tpr_at(fprs).T, strict=True)
        if statistics:
            replicates |= drawn.replicates(statistics)
    reasons = {name: curve.too_few(fpr) for name, fpr in zip(names, fprs, strict=True)}
    found = {
        column: Estimate(float(values[column]), reasons.get(column, ""), replicates.get(column)) for column in wanted
    }
    return found, (scores >= threshold) == dataset.is_same


def _statistic(column: str) -> Callable[[Roc], float]:
    if column == "EER":
        return Roc.eer
    if column == "AUC":
        return Roc.auc
    return lambda curve: float(curve.seed_tpr_at(rate(column)))


# ------------------------------------------------------------------------------------------------------------- 1:N


class _Answers:
    """What the galleries answer to the probes: merged into one, as the ranks and OpenSphere's TPIR have it, and each by
    itself, where the probes of the people of the other galleries are those that should find nobody."""

    def __init__(self, dataset: Any, wanted: list[str], spare: bool):
        self._probe, gallery = dataset.probe, dataset.gallery
        probes = len(self._probe.template)
        needed = [impostors_needed(rate(column), probes) for column in wanted if column.startswith("TPIR(seed)")]
        self._merged = Search(self._probe.person, gallery.person, (_SPARE if spare else 1) * max(needed, default=0))
        lists = dataset.galleries
        self._parts: list[tuple[slice | np.ndarray, Search]] = []
        if any(column.startswith("TPIR@") for column in wanted) and len(lists) > 1:
            order = np.argsort(gallery.template)
            for part in lists:
                place = order[np.searchsorted(gallery.template, part.template, sorter=order)]
                together = len(place) > 0 and bool((np.diff(place) == 1).all())
                self._parts.append(
                    (slice(place[0], place[-1] + 1) if together else place, Search(self._probe.person, part.person))
                )

    def see(self, scores: np.ndarray, top: int) -> None:
        """Take in the scores of some probes with all of the merged gallery."""
        step = max(1, _ROWS_AT_ONCE // scores.shape[1])
        for start in range(0, len(scores), step):
            rows = scores[start : start + step]
            self._merged.add(rows, top + start)
            for part, search in self._parts:
                search.add(rows[:, part], top + start)

    def estimate(self, column: str, people: _People) -> Estimate:
        """A column, as a share."""
        person = people.of[self._probe.template]
        if column in _TOP:
            return self._top(_TOP[column], person, people)
        if column.startswith("TPIR(seed)"):
            return self._seed_tpir(rate(column), person, people)
        searches = [search for _, search in self._parts] or [self._merged]
        return mean([_open_tpir(search, rate(column), person, people) for search in searches])

    def _top(self, k: int, person: np.ndarray, people: _People) -> Estimate:
        replicates = None
        if people.weights is not None:
            size = people.weights.shape[1]
            hits, probes = (np.bincount(person[of], minlength=size) for of in (self._merged.rank <= k, slice(None)))
            replicates = _share(people.weights @ hits, people.weights @ probes)
        return Estimate(self._merged.top(k), replicates=replicates)

    def _seed_tpir(self, fpir: float, person: np.ndarray, people: _People) -> Estimate:
        value = self._merged.seed_tpir(fpir)
        if people.weights is None:
            return Estimate(value)
        scores, probes = self._merged.impostors()
        down = np.argsort(-self._merged.genuine, kind="stable")
        genuine = -self._merged.genuine[down]
        replicates = np.full(len(people.weights), np.nan)
        for number, row in enumerate(people.weights):
            weight = row[person].astype(np.int64)
            needed = impostors_needed(fpir, int(weight.sum()))
            place = int(np.searchsorted(np.cumsum(weight[probes]), needed)) if needed else len(scores)
            if place < len(scores):  # else so many were not kept
                above = int(np.searchsorted(genuine, -scores[place]))
                replicates[number] = weight[down[:above]].sum() / weight.sum()
        return Estimate(value, replicates=replicates)


def _open_tpir(search: Search, fpir: float, person: np.ndarray, people: _People) -> Estimate:
    """TPIR in one gallery."""
    attempts = search.attempts(person)
    why = ""
    if not attempts.impostors:
        why = "the gallery holds the people of all probes; FPIR needs probes of others"
    elif not len(attempts.genuine):
        why = "a gallery holds none of the probes' people"
    elif attempts.too_few(fpir):
        why = f"FPIR {fpir:g} of {attempts.impostors:,} probes of people outside a gallery is less than one"
    replicates = None
    if people.weights is not None:
        outside = np.bincount(person[~search.mated], minlength=people.weights.shape[1])
        replicates = attempts.resampled_tpr_at(fpir, people.weights, people.weights @ outside)
    return Estimate(attempts.tpr_at(fpir), why, replicates)


# --------------------------------------------------------------------------------------------------------- smaller


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def _facts(dataset: Any, people: _People) -> dict[str, int | str]:
    genuine = int(np.count_nonzero(dataset.is_same))
    facts: dict[str, int | str] = {
        "templates": len(dataset.template_ids),
        "genuine pairs": genuine,
        "impostor pairs": len(dataset.is_same) - genuine,
    }
    if dataset.gallery is not None:
        facts |= {"probes": len(dataset.probe.template), "gallery": len(dataset.gallery.template)}
    if people.weights is not None:
        facts["people"] = people.weights.shape[1]
    return facts


def _is_one_to_one(column: str) -> bool:
    return column in ("EER", "AUC") or column.startswith(("TPR@", "TPR(seed)@"))
