"""One feature for several images of a person: the templates of IJB."""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from opensphere.metric.verification import unit

_ROWS = 4096  # features looked at together where a copy is made of them


def template_features(
    features: np.ndarray,
    template: np.ndarray,
    media: np.ndarray,
    weight: np.ndarray | None = None,
    *,
    norm: bool = True,
    media_average: bool = True,
) -> np.ndarray:
    """Features of templates, of unit length.

    The feature of a template is

        unit(sum over its images i of  weight_i / frames_i * u_i)

    where u_i is the feature x_i as the network gives it, so that an image also counts by the length of its feature;
    without `norm`, x_i / |x_i|. frames_i is the number of images of the template that are of the medium of i: those of
    one medium (the frames of a video, say) count together as one; without `media_average` it is 1.

    OpenSphere's way, the default, is `norm` and `media_average`, and the faceness as weight. With neither weight nor
    norm it is the plain mean of unit features.

    Args:
        features: (N, D) of the images, as the network gives them, not normalised.
        template: (N,) int, the template that each image belongs to, from 0 to T - 1.
        media: (N,) int, the medium that each image comes from.
        weight: (N,) not negative, what each image counts by: how surely it shows a face, how good it is, or the
            product of several such numbers. None: all count alike.

    Returns:
        (T, D) of the features' type; zero for a template that no image has, whose weights are all zero, or whose
        images cancel out.

    Raises:
        ValueError: numbers of rows differ, a template or weight is negative, or features or weights are not finite.
    """
    features = np.asarray(features, np.result_type(features, np.float32))
    weight = np.ones(len(features), np.float32) if weight is None else np.asarray(weight)
    _check(features, template, media, weight)
    share = weight / (_frames(template, media) if media_average else 1)
    if not norm:
        share = share / _lengths(features)
    size = int(template.max(initial=-1)) + 1
    # as a product of a sparse matrix with the features; that the sum is no mean is lost with the length
    entries = (share.astype(features.dtype), (template, np.arange(len(template))))
    sums = csr_array(entries, shape=(size, len(template))) @ features
    if not np.isfinite(sums).all():  # as every feature is in one, there is no need to look at all before
        _refuse(features)
    return unit(sums)


def _frames(template: np.ndarray, media: np.ndarray) -> np.ndarray:
    """(N,) how many images of the same template are of the same medium."""
    media_ids, medium = np.unique(media, return_inverse=True)
    groups = template.astype(np.int64) * len(media_ids) + medium
    _, group, count = np.unique(groups, return_inverse=True, return_counts=True)
    return count[group]


def _lengths(features: np.ndarray) -> np.ndarray:
    """(N,) the lengths of features, infinite for zeros: these count for nothing."""
    with np.errstate(over="ignore"):  # what is too long becomes infinite, and is refused
        parts = [np.linalg.norm(rows, axis=1) for _, rows in _blocks(features)]
    lengths = np.concatenate(parts) if parts else np.empty(0, features.dtype)
    if not np.isfinite(lengths).all():
        _refuse(features)
    return np.where(lengths > 0, lengths, np.inf)


def _blocks(features: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Rows, and the number of the first."""
    for start in range(0, len(features), _ROWS):
        yield start, features[start : start + _ROWS]


def _check(features: np.ndarray, template: np.ndarray, media: np.ndarray, weight: np.ndarray) -> None:
    if features.ndim != 2:
        raise ValueError(f"features of shape {features.shape}; they should be (images, dimensions)")
    for name, rows in (("templates", template), ("media", media), ("weights", weight)):
        if rows.shape != (len(features),):
            raise ValueError(f"{len(features)} features, but {name} of shape {rows.shape}; each image has one")
    if template.min(initial=0) < 0:
        raise ValueError(f"image {int(np.argmax(template < 0))}: template {template.min()}; templates count from 0")
    wrong = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
    if len(wrong):
        raise ValueError(f"{_named(wrong)}: a weight of {weight[wrong[0]]:g}; it should be finite and not negative")


def _refuse(features: np.ndarray) -> None:
    """Raises ValueError that names the features that are not finite."""
    parts = [start + np.flatnonzero(~np.isfinite(rows).all(axis=1)) for start, rows in _blocks(features)]
    wrong = np.concatenate(parts)
    if len(wrong):
        raise ValueError(f"{_named(wrong)}: the feature has numbers that are not finite; is the network sound?")
    raise ValueError("the features or weights are too large: a sum of them is not finite")


def _named(rows: np.ndarray) -> str:
    """Some images, counted from 0, for an error."""
    first = ", ".join(map(str, rows[:5].tolist()))
    more = f" and {len(rows) - 5} more" if len(rows) > 5 else ""
    return f"image{'s' if len(rows) > 1 else ''} {first}{more}"
