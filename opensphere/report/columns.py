"""What the columns of tables mean: units, which way is better, and a sentence for people who never met them."""

import math
import re
from collections.abc import Iterable
from typing import Any, TypeGuard

# the first that a table has decides the sentence on top
MAIN = (
    "ACC10", "ACC10(centred)", "TPR@FPR=1e-4", "VR@FAR=1e-3", "ACC", "TPR@FPR=1e-3", "top-1", "rank-1", "EER",
)  # fmt: skip

_MEANINGS = (
    (r"ACC10\(centred\)", "as ACC10, once the mean feature of the other parts is subtracted"),
    (r"ACC10 SE", "the standard error of ACC10 over its ten parts"),
    (r"ACC10", "share of pairs decided rightly; the threshold for each tenth of the pairs is chosen on the other nine"),
    (r"ACC", "share of pairs decided rightly with the threshold that suits these very pairs best, so slightly hopeful"),
    (r"EER", "equal error rate, where false accepts are as frequent as false rejects; lower is better"),
    (r"AUC", "chance that a pair of one person scores higher than a pair of two people; 50 % is guessing"),
    (r"TPR\(seed\)@FPR=(.+)", "as TPR@FPR={0}, read between the points of the curve as OpenSphere does"),
    (r"(?:TPR@FPR|VR@FAR)=(\S+)", "share of pairs of one person accepted while at most {rate} pairs of two people is"),
    (r"TPIR\(seed\)@FPIR=(.+)", "as TPIR@FPIR={0}, read as OpenSphere does"),
    (r"(?:TPIR@FPIR|DIR@FAR)=(\S+).*", "share of known people found while at most {rate} strangers finds anyone"),
    (r"(?:top|rank)-(\d+)", "share of searches that have the right person among the best {0}"),
    (r"d-prime|d'", "how far the two kinds of scores lie apart, in standard deviations"),
    (r"mAP", "mean average precision of the searches: 100 % if all images of a person come first"),
    (r"seconds", "training time"),
    (r"images/s", "images trained on in a second"),
)  # fmt: skip
_LOWER = re.compile(r"(.* )?(EER|FNMR.*|FMR.*|FNIR.*|ACC10 SE|seconds)$")
_NO_RATE = re.compile(r"(.* )?(d-prime|d'|.*threshold.*|seconds|images/s|Iter)$", re.IGNORECASE)


def meaning(column: str) -> str:
    """A sentence on a column; empty for one that is not known."""
    for pattern, text in _MEANINGS:
        match = re.fullmatch(rf"(?:\S+ )?{pattern}(?: mu-sigma)?", column)
        if match:
            given = match.groups()
            mu = "; mean less one standard deviation over the trials" if column.endswith(" mu-sigma") else ""
            return text.format(*given, rate=share(given[0]) if given else "") + mu
    return ""


def meanings(columns: Iterable[str]) -> list[tuple[str, str]]:
    """Columns that are known with their sentences."""
    return [(column, meaning(column)) for column in dict.fromkeys(columns) if meaning(column)]


def share(text: str) -> str:
    """A share such as 1e-4 as people say it: 1 in 10,000."""
    try:
        value = float(text)
    except ValueError:
        return text
    if not 0 < value < 1:
        return f"{100 * value:g} %"
    return f"1 in {1 / value:,.0f}" if math.isclose(1 / value, round(1 / value)) else f"{100 * value:g} %"


def lower_is_better(column: str) -> bool:
    return bool(_LOWER.fullmatch(column))


def unit(column: str) -> str:
    """Per cent, unless a column is no rate."""
    return "" if _NO_RATE.fullmatch(column) else "%"


def main_column(columns: Iterable[str]) -> str | None:
    """The column that speaks for a table."""
    known = list(columns)
    return next((name for name in MAIN if name in known), known[0] if known else None)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def spell(value: Any, digits: int = 2) -> str:
    """A value as a cell has it; a dash for what is not known."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else str(value)
    if not math.isfinite(value):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"


def spell_p(value: Any) -> str:
    if not is_number(value):
        return "–"
    return f"{value:.2g}" if value >= 0.0001 else "< 0.0001"
