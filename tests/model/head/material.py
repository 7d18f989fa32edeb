"""What the tests of the heads share: golden values, and a textbook that knows nothing of the package's formulas."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.model import head as heads
from opensphere.model.head.head import Head
from tests.shared import shared

# Every head, by a name for the test's id; called with num_class and any further arguments.
HEADS: dict[str, Callable[..., Head]] = {
    "SoftmaxLoss": lambda num_class, **rest: heads.SoftmaxLoss(),
    "CocoLoss": lambda num_class, gradient=None, **rest: heads.CocoLoss(**rest),
    "SphereFace": lambda num_class, **rest: heads.SphereFace(**rest),
    "SphereFacePlus": lambda num_class, **rest: heads.SphereFacePlus(lambda_MHE=0.3, **rest),
    "SphereFaceR_H v0": lambda num_class, **rest: heads.SphereFaceR_H("v0", **rest),
    "SphereFaceR_H v1": lambda num_class, **rest: heads.SphereFaceR_H("v1", **rest),
    "SphereFaceR_H v2": lambda num_class, **rest: heads.SphereFaceR_H("v2", **rest),
    "SphereFaceR_N v0": lambda num_class, **rest: heads.SphereFaceR_N("v0", 0.4, (0,), **rest),
    "SphereFaceR_N v1": lambda num_class, **rest: heads.SphereFaceR_N("v1", 0.4, (0,), **rest),
    "SphereFaceR_N v2": lambda num_class, **rest: heads.SphereFaceR_N("v2", 0.4, (0,), **rest),
    "SphereFaceR_S v0": lambda num_class, **rest: heads.SphereFaceR_S("v0", 30.0, 0.4, (0,), **rest),
    "SphereFaceR_S v1": lambda num_class, **rest: heads.SphereFaceR_S("v1", 30.0, 0.4, (0,), **rest),
    "SphereFaceR_S v2": lambda num_class, **rest: heads.SphereFaceR_S("v2", 30.0, 0.4, (0,), **rest),
    "SphereFace2 C": lambda num_class, **rest: heads.SphereFace2(num_class, "C", m=0.4, **rest),
    "SphereFace2 A": lambda num_class, **rest: heads.SphereFace2(num_class, "A", m=0.5, **rest),
    "SphereFace2 M": lambda num_class, **rest: heads.SphereFace2(num_class, "M", m=1.7, **rest),
    "GAsoftmax": lambda num_class, **rest: heads.GAsoftmax(**rest),
    "CosFace": lambda num_class, **rest: heads.CosFace(**rest),
    "ArcFace": lambda num_class, **rest: heads.ArcFace(**rest),
    "AdaFace": lambda num_class, **rest: heads.AdaFace(**rest),
    "CombinedMargin": lambda num_class, **rest: heads.CombinedMargin(m1=1.2, m2=0.2, m3=0.1, **rest),
    "MagFace": lambda num_class, **rest: heads.MagFace(l_a=2.0, u_a=12.0, **rest),
    "CurricularFace": lambda num_class, **rest: heads.CurricularFace(**rest),
    "MVSoftmax AM": lambda num_class, **rest: heads.MVSoftmax("AM", **rest),
    "MVSoftmax Arc": lambda num_class, **rest: heads.MVSoftmax("Arc", **rest),
    "CircleLoss": lambda num_class, **rest: heads.CircleLoss(**rest),
    "ElasticArcFace": lambda num_class, **rest: heads.ElasticArcFace(plus=True, **rest),
    "ElasticCosFace": lambda num_class, gradient=None, **rest: heads.ElasticCosFace(**rest),
    "SubCenterArcFace": lambda num_class, **rest: heads.SubCenterArcFace(centers=1, **rest),
    "AdaCos": lambda num_class, gradient=None, **rest: heads.AdaCos(num_class, **rest),
    "AdaCos fixed": lambda num_class, gradient=None, **rest: heads.AdaCos(num_class, False, **rest),
    "P2SGrad": lambda num_class, gradient=None, **rest: heads.P2SGrad(**rest),
    "SFace": lambda num_class, gradient=None, **rest: heads.SFace(**rest),
    "UniFace": lambda num_class, gradient=None, **rest: heads.UniFace(num_class, **rest),
}


def plain(name: str, feat_dim: int, num_class: int, **rest: Any) -> PlainClassifier:
    """A head of the table above in a plain classifier, in float64."""
    return PlainClassifier(HEADS[name](num_class, **rest), feat_dim, num_class).double()


def tangential(gradient: Tensor, w: Tensor) -> Tensor:
    """The part of (D, C) gradients across the columns of `w`."""
    direction = w / w.norm(dim=0)
    return gradient - direction * (gradient * direction).sum(0)


def assert_close(found: Tensor, expected: Any, tolerance: float = 1e-9) -> None:
    """Equal within `tolerance` of the largest expected number."""
    expected = torch.as_tensor(expected)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * max(float(expected.abs().max()), 1e-3)


# ------------------------------------------------------------------------------------------------- golden values


def golden_parameters(name: str) -> dict[str, Any]:
    """The arguments of the head that made a golden case, in the reference's names."""
    return json.loads(shared("goldens/heads.json").read_text())[name]["params"]


