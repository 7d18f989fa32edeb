"""A reader of images that stand in memory."""

from collections.abc import Sequence

import cv2
import numpy as np

from opensphere.dataset.reader import Reader
from opensphere.error import UserError
from opensphere.inspection.source import Source
from tests.dataset.pictures import encode


class Shelf(Reader):
    """Encoded images of people; None: one that is missing."""

    def __init__(self, images: Sequence[bytes | None], people: Sequence[str] | None = None):
        self.root = "shelf"
        self.images = list(images)
        if people is not None:
            self.names, self.labels = np.unique(people, return_inverse=True)
            self.names = self.names.tolist()

    def __len__(self) -> int:
        return len(self.images)

    def data(self, index: int) -> bytes:
        image = self.images[index]
        if image is None:
            raise UserError(f"{self.where(index)}: the file does not exist")
        return image

    def path(self, index: int) -> str:
        return f"{index}.jpg"

    def where(self, index: int) -> str:
        return f"shelf: image {index}"


def source(images: Sequence[bytes | None], people: Sequence[str] | None = None) -> Source:
    return Source(Shelf(images, people), "shelf")


def scene(seed: int, side: int = 48) -> np.ndarray:
    """A picture with detail at many scales, unlike those of other seeds; (side, side, 3) uint8 RGB."""
    random = np.random.default_rng(seed)
    layers = [cv2.resize(random.normal(0, 60 / n, (n + 1, n + 1, 3)), (side, side)) for n in (2, 3, 5, 8)]
    return np.clip(128 + sum(layers), 0, 255).astype(np.uint8)


def jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    done, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


__all__ = ["Shelf", "encode", "jpeg", "scene", "source"]
