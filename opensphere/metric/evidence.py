"""What a page needs to draw of many scores: small arrays that say exactly what all of them say.

The file `<run>/<set>_evidence.npz` holds them. Its keys, of which only the first block is always there:

    thresholds (K,), false_accepts (K,), true_accepts (K,)   points of the ROC as `Roc` has them, K <= 1,000
    impostors, genuines ()                                    how many pairs there are
    edges (B + 1,), genuine_counts (B,), impostor_counts (B,) a histogram; pairs below and above lie in the end bins
    angle_genuine_counts (180,), angle_impostor_counts (180,) of the angles, degree by degree, where scores are cosines
    hard_genuine (k, 2), hard_genuine_scores (k,)             the genuine pairs of the lowest scores, hardest first
    hard_impostor (k, 2), hard_impostor_scores (k,)           the impostor pairs of the highest scores, hardest first

    band_fpr, band_low, band_high (F,)                        ends of the interval of the TPR at some FPRs
    confidence ()                                             of that interval
    alike (L, 2), alike_scores (L,), alike_person (L, 2)      pairs of people who look most alike, each two people once,
                                                              by their images of the highest score, highest first
    alike_images ()                                           how many images were compared for it; 0: the pairs alone
    image (M,), image_name (M,), pixels (M, H, W, 3) uint8    images that hard and alike pairs name, RGB
    ranks (R,), cmc (R,)                                      the share of probes found among the first `ranks`
    fpir (F,), tpir (F,)                                      identification with probes that nobody knows; this and
                                                              cmc are means where there are several trials
    hard_search (k, 3), hard_search_scores (k, 2)             searches that somebody else's entry wins with the highest
                                                              scores: probe, that entry, the best entry of the own
                                                              person; the scores of these two with the probe
    sample (S, D), sample_person (S,)                         features as the network gave them, of some people; those
                                                              of templates at unit length
    checkpoint ()                                             the number of updates of the weights, as text

Of several trials, the first block counts a pair in each that holds it; with very many distractors, it counts the first
of them.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from opensphere import storage
from opensphere.metric.estimate import CONFIDENCE
from opensphere.metric.roc import Roc, roc

POINTS, BINS, DEGREES, HARDEST = 1000, 200, 180, 12

Arrays = dict[str, np.ndarray]
_BEYOND = 1e-4  # how far rounding may put a cosine outside of -1..1
_NEEDED = (
    ("thresholds", "false_accepts", "true_accepts"),
    ("genuine_counts", "impostor_counts"),
)


def collect(scores: np.ndarray, is_same: np.ndarray, pairs: np.ndarray | None = None, hardest: int = HARDEST) -> Arrays:
    """The first block of the file, in the time of one sort.

    Args:
        scores: (P,), higher for pairs that look more alike.
        is_same: (P,) bool or 0 and 1.
        pairs: (P, 2) int, what the two of a pair are called, such as positions of images; None leaves out the hardest.
        hardest: how many pairs of each kind to name, at most.

    Raises:
        ValueError: as `roc`, or there is not one row of `pairs` a score.
    """
    curve = roc(scores, is_same)
    scores, same = np.asarray(scores), np.asarray(is_same).astype(bool)
    found = of_curve(curve)
    if pairs is None:
        return found
    if np.shape(pairs) != (len(scores), 2):
        raise ValueError(f"pairs of shape {np.shape(pairs)} for {len(scores)} scores; they should be (P, 2)")
    for kind, rows, sign in (("genuine", np.flatnonzero(same), 1), ("impostor", np.flatnonzero(~same), -1)):
        keys = sign * scores[rows].astype(np.float64)
        if len(rows) > hardest:
            kept = np.argpartition(keys, hardest)[:hardest]
            rows, keys = rows[kept], keys[kept]
        rows = rows[np.lexsort((rows, keys))]
        found[f"hard_{kind}"] = np.asarray(pairs)[rows].astype(np.int64)
        found[f"hard_{kind}_scores"] = scores[rows].astype(np.float64)
    return found


def of_curve(curve: Roc) -> Arrays:
    """Points and histograms, without the hardest pairs."""
    return {**_points(curve), **_histogram(curve)}


def _points(curve: Roc) -> Arrays:
    """Some points of the curve, among them the best threshold's."""
    kept = np.unique(np.append(curve.points(POINTS - 1), np.argmax(curve.correct())))
    return {
        "thresholds": curve.thresholds[kept].astype(np.float64),
        "false_accepts": curve.false_accepts[kept],
        "true_accepts": curve.true_accepts[kept],
        "impostors": np.array(curve.impostors),
        "genuines": np.array(curve.genuines),
    }


