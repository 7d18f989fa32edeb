"""Damage done to a set on purpose, to study what a loss bears: wrong labels, and long tails.

Functions of labels and a seed. Each returns new labels, or the images that are left, and a report of what was done, of
plain numbers; what it is given, it leaves as it is.
"""

import math
import random
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from opensphere import sphere
from opensphere.dataset.selection import drawn_places
from opensphere.error import UserError

Report = dict[str, Any]
Shape = Literal["power", "exponential"]
Order = Literal["size", "drawn"]


def uniform(labels: np.ndarray, num_class: int, share: float, seed: int) -> tuple[np.ndarray, Report]:
    """Each label, with probability `share`, replaced by one drawn from all classes: the noise of `add_label_noise`.

    The one drawn may be the label itself, so that a share of share (1 - 1 / C) is expected to change.

    Returns:
        Labels (N,) int64, and the report: noise, share, images, changed.
    """
    _check_share(share)
    noisy = np.array(labels, np.int64)
    add_label_noise(noisy, num_class, share, seed)
    return noisy, _report("uniform", share, labels, noisy)


def add_label_noise(labels: np.ndarray, num_class: int, noise_ratio: float, seed: int) -> None:
    """Replace labels in place, each with probability `noise_ratio`, by one drawn uniformly from all classes.

    The published noisy set of the SphereFace2 paper (Wen et al. 2022, section 3.3) is made this way, draw for draw.
    """
    generator = random.Random(seed)
    classes = range(num_class)
    for item in range(len(labels)):
        if generator.random() <= noise_ratio:
            labels[item] = generator.choice(classes)


def lookalike(labels: np.ndarray, neighbours: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, Report]:
    """A share of the labels, exactly, replaced by that of a person who looks alike: what an annotator confuses.

    The images are drawn from all, and for each one of its person's neighbours, all with the same chance; every label
    that is drawn changes. With one seed, what a smaller share changes, a larger one changes in the same way.

    Args:
        labels: (N,) positions in `neighbours`.
        neighbours: (C, k) other people that each one looks like, as of `nearest`.
        share: of the images, in 0..1; their number is rounded.
        seed: fixes the result.

    Returns:
        Labels (N,) int64, and the report: noise, share, neighbours (k), images, changed.

    Raises:
        UserError: the share is not in 0..1, or the table does not fit the labels or names somebody as their own double.
    """
    _check_share(share)
    neighbours = np.asarray(neighbours)
    if neighbours.ndim != 2 or neighbours.shape[1] < 1:
        raise UserError(f"neighbours: a table of people and their neighbours is needed, not one of {neighbours.shape}")
    people, count = neighbours.shape
    for named in (labels, neighbours):
        strangers = named[(named < 0) | (named >= people)]
        if len(strangers):
            raise UserError(
                f"neighbours: the table is of {people} people, 0 to {people - 1}, but there is a label {strangers[0]}"
            )
    if (neighbours == np.arange(people)[:, None]).any():
        raise UserError("neighbours: a person is named as their own neighbour")
    generator = _generator(seed, 0)
    double = generator.integers(count, size=len(labels))
    changed = generator.permutation(len(labels))[: round(share * len(labels))]
    noisy = np.array(labels, np.int64)
    noisy[changed] = neighbours[labels[changed], double[changed]]
    return noisy, _report("lookalike", share, labels, noisy) | {"neighbours": count}


def read_centers(path: str | None, people: np.ndarray) -> np.ndarray:
    """(len(people), D) float32, the rows of some people of a .npy file, whose lengths are of no matter.

    Raises:
        UserError: no file is named, or it holds no matrix of finite numbers, or too few rows.
    """
    if path is None:
        raise UserError("corruption.centers: name a .npy file with a feature of each person to tell who looks alike")
    try:
        centers = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a .npy file: {error}") from None
    if centers.ndim != 2 or centers.dtype.kind != "f" or not np.isfinite(centers).all():
        raise UserError(f"{path}: a matrix of finite numbers is needed, a row for each person")
    if len(centers) <= people.max(initial=-1):
        raise UserError(f"{path}: {len(centers)} rows are too few for person {people.max()}, counted from 0")
    return centers[people].astype(np.float32)


def nearest(centers: Tensor | np.ndarray, k: int, block: int = 4096) -> np.ndarray:
    """(C, k) int64: for each person the k others with the largest cosine, the most alike first. Exact.

    It works on the device and in the precision of `centers`, and holds no more than a few blocks of block x block
    cosines. Where two cosines differ by rounding only, another machine may choose the other: keep the table of a study.

    Args:
        centers: (C, D) a direction for each person: rows of a class matrix, or means of their embeddings.
        k: from 1 to C - 1.
        block: people compared at a time.

    Raises:
        UserError: there are not k others, or a center is not of finite numbers or has no direction.
    """
    centers = torch.as_tensor(centers).detach()
    people = len(centers)
    if not 1 <= k < people:
        raise UserError(f"k: {k} neighbours cannot be found among {people} people")
    if not bool(torch.isfinite(centers).all()) or not bool((centers != 0).any(dim=1).all()):
        raise UserError("centers: one of them is zero or has a number that is not finite")
    unit = sphere.unit(centers)
    table = np.empty((people, k), np.int64)
    for start in range(0, people, block):
        own = unit[start : start + block]
        cos, person = own.new_empty(len(own), 0), torch.empty(len(own), 0, dtype=torch.int64, device=own.device)
        for first in range(0, people, block):
            part = own @ unit[first : first + block].mT
            if first == start:
                part.fill_diagonal_(-math.inf)
            largest, place = part.topk(min(k, part.shape[1]), dim=1)
            cos, person = torch.cat([cos, largest], 1), torch.cat([person, place + first], 1)
            cos, place = cos.topk(min(k, cos.shape[1]), dim=1)
            person = person.gather(1, place)
        table[start : start + block] = person.cpu().numpy()
    return table


