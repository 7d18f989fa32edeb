"""A sheet to paint on, in face units: filled outlines, strokes and dots, all with smooth edges."""

from collections.abc import Iterable, Sequence
from functools import lru_cache

import cv2
import numpy as np

LEFT, TOP, WIDTH, HEIGHT = -74.0, -80.0, 148.0, 176.0  # of the sheet, in face units
_FRACTION = 4  # OpenCV takes corners in 1/16 pixel
_ONE = 1 << _FRACTION


class Canvas:
    """A sheet of `k` pixels a face unit. Colours are premultiplied RGBA, so painting on emptiness gives right edges."""

    def __init__(self, k: float, image: np.ndarray | None = None) -> None:
        self.k = k
        shape = (round(HEIGHT * k), round(WIDTH * k), 4)
        self.image = np.zeros(shape, np.uint8) if image is None else image
        self._origin = np.array([LEFT + 0.5 / k, TOP + 0.5 / k])

    def copy(self) -> "Canvas":
        return Canvas(self.k, self.image.copy())

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """Face units (..., 2) to fixed-point pixels, int32."""
        return np.rint((points - self._origin) * (self.k * _ONE)).astype(np.int32)

    def fill(self, colour: np.ndarray, *outlines: np.ndarray) -> None:
        """Fill closed outlines, each (N, 2)."""
        self.fill_pixels(colour, [self.pixels(outline) for outline in outlines])

    def fill_pixels(self, colour: np.ndarray, outlines: list[np.ndarray]) -> None:
        """`fill` for outlines that went through `pixels` already."""
        cv2.fillPoly(self.image, outlines, _rgba(colour), cv2.LINE_AA, _FRACTION)

    def fill_softly(self, colour: np.ndarray, outline: np.ndarray, strength: float, blur: float) -> None:
        """Tint what is painted already within `outline` (N, 2), with an edge `blur` face units wide."""
        mask = np.zeros(self.image.shape[:2], np.uint8)
        cv2.fillPoly(mask, [self.pixels(outline)], round(255 * strength), cv2.LINE_AA, _FRACTION)
        soft = cv2.GaussianBlur(mask, (0, 0), blur * self.k)
        left, top, width, height = cv2.boundingRect(soft)
        part = self.image[top : top + height, left : left + width]
        weight = soft[top : top + height, left : left + width, None].astype(np.float32) / 255
        paint = colour.astype(np.float32) * (part[..., 3:] / np.float32(255))
        part[..., :3] = np.rint(part[..., :3] * (1 - weight) + np.clip(paint, 0, 255) * weight)

    def lines(self, colour: np.ndarray, width: float, paths: Iterable[np.ndarray]) -> None:
        """Draw open paths, each (N, 2), `width` face units wide but at least a pixel."""
        self.line_pixels(colour, width, [self.pixels(path) for path in paths])

    def line_pixels(self, colour: np.ndarray, width: float, paths: list[np.ndarray]) -> None:
        """`lines` for paths that went through `pixels` already."""
        cv2.polylines(self.image, paths, False, _rgba(colour), max(1, round(width * self.k)), cv2.LINE_AA, _FRACTION)

    def dots(self, colour: np.ndarray, centres: np.ndarray, radius: float) -> None:
        """Fill discs of one radius at `centres` (N, 2)."""
        size, rgba = max(1, round(radius * self.k * _ONE)), _rgba(colour)
        for centre in self.pixels(centres).tolist():
            cv2.circle(self.image, centre, size, rgba, -1, cv2.LINE_AA, _FRACTION)

    def shade(self, factor: np.ndarray) -> None:
        """Multiply the colours by `factor` (h, w, 3) around 1, stretched over the sheet; what is empty stays empty."""
        height, width = self.image.shape[:2]
        levels = np.full((*factor.shape[:2], 4), 128, np.uint8)
        levels[..., :3] = np.clip(factor * 128, 0, 255)
        whole = cv2.resize(levels, (width, height), interpolation=cv2.INTER_CUBIC)
        cv2.multiply(self.image, whole, dst=self.image, scale=1 / 128)


def curve(points: Sequence[Sequence[float]] | np.ndarray, closed: bool = False, per: int = 6) -> np.ndarray:
    """A smooth curve through `points` (..., N, 2): a Catmull-Rom spline, `per` pieces between neighbours."""
    points = np.asarray(points, np.float64)
    return _spline(points.shape[-2], per, closed) @ points


def mirrored(points: Sequence[Sequence[float]] | np.ndarray) -> np.ndarray:
    """`points` of the right half, top to bottom, followed by their mirror image, bottom to top."""
    points = np.asarray(points, np.float64)
    other = points[::-1] * (-1.0, 1.0)
    return np.concatenate([points, other[np.abs(other[:, 0]) > 1e-6]])


@lru_cache(maxsize=64)
def _spline(count: int, per: int, closed: bool) -> np.ndarray:
    """The matrix (samples, count) that takes control points to points of the curve."""
    pieces = count if closed else count - 1
    t = np.arange(per)[:, None] / per
    weights = np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3]) / 2
    matrix = np.zeros((pieces * per + (not closed), count))
    for piece in range(pieces):
        for neighbour in range(4):
            index = piece + neighbour - 1
            index = index % count if closed else min(max(index, 0), count - 1)
            matrix[piece * per : (piece + 1) * per, index] += weights[:, neighbour]
    if not closed:
        matrix[-1, -1] = 1.0
    return matrix


def _rgba(colour: np.ndarray) -> tuple[float, float, float, float]:
    return (*colour.tolist(), 255.0)  # OpenCV clips