def _histogram(curve: Roc) -> Arrays:
    """Counts in bins that hold their lower edge; the curve has every distinct score, so they are exact."""
    lowest, highest = curve.thresholds[-1], curve.thresholds[1:2].max()
    cosines = -1 - _BEYOND <= lowest and highest <= 1 + _BEYOND
    if cosines:
        edges = np.arange(-BINS // 2, BINS // 2 + 1) / (BINS // 2)
    else:
        edges = np.linspace(lowest, highest if highest > lowest else lowest + 1, BINS + 1)
    found = {"edges": edges}
    for kind, accepts in (("genuine", curve.true_accepts), ("impostor", curve.false_accepts)):
        found[f"{kind}_counts"] = _between(curve, accepts, edges)
        if cosines:  # the largest angle has the lowest cosine
            limits = np.cos(np.deg2rad(np.arange(DEGREES, -1, -1)))
            found[f"angle_{kind}_counts"] = _between(curve, accepts, limits)[::-1]
    return found


def _between(curve: Roc, accepts: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many pairs lie from each edge to below the next; those outside go to the nearest bin."""
    reached = np.searchsorted(-curve.thresholds, -edges, side="right") - 1  # the last threshold that is >= the edge
    above = accepts[reached]
    above[0], above[-1] = accepts[-1], 0
    return above[:-1] - above[1:]


def band(fprs: np.ndarray, replicates: np.ndarray, confidence: float = CONFIDENCE) -> Arrays:
    """The interval of the TPR at each FPR: percentiles of its values on resamples.

    Args:
        fprs: (F,).
        replicates: (R, F), as `PairBootstrap.tpr_at` gives them; an FPR at which one is not known is left out.

    Raises:
        ValueError: shapes do not fit.
    """
    fprs, replicates = np.asarray(fprs, np.float64), np.asarray(replicates, np.float64)
    if replicates.ndim != 2 or replicates.shape[1:] != fprs.shape:
        raise ValueError(f"replicates of shape {replicates.shape} for {fprs.shape} FPRs; they should be (R, F)")
    known = ~np.isnan(replicates).any(axis=0) & (len(replicates) > 1)
    low, high = np.percentile(replicates[:, known], [50 * (1 - confidence), 50 * (1 + confidence)], axis=0)
    return {"band_fpr": fprs[known], "band_low": low, "band_high": high, "confidence": np.array(confidence)}


def band_fprs(impostors: int, highest: float = 1.0) -> np.ndarray:
    """Where to draw a band: about ten FPRs a decade, from that of one impostor pair on.

    Raises:
        ValueError: there are no impostors.
    """
    if impostors < 1:
        raise ValueError("there are no impostor pairs; a band needs some")
    lowest = 1 / impostors
    count = 2 + int(10 * np.log10(max(highest / lowest, 1)))
    return np.minimum(np.geomspace(lowest, max(highest, lowest), count), 1)


def write(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write the file, whole or not at all. Raises UserError where it cannot be written."""
    with storage.atomic_path(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{key: np.asarray(value) for key, value in arrays.items()})


def read(path: str | Path) -> Arrays:
    """Read the file; nothing in it can run.

    Raises:
        ValueError: it is damaged, or is no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    except Exception as error:  # whatever a damaged archive raises in NumPy and zipfile
        raise ValueError(f"{path}: is damaged, or is no evidence ({type(error).__name__})") from None
    alike = all(
        all(key in found and found[key].ndim == 1 and found[key].dtype.kind in "iuf" for key in keys)
        and len({len(found[key]) for key in keys}) == 1
        for keys in _NEEDED
    )
    counts = alike and all(key in found and found[key].shape == () for key in ("impostors", "genuines"))
    if not counts or found.get("edges", np.empty(0)).shape != (len(found["genuine_counts"]) + 1,):
        raise ValueError(f"{path}: is no evidence; test the run again")
    return found
