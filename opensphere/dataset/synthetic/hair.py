"""The hair on a head, painted as locks that follow a field between two curves."""

from dataclasses import dataclass

import numpy as np

from opensphere.dataset.synthetic.canvas import Canvas, curve, mirrored
from opensphere.dataset.synthetic.person import Person


@dataclass(frozen=True)
class Style:
    """How a kind of hair grows: what the numbers of a person are applied to. Lengths in face units."""

    thickness: float  # above the skull
    side: float  # where the hair beside the face ends, y
    length: float = 0.0  # of the hair behind the head, below the ears' height
    comb: float = 0.3  # how far locks run along the head (and not up and back)
    fringe: float = 0.0  # how far the front hangs over the forehead
    curl: float = 0.0  # radius of curls; 0 for locks
    recede: float = 0.0  # how far the temples have gone back
    locks: int = 150


STYLES = {
    "receding": Style(2.0, 2, comb=0.25, recede=1.0, locks=80),
    "buzz": Style(1.0, 3, comb=0.05, locks=60),
    "short": Style(4.5, 5, comb=0.15),
    "side": Style(6.5, 4, comb=0.5),
    "curly": Style(8.0, 6, curl=2.2, fringe=1.5, locks=220),
    "afro": Style(17.0, 10, curl=1.6, locks=320),
    "fringe": Style(5.5, 12, length=12, comb=0.1, fringe=9.0),
    "bob": Style(7.0, 26, length=26, comb=0.4),
    "long": Style(5.5, 40, length=62, comb=0.35),
    "wavy": Style(7.5, 34, length=52, comb=0.35),
    "back": Style(3.0, -6, comb=0.0),
}
_SHADES = (0.72, 0.86, 0.98, 1.1, 1.26)  # of neighbouring locks


