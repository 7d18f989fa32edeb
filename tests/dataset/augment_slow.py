"""What `Augment` says it does, the slow and obvious way: one image at a time, in float64."""

import math

import cv2
import numpy as np

from opensphere.dataset.augment import uniform

SEED, EPOCH = 7, 3
LUMA = np.array([0.299, 0.587, 0.114])
# in the order in which `Augment` counts them
CV2_FILTERS = (cv2.INTER_NEAREST, cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)


def drawn(stream, index, attempt=0):
    return float(uniform(SEED, EPOCH, np.array([index + attempt * 2**48]), stream)[0])


def signed(stream, index):
    return 2 * drawn(stream, index) - 1


def between(stream, index, bounds):
    return bounds[0] + (bounds[1] - bounds[0]) * drawn(stream, index)


def slow(image, index, settings):
    """Image `index`, (H, W, 3) uint8, under all `settings` of `Augment` but jpeg; gives (3, H, W) in [-1, 1]."""
    get = settings.get
    if drawn("crop", index) < get("crop", 0):
        image = slow_crop(image, index, get("crop_area", (0.2, 1.0)))
    coloured = drawn("colour", index) < get("colour", 1)
    if coloured and get("gamma"):
        power = (1 + get("gamma")) ** signed("gamma", index)
        image = np.rint(255 * (image / 255.0) ** power).astype(np.uint8)
    x = image.astype(np.float64)
    if drawn("mirror", index) < get("mirror", 0.5):
        x = x[:, ::-1]
    moves = [get(name, 0) for name in ("shift", "scale", "rotate")]
    if any(moves) and drawn("geometry", index) < get("geometry", 1):
        x = slow_geometry(x, index, *moves)
    b, c, s = (
        1 + get(name, 0) * signed(name, index) if coloured else 1 for name in ("brightness", "contrast", "saturation")
    )
    if drawn("grey", index) < get("grey", 0):
        s = 0
    x = slow_colour(x, float((image @ LUMA).mean()), b, c, s).clip(0, 255)
    x = (x - 127.5) / 127.5
    height = x.shape[0]
    if drawn("blur", index) < get("blur", 0):
        bounds = get("blur_sigma", (0.3, 1.5))
        x = slow_blur(x, between("blur_sigma", index, bounds) * height / 112, round(2.5 * bounds[1] * height / 112))
    if drawn("low_resolution", index) < get("low_resolution", 0):
        x = slow_low_resolution(x, index, get("low_resolution_side"), get("low_resolution_filter", "area"))
    if drawn("erase", index) < get("erase", 0):
        x = slow_erase(x, index, between("erase_area", index, get("erase_area", (0.02, 0.2))))
    return x.transpose(2, 0, 1)


def slow_box(index, height, width, area):
    """Top, left, height and width."""
    for attempt in range(10):
        pixels = (area[0] + (area[1] - area[0]) * drawn("crop_area", index, attempt)) * height * width
        ratio = math.exp(math.log(4 / 3) * (2 * drawn("crop_ratio", index, attempt) - 1))
        wide, tall = round(math.sqrt(pixels * ratio)), round(math.sqrt(pixels / ratio))
        if 1 <= wide <= width and 1 <= tall <= height:
            top = int(drawn("crop_y", index) * (height - tall + 1))
            return top, int(drawn("crop_x", index) * (width - wide + 1)), tall, wide
    return 0, 0, height, width


def slow_crop(image, index, area):
    top, left, tall, wide = slow_box(index, *image.shape[:2], area)
    result = np.zeros_like(image)
    result[top : top + tall, left : left + wide] = image[top : top + tall, left : left + wide]
    return result


def slow_geometry(x, index, shift, scale, rotate):
    """Enlarge about the middle, turn clockwise as seen, then shift: each place looks up where it came from."""
    height, width = x.shape[:2]
    size = (1 + scale) ** signed("scale", index)
    angle = math.radians(rotate * signed("rotate", index))
    right, down = width * shift * signed("shift_x", index), height * shift * signed("shift_y", index)
    v, u = np.indices((height, width))
    u, v = u - (width - 1) / 2 - right, v - (height - 1) / 2 - down
    u, v = (u * math.cos(angle) - v * math.sin(angle)) / size, (u * math.sin(angle) + v * math.cos(angle)) / size
    return slow_look_up(x, v + (height - 1) / 2, u + (width - 1) / 2)


