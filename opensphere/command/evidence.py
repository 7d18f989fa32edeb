"""What a test keeps for the page of `opensphere report`: curves, histograms, hardest pairs, look-alikes, features."""

from pathlib import Path
from typing import Any

import numpy as np

from opensphere.dataset.persons import joined
from opensphere.metric import evidence, lookalikes, tally
from opensphere.metric.attempts import Attempts
from opensphere.metric.bootstrap import PairBootstrap
from opensphere.metric.grid import grid_scores, pair_scores
from opensphere.metric.identification import Search, search
from opensphere.metric.verification import cosine_scores, unit
from opensphere.protocol import name_of
from opensphere.protocol.ijb import templates_of
from opensphere.report.picture import shrunk

RESAMPLES, MOST_PAIRS = 200, 1_000_000  # for bands; sets of more pairs have none, they would take minutes
FEW = 15_000  # images that are compared with one another in search of look-alikes
MOST_SCORES = 100_000_000  # with distractors, of which the first are taken
PEOPLE, IMAGES = 12, 30  # whose features are kept, and how many of each
_SHOWN = ("hard_genuine", "hard_impostor", "hard_search", "alike")  # whose images are kept
_RANKS = [1, 2, 3, 4, 5, 6, 8, 10, 13, 16, 20, 25, 32, 40, 50, 64, 80, 100]


def write_evidence(
    folder: Path, dataset: Any, features: np.ndarray, step: int | str, resamples: int = RESAMPLES, seed: int = 0
) -> Path | None:
    """Write `<folder>/<set>_evidence.npz`; returns it, or None where a set has nothing that a page could show.

    Args:
        folder: of the run.
        dataset: an image set of N images, with pairs, templates, searches, trials or distractors.
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
    elif hasattr(dataset, "trials"):
        found = _of_trials(dataset, features)
    elif hasattr(dataset, "distractors") and hasattr(dataset, "probes"):
        found = _of_distractors(dataset, features)
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
    # people who are known by their pairs alone may be one where no pair says so
    pieces = int(joined(dataset.pairs, dataset.is_same, np.arange(len(features))).max()) + 1
    if pieces > len(np.unique(persons)) and len(features) <= FEW:
        found |= _alike(unit(features), persons)
    else:
        found |= _alike_of_list(scores, dataset.is_same, dataset.pairs, persons)
    return found | _sample(features, persons)


def _of_templates(dataset: Any, features: np.ndarray) -> evidence.Arrays:
    """Of the pairs of templates, each of which is shown by its first image; and of the searches, if there are any.

    The features of some people are those of templates, which scores are made of.
    """
    templates, pairs = templates_of(dataset, features), dataset.template_pairs
    _, first = np.unique(dataset.template, return_index=True)
    probe, gallery = dataset.probe, dataset.gallery
    if gallery is None:
        scores = pair_scores(templates, pairs)
    else:
        merged = Search(probe.person, gallery.person)
        scores = grid_scores(templates, pairs, probe.template, gallery.template, merged.add)
    found = evidence.collect(scores, dataset.is_same, pairs)
    found |= _alike_of_list(scores, dataset.is_same, pairs, dataset.persons) | _sample(templates, dataset.persons)
    if gallery is not None:
        found |= _found_first(merged, templates, probe.template, gallery.template, probe.person, gallery.person)
    for key in _SHOWN:
        if key in found:
            found[key] = first[found[key]]
    if gallery is None:
        return found
    found |= {"ranks": np.array(_RANKS), "cmc": merged.cmc(_RANKS)}
    asked = templates[probe.template]
    own = [
        search(asked, probe.person, templates[part.template], part.person, strangers=True).attempts()
        for part in dataset.galleries
    ]
    return found | _open_set(own)


def _of_searches(dataset: Any, features: np.ndarray) -> evidence.Arrays:
    """Of probes and a gallery: the best score with the own person against that with anybody else."""
    directions, persons = unit(features), dataset.persons
    probe, gallery = dataset.probe_index, dataset.gallery_index
    best = search(directions[probe], persons[probe], directions[gallery], persons[gallery])
    scores = np.concatenate([best.genuine, best.other])
    found = evidence.collect(scores[np.isfinite(scores)], (np.arange(len(scores)) < len(probe))[np.isfinite(scores)])
    found |= {"ranks": np.array(_RANKS), "cmc": best.cmc(_RANKS)} | _alike(directions, persons)
    found |= _found_first(best, directions, probe, gallery, persons[probe], persons[gallery])
    return found | _sample(features, persons)


def _found_first(
    best: Search,
    directions: np.ndarray,
    probe: np.ndarray,
    gallery: np.ndarray,
    probe_person: np.ndarray,
    gallery_person: np.ndarray,
) -> evidence.Arrays:
    """The searches that somebody else's entry wins with the highest scores: probe, that entry, the best own one."""
    lost = np.flatnonzero(best.mated & (best.other >= best.genuine))
    lost = lost[np.argsort(-best.other[lost], kind="stable")[: evidence.HARDEST]]
    scores = directions[probe[lost]] @ directions[gallery].T  # again, of these few alone: a search keeps no entries
    own = probe_person[lost, None] == gallery_person
    entries = [np.where(kind, scores, -np.inf).argmax(axis=1) for kind in (~own, own)]
    return {
        "hard_search": np.stack([probe[lost], *(gallery[entry] for entry in entries)], axis=1).astype(np.int64),
        "hard_search_scores": np.stack([best.other[lost], best.genuine[lost]], axis=1),
    }


