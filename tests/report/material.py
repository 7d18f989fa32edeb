"""Run folders as the commands leave them, made of a few numbers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from opensphere.metric import evidence


def write_run(
    folder: Path, head: str = "ArcFace", updates: int = 60, done: int | None = None, name: str = "faces"
) -> Path:
    """A run with a config, versions and metrics; `done` updates of `updates`."""
    folder.mkdir(parents=True)
    config = {
        "project": {"max_iters": updates, "seed": 0, "precision": "fp32"},
        "data": {"train": {"dataset": {"type": "ClassDataset", "name": name}, "dataloader": {"batch_size": 32}}},
        "model": {
            "backbone": {"net": {"type": "sfnet10", "out_channel": 16}, "optimizer": {"type": "SGD", "lr": 0.1}},
            "head": {"net": {"type": head, "s": 20.0, "num_class": 50, "feat_dim": 16}},
        },
    }
    (folder / "config.yml").write_text(yaml.safe_dump(config))
    about = {"opensphere": "0.1.0", "git": "a" * 40, "torch": "2.13.0", "processor": "a processor", "threads": 2}
    (folder / "versions.json").write_text(json.dumps([about]))
    lines: list[dict[str, Any]] = []
    for step in range(0, updates if done is None else done, 10):
        row = {"Loss": 9.0 - step / 10, "lr": 0.1, "bkb_grad": 2.0, "head_grad": 1.0, "Mag_mean": 10.0, "Mag_std": 1.0}
        lines.append(
            {"kind": "train", "iter": step, **row, "images_per_second": 1000, "time": f"2026-01-01_00-00-{step}"}
        )
    if done is None:
        lines.append({**lines[-1], "iter": updates - 1})
        lines.append({"kind": "val", "iter": updates, "set": "validation", "ACC": 91.5})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_table(folder: Path, accuracy: float, dataset: str = "pairs", **facts: Any) -> None:
    """`<dataset>.json` with a checkpoint and the average."""
    row = {"ACC": accuracy, "EER": 100 - accuracy, "TPR@FPR=1e-6": None}
    known = {
        "ACC": {"low": accuracy - 1, "high": accuracy + 1},
        "EER": {"low": 1.0, "high": 3.0},
        "TPR@FPR=1e-6": {"why": "FPR 1e-6 of 300 impostor pairs is less than one pair"},
    }
    content = {
        "dataset": dataset,
        "facts": {"genuine pairs": 300, "impostor pairs": 300, "people": 40, **facts},
        "resamples": 1000,
        "confidence": 0.95,
        "rows": [{"Iter": "60", **row}, {"Iter": "average", **row}],
        "uncertainty": [known, known],
    }
    (folder / f"{dataset}.json").write_text(json.dumps(content))


def write_comparison(first: Path, second: Path, difference: float, p: float, dataset: str = "pairs") -> None:
    """`<first>/<dataset>_comparison.json` of two runs, on ACC and on EER, which goes the other way."""
    heads = {"first": first.name, "second": second.name}
    rows = [
        {**heads, "column": column, "difference": sign * difference, "low": sign * difference - 1,
         "high": sign * difference + 1, "p": p / 2, "p (Holm)": p, "method": "bootstrap over people", "why": ""}
        for column, sign in (("ACC", 1), ("EER", -1))
    ]  # fmt: skip
    decided = {**heads, "only the first right": 12, "only the second right": 3, "p": p, "p (Holm)": p}
    runs = {path.name: str(path) for path in (first, second)}
    content = {"dataset": dataset, "runs": runs, "differences": rows, "decisions": [decided]}
    (first / f"{dataset}_comparison.json").write_text(json.dumps(content))


def write_evidence(folder: Path, dataset: str = "pairs", seed: int = 0, image: str = "a.jpg") -> dict[str, np.ndarray]:
    """`<dataset>_evidence.npz` with everything that a page can show; returns its arrays."""
    rng = np.random.default_rng(seed)
    same = np.arange(600) < 300
    scores = np.clip(rng.normal(np.where(same, 0.5, 0.0), 0.15), -1, 1)
    pairs = rng.integers(0, 50, (600, 2))
    found = evidence.collect(scores, same, pairs, 3)
    images = np.unique(np.concatenate([found["hard_genuine"], found["hard_impostor"]]))
    found |= evidence.band(np.geomspace(1 / 300, 1, 9), np.sort(rng.uniform(0.5, 1, (20, 9)), axis=1))
    found |= {
        "image": images,
        "image_name": np.array([image] * len(images)),
        "pixels": rng.integers(0, 255, (len(images), 32, 32, 3), np.uint8),
        "ranks": np.arange(1, 6),
        "cmc": np.linspace(0.8, 1, 5),
        "fpir": np.geomspace(0.01, 1, 5),
        "tpir": np.linspace(0.4, 0.9, 5),
        "sample": rng.normal(size=(30, 16)).astype(np.float32),
        "sample_person": np.repeat(np.arange(6), 5),
    }
    evidence.write(folder / f"{dataset}_evidence.npz", found)
    return found