def slow_look_up(x, row, column):
    row, column = np.clip(row, 0, x.shape[0] - 1), np.clip(column, 0, x.shape[1] - 1)
    top, left = row.astype(int), column.astype(int)
    bottom, right = np.minimum(top + 1, x.shape[0] - 1), np.minimum(left + 1, x.shape[1] - 1)
    p, q = (row - top)[..., None], (column - left)[..., None]
    return (1 - p) * ((1 - q) * x[top, left] + q * x[top, right]) + p * (
        (1 - q) * x[bottom, left] + q * x[bottom, right]
    )


def slow_colour(x, mean, brightness, contrast, saturation):
    x = x * brightness
    x = (x - mean * brightness) * contrast + mean * brightness
    own = (x @ LUMA)[..., None]
    return (x - own) * saturation + own


def slow_blur(x, sigma, radius):
    radius = max(1, radius)
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        padded = np.pad(x, [(radius, radius) if a == axis else (0, 0) for a in range(3)], mode="edge")
        x = sum(w * np.take(padded, np.arange(k, k + x.shape[axis]), axis) for k, w in enumerate(weights))
    return x


def slow_low_resolution(x, index, side, filters):
    height, width = x.shape[:2]
    if side is None:
        factor = (2, 3, 4)[int(3 * drawn("factor", index))]
        if filters == "area":
            return slow_by_area(x, round(height / factor), round(width / factor))
        small = height // factor, width // factor
    else:
        share = between("factor", index, side)
        small = max(1, int(share * height)), max(1, int(share * width))
    if filters == "area":
        shrink, enlarge = cv2.INTER_AREA, cv2.INTER_LINEAR
    else:
        shrink, enlarge = (CV2_FILTERS[int(5 * drawn(name, index))] for name in ("shrink_filter", "enlarge_filter"))
    x = slow_resize(slow_resize(x, small[0], width, shrink), height, width, enlarge).clip(-1, 1)
    return slow_resize(slow_resize(x, height, small[1], shrink), height, width, enlarge).clip(-1, 1)


def slow_resize(x, height, width, kind):
    """OpenCV's `resize`, in which rounding errors move places that are whole numbers to the pixel before."""
    if kind == cv2.INTER_NEAREST:
        rows, columns = np.arange(height) * x.shape[0] // height, np.arange(width) * x.shape[1] // width
        return x[rows][:, columns]
    if kind == cv2.INTER_AREA:
        for axis, size in enumerate((height, width)):  # every pixel as many small ones, then as many of them together
            often = np.repeat(x, size, axis).swapaxes(0, axis)
            x = often.reshape(size, x.shape[axis], *often.shape[1:]).mean(axis=1).swapaxes(0, axis)
        return x
    return cv2.resize(x, (width, height), interpolation=kind)


def slow_by_area(x, height, width):
    """Shrunk by areas of whole pixels, which may overlap, and enlarged bilinearly."""
    small = np.empty((height, width, 3))
    for row in range(height):
        for column in range(width):
            top, bottom = row * x.shape[0] // height, -(-(row + 1) * x.shape[0] // height)
            left, right = column * x.shape[1] // width, -(-(column + 1) * x.shape[1] // width)
            small[row, column] = x[top:bottom, left:right].mean(axis=(0, 1))
    row, column = np.indices(x.shape[:2])
    return slow_look_up(small, (row + 0.5) * height / x.shape[0] - 0.5, (column + 0.5) * width / x.shape[1] - 0.5)


def slow_erase(x, index, area):
    height, width = x.shape[:2]
    ratio = 3 ** (signed("erase_ratio", index) / 2)
    tall = min(height, max(1, round(height * math.sqrt(area) * ratio)))
    wide = min(width, max(1, round(width * math.sqrt(area) / ratio)))
    top = int(drawn("erase_y", index) * (height - tall + 1))
    left = int(drawn("erase_x", index) * (width - wide + 1))
    x = x.copy()
    x[top : top + tall, left : left + wide] = 0
    return x
