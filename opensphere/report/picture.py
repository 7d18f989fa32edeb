"""Small pictures, as evidence keeps them and as pages show them."""

import base64

import cv2
import numpy as np

SIDE, QUALITY = 96, 80  # pixels of the longer side, and of JPEG


def shrunk(picture: np.ndarray, side: int = SIDE) -> np.ndarray:
    """(H, W, 3) uint8 with a longer side of at most `side` pixels."""
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def jpeg(picture: np.ndarray, side: int = SIDE) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG of at most `side` pixels; empty where it cannot be one."""
    done, data = cv2.imencode(".jpg", shrunk(picture, side)[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes() if done else b""


def data_uri(picture: np.ndarray, side: int) -> str:
    """The same as an `img` shows it; empty where it cannot be one."""
    data = jpeg(picture, side)
    return "data:image/jpeg;base64," + base64.b64encode(data).decode() if data else ""
