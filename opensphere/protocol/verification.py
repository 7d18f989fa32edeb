"""1:1 verification on pairs of images: LFW, CFP, AgeDB-30, CALFW, CPLFW and their like.

All numbers are in per cent, but for d-prime. The columns:

ACC10: ten-fold accuracy, the mean over the set's folds with the threshold of the others (Huang & Learned-Miller 2014);
    ACC10(centred): the same after the mean feature of the other folds is subtracted; ACC10 SE: the error of ACC10.
ACC: OpenSphere's accuracy, with the best threshold for these very pairs.
EER, AUC, d-prime: of the ROC.
TPR@FPR=x: exact, the largest TPR of all thresholds whose FPR is at most x; nothing where x is less than one pair.
TPR(seed)@FPR=x: as OpenSphere reads it, on straight lines between the points of the ROC.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.metric.bootstrap import PairBootstrap
from opensphere.metric.estimate import Estimate
from opensphere.metric.roc import Roc, roc
from opensphere.metric.verification import best_threshold, centred_scores, cosine_scores, fold_decisions, ten_fold
from opensphere.protocol.columns import check_kinds, expand, rate
from opensphere.protocol.measurement import Measurement

_RATES = ("1e-4", "5e-4", "1e-3", "5e-3", "5e-2")
_EXACT, _SEED = "TPR@FPR", "TPR(seed)@FPR"
_WHOLE: dict[str, Callable[[Roc], float]] = {
    "ACC": Roc.accuracy,
    "EER": Roc.eer,
    "AUC": Roc.auc,
    "d-prime": Roc.d_prime,
}
_FOLDS = ("ACC10", "ACC10(centred)", "ACC10 SE")
_KNOWN = {
    **{name: [name] for name in (*_FOLDS, *_WHOLE)},
    **{family: [f"{family}={fpr}" for fpr in _RATES] for family in (_EXACT, _SEED)},
}
_USUAL = ("ACC", "EER", "AUC", _EXACT)
_MANY = 1 << 20  # pairs, from which on resamples of low FPRs have a quicker way


def suits(dataset: Any) -> bool:
    return hasattr(dataset, "pairs") and hasattr(dataset, "is_same")


def columns(dataset: Any) -> list[str]:
    """The columns of the table: those of the set's `metrics`. If it names none: ACC10 where there are folds, then ACC,
    EER, AUC and TPR@FPR.

    Raises:
        UserError: a name is not known, or the pairs do not allow for it.
    """
    check_kinds(dataset.is_same, dataset.name)
    folds = getattr(dataset, "folds", None)
    usual = [*(["ACC10"] if folds is not None else []), *_USUAL]
    found = expand(dataset.metrics or usual, _KNOWN, dataset.name)
    if asked := [name for name in found if name in _FOLDS]:
        if folds is None:
            raise UserError(
                f"{dataset.name}: metrics: {asked[0]} needs folds, and the set has none; set folds, or leave it out"
            )
        check_folds(dataset.is_same, folds, dataset.name)
    return found


def check_folds(is_same: np.ndarray, folds: np.ndarray, where: str) -> None:
    """Raises UserError if there are no two folds of one size, or one is all that has one kind of pairs."""
    numbers, sizes = np.unique(folds, return_counts=True)
    if len(numbers) < 2:
        raise UserError(f"{where}: all pairs are in one fold; ten-fold accuracy needs two folds or more")
    if sizes.max() - sizes.min() > 1:
        few, most = numbers[sizes.argmin()], numbers[sizes.argmax()]
        raise UserError(
            f"{where}: fold {few} holds {sizes.min()} pairs and fold {most} {sizes.max()}; folds should be of equal "
            "size: mend the list, or set folds to a number"
        )
    for fold in numbers:
        check_kinds(is_same[folds != fold], f"{where}: outside fold {fold}")


def measure(dataset: Any, features: np.ndarray, resamples: int = 0, seed: int = 0) -> Measurement:
    """Each column from the cosines of the pairs.

    ACC10 and ACC10(centred) come with the values of the folds, the others with resamples of the people.

    Args:
        features: (N, D) of the set's images, not normalised.
        resamples: how many; 0 for none.
        seed: of the resamples.

    Raises:
        UserError: as `columns`.
    """
    wanted = columns(dataset)
    is_same, folds = dataset.is_same, getattr(dataset, "folds", None)
    scores = cosine_scores(features, dataset.pairs)
    curve = roc(scores, is_same)
    facts: dict[str, int | str] = {"genuine pairs": int(curve.genuines), "impostor pairs": int(curve.impostors)}
    if folds is not None:
        facts["folds"] = len(np.unique(folds))
    statistics = _statistics([name for name in wanted if name not in _FOLDS])
    replicates: dict[str, np.ndarray] = {}
    if resamples and statistics:
        persons = dataset.persons
        facts["people"] = int(persons.max()) + 1
        replicates = _resample(dataset, scores, statistics, resamples, seed)
    estimates = {}
    for name in wanted:
        if name in statistics:
            estimates[name] = _estimate(name, statistics[name](curve), curve, replicates.get(name))
        else:
            estimates[name] = _of_folds(name, dataset, features, scores)
    return Measurement(estimates, _decide(scores, is_same, folds, curve), facts)


def _statistics(names: list[str]) -> dict[str, Callable[[Roc], float]]:
    """How each column is read from a ROC."""

    def exact(fpr: float) -> Callable[[Roc], float]:
        return lambda curve: float(curve.tpr_at(fpr))

    def straight(fpr: float) -> Callable[[Roc], float]:
        return lambda curve: float(curve.seed_tpr_at(fpr))

    families = {_EXACT: exact, _SEED: straight}
    return {name: _WHOLE[name] if name in _WHOLE else families[name.partition("=")[0]](rate(name)) for name in names}


def _resample(
    dataset: Any, scores: np.ndarray, statistics: dict[str, Callable[[Roc], float]], resamples: int, seed: int
) -> dict[str, np.ndarray]:
    """(R,) of each column."""
    persons = dataset.persons
    people = int(persons.max()) + 1
    try:
        bootstrap = PairBootstrap(scores, dataset.is_same, persons[dataset.pairs], people, resamples, seed)
    except ValueError as error:  # one person under two names: only a list that was changed has that
        raise UserError(f"{dataset.name}: the names of its people contradict its labels: {error}") from None
    quick = [name for name in statistics if name.startswith(f"{_EXACT}=")] if len(scores) > _MANY else []
    found: dict[str, np.ndarray] = {}
    if quick:
        found.update(zip(quick, bootstrap.tpr_at([rate(name) for name in quick]).T, strict=True))
    if len(quick) < len(statistics):
        found.update(bootstrap.replicates({name: read for name, read in statistics.items() if name not in quick}))
    return found


def _estimate(name: str, value: float, curve: Roc, replicates: np.ndarray | None) -> Estimate:
    why = curve.too_few(rate(name)) if name.startswith(f"{_EXACT}=") else ""
    replicates = None if why else replicates
    if np.isnan(value) and not why:
        why = "all scores are the same"  # d-prime alone cannot be said then
    found = Estimate(value, why, replicates)
    return found if name == "d-prime" else found.times(100)


def _of_folds(name: str, dataset: Any, features: np.ndarray, scores: np.ndarray) -> Estimate:
    if name == "ACC10(centred)":
        scores = centred_scores(features, dataset.pairs, dataset.folds)
    accuracies, _ = ten_fold(scores, dataset.is_same, dataset.folds)
    found = Estimate(float(np.mean(accuracies)), folds=accuracies).times(100)
    return Estimate(found.error) if name == "ACC10 SE" else found


def _decide(scores: np.ndarray, is_same: np.ndarray, folds: np.ndarray | None, curve: Roc) -> np.ndarray:
    """(P,) bool: which pairs are decided rightly, with the threshold of the other folds where that can be had."""
    if folds is not None:
        try:
            check_folds(is_same, folds, "")
        except UserError:
            pass  # nobody asked for folds: else `columns` would have refused
        else:
            return fold_decisions(scores, is_same, folds, ten_fold(scores, is_same, folds)[1])
    return (scores > best_threshold(curve)) == is_same
