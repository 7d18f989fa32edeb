"""What differs from picture to picture of one person: the nuisances, drawn as numbers."""

import math
from dataclasses import dataclass

import numpy as np

from opensphere.dataset.synthetic.person import generator


@dataclass(frozen=True)
class Shot:
    """One picture's circumstances. Angles in radians, lengths in face units, strengths from 0."""

    yaw: float
    pitch: float
    roll: float
    shift: tuple[float, float]
    zoom: float
    # expression
    smile: float
    jaw_drop: float
    blink: float
    squint: float
    gaze: tuple[float, float]
    brow_raise: float
    # light: directions (3,), colours (3,)
    key: np.ndarray
    key_colour: np.ndarray
    ambient: np.ndarray
    shine: float
    gamma: float
    grey: bool
    # what lies around and before the face
    glasses: int  # 0 none, 1 thin, 2 thick, 3 dark
    cover: int  # 0 none, else which kind of thing hides a part
    cover_at: tuple[float, float, float]
    # camera
    blur: float
    stretch: float
    coarse: float
    noise: float
    noise_at: tuple[int, int]
    dice: np.ndarray  # (240,) uniform numbers for surroundings and accessories


def draw_shot(seed: int, person: int, image: int, strength: float) -> Shot:
    """The circumstances of one picture; `strength` 0 is a passport photograph, 1 the usual variety."""
    rng = generator(seed, 2, person, image)
    n = (rng.standard_normal(24).clip(-2.5, 2.5) * strength).tolist()
    u = rng.random(20).tolist()
    warm = 0.145 * n[0]
    tint = np.array([1 + warm, 1 + 0.06 * n[1], 1 - warm])
    exposure = math.exp(0.29 * n[2])
    contrast = min(0.85, 0.5 + 0.12 * n[3]) if strength else 0.5
    side, height = 0.44 * n[4], -0.45 + 0.28 * n[5]
    key = np.array([side, height, 1.0])
    ambient_tint = 1 + 0.06 * np.array([n[6], n[7], n[8]])
    talking = u[0] < 0.25 * min(strength, 1)
    some = min(strength, 1.0)  # what is there at all without nuisance
    return Shot(
        yaw=0.16 * n[9], pitch=0.08 * n[10], roll=0.035 * n[11],
        shift=(1.0 * n[12], 1.0 * n[13]), zoom=math.exp(0.025 * n[14]),
        smile=min(max(0.25 * strength + 0.42 * n[15], -0.4), 1.4), jaw_drop=u[1] if talking else 0.0,
        blink=u[2] ** 0.3 if u[3] < 0.07 * strength else 0.12 * u[2] * strength, squint=0.12 * n[16],
        gaze=(0.9 * n[17], 0.35 * n[18]), brow_raise=1.0 * n[19],
        key=key / np.linalg.norm(key), key_colour=tint * exposure * (0.25 + contrast),
        ambient=ambient_tint * tint * exposure * (0.92 - contrast) * 0.75, shine=0.05 + 0.2 * u[4],
        gamma=math.exp(0.12 * n[20]), grey=u[5] < 0.07 * strength,
        glasses=_glasses(u[6], u[7], strength), cover=_cover(u[8], u[9], strength),
        cover_at=(2 * u[10] - 1, 2 * u[11] - 1, u[12]),
        blur=max(0.0, 0.2 + 0.35 * n[21]) * some, stretch=math.exp(0.5 * n[22]),
        coarse=1 + 1.4 * u[13] * strength if u[14] < 0.15 else 1.0, noise=max(0.0, 0.07 + 0.05 * n[23]) * some,
        noise_at=(int(64 * u[15]), int(64 * u[16])), dice=rng.random(240),
    )  # fmt: skip


def _glasses(wears: float, kind: float, strength: float) -> int:
    """Anyone may put on glasses for a picture, so they tell nothing of who it is."""
    if wears > 0.14 * strength:
        return 0
    return 3 if kind > 0.88 else 1 + (kind > 0.5)


def _cover(there: float, kind: float, strength: float) -> int:
    return 1 + int(3 * kind) if there < 0.1 * strength else 0
