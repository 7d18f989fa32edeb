"""What the names of people and the number of their images tell."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np

# letters that Unicode does not take apart
_LETTERS = {"ø": "o", "đ": "d", "ł": "l", "ß": "ss", "æ": "ae", "œ": "oe", "ı": "i", "ð": "d", "þ": "th", "ħ": "h"}
_CAPITALS = {low.upper(): plain.upper() for low, plain in _LETTERS.items() if low not in "ßı"}
_PLAIN = str.maketrans(_LETTERS | _CAPITALS)


def plain_letters(text: str) -> str:
    """A text in which letters such as ø and ß are the Latin ones that they are written as elsewhere."""
    return text.translate(_PLAIN)


def spelling(name: str) -> str:
    """A name without case, accents, spaces and punctuation: "Émile-Ångström" and "emile_angstrom" are one."""
    plain = unicodedata.normalize("NFKD", plain_letters(name.casefold()))
    return "".join(character for character in plain if character.isalnum()) or name


def is_number(name: str) -> bool:
    """Whether a name only counts: "0042", and with at most one letter of the alphabet "n000042" or "p7"."""
    return re.fullmatch(r"[a-z]?\d+", spelling(name)) is not None


def spelled_alike(names: Sequence[str]) -> np.ndarray:
    """Pairs of different names that are spelled alike, (P, 2) int64: each with the first of its kind."""
    first: dict[str, int] = {}
    pairs = []
    for label, name in enumerate(names):
        other = first.setdefault(spelling(name), label)
        if other != label:
            pairs.append((other, label))
    return np.array(pairs, np.int64).reshape(-1, 2)


def shared_names(left: Sequence[str], right: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Names that are in both sets, as pairs of labels, (P, 2) int64: names proper, and those that only count."""
    where = {spelling(name): label for label, name in enumerate(right)}
    proper: list[tuple[int, int]] = []
    counting: list[tuple[int, int]] = []
    for label, name in enumerate(left):
        other = where.get(spelling(name))
        if other is not None:
            (counting if is_number(name) else proper).append((label, other))
    return np.array(proper, np.int64).reshape(-1, 2), np.array(counting, np.int64).reshape(-1, 2)


def histogram(counts: np.ndarray) -> list[tuple[int, int, int]]:
    """How many people have how many images: (least, most, people) of the powers of two, ascending.

    From the first to the last that occurs.
    """
    counts = counts[counts > 0]
    if not len(counts):
        return []
    steps = np.ceil(np.log2(counts)).astype(np.int64)
    people = np.bincount(steps)
    first = int(steps.min())
    return [
        (1 if step == 0 else (1 << step - 1) + 1, 1 << step, int(people[step])) for step in range(first, len(people))
    ]
