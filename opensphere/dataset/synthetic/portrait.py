"""What is painted once for a person: the head without its moving parts, and its relief."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from opensphere.dataset.synthetic import relief
from opensphere.dataset.synthetic.beard import paint_beard, paint_brows
from opensphere.dataset.synthetic.canvas import Canvas, curve, mirrored
from opensphere.dataset.synthetic.hair import paint_behind, paint_front
from opensphere.dataset.synthetic.person import Person, draw_person

RESOLUTION = 1.25  # pixels of the sheet to one of the picture, so that turning a head does not blur it
_MIRROR = np.array([-1.0, 1.0])


@dataclass(frozen=True)
class Portrait:
    """A person ready to be photographed."""

    person: Person
    canvas: Canvas
    depth: np.ndarray  # (ROWS, COLUMNS) float32, in steps of the relief's grid
    normals: np.ndarray  # (3, ROWS * COLUMNS) float32


@lru_cache(maxsize=512)
def portrait(seed: int, person: int, scale: float, hair: bool, marks: bool) -> Portrait:
    """Paint person `person` of the world `seed`, `scale` picture pixels to a face unit; kept for the next picture."""
    p = draw_person(seed, person)
    oval, features = relief.heights(p)
    rng = np.random.Generator(np.random.PCG64(p.texture_seed))
    skin_rng, hair_rng, beard_rng, brow_rng = rng.spawn(4)
    canvas = Canvas(scale * RESOLUTION)
    if hair:
        paint_behind(canvas, p, hair_rng)
    _head(canvas, p)
    canvas.shade(relief.hollows(p, skin_rng))
    _lines_of_age(canvas, p)
    _nose(canvas, p)
    if marks:
        _marks(canvas, p)
    if hair:
        paint_beard(canvas, p, beard_rng)
    paint_brows(canvas, p, brow_rng)
    if hair:
        paint_front(canvas, p, hair_rng)
    return Portrait(p, canvas, (oval + 0.8 * features) / relief.STEP, relief.normals(oval, features))


def outline(p: Person) -> np.ndarray:
    """The edge of the head, closed, (N, 2)."""
    crown = [(0, p.crown_y), (0.455 * p.temple, p.crown_y + 3), (0.73 * p.temple, p.crown_y + 10)]
    side = [(0.895 * p.temple, p.crown_y + 19), (p.temple, -12), (p.cheek, 9), (0.45 * p.cheek + 0.55 * p.jaw, 25)]
    jaw = [(p.jaw, p.jaw_y), (0.52 * (p.jaw + p.chin), p.jaw_y + 0.55 * (p.chin_y - p.jaw_y))]
    chin = [(p.chin, p.chin_y - 3.2), (p.chin * 0.45, p.chin_y - 0.2), (0, p.chin_y)]
    right = crown + side + jaw + chin
    return curve(mirrored(right), closed=True)


def _head(canvas: Canvas, p: Person) -> None:
    """Neck, ears and the bare head."""
    low, wide = p.chin_y, 0.55 * p.jaw + 5
    neck = curve([(wide, 30), (wide, low + 6), (wide + 3, low + 16), (wide * 0.5, low + 26), (0, low + 29)])
    canvas.fill(0.66 * p.skin, mirrored(neck))  # in the shadow of the chin
    size, edge = p.ear_size, p.cheek - 1.5
    rim = edge + p.ear_out
    front, back = [(edge - 2, -2), (rim, -3.5), (rim + 1.6, 3)], [(rim, 0.75 * size), (edge + 1, size * 1.55)]
    ear = curve([*front, *back, (edge - 3, size)], closed=True)
    canvas.fill(0.88 * p.skin, ear, ear * _MIRROR)
    inner = curve([(edge + 0.8, 0.5), (rim - 0.6, -1), (rim - 0.2, 4), (edge + 1, size)])
    canvas.lines(0.7 * p.skin, 0.8, [inner, inner * _MIRROR])
    canvas.fill(p.skin, outline(p))


def _lines_of_age(canvas: Canvas, p: Person) -> None:
    """Across the forehead, and from nose to mouth."""
    if p.age < 0.45:
        return
    tone = (1 - 0.16 * (p.age - 0.3)) * p.skin
    x = np.linspace(-17, 17, 9)
    for y in (-20.0, -25.0):
        canvas.lines(tone, 0.7, [np.stack([x, y + 1.2 * np.cos(x / 8)], 1)])
    wing = p.nose_width
    fold = curve([(wing + 2.5, p.nose_y - 2), (wing + 6, p.nose_y + 4), (p.mouth_width + 3, p.mouth_y - 1)])
    canvas.lines(tone * 0.95, 0.8, [fold, fold * _MIRROR])


def _nose(canvas: Canvas, p: Person) -> None:
    """Wings, base and nostrils; the ridge is the relief's."""
    w, y = p.nose_width, p.nose_y
    wing = curve([(w - 0.9, y - 5.5), (w + 0.3, y - 2.5), (w - 0.6, y + 0.6), (w - 2.6, y + 1.0)])
    canvas.lines(0.78 * p.skin, 0.8, [wing, wing * _MIRROR])
    base = curve([(-w * 0.45, y + 1.1), (-1.6, y + 2.0), (1.6, y + 2.0), (w * 0.45, y + 1.1)])
    canvas.lines(0.8 * p.skin, 0.7, [base])
    hole = curve([(w * 0.28, y + 0.7), (w * 0.48, y - 0.7), (w * 0.72, y + 0.1), (w * 0.5, y + 1.1)], closed=True)
    canvas.fill(0.34 * p.skin, hole, hole * _MIRROR)


def _marks(canvas: Canvas, p: Person) -> None:
    """Moles and freckles."""
    for across, y, radius, dark in np.concatenate([p.freckles, p.marks]):
        canvas.dots((1 - dark) * p.skin * (1, 0.94, 0.9), np.array([[across * p.half_width(y), y]]), radius)
