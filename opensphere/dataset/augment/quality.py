"""What makes an image worse: blur, low resolution, a hidden part, and JPEG."""

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from opensphere.dataset.augment.draw import Draw
from opensphere.dataset.augment.filters import FILTERS, there_and_back
from opensphere.dataset.augment.layout import put

_FACTORS = (2, 3, 4)  # of low resolution where no side is asked for
_BITS = 11  # of a value and of a weight: a line's products, added up, then stay within the 24 of float32
_UNIT = 2.0**_BITS
_ERASE_RATIO = 3.0  # of the longer to the shorter side, at most


def blur(batch: Tensor, rows: np.ndarray, draw: Draw, sigma: tuple[float, float]) -> None:
    """Blur images `rows` of the batch in place, each with a Gaussian of its own; the border repeats the edge."""
    if not len(rows):
        return
    least, most = (bound * batch.shape[2] / 112 for bound in sigma)
    widths = draw.of(rows).between("blur_sigma", (least, most))[:, None]
    radius = max(1, round(2.5 * most))
    bell = np.exp(-0.5 * (np.arange(radius + 1) / widths) ** 2)
    bell /= 2 * bell.sum(axis=1, keepdims=True) - bell[:, :1]
    factors = torch.from_numpy(bell.T.astype(np.float32)).to(batch.device).view(radius + 1, -1, 1, 1, 1)
    where = torch.from_numpy(rows).to(batch.device)
    chosen = batch.index_select(0, where)
    for dim in (2, 3):
        size = chosen.shape[dim]
        padded = F.pad(chosen, (0, 0, radius, radius) if dim == 2 else (radius, radius, 0, 0), mode="replicate")
        total = padded.narrow(dim, radius, size) * factors[0]
        for step in range(1, radius + 1):
            sides = padded.narrow(dim, radius - step, size) + padded.narrow(dim, radius + step, size)
            total += sides.mul_(factors[step])
        chosen = total
    put(batch, where, chosen)


def lower_resolution(batch: Tensor, rows: np.ndarray, draw: Draw) -> None:
    """Shrink images `rows` of the batch by area, by a whole number, and enlarge them bilinearly, in place."""
    size = batch.shape[2:]
    kind = (draw.of(rows)("factor") * len(_FACTORS)).astype(np.int64)
    for number, factor in enumerate(_FACTORS):
        group = rows[kind == number]
        if len(group):
            where = torch.from_numpy(group).to(batch.device)
            small = F.adaptive_avg_pool2d(
                batch.index_select(0, where), (max(1, round(size[0] / factor)), max(1, round(size[1] / factor)))
            )
            large = F.interpolate(small, size=size, mode="bilinear", align_corners=False)
            put(batch, where, large)


def resample(batch: Tensor, rows: np.ndarray, draw: Draw, side: tuple[float, float] | None, filters: str) -> None:
    """Shrink images `rows` of the batch and enlarge them again, in place: each with a size and filters of its own.

    Both steps and every filter are linear along a line of pixels, so together they are one matrix for the lines and one
    for the columns of an image: all images take the same way, whatever their sizes. In what order a matrix product adds
    up depends on the number of images, the threads and the device. Here no order makes a difference: values and weights
    are whole numbers so small that float32 holds every sum exactly, yet finer by a factor of 16 than bytes.

    Args:
        side: bounds of the small image's sides as a share, of which a size is drawn; None: 1/2, 1/3 or 1/4.
        filters: "any" draws each step's filter, "area" shrinks by area and enlarges bilinearly.
    """
    if not len(rows):
        return
    ways = _ways(draw.of(rows), side, filters)
    height, width = batch.shape[2:]
    down = _units(height, ways, batch.device)
    across = down if width == height else _units(width, ways, batch.device)
    where = torch.from_numpy(rows).to(batch.device)
    planes = batch.index_select(0, where).mul_(_UNIT).round_()
    planes = torch.matmul(down, planes).div_(_UNIT).round_().clamp_(-_UNIT, _UNIT)
    planes = torch.bmm(planes.flatten(1, 2), across[:, 0].transpose(1, 2)).view_as(planes).div_(_UNIT**2)
    put(batch, where, planes.clamp_(-1, 1))  # cubic and Lanczos filters overshoot


def _ways(draw: Draw, side: tuple[float, float] | None, filters: str) -> list[tuple[float, str, str]]:
    """Of each image: the share of its sides that it is shrunk to, and the filters that shrink and enlarge it."""
    if side is None:
        shares = 1 / np.array(_FACTORS)[(draw("factor") * len(_FACTORS)).astype(np.int64)]
    else:
        shares = draw.between("factor", side)
    if filters == "area":
        return [(share, "area", "linear") for share in shares.tolist()]
    shrink, enlarge = (
        [FILTERS[number] for number in (draw(step) * len(FILTERS)).astype(np.int64)]
        for step in ("shrink_filter", "enlarge_filter")
    )
    return list(zip(shares.tolist(), shrink, enlarge, strict=True))


def _units(size: int, ways: list[tuple[float, str, str]], device: torch.device) -> Tensor:
    """(B, 1, size, size) float32: of each image the matrix of a line of `size` pixels, in units."""
    matrices = [
        there_and_back(size, max(1, int(share * size + 1e-6)), shrink, enlarge, _BITS)  # a third of 33 is 11
        for share, shrink, enlarge in ways
    ]
    return torch.from_numpy((np.stack(matrices) * _UNIT).astype(np.float32)).to(device)[:, None]


def erase(batch: Tensor, rows: np.ndarray, draw: Draw, area: tuple[float, float]) -> None:
    """Set a rectangle of images `rows` of the batch to 0, which is mid-grey, in place (Zhong et al. 2020)."""
    height, width = batch.shape[2:]
    some = draw.of(rows)
    share = some.between("erase_area", area)
    ratio = _ERASE_RATIO ** (some.signed("erase_ratio") / 2)
    for row, tall, wide, up, left in zip(
        rows.tolist(),
        np.rint(height * np.sqrt(share) * ratio).clip(1, height).astype(int).tolist(),
        np.rint(width * np.sqrt(share) / ratio).clip(1, width).astype(int).tolist(),
        some("erase_y").tolist(),
        some("erase_x").tolist(),
        strict=True,
    ):
        top, start = int(up * (height - tall + 1)), int(left * (width - wide + 1))
        batch[row, :, top : top + tall, start : start + wide] = 0


def compress(image: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB: the image as a JPEG of this quality, 1..100, shows it."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.cvtColor(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
