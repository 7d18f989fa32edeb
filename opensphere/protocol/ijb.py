"""IJB-B and IJB-C: 1:1 verification and 1:N identification of templates. All numbers are in per cent."""

from typing import Any

import numpy as np

from opensphere.error import UserError
from opensphere.metric.identification import Search, impostors_needed
from opensphere.metric.roc import roc
from opensphere.metric.template import template_features
from opensphere.metric.verification import cosine_scores
from opensphere.protocol.columns import check_kinds, expand, rate

_ONE_TO_ONE = {"TPR@FPR": [f"TPR@FPR=1e-{digits}" for digits in (6, 5, 4, 3, 2, 1)]}
_TOP = {"top-1": 1, "top-5": 5, "top-10": 10}
_ONE_TO_MANY = {
    "top": list(_TOP),
    **{name: [name] for name in _TOP},
    "TPIR(seed)@FPIR": ["TPIR(seed)@FPIR=1e-2", "TPIR(seed)@FPIR=1e-1"],
}


def suits(dataset: Any) -> bool:
    return hasattr(dataset, "template_pairs")


def columns(dataset: Any) -> list[str]:
    """The columns of the table: those of the set's `metrics`, or of all that it allows if it names none.

    Raises:
        UserError: a name is not known, or the set's lists do not allow for it.
    """
    searched = dataset.gallery is not None
    names = dataset.metrics or [*_ONE_TO_ONE, *(_ONE_TO_MANY if searched else [])]
    found = expand(names, {**_ONE_TO_ONE, **_ONE_TO_MANY}, dataset.name)
    if not searched and not all(map(_is_tpr, found)):
        raise UserError(f"{dataset.name}: metrics: 1:N needs galleries and probes, and meta_dir has none")
    check_kinds(dataset.is_same, dataset.name)
    return found


def evaluate(dataset: Any, features: np.ndarray) -> dict[str, float]:
    """Each column's value, in per cent. `features`: (N, D) of the set's images, not normalised.

    Raises:
        UserError: as `columns`, or there are too few impostor scores for an FPIR.
    """
    wanted = columns(dataset)
    templates = template_features(features, dataset.template, dataset.media, dataset.faceness)
    shares: dict[str, float] = {}
    rates = [column for column in wanted if _is_tpr(column)]
    if rates:
        curve = roc(cosine_scores(templates, dataset.template_pairs), dataset.is_same)
        shares.update(zip(rates, curve.tpr_at([rate(column) for column in rates]), strict=True))
    if len(rates) < len(wanted):
        shares.update(_search(dataset, templates, [column for column in wanted if column not in shares]))
    return {column: 100 * float(shares[column]) for column in wanted}


def _search(dataset: Any, templates: np.ndarray, wanted: list[str]) -> dict[str, float]:
    """The columns of 1:N; the galleries are searched as one."""
    probe, gallery = dataset.probe, dataset.gallery
    fpirs = [rate(column) for column in wanted if column not in _TOP]
    kept = max((impostors_needed(fpir, len(probe.template)) for fpir in fpirs), default=0)
    try:
        search = Search(templates[probe.template], probe.person, templates[gallery.template], gallery.person, kept)
        return {
            column: search.top(_TOP[column]) if column in _TOP else search.seed_tpir(rate(column)) for column in wanted
        }
    except ValueError as error:
        raise UserError(f"{dataset.name}: {error}") from None


def _is_tpr(column: str) -> bool:
    return column.startswith("TPR@")
