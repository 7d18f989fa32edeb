"""Features: image plus mirror image, in order, whatever the batch."""

import numpy as np
import pytest
import torch

from opensphere.config import build_backbone
from opensphere.dataset.synthetic import SyntheticFaces
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


def test_ranks_share_the_work_in_order(
    backbone: torch.nn.Module, faces: SyntheticFaces, monkeypatch: pytest.MonkeyPatch
) -> None:
    from opensphere.engine import extract as module

    whole = extract(backbone, faces, ALONE, batch_size=4)
    shares: list = []
    monkeypatch.setattr(module.collective, "gather_objects", lambda share: shares.append(share) or [share])
    for rank in range(3):
        extract(backbone, faces, World(rank, 3, torch.device("cpu")), batch_size=4)
    gathered = module._in_order(shares, len(faces))
    np.testing.assert_allclose(gathered, whole, rtol=1e-4, atol=1e-5)