def paint_behind(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    """The hair that hangs behind head and neck, for those who have it."""
    style = STYLES.get(person.hair_style)
    if style is None or style.length == 0:
        return
    p = person
    end = 8 + style.length * (0.55 + 0.6 * p.hair_length)
    wide = p.cheek + style.thickness * p.hair_volume + 2
    low = wide * (1.0 + 0.1 * p.hair_wave)
    top, side = [(0, p.crown_y - 2), (wide * 0.75, p.crown_y + 6)], [(wide, -20), (wide + 1, 5)]
    right = curve([*top, *side, (low, end - 6), (low * 0.82, end)])
    wave = (1.6 if p.hair_style == "wavy" else 0.4) * np.sin(right[:, 1] * 0.28 + 6 * p.hair_wave)
    right[:, 0] += wave * (right[:, 1] > -10)
    canvas.fill(0.62 * p.hair, mirrored(right))
    start = rng.uniform(-0.98, 0.98, style.locks)
    along = np.linspace(0, 1, 7)
    y = -20 + (end + 22 + 4 * rng.random((style.locks, 1))) * along
    sway = 1.5 * np.sin(y * 0.28 + 6 * p.hair_wave) * (0.3 + (p.hair_style == "wavy"))
    x = start[:, None] * wide * (1 + 0.06 * along) + sway
    strokes(canvas, 0.72 * p.hair, np.stack([x, y], 2), 0.7)


def paint_front(canvas: Canvas, person: Person, rng: np.random.Generator) -> None:
    """The hair on top of the head and beside the face."""
    style = STYLES.get(person.hair_style)
    if style is None:
        return
    inner, outer = _hairline(person, style), _crown(person, style, rng)
    region = np.concatenate([inner, outer[::-1]])
    paths = _curls(inner, outer, style, rng) if style.curl else _locks(inner, outer, person, style, rng)
    if person.hair_style == "buzz":  # the scalp shows through
        canvas.fill_softly(0.72 * person.hair, region, 0.7, 1.4)
        strokes(canvas, 0.6 * person.hair + 0.3 * person.skin, paths, 0.8, spread=0.35)
    else:
        canvas.fill(0.74 * person.hair, region)
        strokes(canvas, person.hair, paths, 0.6, spread=0.75 if style.curl else 1.0)


def _hairline(p: Person, style: Style) -> np.ndarray:
    """From the left sideburn over the forehead to the right one, (N, 2)."""
    top = p.hairline_y + style.fringe * 1.5 - 5 * style.recede
    peak = max(p.hair_peak, 0) + 3.5 * style.recede
    temple = p.temple - 1.5
    right = [
        (0, top + peak),
        (temple * 0.35, top - 0.5 - style.recede),
        (temple * 0.67, top + 2 - 2.5 * style.recede),
        (temple * 0.9, top + 10 + 0.4 * style.fringe),
        (temple + 0.3, -8),
        (p.cheek - 1.2, style.side),
    ]
    if style.side > 20:  # a curtain beside the cheek
        right[-1] = (p.cheek + 1.5, 8)
        right.append((p.jaw + 6, style.side))
    points = mirrored(right)
    return even(np.roll(points, len(right) - 1, axis=0))


def _crown(p: Person, style: Style, rng: np.random.Generator) -> np.ndarray:
    """The outer edge, over the same range of directions as `_hairline`, (N, 2); rough where hair is curly."""
    thick = style.thickness * p.hair_volume
    wide = p.temple + 0.75 * thick
    side = p.cheek + 0.45 * thick + 0.6
    right = [
        (0, p.crown_y - thick),
        (wide * 0.52, p.crown_y - 0.82 * thick + 4),
        (wide * 0.86, p.crown_y + 17 - 0.4 * thick),
        (wide + 0.5, -14),
        (side, style.side * 0.4),
        (side - 0.5, style.side),
    ]
    if style.side > 20:
        right[-2:] = [(side + 2, 6), (side + 3, style.side * 0.7), (p.jaw + 9, style.side + 2)]
    points = mirrored(right)
    edge = even(np.roll(points, len(right) - 1, axis=0))
    if style.fringe == 0 and not style.curl:  # more hair on one side of the part
        edge[:, 1] -= 0.16 * thick * np.sign(0.5 - p.hair_part) * np.sin(np.pi * edge[:, 0] / wide)
    rough = 1.6 if style.curl else 0.5
    noise = rng.standard_normal(len(edge) + 2) * rough
    return edge + (0.25 * noise[:-2] + 0.5 * noise[1:-1] + 0.25 * noise[2:])[:, None] * _outward(edge)


def _outward(edge: np.ndarray) -> np.ndarray:
    away = edge - (0.0, -8.0)
    return away / np.linalg.norm(away, axis=1, keepdims=True)


def even(points: np.ndarray, count: int = 48) -> np.ndarray:
    """The smooth curve through `points`, resampled to `count` places at equal distances."""
    path = curve(points)
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    place = np.linspace(0, length[-1], count)
    return np.stack([np.interp(place, length, path[:, 0]), np.interp(place, length, path[:, 1])], 1)


def between(inner: np.ndarray, outer: np.ndarray, t: np.ndarray, s: np.ndarray) -> np.ndarray:
    """Points of the field: t in [0, 1] along the two curves, s from the inner (0) to the outer one (1)."""
    place = np.clip(t, 0, 1) * (len(inner) - 1)
    low = np.minimum(place.astype(int), len(inner) - 2)
    part = (place - low)[..., None]
    near = inner[low] * (1 - part) + inner[low + 1] * part
    far = outer[low] * (1 - part) + outer[low + 1] * part
    return near + s[..., None] * (far - near)


def _locks(inner: np.ndarray, outer: np.ndarray, p: Person, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Locks (N, 6, 2) that leave the part to both sides and rise from the hairline, or hang into the forehead."""
    count = style.locks
    t, s = rng.random((count, 1)), rng.random((count, 1))
    along = np.linspace(0, 1, 6)
    away = np.where(t > p.hair_part, 1.0, -1.0)
    top = np.exp(-(((t - 0.5) / 0.3) ** 2))
    run = away * style.comb * (0.25 + 0.2 * rng.random((count, 1))) * top
    if style.side > 20:
        run = away * 0.22
    rise = (-0.35 if style.fringe else 0.45) * (0.6 + 0.8 * rng.random((count, 1)))
    s_path = s + rise * (along - 0.4) * (1 - 0.6 * style.comb) + 0.05 * np.sin(9 * along + 6 * s) * (0.4 + p.hair_wave)
    low = -0.16 if style.fringe else -0.05
    return between(inner, outer, t + run * along, np.clip(s_path, low, 1.04))


def _curls(inner: np.ndarray, outer: np.ndarray, style: Style, rng: np.random.Generator) -> np.ndarray:
    """Curls (N, 7, 2): three quarters of a ring each."""
    count = style.locks
    centre = between(inner, outer, rng.random(count), rng.random(count) * 1.05)
    angle = rng.random((count, 1)) * 6.28 + np.linspace(0, 4.7, 7)
    radius = style.curl * (0.6 + 0.7 * rng.random((count, 1)))
    return centre[:, None] + np.stack([radius * np.cos(angle), radius * np.sin(angle)], 2)


def strokes(canvas: Canvas, colour: np.ndarray, paths: np.ndarray, width: float, spread: float = 1.0) -> None:
    """Paths (N, P, 2) in the five shades of one colour."""
    for number, shade in enumerate(_SHADES):
        tone = 1 + spread * (shade - 1)
        canvas.lines(np.minimum(colour * tone + 6 * spread * (shade > 1.1), 250), width, paths[number :: len(_SHADES)])
