import tracemalloc

import numpy as np
import pytest

from opensphere.metric.template import template_features


def slow_templates(features, template, media, weight, norm=True, media_average=True):
    rows = []
    for number in range(template.max() + 1):
        images = [i for i in range(len(template)) if template[i] == number]
        total = np.zeros(features.shape[1])
        for i in images:
            one = features[i].astype(np.float64)
            if not norm:
                one = one / (np.linalg.norm(one) or 1)
            total += weight[i] / (sum(media[j] == media[i] for j in images) if media_average else 1) * one
        mean = total / max(1, len(images))
        rows.append(mean / (np.linalg.norm(mean) or 1))
    return np.stack(rows)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("media_average", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_templates_of_a_loop(dtype, media_average, norm):
    rng = np.random.default_rng(0)
    template = rng.integers(0, 12, 150)
    template[template == 5] = 6  # a number without images
    media = rng.choice([-3, 7, 10**15, 10**15 + 1], 150)
    weight = rng.random(150).astype(np.float32)
    features = (rng.normal(0, 1, (150, 6)) * rng.uniform(1, 30, (150, 1))).astype(dtype)
    features[3] = 0
    kinds = {"norm": norm, "media_average": media_average}
    found = template_features(features, template.astype(np.int32), media, weight, **kinds)
    assert found.dtype == dtype and found.shape == (12, 6) and not found[5].any()
    np.testing.assert_allclose(found, slow_templates(features, template, media, weight, **kinds), atol=2e-6)
    alike = template_features(features, template, media, **kinds)
    np.testing.assert_allclose(alike, slow_templates(features, template, media, np.ones(150), **kinds), atol=2e-6)


@pytest.mark.parametrize(
    ("weight", "kinds", "direction"),
    [
        # a photograph (6, 8), of length 10, and two frames of a video, (1, 0) and (0, 1); faceness 0.5, 1, 0.2
        ([0.5, 1, 0.2], {}, (3 + 0.5, 4 + 0.1)),
        ([0.5, 1, 0.2], {"media_average": False}, (3 + 1, 4 + 0.2)),
        ([0.5, 1, 0.2], {"norm": False}, (0.3 + 0.5, 0.4 + 0.1)),
        ([0.5, 1, 0.2], {"norm": False, "media_average": False}, (0.3 + 1, 0.4 + 0.2)),
        (None, {}, (6 + 0.5, 8 + 0.5)),
        (None, {"norm": False}, (0.6 + 0.5, 0.8 + 0.5)),
        (None, {"norm": False, "media_average": False}, (0.6 + 1, 0.8 + 1)),
        # with qualities 2, 0, 3 as well: 1, 0, 0.6
        ([1, 0, 0.6], {}, (6, 8 + 0.3)),
        ([1, 0, 0.6], {"norm": False}, (0.6, 0.8 + 0.3)),
    ],
)
def test_a_worked_example_of_each_fusion(weight, kinds, direction):
    features = np.array([[6.0, 8], [1, 0], [0, 1]])
    weight = None if weight is None else np.array(weight)
    found = template_features(features, np.zeros(3, int), np.array([4, 9, 9]), weight, **kinds)
    np.testing.assert_allclose(found, [np.divide(direction, np.hypot(*direction))], rtol=1e-12)


def test_frames_of_a_video_count_as_one_image():
    features = np.array([[2.0, 0], [0, 1], [0, 1], [0, 1]])
    video = template_features(features, np.zeros(4, int), np.array([8, 9, 9, 9]), np.ones(4))
    np.testing.assert_allclose(video, [[2 / 5**0.5, 1 / 5**0.5]])
    photos = template_features(features, np.zeros(4, int), np.arange(4), np.ones(4))
    np.testing.assert_allclose(photos, [[2 / 13**0.5, 3 / 13**0.5]])


def test_a_medium_of_two_templates_is_shared_out_in_each():
    features = np.array([[2.0, 0], [0, 1], [0, 1], [0, 1]])
    found = template_features(features, np.array([0, 0, 0, 1]), np.array([8, 9, 9, 9]))
    np.testing.assert_allclose(found, [[2 / 5**0.5, 1 / 5**0.5], [0, 1]])


def test_features_are_not_normalised_before_and_faceness_weighs():
    features = np.array([[10.0, 0], [0, 1]])
    found = template_features(features, np.zeros(2, int), np.arange(2), np.array([0.1, 1.0]))
    np.testing.assert_allclose(found, [[0.5**0.5, 0.5**0.5]])


def test_nothing_to_go_by_leaves_zero():
    opposite = np.array([[1.0, 2], [-1, -2]])
    np.testing.assert_array_equal(template_features(opposite, np.zeros(2, int), np.arange(2)), [[0, 0]])
    weight = np.array([0.0, 0, 1])
    found = template_features(np.eye(3), np.array([0, 0, 1]), np.arange(3), weight)
    np.testing.assert_array_equal(found, [[0, 0, 0], [0, 0, 1]])
    zeros = template_features(np.zeros((2, 3)), np.zeros(2, int), np.arange(2), norm=False)
    np.testing.assert_array_equal(zeros, [[0, 0, 0]])
    none = np.zeros(0, int)
    assert template_features(np.zeros((0, 3), np.float32), none, none, norm=False).shape == (0, 3)


def test_the_scale_of_weights_is_of_no_matter():
    rng = np.random.default_rng(1)
    features, template, weight = rng.normal(0, 1, (40, 5)), rng.integers(0, 6, 40), rng.random(40)
    found = template_features(features, template, np.arange(40), weight)
    np.testing.assert_allclose(template_features(9 * features, template, np.arange(40), 7 * weight), found, rtol=1e-9)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_named(monkeypatch, norm, bad):
    monkeypatch.setattr("opensphere.metric.template._ROWS", 4)
    features, template = np.ones((12, 3), np.float32), np.arange(12) // 3
    features[7, 1] = bad
    with pytest.raises(ValueError, match="^image 7: the feature has numbers that are not finite"):
        template_features(features, template, np.arange(12), np.zeros(12), norm=norm)
    features[2:, 0] = bad
    with pytest.raises(ValueError, match="^images 2, 3, 4, 5, 6 and 5 more: the feature has"):
        template_features(features, template, np.arange(12), norm=norm)


@pytest.mark.parametrize("norm", [True, False])
def test_features_that_are_too_long(norm):
    with pytest.raises(ValueError, match="are too large: a sum of them is not finite"):
        template_features(np.full((4, 3), 3e38, np.float32), np.zeros(4, int), np.arange(4), norm=norm)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"features": np.ones((5, 2))}, r"5 features, but templates of shape \(6,\); each image has one"),
        ({"features": np.ones(6)}, r"features of shape \(6,\); they should be \(images, dimensions\)"),
        ({"media": np.arange(7)}, r"6 features, but media of shape \(7,\)"),
        ({"weight": np.ones((6, 1))}, r"6 features, but weights of shape \(6, 1\)"),
        ({"weight": np.array([1, 1, -0.5, 1, -2, 1])}, "images 2, 4: a weight of -0.5; it should be finite and not"),
        ({"weight": np.array([1, 1, 1, 1, 1, np.nan])}, "image 5: a weight of nan"),
        ({"template": np.array([0, 1, -1, 0, 0, 0])}, "image 2: template -1; templates count from 0"),
    ],
)
def test_input_that_makes_no_sense(change, words):
    good = {"features": np.ones((6, 2)), "template": np.zeros(6, int), "media": np.arange(6), "weight": np.ones(6)}
    with pytest.raises(ValueError, match=f"^{words}"):
        template_features(**good | change)


@pytest.mark.parametrize("norm", [True, False])
def test_features_are_not_copied(norm):
    features = np.ones((30_000, 64), np.float32)
    template = np.arange(30_000) // 20
    tracemalloc.start()
    template_features(features, template, template, norm=norm)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 0.7 * features.nbytes
