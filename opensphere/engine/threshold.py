"""From which score on two images count as one person: found on pairs, kept in a run's folder."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from opensphere import storage
from opensphere.error import UserError
from opensphere.metric.bootstrap import PairBootstrap
from opensphere.metric.estimate import CONFIDENCE, Estimate
from opensphere.metric.roc import roc

NAME = "threshold.json"
_SURE = 30  # the rule of 30: with so many errors a rate is known to within about a third
_COPIES = "more pairs of two people than that share the highest score: copies of images, or wrong names"


@dataclass(frozen=True, eq=False)
class Threshold:
    """The cosine from which on pairs are accepted, for one wanted false match rate.

    Attributes:
        fmr: the share of pairs of two people that may be accepted.
        cosine: the lowest that keeps to it.
        fnmr: the share of pairs of one person that are then missed.
        accepted, impostors: how many pairs of two people are accepted, of how many.
    """

    fmr: float
    cosine: Estimate
    fnmr: Estimate
    accepted: int
    impostors: int

    @property
    def needed(self) -> int:
        """The pairs of two people without which nothing can be said."""
        return math.ceil(round(1 / self.fmr, 6))

    @property
    def remark(self) -> str:
        """A caution, where few pairs carry the threshold; else empty."""
        if self.cosine.why or self.accepted >= _SURE:
            return ""
        return (
            f"FMR {self.fmr:g} rests on {self.accepted} of {self.impostors:,} pairs of two people; {_SURE} "
            f"({_SURE * self.needed:,} pairs) are the rule for a rate known to within a third"
        )


def find_thresholds(
    scores: np.ndarray,
    is_same: np.ndarray,
    fmrs: Sequence[float],
    persons: np.ndarray | None = None,
    resamples: int = 0,
    seed: int = 0,
) -> list[Threshold]:
    """A threshold for each false match rate, with the uncertainty that comes from the people at hand.

    Args:
        scores: (P,) cosines.
        is_same: (P,) bool.
        fmrs: shares above 0 and below 1.
        persons: (P, 2) int, the persons of each pair; None: nobody knows, and there are no intervals.
        resamples: of the persons, 0 for no intervals.
        seed: fixes them.

    Raises:
        ValueError: as `roc`.
    """
    curve = roc(scores, is_same)
    strangers = scores[~np.asarray(is_same, bool)]
    cosines, missed = curve.threshold_at(fmrs), curve.fnmr_at(fmrs)
    replicates: tuple[np.ndarray, np.ndarray] | None = None
    if persons is not None and resamples:
        people, numbers = np.unique(persons, return_inverse=True)
        highest = PairBootstrap(scores, is_same, numbers.reshape(-1, 2), len(people), resamples, seed).highest(fmrs)
        drawn = highest.threshold_at(fmrs)
        replicates = np.where(np.isinf(drawn), np.nan, drawn), 1 - highest.tpr_at(fmrs)
    found = []
    for column, fmr in enumerate(fmrs):
        why = curve.too_few(fmr) or ("" if np.isfinite(cosines[column]) else _COPIES)
        cosine, fnmr = (math.nan, math.nan) if why else (float(cosines[column]), float(missed[column]))
        accepted = 0 if why else int(np.sum(strangers >= cosine))
        own = (None, None) if replicates is None or why else (part[:, column] for part in replicates)
        of_cosine, of_fnmr = own
        found.append(
            Threshold(fmr, Estimate(cosine, why, of_cosine), Estimate(fnmr, why, of_fnmr), accepted, len(strangers))
        )
    return found


def distance(cosine: float) -> float:
    """The Euclidean distance of two unit features with this cosine: sqrt(2 - 2 cos). NaN of NaN."""
    return math.sqrt(2 - 2 * _in_range(cosine))


def angle(cosine: float) -> float:
    """The angle between two features with this cosine, in degrees. NaN of NaN."""
    return math.degrees(math.acos(_in_range(cosine)))


def _in_range(cosine: float) -> float:
    """The cosine of equal features may be rounded to above 1."""
    return cosine if math.isnan(cosine) else min(1.0, max(-1.0, cosine))


def digest(path: Path) -> str:
    """The SHA-256 of a file, by which it is known again."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def entry(threshold: Threshold) -> dict[str, Any]:
    """A threshold as `threshold.json` has it: each number with the ends of its interval, null where not known."""
    low, high = threshold.cosine.interval()
    scales = {
        "cosine": (threshold.cosine.value, low, high),
        "distance": tuple(map(distance, (threshold.cosine.value, high, low))),
        "angle": tuple(map(angle, (threshold.cosine.value, high, low))),
        "fnmr": (threshold.fnmr.value, *threshold.fnmr.interval()),
    }
    told = {
        scale: {key: _known(number) for key, number in zip(("value", "low", "high"), numbers, strict=True)}
        for scale, numbers in scales.items()
    }
    counts = {"accepted": threshold.accepted, "impostors": threshold.impostors}
    return {"fmr": threshold.fmr, **told, **counts, "why": threshold.cosine.why or None}


def _known(number: float) -> float | None:
    return number if math.isfinite(number) else None


def write_thresholds(folder: Path, weights: Path, thresholds: Sequence[Threshold], **facts: Any) -> Path:
    """Write `threshold.json` into a run folder, whole or not at all; the same content gives the same bytes.

    Args:
        weights: the file whose features were compared.
        facts: what else to keep, such as the data.
    """
    content = {
        "weights": {"file": weights.relative_to(folder).as_posix(), "sha256": digest(weights)},
        **facts,
        "confidence": CONFIDENCE,
        "thresholds": [entry(threshold) for threshold in thresholds],
    }
    storage.write_text(folder / NAME, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    return folder / NAME


def read_thresholds(folder: Path) -> dict[str, Any]:
    """What `write_thresholds` wrote, if the weights are still those.

    Raises:
        UserError: there is none, it is damaged, or the weights have changed since.
    """
    path = folder / NAME
    again = f"set thresholds with: opensphere calibrate --model {folder} --folder DIR"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        weights, sha256 = folder / content["weights"]["file"], content["weights"]["sha256"]
        if not content["thresholds"] or not all({"fmr", "cosine"} <= set(one) for one in content["thresholds"]):
            raise KeyError("thresholds")
    except FileNotFoundError:
        raise UserError(f"{folder}: it has no {NAME}; {again}") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{path}: is damaged; {again}") from None
    if not weights.is_file() or digest(weights) != sha256:
        what = "have changed since" if weights.is_file() else "are gone"
        raise UserError(f"{path}: its thresholds belong to weights that {what} ({weights}); {again}")
    return content


def choose(content: dict[str, Any], fmr: float | None, folder: Path) -> dict[str, Any]:
    """The entry for a false match rate; without one, the first that has a threshold.

    Raises:
        UserError: there is none; names those that there are.
    """
    known = [one for one in content["thresholds"] if one["cosine"]["value"] is not None]
    for one in known:
        if fmr is None or math.isclose(one["fmr"], fmr):
            return one
    wanted = "any FMR" if fmr is None else f"FMR {fmr:g}"
    rates = ", ".join(f"{one['fmr']:g}" for one in known) or "none"
    raise UserError(f"{folder / NAME}: has no threshold for {wanted}, known are: {rates}; calibrate with --fmr")
