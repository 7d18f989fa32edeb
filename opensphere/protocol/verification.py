"""1:1 verification on pairs of images: LFW, CFP, AgeDB-30, CALFW, CPLFW and their like. All numbers are in per cent."""

from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.metric.roc import roc
from opensphere.metric.verification import cosine_scores, mean_and_error, ten_fold
from opensphere.protocol.columns import check_kinds, expand, rate

# ACC10 is the mean over the set's folds, ACC10 SE its standard error; no mean feature is subtracted.
_ROC = {
    "ACC": ["ACC"],
    "EER": ["EER"],
    "AUC": ["AUC"],
    "TPR@FPR": [f"TPR@FPR={fpr}" for fpr in ("1e-4", "5e-4", "1e-3", "5e-3", "5e-2")],
}
_FOLDS = {"ACC10": ["ACC10"], "ACC10 SE": ["ACC10 SE"]}


def suits(dataset: Any) -> bool:
    return hasattr(dataset, "pairs") and hasattr(dataset, "is_same")


def columns(dataset: Any) -> list[str]:
    """The columns of the table: those of the set's `metrics`, or of all that it allows if it names none.

    Raises:
        UserError: a name is not known, or the pairs do not allow for it.
    """
    folds = getattr(dataset, "folds", None)
    found = expand(dataset.metrics or [*_ROC, *(_FOLDS if folds is not None else [])], {**_ROC, **_FOLDS}, dataset.name)
    if folds is None and set(found) & set(_FOLDS):
        raise UserError(f"{dataset.name}: metrics: ACC10 needs folds, and the set has none; set folds, or leave it out")
    check_kinds(dataset.is_same, dataset.name)
    if set(found) & set(_FOLDS):
        for fold in np.unique(dataset.folds):
            check_kinds(dataset.is_same[dataset.folds != fold], f"{dataset.name}: outside fold {fold}")
    return found


def evaluate(dataset: Any, features: np.ndarray) -> dict[str, float]:
    """Each column's value, in per cent, from the cosines of the pairs. `features`: (N, D) of the set's images."""
    wanted = columns(dataset)
    scores = cosine_scores(features, dataset.pairs)
    curve = roc(scores, dataset.is_same)
    shares = {"ACC": curve.correct().max() / len(scores), "EER": curve.eer(), "AUC": curve.auc()}
    if set(wanted) & set(_FOLDS):
        shares["ACC10"], shares["ACC10 SE"] = mean_and_error(ten_fold(scores, dataset.is_same, dataset.folds)[0])
    rates = [column for column in wanted if column not in shares]
    shares.update(zip(rates, curve.tpr_at([rate(column) for column in rates]), strict=True))
    return {column: 100 * float(shares[column]) for column in wanted}
