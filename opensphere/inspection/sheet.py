"""Contact sheets: rows of small pictures under a line of text."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from opensphere.inspection.people import plain_letters

MARGIN, LINE, GAP = 6, 18, 18  # pixels: around all, of a line of text, between groups of a row
LARGEST = 100_000_000  # pixels of a sheet
_NARROWEST = 640  # pixels, for the text
_INK, _PAPER, _FAINT = (40, 40, 40), 255, (225, 225, 225)


@dataclass(eq=False)
class Row:
    """A line of text, and below it groups of pictures with gaps between them.

    Attributes:
        text: shown in ASCII, the only letters that OpenCV draws.
        groups: pictures, (height, width, 3) uint8 RGB; None: one that cannot be read.
    """

    text: str
    groups: Sequence[Sequence[np.ndarray | None]]


def shape_of(rows: int, images: int, groups: int = 1, side: int = 112) -> tuple[int, int]:
    """Height and width of a sheet of rows of so many images, in so many groups."""
    width = 2 * MARGIN + images * (side + 2) + (groups - 1) * GAP
    return 2 * MARGIN + rows * (LINE + side + 4), max(width, _NARROWEST)


def draw(rows: Sequence[Row], side: int = 112) -> np.ndarray:
    """The sheet, (height, width, 3) uint8 RGB; each picture fits a square of `side` pixels and keeps its shape."""
    images = max((sum(len(group) for group in row.groups) for row in rows), default=0)
    groups = max((len(row.groups) for row in rows), default=1)
    sheet = np.full((*shape_of(len(rows), images, groups, side), 3), _PAPER, np.uint8)
    for number, row in enumerate(rows):
        top, left = MARGIN + number * (LINE + side + 4), MARGIN
        text = ascii_of(row.text)[: max(1, (sheet.shape[1] - 2 * MARGIN) // 7)]
        cv2.putText(sheet, text, (left, top + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
        for group in row.groups:
            for image in group:
                _place(sheet[top + LINE : top + LINE + side, left : left + side], image)
                left += side + 2
            left += GAP
    return sheet


def ascii_of(text: str) -> str:
    """The text in letters of ASCII: without accents, and a question mark for what has no such letter."""
    plain = unicodedata.normalize("NFKD", plain_letters(text))
    kept = "".join(character for character in plain if not unicodedata.combining(character))
    return "".join(character if " " <= character <= "~" else "?" for character in kept)


def _place(square: np.ndarray, image: np.ndarray | None) -> None:
    """Draw a picture into the middle of a square, or a cross where there is none."""
    side = len(square)
    if image is None:
        square[:] = _FAINT
        cv2.line(square, (0, 0), (side - 1, side - 1), _INK, 1, cv2.LINE_AA)
        cv2.line(square, (side - 1, 0), (0, side - 1), _INK, 1, cv2.LINE_AA)
        return
    scale = side / max(image.shape[:2])
    height, width = (max(1, round(length * scale)) for length in image.shape[:2])
    small = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = small
