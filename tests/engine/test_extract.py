"""Features: image plus mirror image, in order, whatever the batch."""

import numpy as np
import pytest
import torch

from opensphere.config import build_backbone
from opensphere.dataset.augment import normalise
from opensphere.dataset.synthetic import SyntheticFaces
from opensphere.dataset.view import Subset
from opensphere.engine.extract import extract
from opensphere.engine.parallel import World

ALONE = World(0, 1, torch.device("cpu"))


@pytest.fixture(scope="module")
def backbone() -> torch.nn.Module:
    torch.manual_seed(0)
    return build_backbone("sfnet10", out_channel=16, width=0.125, input_size=32, norm_layer="BatchNorm2d", dropout=0.3)


@pytest.fixture(scope="module")
def faces() -> SyntheticFaces:
    return SyntheticFaces(people=3, images=7, image_size=32)


def test_a_feature_is_that_of_the_image_plus_that_of_its_mirror(
    backbone: torch.nn.Module, faces: SyntheticFaces
) -> None:
    features = extract(backbone, faces, ALONE, batch_size=8)
    backbone.eval()
    for index in range(len(faces)):
        image = (faces.read(index).astype(np.float32) - 127.5) / 127.5
        sides = [torch.from_numpy(side.transpose(2, 0, 1).copy())[None] for side in (image, image[:, ::-1])]
        with torch.no_grad():
            expected = sum(backbone(side)[0] for side in sides)
        np.testing.assert_allclose(features[index], expected.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("batch_size", [1, 5, 21, 64])
def test_any_batch_size_gives_the_same(backbone: torch.nn.Module, faces: SyntheticFaces, batch_size: int) -> None:
    unit = [
        f / np.linalg.norm(f, axis=1, keepdims=True)
        for f in (extract(backbone, faces, ALONE, b) for b in (8, batch_size))
    ]
    np.testing.assert_allclose(unit[0], unit[1], atol=1e-5)


def test_the_mode_of_the_network_comes_back(backbone: torch.nn.Module, faces: SyntheticFaces) -> None:
    backbone.train()
    before = backbone.state_dict()["layer1.0.bn1.running_mean"].clone()
    done: list[int] = []
    extract(backbone, faces, ALONE, batch_size=8, progress=done.append)
    assert backbone.training and sum(done) == len(faces)
    assert torch.equal(before, backbone.state_dict()["layer1.0.bn1.running_mean"])


def test_a_set_may_be_without_mirror_images(backbone: torch.nn.Module) -> None:
    faces = SyntheticFaces(people=2, images=2, image_size=32)
    faces.mirror = False
    backbone.eval()
    with torch.no_grad():
        images = normalise(torch.stack([torch.from_numpy(faces.read(index)) for index in range(4)]))
        expected = backbone(images).numpy()
    np.testing.assert_allclose(extract(backbone, faces, ALONE, batch_size=4), expected, rtol=1e-4, atol=1e-5)


def test_the_mode_comes_back_after_an_error(backbone: torch.nn.Module) -> None:
    faces = SyntheticFaces(people=2, images=2, image_size=32, in_memory=False)
    faces.read = lambda index: 1 / 0  # type: ignore[method-assign, assignment]
    backbone.train()
    with pytest.raises(ZeroDivisionError):
        extract(backbone, faces, ALONE, batch_size=4)
    assert backbone.training


def test_weights_can_still_be_trained(faces: SyntheticFaces) -> None:
    net = build_backbone("sfnet4", out_channel=8, width=0.125, input_size=32)
    extract(net, faces, ALONE, batch_size=8)
    net(torch.zeros(2, 3, 32, 32)).sum().backward()
    assert all(not weight.is_inference() and weight.grad is not None for weight in net.parameters())


def test_an_empty_set_has_no_features(backbone: torch.nn.Module, faces: SyntheticFaces) -> None:
    nobody = Subset(faces, np.empty(0, np.int64))
    assert extract(backbone, nobody, ALONE, batch_size=8).shape[0] == 0


@pytest.mark.parametrize("size", [2, 3, 30])
def test_ranks_share_the_work(
    backbone: torch.nn.Module, faces: SyntheticFaces, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    """Ranks one after another, who hear nothing of one another: each has its own rows right, and they are all rows."""
    whole = extract(backbone, faces, ALONE, batch_size=4)
    rows: list[list[int]] = []
    for rank in range(size):
        done: list[int] = []
        own: list[int] = []
        found = extract(
            backbone, faces, World(rank, size, torch.device("cpu")), 4, progress=done.append,
            keep=lambda index, features, own=own: own.extend(index.tolist()),
        )  # fmt: skip
        assert sum(done) == len(faces)
        rows.append(own)
        if own:
            np.testing.assert_allclose(found[own], whole[own], rtol=1e-4, atol=1e-5)
    assert sum(rows, []) == list(range(len(faces)))
    assert max(map(len, rows)) - min(map(len, rows)) <= 1


def test_known_features_are_taken_as_they_are(backbone: torch.nn.Module, faces: SyntheticFaces) -> None:
    whole = extract(backbone, faces, ALONE, batch_size=4)
    features, found = np.full_like(whole, 7), np.arange(len(faces)) % 3 == 0
    done: list[int] = []
    again = extract(backbone, faces, ALONE, 4, progress=done.append, known=(features, found))
    assert again is features and (again[found] == 7).all() and sum(done) == np.count_nonzero(~found)
    np.testing.assert_allclose(again[~found], whole[~found], rtol=1e-4, atol=1e-5)
