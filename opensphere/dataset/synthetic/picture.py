"""One picture: expression, pose, light, surroundings and camera, in this order."""

import math
from functools import lru_cache

import cv2
import numpy as np

from opensphere.dataset.synthetic import relief
from opensphere.dataset.synthetic.canvas import Canvas
from opensphere.dataset.synthetic.expression import paint_eyes, paint_glasses, paint_mouth
from opensphere.dataset.synthetic.portrait import Portrait, portrait
from opensphere.dataset.synthetic.shot import Shot, draw_shot
from opensphere.dataset.synthetic.surroundings import backdrop, paint_cover

EYES_Y, EYES_X, UNIT = 52.5, 56.0, 0.93  # of a picture of 112: where the eyes lie and pixels to a face unit
MIDDLE_Y = 18.0  # between eyes and mouth: what the crop is aligned to
DEPTH_0 = 0.9 * relief.DEPTH / relief.STEP  # and its depth
_LEVELS = np.arange(256)[None, :, None] / 180


def render(
    seed: int,
    person: int,
    image: int,
    size: int | tuple[int, int] = 112,
    nuisance: float = 1.0,
    hair: bool = True,
    marks: bool = True,
) -> np.ndarray:
    """Picture `image` of person `person` in the world `seed`: (H, W, 3) uint8 RGB.

    A pure function of its arguments. The numbers behind a picture are the same everywhere; its pixels may differ by a
    grey level or two between processors and between versions of OpenCV or NumPy.

    Args:
        size: side in pixels, or (height, width); a face fills the height as in the usual aligned crops.
        nuisance: strength of pose, light, expression, blur, noise, occlusion and crop; 0 gives passport photographs.
        hair: False takes hair and beard away.
        marks: False takes moles and freckles away.

    Raises:
        UserError: a negative number.
    """
    height, width = (size, size) if isinstance(size, int) else size
    scale = height / 112 * UNIT
    subject = portrait(seed, person, scale, hair, marks)
    shot = draw_shot(seed, person, image, nuisance)
    canvas = subject.canvas.copy()
    paint_eyes(canvas, subject.person, shot)
    paint_mouth(canvas, subject.person, shot)
    if shot.glasses:
        paint_glasses(canvas, subject.person, shot)
    places = _look_up(subject, shot, scale, height, width)
    out = backdrop(shot, height, width, scale, subject.person)
    _compose(out, canvas, subject, shot, places)
    if shot.cover:
        paint_cover(out, shot, scale)
    return _camera(out, shot, scale)


