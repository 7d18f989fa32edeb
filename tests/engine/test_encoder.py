"""The copy of the backbone that follows it."""

import pytest
import torch
from torch import nn

from opensphere.engine.encoder import Encoder


def backbone() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).to(memory_format=torch.channels_last)


def test_it_begins_as_the_backbone_and_learns_nothing() -> None:
    one = backbone().eval()
    encoder = Encoder(one, 0.9)
    images = torch.randn(2, 3, 4, 4)
    keys = encoder(images)
    assert not keys.requires_grad and not any(each.requires_grad for each in encoder.module.parameters())
    assert torch.equal(keys, backbone()(images))  # in training mode
    assert int(encoder.module[1].num_batches_tracked) == 1 and int(one[1].num_batches_tracked) == 0
    assert encoder.module[0].weight.stride() == one[0].weight.stride()


@pytest.mark.parametrize("ema", [0.0, 0.75, 1.0])
def test_it_follows(ema: float) -> None:
    one = backbone()
    encoder = Encoder(one, ema)
    first = [each.detach().clone() for each in one.parameters()]
    with torch.no_grad():
        for each in one.parameters():
            each.add_(1.0)
    one[1].running_mean.fill_(5.0)
    for _ in range(2):
        encoder.follow(one)
    for own, start in zip(encoder.module.parameters(), first, strict=True):
        torch.testing.assert_close(own, start + 1.0 - ema**2)
    assert not encoder.module[1].running_mean.any()
