"""What is behind and before a face: backdrop, clothes, and things that hide a part of it."""

import math

import cv2
import numpy as np

from opensphere.dataset.synthetic.person import Person
from opensphere.dataset.synthetic.shot import Shot

_SHOULDERS = np.array(
    [(-80, 12), (-55, 0), (-24, -10), (0, 5), (24, -10), (55, 0), (80, 12), (80, 90), (-80, 90)], np.float64
)


def backdrop(shot: Shot, height: int, width: int, scale: float, person: Person) -> np.ndarray:
    """A blurred place and a pair of shoulders, (H, W, 3) uint8."""
    dice = shot.dice
    base = _muted(dice[4:7], 0.3)
    cells = 2 + int(6 * dice[7])
    spots = dice[24 : 24 + 4 * cells * cells].reshape(cells, cells, 4) - 0.5
    patches = base + (30 + 130 * dice[8]) * spots[..., :1] + 26 * spots[..., 1:]
    patches = np.minimum(np.maximum(patches, 0), 255).astype(np.uint8)
    coarse = cv2.resize(patches, (28, 28), interpolation=cv2.INTER_CUBIC)
    out = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    points = _SHOULDERS * (1, 0.6 + 0.8 * dice[9]) + (14 * math.sin(shot.yaw), 80 + 8 * dice[10])
    points = points * (scale / person.unit) + (width / 2, height * 52.5 / 112)
    cloth = _muted(dice[11:14], 0.5).tolist()
    cv2.fillPoly(out, [np.rint(points * 16).astype(np.int32)], cloth, cv2.LINE_AA, 4)
    return out


def _muted(dice: np.ndarray, strength: float) -> np.ndarray:
    """A colour of any lightness whose tint is at most `strength` of it."""
    light = 20 + 215 * dice[0]
    return light * (
        1
        + strength * (dice[1] - 0.5) * np.array([1.0, 0.1, -1.1])
        + strength * (dice[2] - 0.5) * np.array([-0.5, 0.6, -0.2])
    )


def paint_cover(out: np.ndarray, shot: Shot, scale: float) -> None:
    """A microphone, something blurred at the side or a collar, in place."""
    height, width = out.shape[:2]
    u, v, w = shot.cover_at
    if shot.cover == 1:
        _microphone(out, shot, scale)
        return
    if shot.cover == 2:
        centre = (width / 2 + math.copysign((46 + 14 * w) * scale, u), height * (0.5 + 0.35 * v))
        axes = ((18 + 8 * w) * scale, (34 + 20 * w) * scale)
    else:
        centre, axes = (width / 2 + 12 * u * scale, height * (1.14 - 0.06 * w)), (60 * scale, (26 + 6 * w) * scale)
    mask = np.zeros((height, width), np.uint8)
    at, half = (round(centre[0]), round(centre[1])), (round(axes[0]), round(axes[1]))
    cv2.ellipse(mask, at, half, 20 * v, 0, 360, 255, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(mask, (0, 0), (1.0 + 3 * w) * scale)
    weight = soft[..., None].astype(np.float32) / 255
    tint = _muted(shot.dice[14:17], 0.5) + 12 * np.linspace(-1, 1, height)[:, None, None]
    out[:] = (out * (1 - weight) + np.clip(tint, 0, 255) * weight).astype(np.uint8)


def _microphone(out: np.ndarray, shot: Shot, scale: float) -> None:
    height, width = out.shape[:2]
    u, v, w = shot.cover_at
    x, y, radius = width / 2 + 18 * u * scale, height * (0.92 + 0.06 * v), (8 + 4 * w) * scale
    head, foot = (round(x * 16), round(y * 16)), (round((x + 20 * u * scale) * 16), (height + 20) * 16)
    cv2.line(out, head, foot, (30, 30, 32), max(2, round(7 * scale)), cv2.LINE_AA, 4)
    cv2.circle(out, head, round(radius * 16), (48, 48, 52), -1, cv2.LINE_AA, 4)
    glint = (round((x - 0.3 * radius) * 16), round((y - 0.35 * radius) * 16))
    cv2.circle(out, glint, round(radius * 5), (92, 92, 96), -1, cv2.LINE_AA, 4)
