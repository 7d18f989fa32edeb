"""What a check can find, and how grave each is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SEVERITIES = ("error", "warning", "note")

# name: (severity, what was counted)
CATALOGUE = {
    "missing": ("error", "images that their list or archive names, but does not give"),
    "empty": ("error", "images of no bytes"),
    "truncated": ("error", "images that are cut short"),
    "unreadable": ("error", "files that are no image, or one that cannot be decoded"),
    "damaged": ("error", "images that decode, but with parts missing or made up"),
    "few-people": ("error", "fewer than two people: nothing to tell apart"),
    "two-people": ("error", "files that are there under two people"),
    "two-people-look": ("error", "pictures that are there under two people, saved anew"),
    "overlap-name": ("error", "people who are in the other set too, by name"),
    "overlap-file": ("error", "files that are in the other set too"),
    "overlap-look": ("error", "pictures that are in the other set too, saved anew"),
    "doubtful": ("warning", "JPEG files with stray bytes: a part of the picture may be wrong"),
    "blank": ("warning", "images of a single tone"),
    "tiny": ("warning", "images that are very small"),
    "duplicate": ("warning", "files that are there more than once under one person"),
    "spelling": ("warning", "people whose names differ only in case, accents or punctuation"),
    "overlap-number": ("warning", "names that are numbers and in the other set too: people, or mere numbering"),
    "same-person": ("warning", "pairs of names that may be one person, by faces"),
    "mixed-person": ("warning", "names that may be two people, by faces"),
    "wrong-person": ("warning", "images that look like somebody else, by faces"),
    "overlap-face": ("warning", "people who may be in the other set too, by faces"),
    "look": ("note", "pictures that are there more than once under one person, saved anew"),
    "grey": ("note", "images without colour"),
    "single": ("note", "people with a single image"),
    "sizes": ("note", "different sizes of images"),
    "no-people": ("note", "images of which nothing says whom they show"),
    "weak-model": ("note", "the model tells these people apart too poorly to say more"),
    "search-cut": ("note", "the search for pictures saved anew was ended early: too many look alike"),
}


@dataclass(eq=False)
class Finding:
    """One kind of thing that was found.

    Attributes:
        name: one of `CATALOGUE`.
        count: how many.
        images: (K,) int64, images of the set that are concerned; or (K, 2), pairs of such.
        people: (K,) or (K, 2) likewise.
        across: the second of each pair is of the other set.
        scores: (K,) of images or people, where a threshold chose them.
        resembles: (K,) int64, the person whom an image resembles.
        shown: groups of images for a contact sheet, of each of the first.
        remark: what to say beside the text of the catalogue.
    """

    name: str
    count: int
    images: np.ndarray | None = None
    people: np.ndarray | None = None
    across: bool = False
    scores: np.ndarray | None = None
    resembles: np.ndarray | None = None
    shown: list[list[np.ndarray]] | None = None
    remark: str = ""

    @property
    def severity(self) -> str:
        return CATALOGUE[self.name][0]

    @property
    def text(self) -> str:
        return CATALOGUE[self.name][1] + (f" ({self.remark})" if self.remark else "")


def ordered(findings: Sequence[Finding]) -> list[Finding]:
    """Those that found something, the gravest first, in the catalogue's order."""
    names = list(CATALOGUE)
    return sorted((finding for finding in findings if finding.count), key=lambda finding: names.index(finding.name))


def unfit(findings: Sequence[Finding], allowed: Sequence[str] = ()) -> list[Finding]:
    """The errors that are not allowed."""
    return [f for f in findings if f.count and f.severity == "error" and f.name not in allowed]
