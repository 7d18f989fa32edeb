"""`opensphere calibrate`: from which score on two images count as one person, for each false match rate that you allow.

The pairs come from your own folder of people, or from a list. Take people whom the network was not trained on: it
keeps those it knows well apart, and a threshold from them would let too many strangers pass."""

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from opensphere.command.screen import Rows, make_console, opening, print_table
from opensphere.command.test import check_resampling
from opensphere.command.trained import Trained
from opensphere.dataset import ClassDataset, PairDataset
from opensphere.dataset.holdout import DrawnPairs
from opensphere.engine.threshold import Threshold, entry, find_thresholds, write_thresholds
from opensphere.error import UserError
from opensphere.metric.estimate import CONFIDENCE
from opensphere.metric.verification import cosine_scores

_ALL, _MOST = 1_000, 200_000  # up to so many images every pair is taken; of more, so many pairs at most


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `calibrate`."""
    parser.add_argument("--model", metavar="RUN", required=True, help="a run folder; threshold.json is written there")
    parser.add_argument("--checkpoint", metavar="ITER", type=int, help="of this iteration (the last)")
    parser.add_argument("--folder", metavar="DIR", help="a folder that holds a folder of images for each person")
    parser.add_argument(
        "--pairs",
        metavar="N",
        type=int,
        help=f"of the folder's images, half of one person (all, of {_ALL:,} images; else {_MOST:,})",
    )
    parser.add_argument("--data_dir", metavar="DIR", help="instead of --folder: where listed images are")
    parser.add_argument("--ann_path", metavar="PAIRS", help="the list of pairs; a .bin file has its own")
    about = "the part of each image to keep (as in training)"
    parser.add_argument("--crop", nargs=4, type=int, metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"), help=about)
    about = "false match rates: of pairs of two people, the share that may pass (1e-2 1e-3 1e-4)"
    parser.add_argument("--fmr", nargs="+", type=float, metavar="X", default=[1e-2, 1e-3, 1e-4], help=about)
    about = "of the people, for intervals; 0 for none (%(default)s)"
    parser.add_argument("--resamples", metavar="N", type=int, default=1000, help=about)
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="fixes pairs and resamples (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    """Carry out the command; returns the exit status.

    Raises:
        UserError: the run or the data do not allow it, or no threshold can be set.
    """
    console = make_console()
    _check(arguments)
    folder = Path(arguments.model)
    model = Trained(folder, arguments.checkpoint)
    crop = arguments.crop or model.crop
    with opening(console):
        pairs = open_pairs(arguments, {"image_size": model.image_size, "crop": crop})
    scores = cosine_scores(model.features(pairs.images, console), pairs.pairs)
    people = None if pairs.persons is None else pairs.persons[pairs.pairs]
    try:
        found = find_thresholds(scores, pairs.is_same, arguments.fmr, people, arguments.resamples, arguments.seed)
    except ValueError as error:
        raise UserError(f"{pairs.images.name}: {error}") from None
    show(console, f"{folder.name} on {pairs.images.name}", found, arguments.resamples, people)
    if all(one.cosine.why for one in found):
        raise UserError(f"{folder}: no threshold could be set; {_more(found[0], arguments)}")
    facts = {
        "feature": "image and mirror image, added",
        "view": {"image_size": list(model.image_size), "crop": None if crop is None else list(crop)},
        "data": pairs.source,
        "pairs": {"genuine": int(np.sum(pairs.is_same)), "impostor": int(np.sum(~pairs.is_same))},
        "people": None if people is None else len(np.unique(people)),
        "resamples": 0 if people is None else arguments.resamples,
        "seed": arguments.seed,
    }
    path = write_thresholds(folder, model.weights, found, **facts)
    for one in found:
        if one.cosine.why:
            console.print(f"FMR {one.fmr:g}: {_more(one, arguments)}", markup=False, soft_wrap=True)
    console.print(f"written: {path}", markup=False, soft_wrap=True)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    if bool(arguments.folder) == bool(arguments.data_dir) or (arguments.ann_path and not arguments.data_dir):
        raise UserError("calibrate: give either --folder DIR, or --data_dir DIR and --ann_path PAIRS")
    if arguments.data_dir and arguments.pairs is not None:
        raise UserError("calibrate: --pairs belongs to --folder; a list has its own pairs")
    wrong = [fmr for fmr in arguments.fmr if not 0 < fmr < 1]
    if wrong:
        raise UserError(f"--fmr {wrong[0]:g}: a false match rate is a share above 0 and below 1, such as 1e-3")
    if len(set(arguments.fmr)) < len(arguments.fmr):
        raise UserError("--fmr: give each false match rate once")
    check_resampling(arguments.resamples, arguments.seed)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of the images of a set.

    Attributes:
        images: the set.
        pairs: (P, 2) int64, indices of its images.
        is_same: (P,) bool.
        persons: (N,) int64, the person of each image; None where nobody says.
        source: where they came from, for the record.
    """

    images: Any
    pairs: np.ndarray
    is_same: np.ndarray
    persons: np.ndarray | None
    source: dict[str, Any]