def _of_trials(dataset: Any, features: np.ndarray) -> evidence.Arrays:
    """Of the pairs of all trials together; and of their searches, the mean over the trials."""
    directions, persons = unit(features), dataset.persons
    found = tally.of_trials(directions, persons, [trial.test for trial in dataset.trials])
    searches = [
        search(directions[t.probe], persons[t.probe], directions[t.gallery], persons[t.gallery], strangers=True)
        for t in dataset.trials
    ]
    found |= {"ranks": np.array(_RANKS), "cmc": np.mean([one.cmc(_RANKS) for one in searches], axis=0)}
    found |= _open_set([one.attempts() for one in searches]) | _alike(directions, persons)
    return found | _sample(features, persons)


def _of_distractors(dataset: Any, features: np.ndarray) -> evidence.Arrays:
    """Of the pairs of one person's images, and of those with distractors."""
    directions, persons, probes = unit(features), dataset.persons, dataset.probes
    strangers = dataset.distractors[: max(1, MOST_SCORES // len(probes))]
    found = tally.of_strangers(directions, persons, probes, strangers)
    return found | _alike(directions, persons) | _sample(features, persons)


def _open_set(searches: list[Attempts]) -> evidence.Arrays:
    """TPIR at some FPIRs, the mean over galleries or trials; of those that have both kinds of probes."""
    curves = [one for one in searches if one.impostors and len(one.genuine)]
    if not curves:
        return {}
    fpirs = evidence.band_fprs(min(one.impostors for one in curves))
    return {"fpir": fpirs, "tpir": np.mean([[one.tpr_at(fpir) for fpir in fpirs] for one in curves], axis=0)}


def _alike(directions: np.ndarray, persons: np.ndarray) -> evidence.Arrays:
    """The look-alikes among all images whose people are known; among `FEW` that are drawn of them, if they are more."""
    known = np.flatnonzero(persons >= 0)
    if len(known) > FEW:
        known = np.sort(np.random.default_rng(0).choice(known, FEW, replace=False))
    pairs, scores = lookalikes.among_all(directions[known], persons[known])
    return _named_alike(known[pairs], scores, persons, len(known))


def _alike_of_list(scores: np.ndarray, is_same: np.ndarray, pairs: np.ndarray, persons: np.ndarray) -> evidence.Arrays:
    return _named_alike(*lookalikes.among_listed(scores, is_same, pairs, persons), persons, 0)


def _named_alike(pairs: np.ndarray, scores: np.ndarray, persons: np.ndarray, images: int) -> evidence.Arrays:
    return {
        "alike": pairs,
        "alike_scores": scores,
        "alike_person": persons[pairs].astype(np.int64),
        "alike_images": np.array(images),
    }


def _sample(features: np.ndarray, persons: np.ndarray) -> evidence.Arrays:
    """The features of the people who have most images; the first of them in order where some have as many."""
    people, counts = np.unique(persons[persons >= 0], return_counts=True)
    people = np.sort(people[np.argsort(-counts, kind="stable")[:PEOPLE]])
    rows = np.concatenate([np.flatnonzero(persons == person)[:IMAGES] for person in people])
    return {"sample": features[rows].astype(np.float32), "sample_person": persons[rows].astype(np.int64)}


def _pictures(dataset: Any, found: evidence.Arrays) -> evidence.Arrays:
    """The images that the hardest pairs, searches and the look-alikes name, made small."""
    named = [found[key].ravel() for key in _SHOWN if key in found]
    if not named or not len(images := np.unique(np.concatenate(named))):
        return {}
    pixels = [shrunk(np.asarray(dataset.image(int(image)))) for image in images]
    return {
        "image": images,
        "image_name": np.array([name_of(dataset, int(image)) for image in images]),
        "pixels": np.stack(pixels),
    }
