import numpy as np
import pytest

from opensphere.metric.template import template_features


def slow_templates(features, template, media, weight):
    rows = []
    for number in range(template.max() + 1):
        images = [i for i in range(len(template)) if template[i] == number]
        total = np.zeros(features.shape[1])
        for i in images:
            total += weight[i] / sum(media[j] == media[i] for j in images) * features[i].astype(np.float64)
        mean = total / max(1, len(images))
        rows.append(mean / (np.linalg.norm(mean) or 1))
    return np.stack(rows)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_templates_of_a_loop(dtype):
    rng = np.random.default_rng(0)
    template = rng.integers(0, 12, 150)
    template[template == 5] = 6  # a number without images
    media = rng.choice([-3, 7, 10**15, 10**15 + 1], 150)
    weight = rng.random(150).astype(np.float32)
    features = rng.normal(0, 20, (150, 6)).astype(dtype)
    found = template_features(features, template.astype(np.int32), media, weight)
    assert found.dtype == dtype and found.shape == (12, 6) and not found[5].any()
    np.testing.assert_allclose(found, slow_templates(features, template, media, weight), atol=2e-6)


def test_frames_of_a_video_count_as_one_image():
    features = np.array([[2.0, 0], [0, 1], [0, 1], [0, 1]])
    video = template_features(features, np.zeros(4, int), np.array([8, 9, 9, 9]), np.ones(4))
    np.testing.assert_allclose(video, [[2 / 5**0.5, 1 / 5**0.5]])
    photos = template_features(features, np.zeros(4, int), np.arange(4), np.ones(4))
    np.testing.assert_allclose(photos, [[2 / 13**0.5, 3 / 13**0.5]])


def test_features_are_not_normalised_before_and_faceness_weighs():
    features = np.array([[10.0, 0], [0, 1]])
    found = template_features(features, np.zeros(2, int), np.arange(2), np.array([0.1, 1.0]))
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5]])


def test_opposite_images_leave_zero():
    found = template_features(np.array([[1.0, 2], [-1, -2]]), np.zeros(2, int), np.arange(2), np.ones(2))
    np.testing.assert_array_equal(found, [[0, 0]])
