"""Draw the project's banner: unit features of six classes on the sphere, and the name in positive and negative.

    python scripts/draw_banner.py assets/negative_contrast.png

The left half is light on dark, the right half its negative, so that it stands on light pages and on dark ones.
"""

import sys

import cv2
import numpy as np

WIDTH, HEIGHT = 1200, 300
FINE = 3  # drawn this many times larger, then averaged down: smooth edges
RADIUS, CORNER = 122, 22
DARK, LIGHT = (22, 24, 34), (246, 245, 241)  # red, green, blue
COLOURS = [(232, 93, 58), (46, 134, 193), (240, 165, 0), (39, 164, 107), (150, 92, 222), (226, 70, 122)]
SPREAD = 0.1  # standard deviation of a class, radians
POINTS = 26

SPACING = 0.47  # between letters, of their height

# Letters as strokes, 1 high: a list of points, or (centre, half axes, first and last degree) of an arc.
LETTERS: dict[str, list] = {
    "N": [[(0, 1), (0, 0), (0.72, 1), (0.72, 0)]],
    "E": [[(0.66, 0), (0, 0), (0, 1), (0.66, 1)], [(0, 0.5), (0.56, 0.5)]],
    "G": [((0.39, 0.5), (0.39, 0.5), 45, 318), [(0.44, 0.55), (0.75, 0.55), (0.75, 0.8), (0.666, 0.854)]],
    "A": [[(-0.04, 1), (0.36, 0), (0.76, 1)], [(0.11, 0.66), (0.61, 0.66)]],
    "T": [[(-0.02, 0), (0.74, 0)], [(0.36, 0), (0.36, 1)]],
    "I": [[(0.36, 0), (0.36, 1)]],
    "V": [[(-0.04, 0), (0.36, 1), (0.76, 0)]],
    "C": [((0.39, 0.5), (0.39, 0.5), 48, 312)],
    "O": [((0.36, 0.5), (0.42, 0.5), 0, 360)],
    "R": [[(0, 1), (0, 0), (0.38, 0)], ((0.38, 0.27), (0.29, 0.27), -90, 90), [(0.38, 0.54), (0, 0.54)],
          [(0.36, 0.54), (0.7, 1)]],
    "S": [((0.36, 0.26), (0.3, 0.26), 90, 325), ((0.36, 0.76), (0.33, 0.24), -90, 145)],
}  # fmt: skip


def stroke_points(stroke: list | tuple) -> np.ndarray:
    """(P, 2) points of a stroke of a letter."""
    if isinstance(stroke, list):
        return np.array(stroke, float)
    centre, axes, first, last = stroke
    angle = np.radians(np.linspace(first, last, 60))
    return np.stack([np.cos(angle), np.sin(angle)], 1) * axes + centre


def draw_word(image: np.ndarray, word: str, centre: float, size: float, colour: tuple[int, int, int]) -> None:
    """Draw a word in capitals, `size` pixels high, its middle at x = `centre`, halfway down the image."""
    letters = [[stroke_points(stroke) for stroke in LETTERS[letter]] for letter in word]
    lefts = [min(points[:, 0].min() for points in letter) for letter in letters]
    rights = [max(points[:, 0].max() for points in letter) for letter in letters]
    widths = np.subtract(rights, lefts)
    left = centre / size - (widths.sum() + SPACING * (len(word) - 1)) / 2
    for letter, offset, width in zip(letters, lefts, widths, strict=True):
        for points in letter:
            place = (points + (left - offset, -0.5)) * size + (0, HEIGHT / 2)
            whole = np.round(place * FINE).astype(np.int32)
            cv2.polylines(image, [whole], False, colour, round(0.115 * size * FINE), cv2.LINE_AA)
        left += width + SPACING


def turned(points: np.ndarray) -> np.ndarray:
    """(..., 3) points on the unit sphere as the viewer, on the z axis, sees them: the pole leans forward and aside."""
    lean, roll = np.radians(24), np.radians(-16)
    about_x = np.array([[1, 0, 0], [0, np.cos(lean), -np.sin(lean)], [0, np.sin(lean), np.cos(lean)]])
    about_z = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return points @ (about_z @ about_x).T


def grid() -> list[np.ndarray]:
    """Meridians and parallels, each (P, 3)."""
    turn = np.radians(np.linspace(0, 360, 361))
    lines = []
    for longitude in np.radians(np.arange(0, 180, 20)):
        lines.append(np.stack([np.sin(turn) * np.cos(longitude), np.cos(turn), np.sin(turn) * np.sin(longitude)], 1))
    for latitude in np.radians(np.arange(-60, 61, 20)):
        ring = np.cos(latitude)
        lines.append(np.stack([ring * np.cos(turn), np.full_like(turn, np.sin(latitude)), ring * np.sin(turn)], 1))
    return [turned(line) for line in lines]


