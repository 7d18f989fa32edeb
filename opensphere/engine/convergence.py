"""Whether a training converges: what its log says when it does not, and which settings to change."""

import math
from collections.abc import Iterable
from typing import Any

import torch

from opensphere.classifier import Classifier
from opensphere.model.head.head import Rows

FIRST = 20  # updates that say where the loss began
# The loss is judged after so many epochs, and no sooner than after so many updates: among the curves of
# tests/engine/curves.json are runs that rest for 180 updates, and learn well afterwards.
EPOCHS = (1, 3)
UPDATES = (300, 600)
# The least fall, as a share: from the first updates, plus from the second quarter to the last. Of the curves at 300
# updates, those that go on to learn fell by 0.21 and more, those that hardly moved by 0.12 and less. The second part
# is for losses that rise first, as those with a large scale do, while the features still lie close together.
LEAST_FALL = 0.15
# Features grow 60 times as long where a plain softmax learns without normalisation layers, 800 times and more in runs
# that come to nothing; they become a third as long at most where they are to learn.
EXPLODED, VANISHED = 500.0, 0.01
NEAR_GUESSING = 0.02

WARM_UPS = ("OneCycleLR", "LinearLR", "CyclicLR")
MARGINS = ("m", "m1", "m2", "m3", "u_margin")
# Where larger is not harder, or no margin at all.
WITHOUT_MARGIN = ("CircleLoss", "CirclePairLoss", "SimPLE", "SupConLoss")
NO_MEASURE = ("SFace",)  # the value of this loss says nothing of what was learnt: it falls below 0 and returns
WITH_FACTOR = ("SphereFace", "SphereFacePlus", "SphereFaceR_H", "GAsoftmax")  # a margin of 1 is none
# Which settings are named for which trouble, the likeliest first.
ORDER = {
    "loss": ("norm", "warm-up", "margin", "scale", "lr", "head"),
    "explosion": ("lr", "norm", "clip", "warm-up", "scale"),
    "vanishing": ("margin", "lr", "warm-up", "head"),
}
USUAL_LR = {"SGD": (0.005, 0.2), "Adam": (3e-5, 3e-3), "AdamW": (3e-5, 3e-3)}


class Convergence:
    """Watches the numbers that the log gets anyway, and says once of each trouble what it is and what may help.

    The loss is judged after one and after three epochs, counted from where a warm-up ends, and only against what it was
    before: margins, scales and weights of losses differ too much for a level that is right. The lengths of features are
    looked at in each report.

    Args:
        steps_per_epoch: updates of an epoch.
        model: the resolved `model` block, which names what may be changed.
        num_class: C.
        guessing: the loss of one who guesses, as `loss_of_guessing`.
    """

    def __init__(self, steps_per_epoch: int, model: dict[str, Any], num_class: int, guessing: float | None = None):
        self.steps_per_epoch = steps_per_epoch
        self.model = model
        self.num_class = num_class
        self.guessing = guessing
        epochs = [epoch * steps_per_epoch for epoch in EPOCHS]
        self.due = [max(each) for each in zip(epochs, UPDATES, strict=True)]  # updates after which the loss is judged
        self.first: list[dict[str, float]] = []
        self.losses: list[float] = []  # since `since`
        self.lengths: list[float] = []  # since the last report
        self.since, self.count, self.top = 0, 0, 0.0
        self.said: set[str] = set()

    def add(self, row: dict[str, float], count: int = 1) -> None:
        """Take note of an update, or of the average of several."""
        if len(self.first) < FIRST:
            self.first += [row] * min(count, FIRST - len(self.first))
        self.count += count
        self.lengths.append(row["Mag_mean"])
        if row["lr"] > 1.05 * self.top:  # a warm-up is going on
            self.top, self.since, self.losses = row["lr"], self.count - count, []
        if self.due:
            self.losses += [row["Loss"]] * count

    def recall(self, lines: Iterable[dict[str, Any]]) -> None:
        """Take up the lines of metrics.jsonl that a resumed run wrote before."""
        for line in lines:
            if line["kind"] == "warning":
                self.said.add(line["about"])
            if line["kind"] == "train" and all(line.get(key) is not None for key in ("Loss", "Mag_mean", "lr")):
                self.add(line, line["iter"] + 1 - self.count)
                self._judged()
        self.lengths = []

    def report(self) -> list[tuple[str, str]]:
        """What is wrong now and was not said yet: of each trouble a word and a line."""
        found = [*self._lengths(), *self._loss()]
        fresh = [(about, text) for about, text in found if about not in self.said]
        self.said |= {about for about, _ in fresh}
        return fresh

    def _lengths(self) -> Iterable[tuple[str, str]]:
        now, self.lengths = _mean(self.lengths), []
        if self.count <= FIRST or not (before := self.first[0]["Mag_mean"]) > 0.0:
            return
        lengths = f"({before:.3g} at first, {now:.3g} now)"
        if now > EXPLODED * before:
            times = f"{now / before:,.0f} times as long"
            yield (
                "explosion",
                f"the features have become {times} {lengths}, as they do under steps that are too large; try "
                f"{self.cure('explosion')}",
            )
        if now < VANISHED * before:
            yield "vanishing", f"the features have all but vanished {lengths}; try {self.cure('vanishing')}"

    def _loss(self) -> Iterable[tuple[str, str]]:
        judged = self._judged()
        if judged is None or self.model["head"]["net"]["type"] in NO_MEASURE:
            return
        (first, *_, last), epochs = judged
        growth = last / max(abs(first), 1e-9)
        after = f"({first:.4g} at first, {last:.4g} after {epochs:.1f} epochs)"
        if self.guessing and all(abs(value / self.guessing - 1.0) < NEAR_GUESSING for value in judged[0][2:]):
            guessing = f"that of guessing among {self.num_class:,} people, {self.guessing:.4g} {after}"
            yield "loss", f"the loss is {guessing}: all people look the same; try {self.cure('loss', growth)}"
        elif _fall(first, last) + _fall(judged[0][1], last) < LEAST_FALL:
            what = "is higher than at the start" if growth > 1.05 else "has hardly moved since the start"
            yield "loss", f"the loss {what} {after}; try {self.cure('loss', growth)}"

    def _judged(self) -> tuple[list[float], float] | None:
        """At the moments when the loss is judged: what it was in the first updates and in the second, third and last
        quarter since the warm-up, and the epochs so far."""
        if not self.due or self.count - self.since < self.due[0]:
            return None
        self.due = [due for due in self.due if due > self.count - self.since]
        quarter = len(self.losses) // 4
        quarters = [_mean(self.losses[-left * quarter :][:quarter]) for left in (3, 2, 1)]
        if not self.due:
            self.losses = []
        return [_mean(row["Loss"] for row in self.first), *quarters], self.count / self.steps_per_epoch

    def cure(self, about: str, growth: float = 1.0) -> str:
        """What to change, in words; `growth` is that of the loss."""
        found = cures(self.model, self.num_class, about, growth > 1.05)
        return found[0] if len(found) == 1 else ", ".join(found[:-1]) + " or " + found[-1]