def long_tail(
    labels: np.ndarray,
    exponent: float | None = None,
    imbalance: float | None = None,
    shape: Shape = "power",
    order: Order = "size",
    seed: int = 0,
) -> tuple[np.ndarray, Report]:
    """Images taken away until few people have many and many have few. Everybody keeps one at least.

    Person number k keeps as many images as `tail_numbers` says, rounded down, or all where there are fewer; the number
    of person 0 is the most images that anybody has.

    Args:
        labels: (N,) of any numbers from 0.
        exponent, imbalance, shape: as `tail_numbers`.
        order: who is number 0, 1, ...: by "size", people with most images first, so that the tail is the least cut by
            what there is; or "drawn" with the seed, so that who is in the tail has nothing to do with the set.
        seed: of that, and of which images a person keeps. With one seed, a longer tail is part of a shorter one.

    Returns:
        The images left, (N',) int64, ascending; and the report: tail, order, exponent or None, people, images, kept,
        most and fewest images of a person that are left.

    Raises:
        UserError: there is no image, or as `tail_numbers`.
    """
    if order not in ("size", "drawn"):
        raise UserError(f"order: {order!r} is neither size nor drawn")
    present, counts = np.unique(labels, return_counts=True)
    if not len(present):
        raise UserError("there is no image to make a long tail of")
    wanted, exponent = tail_numbers(len(present), int(counts.max()), exponent, imbalance, shape)
    ranked = np.argsort(-counts, kind="stable") if order == "size" else _generator(seed, 1).permutation(len(present))
    limit = np.zeros(int(present[-1]) + 1, np.int64)
    # a hair more, for the rounding of powers must not cost an image
    limit[present[ranked]] = np.maximum(1, np.floor(wanted * (1 + 1e-9)))
    indices = np.flatnonzero(drawn_places(labels, seed) < limit[labels])
    left = np.minimum(counts, limit[present])
    report = {"tail": shape, "order": order, "exponent": exponent, "people": len(present), "images": len(labels)}
    return indices, report | {"kept": len(indices), "most": int(left.max()), "fewest": int(left.min())}


def tail_numbers(
    people: int,
    most: int,
    exponent: float | None = None,
    imbalance: float | None = None,
    shape: Shape = "power",
) -> tuple[np.ndarray, float | None]:
    """How many images person number k = 0 ... P - 1 has in a long tail, before rounding.

    Args:
        people: P.
        most: of number 0.
        exponent: of "power"; 0 or more; or give imbalance.
        imbalance: what number 0 has, divided by what the last one has; 1 or more.
        shape: "power", most (k + 1)^(-exponent), a straight line where both axes are logarithmic, as numbers of images
            on the web tend to be; or "exponential", most imbalance^(-k / (P - 1)), the long tail that Cui et al. (2019)
            made of CIFAR.

    Returns:
        (P,) float64, and the exponent; None of "exponential".

    Raises:
        UserError: not exactly one of exponent and imbalance, or one that is out of range.
    """
    if shape not in ("power", "exponential"):
        raise UserError(f"shape: {shape!r} is neither power nor exponential")
    number = np.arange(people)
    if exponent is None and imbalance is not None:
        if not 1 <= imbalance < math.inf:
            raise UserError(f"imbalance: {imbalance} is not a number from 1; it is the most images by the fewest")
        if shape == "exponential":
            return most * float(imbalance) ** (-number / max(1, people - 1)), None
        exponent = math.log(imbalance) / math.log(people) if people > 1 else 0.0
    elif exponent is None or imbalance is not None or shape == "exponential":
        raise UserError(f"a long tail ({shape}) needs {'exponent or ' * (shape == 'power')}imbalance, and only that")
    if not 0 <= exponent < math.inf:
        raise UserError(f"exponent: {exponent} is not a number from 0")
    return most * (number + 1.0) ** -exponent, float(exponent)


def _report(noise: str, share: float, labels: np.ndarray, noisy: np.ndarray) -> Report:
    return {"noise": noise, "share": share, "images": len(labels), "changed": int((noisy != labels).sum())}


def _check_share(share: float) -> None:
    if not 0 <= share <= 1:
        raise UserError(f"share: {share} is not in 0..1")


def _generator(seed: int, purpose: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed % (1 << 64), spawn_key=(2, purpose))))
