"""The pairs and searches that a model gets most wrong, as small pictures inside the page."""

from dataclasses import dataclass

import numpy as np

from opensphere.report.picture import SIDE, data_uri

MOST, PICTURED = 12, 72  # pairs of a kind, and of a page in all
KINDS = ("hard_genuine", "hard_impostor", "alike", "hard_search")


@dataclass(frozen=True)
class Pair:
    """Two images and their score; pictures are data URIs, empty where the evidence has none."""

    score: float
    wrong: bool
    names: tuple[str, ...]
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Lost:
    """A search that somebody else's entry won: probe, that entry, the best one of the own person; their scores."""

    first: float
    own: float
    names: tuple[str, ...]
    pictures: tuple[str, ...]


@dataclass(frozen=True)
class Hardest:
    """The hardest pairs and searches of a run on a set, hardest first.

    Attributes:
        alike: people who look most alike, each two once.
        compared: images that were compared for it; 0 where only the set's own pairs were.
        threshold: the best one, by which `wrong` is said.
    """

    rejects: list[Pair]
    accepts: list[Pair]
    alike: list[Pair]
    searches: list[Lost]
    compared: int
    threshold: float


def hardest(arrays: dict[str, np.ndarray], most: int = MOST, side: int = SIDE) -> Hardest | None:
    """The hardest pairs and searches that evidence names; None where it names none.

    Args:
        most: of each kind.
        side: pixels of a picture's longer side; 0 for no pictures.
    """
    kinds = [kind for kind in KINDS if kind in arrays and f"{kind}_scores" in arrays]
    if not kinds:
        return None
    right = arrays["true_accepts"] + (arrays["impostors"] - arrays["false_accepts"])
    threshold = float(arrays["thresholds"][int(np.argmax(right))])
    named = np.concatenate([arrays[kind][:most].ravel() for kind in kinds])
    pictures, names = _pictures(arrays, set(named.tolist()), side)

    def told(images: np.ndarray) -> tuple[tuple[str, ...], tuple[str, ...]]:
        some = images.tolist()
        return tuple(names.get(one, f"image {one}") for one in some), tuple(pictures.get(one, "") for one in some)

    rows = {
        kind: list(zip(arrays[kind][:most], arrays[f"{kind}_scores"][:most].tolist(), strict=True)) for kind in kinds
    }
    pairs = {
        kind: [Pair(score, (score < threshold) == (kind == "hard_genuine"), *told(two)) for two, score in rows[kind]]
        for kind in kinds
        if kind != "hard_search"
    }
    return Hardest(
        rejects=pairs.get("hard_genuine", []),
        accepts=pairs.get("hard_impostor", []),
        alike=pairs.get("alike", []),
        searches=[Lost(first, own, *told(three)) for three, (first, own) in rows.get("hard_search", [])],
        compared=int(arrays.get("alike_images", np.array(0))),
        threshold=threshold,
    )


def _pictures(arrays: dict[str, np.ndarray], wanted: set[int], side: int) -> tuple[dict[int, str], dict[int, str]]:
    """Data URIs and names by image; encoded anew, so that nothing of a file but its pixels gets in."""
    if not all(key in arrays for key in ("image", "pixels", "image_name")):
        return {}, {}
    pixels = arrays["pixels"]
    if pixels.ndim != 4 or pixels.shape[-1] != 3 or pixels.dtype != np.uint8:
        return {}, {}
    images = [int(image) for image in arrays["image"]]
    shown = zip(images, pixels, strict=False) if side else ()
    found = {image: data_uri(picture, side) for image, picture in shown if image in wanted}
    named = zip(images, arrays["image_name"], strict=False)
    return found, {image: str(name).encode("utf-8", "replace").decode() for image, name in named}
