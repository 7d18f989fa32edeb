"""Brows and beard."""

import numpy as np

from opensphere.dataset.synthetic.canvas import Canvas, curve, mirrored
from opensphere.dataset.synthetic.hair import between, even, strokes
from opensphere.dataset.synthetic.person import Person

_MIRROR = np.array([-1.0, 1.0])


def paint_brows(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    """Two tapering brows and the hairs that roughen them."""
    p = person
    t = np.linspace(0, 1, 9)  # from the nose outwards
    x = p.brow_inner + p.brow_length * t
    arch = p.brow_arch * np.sin(np.pi * np.clip(t * 1.25 - 0.25, 0, 1))
    fall = 5.72 * np.clip(t - 0.6, 0, 1) ** 1.2
    middle = p.brow_y - arch - np.tan(p.brow_tilt) * (x - p.eye_x) + fall
    half = 0.5 * p.brow_thickness * np.interp(t, [0, 0.12, 0.55, 1], [0.55, 1, 0.95, 0.15])
    outline = np.concatenate([np.stack([x, middle - half], 1), np.stack([x, middle + half], 1)[::-1]])
    canvas.fill(0.72 * p.brow_colour + 0.26 * p.skin, outline, outline * _MIRROR)
    place = rng.integers(0, 8, 26)
    root = np.stack([x[place], middle[place] + half[place] * rng.uniform(-0.4, 1.0, 26)], 1)
    lean = np.stack([1.2 + 0.8 * rng.random(26), -half[place] * (0.7 + 0.6 * rng.random(26))], 1)
    hairs = np.stack([root, root + lean], 1)
    canvas.lines(p.brow_colour, 0.6, np.concatenate([hairs[:13], hairs[13:] * _MIRROR]))


def paint_beard(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    """Stubble, moustache, goatee or full beard, below where the lips will be."""
    colour = 0.85 * person.hair + 0.04 * person.skin
    if person.beard == "stubble":
        canvas.fill_softly(colour, np.concatenate(_cheeks_and_jaw(person, 0.0)), 0.18 + 0.25 * person.beard_length, 2.2)
    elif person.beard == "full":
        _full(canvas, person, colour, rng)
    elif person.beard == "goatee":
        _goatee(canvas, person, colour, rng)
    if person.beard in ("moustache", "goatee", "full"):
        _moustache(canvas, person, colour, rng)


def _cheeks_and_jaw(p: Person, drop: float) -> tuple[np.ndarray, np.ndarray]:
    """Where a beard begins, left to right, and where it ends `drop` below the jaw, right to left."""
    mouth = p.mouth_width + 3.0
    ear, cheek = (p.cheek - 1.6, 8), (p.jaw - 1, 24)
    upper = [ear, cheek, (mouth + 5, p.mouth_y - 7), (mouth, p.mouth_y + 2), (5, p.mouth_y + p.lip_lower + 3.4)]
    ear, cheek = (p.cheek - 0.3, 8), (p.cheek - 1.5, 20)
    chin = (p.chin + 3, p.chin_y - 2 + 0.5 * drop)
    lower = [ear, cheek, (p.jaw + 0.6, p.jaw_y), chin, (0, p.chin_y + 1.5 + drop)]
    return even(_to_both_sides(upper)), even(_to_both_sides(lower))[::-1]


def _to_both_sides(right: list[tuple[float, float]]) -> np.ndarray:
    """From the left ear to the right one through the given right half, ear first."""
    half = np.array(right)
    inwards = half[::-1]
    return np.concatenate([half * _MIRROR, inwards[np.abs(inwards[:, 0]) > 1e-6]])


def _full(canvas: Canvas, p: Person, colour: np.ndarray, rng: np.random.Generator) -> None:
    upper, lower = _cheeks_and_jaw(p, 6 * p.beard_length)
    canvas.fill_softly(colour, np.concatenate([upper, lower]), 0.85, 1.3)
    count, along = 170, np.arange(4)
    t, s = rng.random((count, 1)), rng.uniform(0.05, 1.0, (count, 1))
    t = t + 0.012 * rng.standard_normal((count, 1)) * along
    paths = between(upper, lower[::-1], t, np.minimum(s + 0.09 * along, 1.05))
    strokes(canvas, colour, paths, 0.6, spread=0.7)


def _goatee(canvas: Canvas, p: Person, colour: np.ndarray, rng: np.random.Generator) -> None:
    top, wide, count = p.mouth_y + p.lip_lower + 1.5, p.chin * 0.75, 60
    right = [(0, top), (wide * 0.7, top + 2.5), (wide, p.chin_y - 7), (wide * 0.6, p.chin_y), (0, p.chin_y + 2)]
    canvas.fill_softly(colour, curve(mirrored(right), closed=True), 0.85, 0.9)
    root = np.stack([rng.uniform(-0.85, 0.85, count) * wide, rng.uniform(top + 1, p.chin_y - 2, count)], 1)
    tip = root + np.stack([0.05 * root[:, 0], np.full(count, 3.0)], 1)
    strokes(canvas, colour, np.stack([root, tip], 1), 0.5, spread=0.7)


def _moustache(canvas: Canvas, p: Person, colour: np.ndarray, rng: np.random.Generator) -> None:
    top, low, count = p.nose_y + 3.6, p.mouth_y - p.lip_upper + 0.3, 60
    wide = min(p.mouth_width + 1.5, p.jaw - 6)
    right = [(0, top + 0.4), (wide * 0.5, top + 0.8), (wide, low + 3.0), (wide * 0.8, low + 2.6), (0, low + 0.6)]
    canvas.fill_softly(colour, curve(mirrored(right), closed=True), 0.8, 0.6)
    x = rng.uniform(-0.9, 0.9, count) * wide
    root = np.stack([x, top + 0.6 + rng.random(count) * 2 + 1.5 * (np.abs(x) / wide) ** 2], 1)
    tip = root + np.stack([0.3 * x, 0.6 * (low - top) * rng.uniform(0.6, 1.1, count)], 1)
    strokes(canvas, colour, np.stack([root, tip], 1), 0.5, spread=0.6)
