"""The pairs that a model gets most wrong, as small pictures inside the page."""

import base64
from dataclasses import dataclass

import cv2
import numpy as np

SIDE, QUALITY = 96, 80  # pixels of the longer side, and of JPEG
MOST, LIMIT = 12, 72  # pairs of a kind, and of a page in all


@dataclass(frozen=True)
class Pair:
    """Two images and their score; pictures are data URIs, empty where the evidence has none."""

    score: float
    wrong: bool
    names: tuple[str, str]
    pictures: tuple[str, str]


@dataclass(frozen=True)
class Hardest:
    """The hardest pairs of a run on a set, hardest first; `threshold` is the best one, by which `wrong` is said."""

    rejects: list[Pair]
    accepts: list[Pair]
    threshold: float


def hardest(arrays: dict[str, np.ndarray], most: int = MOST) -> Hardest | None:
    """The hardest pairs that evidence names, so many of each kind at most; None where it names none."""
    if "hard_genuine" not in arrays or "hard_impostor" not in arrays:
        return None
    right = arrays["true_accepts"] + (arrays["impostors"] - arrays["false_accepts"])
    threshold = float(arrays["thresholds"][int(np.argmax(right))])
    named = np.concatenate([arrays[f"hard_{kind}"][:most].ravel() for kind in ("genuine", "impostor")])
    pictures, names = _pictures(arrays, set(named.tolist()))
    sides = {}
    for kind in ("genuine", "impostor"):
        rows = zip(arrays[f"hard_{kind}"][:most], arrays[f"hard_{kind}_scores"][:most], strict=True)
        sides[kind] = [
            Pair(
                float(score),
                bool(score < threshold) if kind == "genuine" else bool(score >= threshold),
                (names.get(int(one), f"image {one}"), names.get(int(other), f"image {other}")),
                (pictures.get(int(one), ""), pictures.get(int(other), "")),
            )
            for (one, other), score in rows
        ]
    return Hardest(sides["genuine"], sides["impostor"], threshold)


def _pictures(arrays: dict[str, np.ndarray], wanted: set[int]) -> tuple[dict[int, str], dict[int, str]]:
    """Data URIs and names by image; encoded anew, so that nothing of a file but its pixels gets in."""
    if not all(key in arrays for key in ("image", "pixels", "image_name")):
        return {}, {}
    pixels = arrays["pixels"]
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        return {}, {}
    images = [int(image) for image in arrays["image"]]
    found = {image: _uri(picture) for image, picture in zip(images, pixels, strict=False) if image in wanted}
    named = zip(images, arrays["image_name"], strict=False)
    return found, {image: str(name) for image, name in named}


def _uri(picture: np.ndarray) -> str:
    scale = SIDE / max(picture.shape[:2])
    if scale < 1:
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", picture[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode() if done else ""
