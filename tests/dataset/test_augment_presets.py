import copy

import cv2
import numpy as np
import pytest
import torch

from opensphere.config.schema import arguments
from opensphere.dataset.augment import PRESETS, Augment, normalise, written_out
from opensphere.error import UserError
from tests.dataset.augment_slow import CV2_FILTERS, EPOCH, LUMA, SEED, drawn, signed, slow_crop
from tests.dataset.pictures import picture


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_an_augment(name):
    resolved = arguments(written_out(name), Augment, "augment")
    assert PRESETS[name].items() <= resolved.items()
    assert arguments(resolved, Augment, "augment") == resolved == arguments(written_out(resolved), Augment, "augment")
    images = torch.from_numpy(np.stack([picture(number) for number in range(8)]))
    assert Augment(**PRESETS[name])(images, np.arange(8), SEED, EPOCH).isfinite().all()


def test_none_and_seed_are_what_they_say():
    images = torch.from_numpy(np.stack([picture(number) for number in range(40)]))
    assert torch.equal(Augment(**PRESETS["none"])(images, np.arange(40), SEED, EPOCH), normalise(images))
    assert vars(Augment(**PRESETS["seed"])) == vars(Augment()) == vars(Augment(mirror=0.5))


def test_strong_names_everything():
    assert set(PRESETS["strong"]) == set(vars(Augment()))


def test_presets_are_written_out():
    assert written_out("adaface") == written_out({"preset": "adaface"}) == PRESETS["adaface"]
    mine = written_out({"mirror": 0.0, "preset": "adaface", "erase": 0.2})
    assert mine == PRESETS["adaface"] | {"mirror": 0.0, "erase": 0.2}
    assert written_out({"mirror": 0.1}) == written_out({"preset": None, "mirror": 0.1}) == {"mirror": 0.1}
    assert written_out(None) is None and written_out(3) == 3  # the schema says what is wrong with that
    before = copy.deepcopy(PRESETS)
    written_out("adaface")["crop_area"].append(1)
    assert before == PRESETS


@pytest.mark.parametrize("block", ["Adaface", {"preset": "weak"}, {"preset": ["none"]}, {"preset": 0.5}, ""])
def test_unknown_presets_are_named(block):
    with pytest.raises(UserError, match=r"^c.yml: augment: there is no preset .*; known: none, seed, adaface, strong$"):
        written_out(block, "c.yml: augment")


def adafaces_way(image, index):
    """AdaFace's pipeline in bytes, with our random numbers: box, resolution, colour; every one of them applied."""
    image = slow_crop(image, index, (0.2, 1.0))
    small = int((0.2 + 0.8 * drawn("factor", index)) * image.shape[0])
    shrink, enlarge = (CV2_FILTERS[int(5 * drawn(name, index))] for name in ("shrink_filter", "enlarge_filter"))
    image = cv2.resize(image, (small, small), interpolation=shrink)
    image = cv2.resize(image, (112, 112), interpolation=enlarge).astype(np.float64)
    for name in ("brightness", "contrast", "saturation"):
        grey = (image @ LUMA).round()[..., None]
        other = {"brightness": 0.0, "contrast": grey.mean().round(), "saturation": grey}[name]
        image = (other + (image - other) * (1 + 0.5 * signed(name, index))).clip(0, 255).round()
    return image


def test_adaface_equals_adafaces_way_but_for_rounding():
    always = PRESETS["adaface"] | dict(mirror=0.0, crop=1.0, colour=1.0, low_resolution=1.0)
    images = [picture(number, 112, 112) // 2 + 30 for number in range(24)]  # few values are cut off
    found = Augment(**always)(torch.from_numpy(np.stack(images)), np.arange(24), SEED, EPOCH)
    found = found.permute(0, 2, 3, 1).numpy() * 127.5 + 127.5
    for index, image in enumerate(images):
        off = np.abs(found[index] - adafaces_way(image, index))
        assert np.median(off) < 1.5 and off.mean() < 1.5  # bytes; more where a value was cut off
        assert (off > 8).mean() < 0.06


def test_probabilities_and_strengths_of_adaface():
    """0.2 each, 0.5 for the mirror image; factors of 0.5 .. 1.5, sides of 0.2 .. 1."""
    augment = Augment(**PRESETS["adaface"])
    assert (augment.crop, augment.colour, augment.low_resolution, augment.mirror) == (0.2, 0.2, 0.2, 0.5)
    assert (augment.brightness, augment.contrast, augment.saturation, augment.gamma) == (0.5, 0.5, 0.5, 0.0)
    assert augment.crop_area == augment.low_resolution_side == (0.2, 1.0)
    assert not augment.grey and not augment.blur and not augment.erase and augment.on_read is None
    images = torch.from_numpy(picture(0, 24, 24))[None].expand(1000, -1, -1, -1)
    symmetric = (images // 2 + images.flip(2) // 2).contiguous()
    changed = (augment(symmetric, np.arange(1000), 0, 0) != normalise(symmetric[:1])).flatten(1).any(dim=1)
    assert abs(changed.float().mean().item() - (1 - 0.8**3)) < 0.065  # four standard deviations