def _look_up(subject: Portrait, shot: Shot, scale: float, height: int, width: int) -> np.ndarray:
    """Where on the flat portrait each place of a coarse grid over the picture looks: (rows, columns, 2) float32, steps.

    The head turns by R = R_pitch R_yaw about its middle. A place (u, v) of the picture shows the point (x, y, z) with
    u = x cos(yaw) + z sin(yaw) and v = y cos(pitch) + sin(pitch) (x sin(yaw) - z cos(yaw)), where z is the relief at
    (x, y): solved for x and y by putting in the depth found where the last guess lay. Coordinates are in steps of the
    relief's grid. The grid of places has a cell of margin on each side.
    """
    p, cell = subject.person, _cell(height)
    across = (np.arange(-1, -(-width // cell) + 1, dtype=np.float32) + 0.5) * cell
    down = (np.arange(-1, -(-height // cell) + 1, dtype=np.float32) + 0.5) * cell
    zoom = float(scale * shot.zoom / p.unit) * relief.STEP
    u = (across - (EYES_X / 112 * height + (width - height) / 2))[None] / zoom - shot.shift[0] / relief.STEP
    v = (down - (EYES_Y / 112 * height + MIDDLE_Y * scale))[:, None] / zoom - shot.shift[1] / relief.STEP
    cos, sin = math.cos(shot.roll), math.sin(shot.roll)
    cy, sy, cp, sp = math.cos(shot.yaw), math.sin(shot.yaw), math.cos(shot.pitch), math.sin(shot.pitch)
    x_flat = (cos * u + sin * v) / cy
    y_flat = (cos * v - sin * u - sp * sy * x_flat) / cp
    x_depth, y_depth = -sy / cy, sp * (cy + sy * sy / cy) / cp
    x_flat -= relief.COLUMN_0 + DEPTH_0 * x_depth
    y_flat -= relief.ROW_0 + DEPTH_0 * y_depth - MIDDLE_Y / relief.STEP
    places: np.ndarray = np.dstack([x_flat, y_flat])
    for _ in range(3):
        z = _sample(subject.depth, places, cv2.BORDER_REPLICATE)
        places[..., 0] = x_flat + x_depth * z
        places[..., 1] = y_flat + y_depth * z
    if shot.jaw_drop or shot.brow_raise:
        y = places[..., 1] * relief.STEP + relief.Y[0]
        y -= 3.5 * shot.jaw_drop * np.minimum(np.maximum((y - p.mouth_y) * 0.2, 0), 1)
        y += shot.brow_raise * np.exp(-0.02 * np.square(y - (p.brow_y - 2)))
        places[..., 1] = (y - relief.Y[0]) / relief.STEP
    return places


def _sample(image: np.ndarray, places: np.ndarray, border: int) -> np.ndarray:
    """`image` at `places` (h, w, 2), columns and rows, interpolated."""
    return cv2.remap(image, places, None, cv2.INTER_LINEAR, borderMode=border)  # type: ignore[call-overload]


def _cell(height: int) -> int:
    """Pixels between the places that are looked up; between them, the look is interpolated."""
    return max(1, round(height / 40))


def _compose(out: np.ndarray, canvas: Canvas, subject: Portrait, shot: Shot, places: np.ndarray) -> None:
    """Lay the turned and lit head over the backdrop `out`, in place."""
    height, width = out.shape[:2]
    step = relief.STEP * canvas.k  # half a step: a grid point is the middle of its cell, as a pixel's is
    where = _enlarge(places, height, width)
    where *= step
    where += (step - 1) / 2
    head = _sample(canvas.image, where, cv2.BORDER_CONSTANT)
    level, tints = _light(subject.normals, shot)
    level = _enlarge(_sample(level, places, cv2.BORDER_REPLICATE), height, width)
    lit = cv2.LUT(cv2.cvtColor(level, cv2.COLOR_GRAY2RGB), tints)
    colour = cv2.multiply(cv2.cvtColor(head, cv2.COLOR_RGBA2RGB), lit, scale=1 / 100)
    gap = cv2.cvtColor(cv2.bitwise_not(cv2.extractChannel(head, 3)), cv2.COLOR_GRAY2RGB)
    cv2.add(cv2.multiply(out, gap, scale=1 / 255), colour, dst=out)


def _enlarge(grid: np.ndarray, height: int, width: int) -> np.ndarray:
    """A grid with a margin of one cell, stretched to pixels without its margin."""
    cell = _cell(height)
    whole = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(whole[cell : cell + height, cell : cell + width])


def _light(normals: np.ndarray, shot: Shot) -> tuple[np.ndarray, np.ndarray]:
    """How much key light falls on the relief, and what each such level does to colours.

    Returns:
        (ROWS, COLUMNS) uint8 levels, and (1, 256, 3) uint8: what colours are multiplied by at each level, times 100.
    """
    cy, sy, cp, sp = math.cos(shot.yaw), math.sin(shot.yaw), math.cos(shot.pitch), math.sin(shot.pitch)
    turn = np.array([[cy, 0, sy], [sp * sy, cp, -sp * cy], [-cp * sy, sp, cp * cy]])
    key = shot.key @ turn  # the light and the camera as the unturned head sees them
    half = key + turn[2]
    lobes = np.stack([key * 0.88, half / np.linalg.norm(half)]).astype(np.float32) @ normals
    np.maximum(lobes, 0, out=lobes)
    lambert, shine = lobes
    lambert += 0.12
    for _ in range(4):
        np.multiply(shine, shine, out=shine)
    shine *= shot.shine
    lambert += shine
    lambert *= 180
    level = np.minimum(lambert, 255).astype(np.uint8).reshape(relief.ROWS, relief.COLUMNS)
    tints = _LEVELS * (100 * shot.key_colour) + 100 * shot.ambient
    return level, np.minimum(tints, 255).astype(np.uint8)


def _camera(out: np.ndarray, shot: Shot, scale: float) -> np.ndarray:
    """Blur, coarse pixels, tone and noise."""
    height, width = out.shape[:2]
    if shot.coarse > 1.15:
        small = (max(8, round(width / shot.coarse)), max(8, round(height / shot.coarse)))
        out = cv2.resize(
            cv2.resize(out, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_LINEAR
        )
    sigma = shot.blur * scale
    if sigma > 0.25:
        out = cv2.GaussianBlur(out, (0, 0), sigmaX=sigma * shot.stretch, sigmaY=sigma / shot.stretch)
    if shot.grey:
        out = cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    out = cv2.LUT(out, _tone(shot.gamma))
    if shot.noise > 0.01:
        top, left = shot.noise_at
        grain = _grain(height, width)[top : top + height, left : left + width]
        out = cv2.addWeighted(out, 1.0, grain, shot.noise, -128 * shot.noise)
    return np.ascontiguousarray(out)


def _tone(gamma: float) -> np.ndarray:
    return np.rint(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)


@lru_cache(maxsize=4)
def _grain(height: int, width: int) -> np.ndarray:
    """A sheet of noise around 128, larger than a picture by 64 pixels: pictures take different parts of it."""
    rng = np.random.Generator(np.random.PCG64(7))
    shape = (height + 64, width + 64)
    noise = rng.standard_normal((*shape, 3)) + rng.standard_normal((*shape, 1))
    return np.clip(128 + 28 * noise, 0, 255).astype(np.uint8)