def open_pairs(arguments: argparse.Namespace, view: dict[str, Any]) -> Pairs:
    """The pairs that the arguments ask for. Raises UserError as the sets do."""
    if arguments.data_dir:
        name = Path(arguments.ann_path or arguments.data_dir).stem
        listed = PairDataset(name, arguments.data_dir, arguments.ann_path, folds=None, **view)
        source = {"data_dir": arguments.data_dir, "ann_path": arguments.ann_path}
        return Pairs(listed, listed.pairs, listed.is_same, getattr(listed, "persons", None), source)
    people = ClassDataset(Path(arguments.folder).resolve().name, arguments.folder, test_mode=True, **view)
    if arguments.pairs is None and len(people) <= _ALL:
        first, second = np.triu_indices(len(people), k=1)
        source = {"folder": arguments.folder, "pairs": "all"}
        same = people.labels[first] == people.labels[second]
        return Pairs(people, np.stack([first, second], axis=1), same, people.labels, source)
    count = arguments.pairs
    if count is None:
        counts = np.bincount(people.labels)
        count = min(_MOST, int(np.sum(counts * (counts - 1))))  # two for each pair of one person
    drawn = DrawnPairs(people, count, folds=None, seed=arguments.seed)
    pairs, same = drawn.pairs, drawn.is_same
    if arguments.pairs is None:  # low rates need far more pairs of two people than there are of one
        strangers = draw_strangers(drawn.persons, _MOST // 2, arguments.seed)
        pairs = np.concatenate([pairs[same], strangers])
        same = np.arange(len(pairs)) < len(pairs) - len(strangers)
    source = {"folder": arguments.folder, "pairs": len(pairs), "seed": arguments.seed}
    return Pairs(drawn, pairs, same, drawn.persons, source)


def draw_strangers(persons: np.ndarray, most: int, seed: int) -> np.ndarray:
    """Pairs of images of two people, drawn from all such pairs, none twice: (P, 2) int64, `most` or all there are.

    Where there are many and one person has nearly all images, they may be fewer.

    Args:
        persons: (N,) int, whom each image shows.
    """
    size, generator = len(persons), np.random.default_rng(seed)
    if size * (size - 1) // 2 <= 8 * most:
        first, second = np.triu_indices(size, k=1)
    else:
        numbers = np.sort(generator.integers(size, size=(4 * most, 2)), axis=1)
        first, second = np.divmod(np.unique(numbers[:, 0] * size + numbers[:, 1]), size)
    apart = np.flatnonzero(persons[first] != persons[second])
    chosen = np.sort(generator.permutation(apart)[:most])
    return np.stack([first[chosen], second[chosen]], axis=1)


def show(console: Console, title: str, found: list[Threshold], resamples: int, people: np.ndarray | None) -> None:
    """Print the thresholds, and how to read them."""
    rows: Rows = []
    for one in found:
        told = entry(one)
        heads = {"cosine": "cosine from", "distance": "L2 distance to", "angle": "angle to, degrees"}
        cells = {head: interval(told[scale], 2 if scale == "angle" else 4) for scale, head in heads.items()}
        missed = {key: None if share is None else 100 * share for key, share in told["fnmr"].items()}
        rows.append({"FMR": f"{one.fmr:g}", **cells, "FNMR, %": interval(missed, 2)})
    print_table(console, title, rows)
    notes = [f"–  FMR {one.fmr:g}: {one.cosine.why}" for one in found if one.cosine.why]
    notes += [one.remark for one in found if one.remark]
    if people is None:
        notes.append("no intervals: nothing says whom the images show")
    elif resamples:
        count = len(np.unique(people))
        notes.append(f"[ ]  {CONFIDENCE:.0%} interval from {resamples:,} resamples of the {count:,} people")
    notes.append("a pair counts as one person from such a cosine, up to such a distance of unit features or angle")
    for note in notes:
        console.print(note, markup=False, soft_wrap=True)


def interval(told: dict[str, float | None], digits: int) -> str:
    """A number with the ends of its interval, where they are known; a dash where it is not."""
    value, low, high = told["value"], told["low"], told["high"]
    if value is None:
        return "–"
    text = f"{value:.{digits}f}"
    return text if low is None or high is None else f"{text} [{low:.{digits}f}, {high:.{digits}f}]"


def _more(one: Threshold, arguments: argparse.Namespace) -> str:
    """What to do where a threshold cannot be set."""
    if one.impostors >= one.needed:
        return f"{one.cosine.why}; look for them with: opensphere data check"
    needed = f"it needs {one.needed:,} pairs of two people or more, there are {one.impostors:,}"
    if arguments.data_dir:
        return f"{needed}: give a longer list, or a higher --fmr"
    if arguments.pairs is not None:
        return f"{needed}: give --pairs {2 * one.needed} or leave --pairs out, or a higher --fmr"
    return f"{needed}: give a folder of more people, or a higher --fmr"
