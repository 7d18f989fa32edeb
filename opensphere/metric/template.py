"""One feature for several images of a person: the templates of IJB."""

import numpy as np
from scipy.sparse import csr_array

from opensphere.metric.verification import unit


def template_features(features: np.ndarray, template: np.ndarray, media: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Features of templates, of unit length.

    The images of a medium (a video's frames, say) count together as one: the feature of a template is the mean of
    weight / (images of the same medium in the template) x feature over its images, set to unit length.

    Args:
        features: (N, D) of the images, as the network gives them, not normalised.
        template: (N,) int, the template that each image belongs to, from 0 to T - 1.
        media: (N,) int, the medium that each image comes from.
        weight: (N,), how surely each image shows a face.

    Returns:
        (T, D) of the features' type; zero for a number that no image has.
    """
    size = int(template.max(initial=-1)) + 1
    media_ids, medium = np.unique(media, return_inverse=True)
    groups = template.astype(np.int64) * len(media_ids) + medium
    _, group, count = np.unique(groups, return_inverse=True, return_counts=True)
    share = (weight / count[group]).astype(features.dtype)
    # as a product of a sparse matrix with the features; that the sum is no mean is lost with the length
    sums = csr_array((share, (template, np.arange(len(template)))), shape=(size, len(template))) @ features
    return unit(sums)
