"""What a test keeps for the page of `opensphere report`: curves, histograms, the hardest pairs, some features."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np

from opensphere.metric import evidence
from opensphere.metric.bootstrap import PairBootstrap
from opensphere.metric.identification import search
from opensphere.metric.verification import cosine_scores, unit
from opensphere.protocol.ijb import templates_of

RESAMPLES, MOST_PAIRS = 200, 1_000_000  # for bands; sets of more pairs have none, they would take minutes
PEOPLE, IMAGES = 12, 30  # whose features are kept, and how many of each
SIDE = 96  # pixels of the pictures that are kept
_RANKS = [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100]


def write_evidence(
    folder: Path, dataset: Any, features: np.ndarray, step: int | str, resamples: int = RESAMPLES, seed: int = 0
) -> Path | None:
    """Write `<folder>/<set>_evidence.npz`; returns it, or None where a set has nothing that a page could show.

    Args:
        folder: of the run.
        dataset: an image set of N images, with pairs, templates or searches.
        features: (N, D), as for `protocol.measure`.
        step: the number of updates of the weights.
        resamples: of the people, for bands around curves, at most `RESAMPLES` of them; 0 for none.

    Raises:
        UserError: an image cannot be read, or the file cannot be written.
    """
    found: evidence.Arrays = {}
    if hasattr(dataset, "template_pairs"):
        found = _of_templates(dataset, features)
    elif hasattr(dataset, "pairs") and hasattr(dataset, "is_same"):
        found = _of_pairs(dataset, features, min(resamples, RESAMPLES), seed)
    elif hasattr(dataset, "probe_index") and hasattr(dataset, "gallery_index"):
        found = _of_searches(dataset, features)
    if "thresholds" not in found:
        return None
    found |= _pictures(dataset, found) | {"checkpoint": np.array(str(step))}
    path = folder / f"{dataset.name}_evidence.npz"
    evidence.write(path, found)
    return path


def _of_pairs(dataset: Any, features: np.ndarray, resamples: int, seed: int) -> evidence.Arrays:
    scores = cosine_scores(features, dataset.pairs)
    found = evidence.collect(scores, dataset.is_same, dataset.pairs)
    persons = getattr(dataset, "persons", None)
    if persons is None:
        return found
    if resamples > 1 and len(scores) <= MOST_PAIRS:
        fprs = evidence.band_fprs(int(found["impostors"]))
        sides = persons[dataset.pairs]
        drawn = PairBootstrap(scores, dataset.is_same, sides, int(persons.max()) + 1, resamples, seed)
        found |= evidence.band(fprs, drawn.tpr_at(fprs))
    return found | _sample(features, persons)


def _of_templates(dataset: Any, features: np.ndarray) -> evidence.Arrays:
    """Of the pairs of templates, each of which is shown by its first image; and of the searches, if there are any."""
    templates = templates_of(dataset, features)
    _, first = np.unique(dataset.template, return_index=True)
    scores = cosine_scores(templates, dataset.template_pairs)
    found = evidence.collect(scores, dataset.is_same, dataset.template_pairs)
    for kind in ("genuine", "impostor"):
        found[f"hard_{kind}"] = first[found[f"hard_{kind}"]]
    probe, gallery = dataset.probe, dataset.gallery
    if gallery is None:
        return found
    asked = templates[probe.template]
    merged = search(asked, probe.person, templates[gallery.template], gallery.person, strangers=True)
    found |= {"ranks": np.array(_RANKS), "cmc": merged.cmc(_RANKS)}
    curves = []
    for part in getattr(dataset, "galleries", None) or []:
        own = search(asked, probe.person, templates[part.template], part.person, strangers=True).attempts()
        if own.impostors and len(own.genuine):
            curves.append((own, own.impostors))
    if curves:
        fpirs = evidence.band_fprs(min(count for _, count in curves))
        found |= {"fpir": fpirs, "tpir": np.mean([[own.tpr_at(fpir) for fpir in fpirs] for own, _ in curves], axis=0)}
    return found


def _of_searches(dataset: Any, features: np.ndarray) -> evidence.Arrays:
    """Of probes and a gallery: the best score with the own person against that with anybody else."""
    directions, persons = unit(features), dataset.persons
    probe, gallery = dataset.probe_index, dataset.gallery_index
    best = search(directions[probe], persons[probe], directions[gallery], persons[gallery])
    scores = np.concatenate([best.genuine, best.other])
    found = evidence.collect(scores[np.isfinite(scores)], (np.arange(len(scores)) < len(probe))[np.isfinite(scores)])
    known = persons >= 0  # others are distractors
    return found | {"ranks": np.array(_RANKS), "cmc": best.cmc(_RANKS)} | _sample(features, persons, known)


def _sample(features: np.ndarray, persons: np.ndarray, known: np.ndarray | None = None) -> evidence.Arrays:
    """The features of the people who have most images; the first of them in order where some have as many."""
    counts = np.bincount(persons if known is None else persons[known])
    people = np.sort(np.argsort(-counts, kind="stable")[:PEOPLE])
    rows = np.concatenate([np.flatnonzero(persons == person)[:IMAGES] for person in people])
    return {"sample": features[rows].astype(np.float32), "sample_person": persons[rows].astype(np.int64)}


def _pictures(dataset: Any, found: evidence.Arrays) -> evidence.Arrays:
    """The images that the hardest pairs name, made small."""
    if "hard_genuine" not in found:
        return {}
    images = np.unique(np.concatenate([found["hard_genuine"], found["hard_impostor"]]))
    pixels = [_small(np.asarray(dataset.image(int(image)))) for image in images]
    return {
        "image": images,
        "image_name": np.array([_name(dataset, int(image)) for image in images]),
        "pixels": np.stack(pixels),
    }


def _name(dataset: Any, image: int) -> str:
    """The path of an image; its number where a program draws it."""
    try:
        return str(dataset.path(image))
    except AttributeError:
        return f"image {image}"


def _small(picture: np.ndarray) -> np.ndarray:
    scale = SIDE / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
