"""The parts of a face that move: eyes and mouth, painted anew for each picture; and glasses, which come and go."""

import math

import numpy as np

from opensphere.dataset.synthetic.canvas import Canvas, curve
from opensphere.dataset.synthetic.person import Person
from opensphere.dataset.synthetic.shot import Shot

_T = np.linspace(-1, 1, 11)  # along an eye, inner to outer corner
_UPPER = (1 - np.abs(_T + 0.12) ** 2.2 / 1.29).clip(0)  # the upper lid peaks nearer to the nose, the lower lid farther
_LOWER = (1 - np.abs(_T - 0.12) ** 2.2 / 1.29).clip(0)
_CREASE, _BAG = np.sqrt(_UPPER), 2.6 * np.sqrt(_LOWER) + 0.3
_MIRROR = np.array([-1.0, 1.0])
_WHITE = np.array([226.0, 221.0, 217.0])
_TEETH = np.array([226.0, 220.0, 208.0])
_THROAT = np.array([58.0, 22.0, 24.0])
_PUPIL, _GLINT = np.array([10.0, 9.0, 9.0]), np.array([250.0, 250.0, 248.0])
_FRAMES = np.array([[22.0, 21, 23], [70, 45, 30], [120, 118, 115], [90, 36, 38]])


def paint_eyes(canvas: Canvas, person: Person, shot: Shot) -> None:
    """Whites, irises, then the lids over them, so that no iris leaves its eye."""
    p = person
    squint = max(shot.squint, 0.0) + 0.12 * max(shot.smile, 0.0)
    upper = p.eye_upper * max((1 - shot.blink) * (1 - squint), 0.05)
    lower = p.eye_lower * max(1 - squint, 0.2)
    tilt = -math.tan(p.eye_tilt) * p.eye_width * _T
    floor_y = tilt + lower * _LOWER
    edges = np.empty((2, 4, 11, 2))  # eyes x (upper lid, floor, crease, bag) x points
    edges[0, :, :, 0] = p.eye_x + p.eye_width * _T
    edges[0, 0, :, 1] = tilt - upper * _UPPER
    edges[0, 1, :, 1] = floor_y
    edges[0, 2, :, 1] = tilt - (p.eye_upper + p.lid) * _CREASE - 0.4
    edges[0, 3, :, 1] = floor_y + _BAG
    edges[1] = edges[0] * _MIRROR
    places = canvas.pixels(edges)
    lid, floor, crease, bag = ([places[0, edge], places[1, edge]] for edge in range(4))
    canvas.fill_pixels(_WHITE * (0.92 - 0.08 * p.age), _rings(lid, floor))
    if shot.blink < 0.8:
        _irises(canvas, p, shot)
    canvas.fill_pixels(p.skin * 0.9, _rings(lid, crease))
    canvas.fill_pixels(p.skin * 0.93, _rings(floor, bag))
    canvas.line_pixels(0.72 * p.skin, 0.6, crease)
    canvas.line_pixels(0.2 * p.skin + 0.3 * p.brow_colour, 1.0, lid)
    canvas.line_pixels(0.62 * p.skin, 0.5, floor)


def _rings(there: list[np.ndarray], back: list[np.ndarray]) -> list[np.ndarray]:
    return [np.concatenate([a, b[::-1]]) for a, b in zip(there, back, strict=True)]


def _irises(canvas: Canvas, p: Person, shot: Shot) -> None:
    gaze = (min(max(shot.gaze[0], -2.2), 2.2), shot.gaze[1] - 0.35)
    at = np.array([[p.eye_x + gaze[0], gaze[1]], [gaze[0] - p.eye_x, gaze[1]]])
    canvas.dots(0.45 * p.iris, at, p.iris_radius)
    canvas.dots(p.iris, at, 0.82 * p.iris_radius)
    canvas.dots(_PUPIL, at, 1.45)
    canvas.dots(_GLINT, at + (1.1 if shot.key[0] > 0 else -1.1, -1.1), 0.6)


