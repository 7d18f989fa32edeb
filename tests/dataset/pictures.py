"""Small pictures for the tests of data sets, drawn and written where a test wants them."""

from pathlib import Path

import cv2
import numpy as np


def picture(seed: int, height: int = 24, width: int = 24) -> np.ndarray:
    """A smooth random picture, (height, width, 3) uint8 RGB."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def encode(image: np.ndarray, suffix: str = ".png") -> bytes:
    """The bytes of an image file; RGB, RGBA or grey."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    done, data = cv2.imencode(suffix, image)
    assert done
    return data.tobytes()


def save(path: Path, seed: int, height: int = 24, width: int = 24) -> Path:
    """Write `picture(seed)` to a file and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(picture(seed, height, width), path.suffix))
    return path
