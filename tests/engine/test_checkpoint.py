"""Weights on disk: found, fitted, refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from opensphere.engine.checkpoint import find_weights, load_weights, read_weights, write_safetensors
from opensphere.error import UserError


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def test_weights_are_found_in_numerical_order(tmp_path: Path) -> None:
    touch(
        tmp_path / "models",
        "backbone_900.pth",
        "backbone_10000.pth",
        "head_900.pth",
        ".backbone_1000.pth.part",
        "backbone_x.pth",
    )
    assert list(find_weights(tmp_path)) == [900, 10000]


def test_listed_iterations_win_where_they_exist(tmp_path: Path) -> None:
    touch(tmp_path / "models", "backbone_1.pth", "backbone_2.safetensors", "backbone_3.pth")
    assert list(find_weights(tmp_path, [2, 3, 99])) == [2, 3]
    assert list(find_weights(tmp_path, [99])) == [1, 2, 3]


def test_another_name_of_the_models_folder(tmp_path: Path) -> None:
    touch(tmp_path / "snapshots", "backbone_5.pth")
    assert find_weights(tmp_path) == {5: tmp_path / "snapshots" / "backbone_5.pth"}


def test_safetensors_round_trip(tmp_path: Path) -> None:
    module = nn.Linear(3, 2)
    write_safetensors(module.state_dict(), tmp_path / "a.safetensors")
    other = nn.Linear(3, 2)
    load_weights(other, read_weights(tmp_path / "a.safetensors"), "a")
    assert torch.equal(other.weight, module.weight)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"weight": torch.zeros(2, 3)}, "lacks bias"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "extra": torch.zeros(1)}, "also has extra"),
        ({"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, r"weight is \(3, 2\) instead of \(2, 3\)"),
        ({f"layer{i}": torch.zeros(1) for i in range(9)}, "layer0, layer1, layer2, layer3 and 5 more"),
    ],
)
def test_what_does_not_fit_is_named(weights: dict, message: str) -> None:
    with pytest.raises(UserError, match=f"file.pth: does not fit the config: .*{message}"):
        load_weights(nn.Linear(3, 2), weights, "file.pth")


def test_a_file_that_is_no_mapping(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "a.pth")
    with pytest.raises(UserError, match="a.pth: holds no mapping"):
        read_weights(tmp_path / "a.pth")
    (tmp_path / "b.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(UserError, match="b.safetensors: is damaged"):
        read_weights(tmp_path / "b.safetensors")
    with pytest.raises(UserError, match="c.pth: there is no such weights file"):
        read_weights(tmp_path / "c.pth")
