import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from opensphere.error import UserError
from opensphere.geometry import ARCFACE_112, align, similarity


def turn(angle, scale=1.0):
    return scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


def apply(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def umeyama(source, target):
    """Umeyama (1991), eqs. 40 to 43, by singular values."""
    x0, y0 = source.mean(axis=0), target.mean(axis=0)
    x, y = source - x0, target - y0
    u, d, vt = np.linalg.svd(y.T @ x / len(x))
    s = np.array([1.0, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    r = u @ np.diag(s) @ vt
    c = (d * s).sum() / (x**2).sum(axis=1).mean()
    return np.column_stack([c * r, y0 - c * r @ x0])


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 9), st.booleans())
def test_similarity_is_umeyamas(seed, count, mirrored):
    rng = np.random.default_rng(seed)
    source = rng.normal(0, 30, (count, 2)) + 100
    target = source * (-1, 1) if mirrored and count > 2 else source
    target = target @ turn(rng.uniform(-3, 3), rng.uniform(0.2, 4)).T + rng.normal(0, 3, (count, 2))
    np.testing.assert_allclose(similarity(source, target), umeyama(source, target), rtol=1e-7, atol=1e-7)


def test_nothing_near_is_better():
    rng = np.random.default_rng(1)
    source, target = rng.uniform(0, 112, (5, 2)), ARCFACE_112

    def error(p):
        return ((apply(np.column_stack([turn(p[0], p[1]), p[2:]]), source) - target) ** 2).sum()

    found = similarity(source, target)
    least = min(
        (minimize(error, [angle, 0.5, 56, 56], method="BFGS").fun for angle in np.linspace(-3, 3, 7)), default=np.inf
    )
    assert ((apply(found, source) - target) ** 2).sum() == pytest.approx(least, rel=1e-6)


def test_exact_similarities_are_found():
    matrix = np.column_stack([turn(0.7, 2.5), [30, -4]])
    np.testing.assert_allclose(similarity(ARCFACE_112, apply(matrix, ARCFACE_112)), matrix, atol=1e-10)
    np.testing.assert_allclose(similarity(ARCFACE_112, ARCFACE_112), [[1, 0, 0], [0, 1, 0]], atol=1e-10)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.full((5, 2), 40.0), "in one place"),
        (np.zeros((5, 2)), "in one place"),
        (np.where(np.eye(5, 2), np.nan, ARCFACE_112), "not finite"),
        (ARCFACE_112[:4], "4 points; five are needed"),
        (ARCFACE_112[:1], r"shape \(1, 2\)"),
        (ARCFACE_112.ravel(), r"shape \(10,\)"),
    ],
)
def test_points_of_no_face_are_refused(points, words):
    with pytest.raises(UserError, match=words):
        align(np.zeros((112, 112, 3), np.uint8), points)


def test_points_without_a_similarity_are_refused():
    square = np.array([(1.0, 1), (1, -1), (-1, -1), (-1, 1)])
    with pytest.raises(UserError, match="fit no rotation"):
        similarity(square, square * (1, -1))
    with pytest.raises(UserError, match="3 points cannot be brought to 4"):
        similarity(square[:3], square)


def bilinear(image, x, y):
    """The value of an image that is black around at (x, y)."""
    padded = np.pad(image.astype(float), ((1, 1), (1, 1), (0, 0)))
    x, y = np.clip(x + 1, 0, padded.shape[1] - 1.001), np.clip(y + 1, 0, padded.shape[0] - 1.001)
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    v, u = (y - i)[..., None], (x - j)[..., None]
    upper = padded[i, j] * (1 - u) + padded[i, j + 1] * u
    lower = padded[i + 1, j] * (1 - u) + padded[i + 1, j + 1] * u
    return upper * (1 - v) + lower * v


@pytest.mark.parametrize("size", [112, 96, (112, 96)])
def test_align_is_bilinear_with_a_black_border(size):
    height, width = (size, size) if isinstance(size, int) else size
    rng = np.random.default_rng(2)
    coarse = rng.integers(0, 256, (20, 16, 3))
    image = np.kron(coarse, np.ones((10, 10, 1))).astype(np.uint8)
    points = apply(np.column_stack([turn(0.3, 1.4), [20, -25]]), ARCFACE_112) + rng.normal(0, 2, (5, 2))
    matrix = similarity(points, ARCFACE_112 * (width / 112, height / 112))
    rows, columns = np.mgrid[:height, :width]
    places = np.stack([columns - matrix[0, 2], rows - matrix[1, 2]], axis=-1) @ np.linalg.inv(matrix[:, :2]).T
    expected = bilinear(image, places[..., 0], places[..., 1])
    found = align(image, points, size)
    assert found.shape == (height, width, 3) and found.dtype == np.uint8
    difference = np.abs(found - expected)
    # places are rounded to 1/32 of a pixel by some versions of OpenCV: at the edges of the blocks up to 255/32 a side
    assert difference.mean() < 0.6 and difference.max() <= 16
    outside = (places < -1).any(axis=-1) | (places > np.array(image.shape[1::-1])).any(axis=-1)
    assert outside.any() and not found[outside].any()


def test_the_template_itself_is_left_alone():
    image = np.random.default_rng(3).integers(0, 256, (112, 112, 3), np.uint8)
    np.testing.assert_array_equal(align(image, ARCFACE_112), image)
    assert align(image[..., 0], ARCFACE_112).shape == (112, 112)