def cures(model: dict[str, Any], num_class: int, about: str, grown: bool = False) -> list[str]:
    """Settings to change in a run that does not converge, the likeliest first.

    Args:
        model: the resolved `model` block.
        num_class: C.
        about: the trouble, a key of `ORDER`.
        grown: whether the loss is larger than it was.
    """
    net, backbone = model["head"]["net"], model["backbone"]
    found = {"margin": _margins(net), "scale": _scales(net, num_class), "lr": [], "warm-up": [], "head": []}
    order = ORDER[about]
    optimizer = backbone.get("optimizer") or {}
    if isinstance(lr := optimizer.get("lr"), int | float):
        low, high = USUAL_LR.get(optimizer.get("type", ""), (0.0, math.inf))
        word = "smaller" if lr > high or grown or about == "explosion" else "larger" if lr < low else "different"
        found["lr"] = [f"a {word} lr (now {lr:g})"]
        if not low <= lr <= high:
            order = ("lr", *(what for what in order if what != "lr"))
    if (backbone.get("scheduler") or {}).get("type") not in WARM_UPS and "a larger" not in "".join(found["lr"]):
        found["warm-up"] = ["a warm-up (scheduler OneCycleLR with pct_start 0.05)"]
    if backbone.get("clip_grad_norm", math.inf) > 100.0:
        found["clip"] = ["model.backbone.clip_grad_norm, such as 5"]
    if "norm_layer" in backbone["net"] and backbone["net"]["norm_layer"] is None:
        found["norm"] = ["norm_layer BatchNorm2d in the backbone"]
    if net["type"] not in ("AdaCos", "SoftmaxLoss"):
        found["head"] = ["the head AdaCos to begin with, which has no margin and finds its scale"]
    return [cure for what in order for cure in found.get(what, [])] or ["another network"]


def _margins(net: dict[str, Any]) -> list[str]:
    found = []
    for name in MARGINS if net["type"] not in WITHOUT_MARGIN else ():
        none = 1.0 if net["type"] in WITH_FACTOR or name == "m1" or net.get("magn_type") == "M" else 0.0
        if isinstance(net.get(name), int | float) and net[name] > none:
            found.append(f"a smaller margin {name} (now {net[name]:g})")
    if net.get("steps") and net.get("dm"):
        found.append(f"a margin that grows less or later (now dm {net['dm']:g}, steps {net['steps']})")
    return found


def _scales(net: dict[str, Any], num_class: int) -> list[str]:
    """Scales over twice or under half of sqrt(2) log(C - 1), that of AdaCos (Zhang et al. 2019, eq. 12)."""
    fitting = math.sqrt(2.0) * math.log(max(num_class - 1, 2))
    found = []
    for name in ("s", "r") if net["type"] not in WITHOUT_MARGIN else ():
        scale = net.get(name)
        if isinstance(scale, int | float) and not fitting / 2.0 <= scale <= 2.0 * fitting:
            word = "smaller" if scale > fitting else "larger"
            found.append(f"a {word} scale {name} (now {scale:g}; AdaCos would take {fitting:.0f})")
    return found


@torch.no_grad()
def loss_of_guessing(classifier: torch.nn.Module) -> float | None:
    """The loss of a softmax head under which all classes have the same logit; None where there is no such number."""
    if not isinstance(classifier, Classifier) or classifier.head.reduce != "logsumexp" or classifier.num_class < 2:
        return None
    logit = torch.zeros(1)
    others = logit + math.log(classifier.num_class - 1)
    try:
        return float(classifier.head.loss(logit, others, Rows(logit)))
    except (AttributeError, RuntimeError):  # a loss of rows of its own, or of what lives on another device
        return None


def _fall(before: float, now: float) -> float:
    return (before - now) / max(abs(before), 1e-9)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values) if values else math.nan
