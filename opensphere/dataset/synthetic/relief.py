"""The third dimension of a face: heights on a coarse grid, and how they shade."""

import numpy as np

from opensphere.dataset.synthetic.canvas import HEIGHT, LEFT, TOP, WIDTH
from opensphere.dataset.synthetic.person import Person

STEP = 2.5  # face units between grid points
COLUMNS, ROWS = int(WIDTH / STEP), int(HEIGHT / STEP)
X = (LEFT + STEP * (np.arange(COLUMNS) + 0.5)).astype(np.float32)
Y = (TOP + STEP * (np.arange(ROWS) + 0.5)).astype(np.float32)
COLUMN_0, ROW_0 = float(X[0]) / STEP, float(Y[0]) / STEP  # the first grid point, in steps from the origin
DEPTH = 38.0  # of the oval of the head


def bump(x: float, y: float, width: float, height: float) -> np.ndarray:
    """A Gaussian hill of height 1 at (x, y) on the grid (ROWS, COLUMNS)."""
    return np.exp(-0.5 * ((Y - y) / height) ** 2)[:, None] * np.exp(-0.5 * ((X - x) / width) ** 2)


def pair(x: float, y: float, width: float, height: float) -> np.ndarray:
    """`bump` at x and at -x."""
    across = np.exp(-0.5 * ((X - x) / width) ** 2) + np.exp(-0.5 * ((X + x) / width) ** 2)
    return np.exp(-0.5 * ((Y - y) / height) ** 2)[:, None] * across


def heights(person: Person) -> tuple[np.ndarray, np.ndarray]:
    """The oval of the head and what stands out from it, both (ROWS, COLUMNS) float32, in face units."""
    p = person
    half = np.convolve(np.pad(p.half_width(Y) + 2, 3, "edge"), np.ones(7) / 7, "valid")[:, None]
    oval = DEPTH * np.exp(-0.85 * (X / half) ** 2) * np.exp(-(((Y - 4) / 66) ** 4))[:, None]
    relief = _nose(p)
    relief += p.brow_ridge * pair(p.eye_x * 0.9, p.brow_y + 1, 9, 3.5)
    relief -= p.socket * pair(p.eye_x * 0.86, 1.0, 7, 5.5)
    relief += 2.2 * pair(p.eye_x, 0.5, 5, 3.5)  # the eyeballs
    relief += p.cheekbone * pair(p.cheek * 0.68, 14, 8, 7)
    relief -= 0.8 * pair(p.cheek * 0.6, 31, 6, 8)
    relief += 2.6 * bump(0, p.mouth_y, p.mouth_width * 0.8, 5.5)
    relief -= 1.6 * bump(0, p.mouth_y + 8, 9, 2.8)
    relief += p.chin_relief * bump(0, p.chin_y - 6, p.chin * 0.75, 5)
    return oval.astype(np.float32), relief.astype(np.float32)


def _nose(p: Person) -> np.ndarray:
    tip = p.nose_y - 3.5
    profile = np.interp(Y, [-9, -3, 2, tip - 3, tip, p.nose_y + 0.5, p.nose_y + 3.5], [0, 0.25, 0.35, 0.85, 1, 0.6, 0])
    width = np.interp(
        Y, [-5, 3, tip - 4, tip + 2], [p.nose_bridge + 1.5, p.nose_bridge, p.nose_bridge + 0.4, p.nose_tip]
    )
    ridge = p.nose_height * profile[:, None] * np.exp(-0.5 * (X / width[:, None]) ** 2)
    return ridge + 0.3 * p.nose_height * pair(p.nose_width * 0.72, p.nose_y - 1.5, 2.6, 2.8)


def normals(oval: np.ndarray, relief: np.ndarray) -> np.ndarray:
    """Unit normals (3, ROWS * COLUMNS) float32; the oval counts half as much again, for the sheet flattens its rim."""
    down, right = np.gradient(1.5 * oval + relief, STEP)
    facing = np.stack([-right, -down, np.ones_like(right)])
    return (facing / np.linalg.norm(facing, axis=0)).astype(np.float32).reshape(3, -1)


def hollows(person: Person, texture: np.random.Generator) -> np.ndarray:
    """What the skin's own colour is multiplied by, (ROWS, COLUMNS, 3): hollows darker, cheeks redder, a mottle."""
    p = person
    dark = 0.13 * pair(p.eye_x * 0.72, -1.5, 5, 4) + 0.06 * pair(p.eye_x, -3.5, 7, 3)
    dark += (0.05 + 0.1 * p.age) * pair(p.eye_x * 0.95, 6, 5.5, 1.8)  # below the eyes
    dark += 0.2 * bump(0, p.nose_y + 2.2, p.nose_width * 0.8, 1.6) + 0.1 * pair(
        p.nose_width + 1.2, p.nose_y - 2, 1.8, 3
    )
    dark += 0.07 * pair(p.nose_bridge + 3.2, 6, 2.2, 8)
    dark += 0.13 * bump(0, p.mouth_y + p.lip_lower + 3.4, 7, 1.8) + 0.1 * pair(p.mouth_width + 1.2, p.mouth_y, 1.8, 1.8)
    dark += (0.03 + 0.12 * p.age) * pair(p.nose_width + 5.5, p.nose_y + 5, 1.9, 5)  # the fold from nose to mouth
    red = p.blush * (0.07 * pair(p.cheek * 0.62, 17, 8, 6) + 0.07 * bump(0, p.nose_y - 4, 5, 4))
    mottle = 1 + 0.017 * texture.standard_normal((ROWS, COLUMNS)) * (0.6 + p.age)
    factor = (1 - dark) * mottle
    return np.stack([factor * (1 + 0.2 * red), factor * (1 - red), factor * (1 - 0.8 * red)], 2).astype(np.float32)
