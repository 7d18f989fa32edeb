"""The same protocol in the usual way, to be compared with: lists are read line by line, each template is averaged by
itself, scores gather in Python lists, scikit-learn draws the ROC, torch selects scores by masks."""

import csv
import math
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_curve

BATCH = 100_000  # pairs scored at once


def read(files: dict[str, Path]) -> dict[str, int]:
    """All lists, line by line. Returns how many rows each has."""
    images, points, faceness = [], [], []
    with open(files["landmarks"]) as file:
        for line in file:
            fields = line.split()
            images.append(fields[0])
            points.append([float(value) for value in fields[1:11]])
            faceness.append(float(fields[11]))
    template, media = [], []
    with open(files["templates"]) as file:
        for line in file:
            _, number, medium = line.split()
            template.append(int(number))
            media.append(int(medium))
    pairs = []
    with open(files["pairs"]) as file:
        for line in file:
            pairs.append([int(value) for value in line.split()])
    searched = 0
    for name in ("gallery_1", "gallery_2", "probes"):
        with open(files[name], newline="") as file:
            rows = csv.reader(file)
            next(rows)
            searched += len({(int(row[0]), int(row[1])) for row in rows})
    arrays = [np.array(column) for column in (points, faceness, template, media, pairs)]
    return {"images": len(images), "pairs": len(arrays[-1]), "searched": searched}


def templates(features: np.ndarray, template: np.ndarray, media: np.ndarray, faceness: np.ndarray) -> np.ndarray:
    """The feature of each template: over its images, each medium counts once."""
    numbers = np.unique(template)
    found = np.zeros((len(numbers), features.shape[1]), np.float32)
    for place, number in enumerate(numbers):
        rows = np.where(template == number)[0]
        weighted, medium = features[rows] * faceness[rows, None], media[rows]
        means = []
        for one in np.unique(medium):
            means.append(np.mean(weighted[medium == one], axis=0))
        found[place] = np.sum(means, axis=0)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def one_to_one(features: np.ndarray, pairs: np.ndarray, is_same: np.ndarray, fprs: list[float]) -> list[float]:
    """TPR at each FPR, read from scikit-learn's ROC on straight lines."""
    scores: list[float] = []
    labels: list[int] = []
    for start in range(0, len(pairs), BATCH):
        batch = pairs[start : start + BATCH]
        scores.extend(np.sum(features[batch[:, 0]] * features[batch[:, 1]], axis=1).tolist())
        labels.extend(is_same[start : start + BATCH].astype(int).tolist())
    fpr, tpr, _ = roc_curve(labels, scores)
    return [float(value) for value in np.interp(fprs, fpr, tpr)]


def one_to_many(
    features: np.ndarray, person: np.ndarray, people: int, fpirs: list[float]
) -> tuple[list[float], list[float]]:
    """Top-1, 5, 10, and TPIR at each FPIR as OpenSphere reads it. The first `people` templates are the gallery."""
    gallery, probe = torch.from_numpy(features[:people]), torch.from_numpy(features[people:])
    probe_person = torch.from_numpy(person[people:])
    scores = probe @ gallery.T
    own = probe_person[:, None] == torch.from_numpy(person[:people])[None, :]
    best = scores.topk(10, dim=1).indices
    hits = torch.from_numpy(person[:people])[best] == probe_person[:, None]
    tops = [float(hits[:, :k].any(dim=1).float().mean()) for k in (1, 5, 10)]
    genuine = torch.masked_select(scores, own)
    impostors = torch.masked_select(scores, ~own)
    most = torch.topk(impostors, math.ceil(max(fpirs) * len(probe))).values
    tpirs = [float((genuine > most[math.ceil(fpir * len(probe)) - 1]).float().mean()) for fpir in fpirs]
    return tops, tpirs
