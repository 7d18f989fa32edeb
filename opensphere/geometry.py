"""Five points of a face, similarity transforms, and the crop that they lead to.

Points are (x, y) in pixels; whole numbers are the centres of pixels, as in OpenCV.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from opensphere.error import UserError

# Where the eyes (the one on the left of the image first), the tip of the nose and the corners of the mouth lie in an
# aligned image of 112x112: the template of ArcFace (Deng et al. 2019), which most models of the field were trained on.
ARCFACE_112 = np.array(
    [(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041)]
)
_SIDE = 112
_LEAST = 1e-6  # below this share of its extent, a set of points is taken for a single one


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The rotation, scale and translation, without reflection, that bring points nearest to others.

    The least squares solution of Umeyama (1991). In the plane it is a linear regression: with points as complex
    numbers, z -> a z + b turns by arg a and scales by |a|, and every similarity without reflection is of this kind.

    Args:
        source, target: (N, 2), N at least 2.

    Returns:
        (2, 3) float64: target is about `matrix @ (x, y, 1)`.

    Raises:
        UserError: the points lie in one place, are not finite, or fit no such transform.
    """
    source, target = _points(source), _points(target)
    if source.shape != target.shape:
        raise UserError(f"{len(source)} points cannot be brought to {len(target)} points")
    x, y = source @ (1, 1j), target @ (1, 1j)
    x0, y0 = x.mean(), y.mean()
    spread, reach = np.linalg.norm(x - x0), np.linalg.norm(y - y0)
    for length, points in ((spread, x), (reach, y)):
        if length <= _LEAST * np.abs(points).max():
            raise UserError("the points lie in one place; check the landmarks")
    a = np.vdot(x - x0, y - y0) / spread**2
    if np.abs(a) * spread <= _LEAST * reach:
        raise UserError("the points fit no rotation and scale of each other; check the order of the landmarks")
    b = y0 - a * x0
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align(image: np.ndarray, points: np.ndarray, size: int | Sequence[int] = _SIDE) -> np.ndarray:
    """Cut the face out of an image so that its five points lie where `ARCFACE_112` has them.

    Bilinear; black where the image ends.

    Args:
        image: (H, W) or (H, W, C).
        points: (5, 2), in the order of `ARCFACE_112`.
        size: side length of the result, or (height, width); the template grows with it.

    Returns:
        (height, width) or (height, width, C), of the image's type.

    Raises:
        UserError: as `similarity`, or they are not five points.
    """
    height, width = (size, size) if isinstance(size, int) else size
    points = _points(points)
    if len(points) != len(ARCFACE_112):
        raise UserError(f"{len(points)} points; five are needed: two eyes, nose, two corners of the mouth")
    matrix = similarity(points, ARCFACE_112 * (width / _SIDE, height / _SIDE))
    return cv2.warpAffine(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )


def _points(points: np.ndarray) -> np.ndarray:
    points = np.asarray(points, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or len(points) < 2:
        raise UserError(f"points of shape {points.shape}; (N, 2) is needed, N at least 2")
    if not np.isfinite(points).all():
        raise UserError("a point is not finite; check the landmarks")
    return points