def pixels(points: np.ndarray) -> np.ndarray:
    """Seen points (..., 3) to fine pixels."""
    return np.round((points[..., :2] * (RADIUS, -RADIUS) + (WIDTH / 2, HEIGHT / 2)) * FINE).astype(np.int32)


def mixed(colour: tuple[int, int, int], ground: tuple[int, int, int], share: float) -> tuple[int, ...]:
    return tuple(round(share * a + (1 - share) * b) for a, b in zip(colour, ground, strict=True))


def draw_sphere(image: np.ndarray, ink: tuple[int, int, int], ground: tuple[int, int, int]) -> None:
    """The unit sphere with its six classes: what lies behind is fainter."""
    lines = grid()
    for front, share in ((False, 0.13), (True, 0.4)):
        for line in lines:
            seen = (line[:, 2] >= 0) == front
            for start, end, shown in zip(pixels(line[:-1]), pixels(line[1:]), seen[:-1] & seen[1:], strict=True):
                if shown:
                    cv2.line(image, start.tolist(), end.tolist(), mixed(ink, ground, share), FINE, cv2.LINE_AA)
        if not front:
            draw_classes(image, ground, behind=True)
    centre = (WIDTH * FINE // 2, HEIGHT * FINE // 2)
    cv2.circle(image, centre, RADIUS * FINE, mixed(ink, ground, 0.85), 2 * FINE, cv2.LINE_AA)
    draw_classes(image, ground, behind=False)


def draw_classes(image: np.ndarray, ground: tuple[int, int, int], behind: bool) -> None:
    """The features of the classes, and the vector of each class from the middle of the sphere."""
    random = np.random.default_rng(5)
    directions = np.array(
        [
            (-0.6, 0.5, 0.6),
            (0.5, 0.6, 0.6),
            (-0.45, -0.5, 0.74),
            (0.62, -0.35, 0.7),
            (-0.8, -0.05, -0.5),
            (0.7, 0.1, -0.6),
        ]
    )
    middle = pixels(np.zeros(3)).tolist()
    for direction, colour in zip(directions, COLOURS, strict=True):
        direction = direction / np.linalg.norm(direction)
        features = direction + SPREAD * random.standard_normal((POINTS, 3))
        features /= np.linalg.norm(features, axis=1, keepdims=True)
        if (direction[2] < 0) != behind:
            continue
        share = 0.55 if behind else 1.0
        shade = mixed(colour, ground, share)
        cv2.line(image, middle, pixels(direction).tolist(), shade, round(1.6 * FINE), cv2.LINE_AA)
        for x, y in pixels(features):
            cv2.circle(image, (int(x), int(y)), round((2.6 if behind else 3.6) * FINE), shade, -1, cv2.LINE_AA)


def banner() -> np.ndarray:
    """(HEIGHT, WIDTH, 4) uint8: red, green, blue and opacity."""
    size = (HEIGHT * FINE, WIDTH * FINE, 3)
    positive = np.full(size, DARK, np.uint8)
    negative = np.full(size, LIGHT, np.uint8)
    for image, ink, ground in ((positive, LIGHT, DARK), (negative, DARK, LIGHT)):
        draw_sphere(image, ink, ground)
    draw_word(positive, "NEGATIVE", (WIDTH / 2 - RADIUS) / 2 + 4, 43, LIGHT)
    draw_word(negative, "CONTRAST", WIDTH - (WIDTH / 2 - RADIUS) / 2 - 4, 43, DARK)
    half = WIDTH * FINE // 2
    colours = np.concatenate([positive[:, :half], negative[:, half:]], axis=1)
    opacity = np.zeros(size[:2], np.uint8)
    corner, (bottom, right) = CORNER * FINE, (size[0] - 1, size[1] - 1)
    cv2.rectangle(opacity, (corner, 0), (right - corner, bottom), 255, -1)
    cv2.rectangle(opacity, (0, corner), (right, bottom - corner), 255, -1)
    for x in (corner, right - corner):
        for y in (corner, bottom - corner):
            cv2.circle(opacity, (x, y), corner, 255, -1)
    return cv2.resize(np.dstack([colours, opacity]), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)


def main(path: str) -> None:
    """Write the banner as PNG."""
    bgra = cv2.cvtColor(banner(), cv2.COLOR_RGBA2BGRA)
    if not cv2.imwrite(path, bgra, [cv2.IMWRITE_PNG_COMPRESSION, 9]):
        sys.exit(f"{path}: cannot be written")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
