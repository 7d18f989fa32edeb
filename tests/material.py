"""Small things to train on, made by the tests themselves."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml


def write_people(folder: Path, people: int = 6, images: int = 8, size: int = 32, seed: int = 0) -> Path:
    """Write noisy images of a pattern per person under `folder/images`, and `folder/list.txt`; returns the list."""
    rng = np.random.default_rng(seed)
    lines = []
    for person in range(people):
        pattern = cv2.resize(rng.integers(0, 256, (4, 4, 3)).astype(np.float32), (size, size))
        for number in range(images):
            image = np.clip(pattern + rng.normal(0, 25, pattern.shape), 0, 255).astype(np.uint8)
            name = f"person_{person:02d}/{number:02d}.png"
            (folder / "images" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "images" / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
            lines.append(f"{name} person_{person:02d}")
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    return folder / "list.txt"


def write_pairs(folder: Path, people: int = 6, images: int = 8, pairs: int = 40, seed: int = 0) -> Path:
    """Write `folder/pairs.txt`: pairs of `write_people`'s images, genuine and impostor in turn."""
    rng = np.random.default_rng(seed)
    lines = []
    for number in range(pairs):
        first = int(rng.integers(people))
        second = first if number % 2 == 0 else (first + 1 + int(rng.integers(people - 1))) % people
        one, two = rng.choice(images, 2, replace=False)
        lines.append(f"{1 - number % 2} person_{first:02d}/{one:02d}.png person_{second:02d}/{two:02d}.png")
    (folder / "pairs.txt").write_text("\n".join(lines) + "\n")
    return folder / "pairs.txt"


def tiny_config(folder: Path, **project: Any) -> dict[str, Any]:
    """A training of a second: a small network without BatchNorm, on what `write_people` and `write_pairs` wrote."""
    images = str(folder / "images")
    return {
        "project": {
            "proj_dir": str(folder / "project"),
            "max_iters": 12,
            "val_intvl": 6,
            "precision": "fp32",
            "train_log": {"screen_intvl": 5},
            **project,
        },
        "data": {
            "base": {"dataloader": {"batch_size": 16, "num_workers": 0}},
            "train": {
                "dataset": {
                    "type": "ClassDataset",
                    "name": "tiny",
                    "data_dir": images,
                    "ann_path": str(folder / "list.txt"),
                    "image_size": 32,
                }
            },
            "val": [
                {
                    "dataset": {
                        "type": "PairDataset",
                        "name": "pairs",
                        "data_dir": images,
                        "ann_path": str(folder / "pairs.txt"),
                        "metrics": ["ACC"],
                    }
                }
            ],
        },
        "model": {
            "base": {
                "optimizer": {"type": "SGD", "lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4},
                "scheduler": {"type": "MultiStepLR", "milestones": [8, 12], "gamma": 0.1},
            },
            "backbone": {"net": {"type": "sfnet4", "out_channel": 16, "width": 0.125}},
            "head": {"net": {"type": "CosFace", "s": 16.0, "m": 0.2}},
        },
    }


def write_config(folder: Path, config: dict[str, Any], name: str = "train.yml") -> Path:
    """Write a config as YAML; returns its path."""
    (folder / name).write_text(yaml.safe_dump(config, sort_keys=False))
    return folder / name


def write_test_config(folder: Path, name: str = "test.yml", **dataset: Any) -> Path:
    """A test config for `write_pairs`' list."""
    block = {
        "type": "PairDataset",
        "name": "pairs",
        "data_dir": str(folder / "images"),
        "ann_path": str(folder / "pairs.txt"),
    }
    return write_config(
        folder, {"data": {"test": [{"dataset": {**block, **dataset}, "dataloader": {"num_workers": 0}}]}}, name
    )


def only_run(folder: Path) -> Path:
    """The one run folder under `folder/project`."""
    (run,) = (path for path in (folder / "project").iterdir() if path.is_dir())
    return run
