"""Run folders as the commands leave them, made of a few numbers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from opensphere.metric import evidence
from opensphere.report.training_data import FILE


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
        "hard_search": rng.choice(images, (4, 3)),
        "hard_search_scores": np.array([[0.7, 0.4], [0.6, 0.5], [0.55, 0.1], [0.5, 0.5]]),
        "sample": rng.normal(size=(30, 16)).astype(np.float32),
        "sample_person": np.repeat(np.arange(6), 5),
    }
    evidence.write(folder / f"{dataset}_evidence.npz", found)
    return found


def write_data(folder: Path, images_of: Sequence[int] = (2, 3, 40), name: str = "faces", **changes: Any) -> None:
    """`training_data.npz` of people who each have so many images; all of them pictured, by two images at most."""
    each = np.sort(np.array(images_of))
    sizes, holders = np.unique(each, return_counts=True)
    rng = np.random.default_rng(0)
    rows = [row for row, images in enumerate(each) for _ in range(min(2, images))]
    jpegs = [cv2.imencode(".jpg", rng.integers(0, 255, (48, 40, 3), np.uint8))[1] for _ in rows]
    found = {
        "name": name,
        "images": each.sum(),
        "people": len(each),
        "counts": sizes,
        "holders": holders,
        "remarks": np.array(["label noise, uniform: 3 of 45 labels changed"]),
        "person": np.array([f"person {number}" for number in range(len(each))]),
        "person_images": each,
        "picture_person": rows,
        "picture_name": np.array([f"{row}/{place}.jpg" for place, row in enumerate(rows)]),
        "jpeg": np.concatenate(jpegs),
        "jpeg_end": np.cumsum([len(jpeg) for jpeg in jpegs]),
    }
    np.savez(folder / FILE, **{key: np.asarray(value) for key, value in (found | changes).items()})


def write_study(
    folder: Path,
    arms: Sequence[str] = ("CocoLoss", "CosFace", "ArcFace"),
    values: Sequence[Any] = (),
    seeds: Sequence[int] = (0, 1, 2),
    gaps: Sequence[float] = (0.0, 2.0, 0.3),
    evidence_of: bool = False,
) -> dict[str, Any]:
    """`study.json` and runs of a comparison over seeds; returns what it says.

    Each arm has 90 % plus its gap in ACC10, and the rest in EER; a difference above 1 is more than chance. `values`
    are those of `data.share`.
    """
    settings = [{"name": f"share {value}", "values": {"data.share": value}} for value in values]
    settings = settings or [{"name": "", "values": {}}]
    cells = [(arm, place, seed) for place in range(len(settings)) for arm in range(len(arms)) for seed in seeds]
    runs = [_study_run(folder, arms, gaps, *cell, evidence_of) for cell in cells]
    means, differences = [], []
    for place in range(len(settings)):
        for column, sign in (("ACC10", 1), ("EER", -1)):
            base = 90.0 if sign > 0 else 10.0
            known = {"setting": place, "set": "unseen", "column": column, "seeds": len(seeds), "why": ""}
            for arm, gap in zip(arms, gaps, strict=True):
                value = base + sign * gap
                means.append({"arm": arm, "value": value, "low": value - 1, "high": value + 1, **known})
            pairs = [("baseline", one, 0) for one in range(1, len(arms))]
            pairs += [("pairs", one, other) for other in range(len(arms)) for one in range(other + 1, len(arms))]
            for family, one, other in pairs:
                gap = gaps[one] - gaps[other]
                verdict = "not told apart" if abs(gap) <= 1 else "better" if gap > 0 else "worse"
                heads = {"family": family, "first": arms[one], "second": arms[other]}
                size = {"difference": sign * gap, "low": sign * gap - 0.5, "high": sign * gap + 0.5}
                chance = {"p": 0.001 if abs(gap) > 1 else 0.5, "p (Holm)": 0.002 if abs(gap) > 1 else 1.0}
                errors = {"seed_error": 0.2, "people_error": 0.3}
                differences.append({**heads, **size, **chance, **errors, "verdict": verdict, "method": "t", **known})
    content = {
        "study": folder.name, "title": "Losses", "claim": "A margin helps.", "paper": "https://example.org/paper",
        "cut": "Fewer people.", "metric": "ACC10", "baseline": arms[0], "seeds": list(seeds), "arms": list(arms),
        "vary": ["data.share"] if values else [], "settings": settings, "sets": {"unseen": ["ACC10", "EER"]},
        "runs": runs, "means": means, "differences": differences,
        "costs": [
            {"arm": arm, "setting": place, "seconds": 60.0 + number, "images/s": 2000, "memory_mb": 800.0,
             "energy": 0.5, "runs": len(seeds), "diverged": 0, "failed": 0}
            for place in range(len(settings)) for number, arm in enumerate(arms)
        ],
        "chosen": [
            {"arm": arms[1], "values": {"model.head.net.m": 0.2},
             "tried": [{"values": {"model.head.net.m": m}, "score": 80 + 10 * m, "why": ""} for m in (0.1, 0.2)]}
        ],
        "versions": [{"opensphere": "0.1.0", "git": "a" * 40, "torch": "2.13.0"}], "seconds": 600.0,
        "machine": "a machine",
    }  # fmt: skip
    (folder / "study.yml").write_text("base: base.yml\n")
    (folder / "study.json").write_text(json.dumps(content))
    return content


def _study_run(
    folder: Path, arms: Sequence[str], gaps: Sequence[float], arm: int, place: int, seed: int, evidence_of: bool
) -> dict[str, Any]:
    name = f"runs/{arm}-{place}-{seed}"
    run = folder / name
    run.mkdir(parents=True)
    lines: list[dict[str, Any]] = [
        {"kind": "train", "iter": step, "Loss": 9.0 - step / 10} for step in range(0, 60, 10)
    ]
    lines += [{"kind": "val", "iter": step, "set": "holdout", "ACC": 50.0 + step} for step in (20, 40)]
    lines += [{"kind": "sphere", "iter": step, "energy": 0.5 - step / 1000, "nearest": 70.0} for step in (20, 40)]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    if evidence_of:
        write_evidence(run, "unseen", seed)
    value = 90 + gaps[arm] + (seed - 1) / 10
    return {
        "arm": arms[arm], "setting": place, "seed": seed, "folder": name, "status": "finished", "why": "",
        "seconds": 60.0 + arm, "images/s": 2000, "memory_mb": 800.0, "energy": 0.5,
        "values": {"unseen": {"ACC10": value, "EER": 100 - value}},
    }  # fmt: skip


def change_study(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Write `study.json` anew, changed."""
    path = folder / "study.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