def assert_golden(name: str, head: Head) -> None:
    """Loss, every gradient and every buffer of a golden case, to 1e-9. Gradients of weights that the golden code
    normalises inside the graph are tangential; where the head keeps the radial part too, that is checked as well."""
    with np.load(shared("goldens/heads.npz")) as file:
        case = {key.split("/")[1]: torch.from_numpy(file[key]) for key in file.files if key.split("/")[0] == name}
    x, weight = case["x"].requires_grad_(), case["weight"]
    classifier = PlainClassifier(head, weight.shape[1], weight.shape[0]).double()
    layout = {"w": weight.T} | ({"b": case["bias"]} if "bias" in case else {})
    assert not classifier.load_state_dict(layout, strict=False).unexpected_keys
    loss = classifier(x, case["label"])
    loss.backward()
    assert_close(loss.detach(), case["loss"])
    assert_close(x.grad, case["grad_x"])
    assert_close(classifier.w.grad, case["grad_weight"].T)
    if "grad_bias" in case:
        bias = classifier.b if classifier.b is not None else head.b
        assert_close(bias.grad, case["grad_bias"])
    for key, buffer in (("mean_after", "batch_mean"), ("std_after", "batch_std"), ("t", "t")):
        if key in case:
            assert_close(getattr(head, buffer).reshape(case[key].shape), case[key])


# ------------------------------------------------------------------------------------------------- the textbook


def problem(rows: int = 7, num_class: int = 5, feat_dim: int = 4, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Features (B, D), class weights (D, C) and labels (B,), the features near no centre, some far over 90 degrees."""
    draw = torch.Generator().manual_seed(seed)
    x = 3.0 * torch.randn(rows, feat_dim, generator=draw, dtype=torch.float64)
    w = torch.randn(feat_dim, num_class, generator=draw, dtype=torch.float64)
    return x, w, torch.randint(num_class, (rows,), generator=draw)


def assert_textbook(
    head: Head,
    value: Callable[[Tensor, bool, int], Tensor],
    scale: Callable[[Tensor], Tensor],
    loss: Callable[[list[Tensor], int], Tensor] | None = None,
    extra: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None,
    gradient: str | None = None,
) -> None:
    """Compare a head, with weights normalised in the graph, to sums written out entry by entry.

    Args:
        value: the score for an angle; whether it is the own class; the row.
        scale: of a row, from its feature.
        loss: of a row from all its logits and its label; the cross-entropy by default.
        extra: a term from all features, unit weights (D, C) and labels.
        gradient: "detached" or "full"; of the head by default.
    """
    x, w, y = problem()
    gradient = gradient or head.gradient
    results = []
    for textbook in (False, True):
        feature, weight = x.clone().requires_grad_(), w.clone().requires_grad_()
        if textbook:
            total = _written_out(feature, weight, y, value, scale, loss or cross_entropy, extra, gradient)
        else:
            classifier = PlainClassifier(head, *w.shape).double()
            classifier.w.data.copy_(w)
            weight = classifier.w
            total = classifier(feature, y)
        total.backward()
        results.append((total.detach(), feature.grad, weight.grad))
    for found, expected in zip(*results, strict=True):
        assert_close(found, expected)


def cross_entropy(logits: list[Tensor], label: int) -> Tensor:
    return -torch.log(torch.exp(logits[label]) / sum(torch.exp(logit) for logit in logits))


def _written_out(x, w, y, value, scale, loss, extra, gradient) -> Tensor:
    total = torch.zeros((), dtype=x.dtype)
    unit_w = torch.stack([w[:, j] / torch.sqrt((w[:, j] ** 2).sum()) for j in range(w.shape[1])], dim=1)
    for i in range(len(x)):
        logits = []
        for j in range(w.shape[1]):
            cos = (x[i] * unit_w[:, j]).sum() / torch.sqrt((x[i] ** 2).sum())
            score = value(torch.acos(cos), j == int(y[i]), i)
            if gradient == "detached":
                score = cos + (score.detach() - cos.detach())
            logits.append(scale(x[i]) * score)
        total = total + loss(logits, int(y[i])) / len(x)
    return total if extra is None else total + extra(x, unit_w, y)


def mirrored(multiple: Tensor) -> Tensor:
    """SphereFace's target as its paper words it: piece by piece."""
    k = 0
    while not k * math.pi <= multiple.item() <= (k + 1) * math.pi:
        k += 1
    return (-1) ** k * torch.cos(multiple) - 2 * k