def paint_mouth(canvas: Canvas, person: Person, shot: Shot) -> None:
    """Lips, and what shows between them."""
    p = person
    smile, gap = shot.smile, 1.0 * shot.jaw_drop + 0.55 * max(shot.smile - 0.55, 0.0)
    wide = p.mouth_width * (1 + 0.13 * smile - 0.12 * shot.jaw_drop)
    corner = p.mouth_y - 1.9 * smile - p.mouth_curve
    y = p.mouth_y + 0.3 * smile
    fall = corner - y
    thin = 1 - 0.12 * max(smile, 0.0)
    up, low = p.lip_upper * thin, p.lip_lower * thin
    base = [(0, y + low + 2.2 * gap), (0.35, y + 0.94 * low + 2 * gap), (0.72, y + 0.5 * low + gap + 0.4 * fall)]
    halves = [  # right half from the middle to the corner: x as a share of the width, then y
        [(0, y - up + p.lip_bow), (0.2, y - up - 0.3 * p.lip_bow), (0.6, y - 0.52 * up + 0.3 * fall), (1, corner)],
        [(0, y - 0.4 * gap + 0.4), (0.3, y - 0.4 * gap), (0.7, y - 0.2 * gap + 0.5 * fall), (1, corner)],
        [(0, y + 2.2 * gap + 0.4), (0.35, y + 2 * gap), (0.7, y + 1.1 * gap + 0.5 * fall), (1, corner)],
        [*base, (1, corner)],
    ]
    right = np.array(halves) * (wide, 1.0)
    edges = curve(np.concatenate([right[:, :0:-1] * _MIRROR, right], 1))
    top, under, rise, bottom = places = canvas.pixels(edges)
    if gap > 0.1:
        canvas.fill_pixels(_THROAT, [np.concatenate([under, rise[::-1]])])
        teeth = under[4:-4].copy()
        teeth[:, 1] += round(min(2.4, 1.8 * gap) * canvas.k * 16)
        canvas.fill_pixels(_TEETH, [np.concatenate([under[3:-3], teeth[::-1]])])
    canvas.fill_pixels(0.9 * p.lips, [np.concatenate([top, under[::-1]])])
    canvas.fill_pixels(p.lips, [np.concatenate([rise, bottom[::-1]])])
    canvas.line_pixels(0.45 * p.lips, 0.7, [under] if gap <= 0.1 else list(places[1:3]))
    shine = np.array([[-wide * 0.3, y + 0.55 * low + 2.1 * gap], [wide * 0.3, y + 0.55 * low + 2.1 * gap]])
    canvas.lines(1.1 * p.lips + 8, 0.8, [shine])


def paint_glasses(canvas: Canvas, person: Person, shot: Shot) -> None:
    """Thin, thick or dark glasses, in a shape and colour of the picture's own."""
    p = person
    a, b, c, d = shot.dice[:4].tolist()
    w, h, corners = 10.5 + 2.5 * a, 7.5 + 3 * b, 0.55 + 0.4 * c
    angle = np.linspace(0, 2 * np.pi, 25)
    ring = np.stack([np.cos(angle), np.sin(angle)], 1)
    ring = np.sign(ring) * np.abs(ring) ** corners * (w, h) + (p.eye_x + 0.6, 1.2)
    if shot.glasses == 3:
        canvas.fill(np.array([24.0, 22, 26]), ring, ring * _MIRROR)
    inner = p.eye_x + 0.6 - w
    bridge = curve([(-inner, 0), (0, -1.6), (inner, 0)])
    arm = np.array([(p.eye_x + w, -1.0), (p.cheek + 2, -2.0)])
    width = 0.8 if shot.glasses == 1 else 1.9
    canvas.lines(_FRAMES[int(4 * d)], width, [ring, ring * _MIRROR, bridge, arm, arm * _MIRROR])
