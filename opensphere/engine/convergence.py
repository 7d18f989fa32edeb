"""Whether a training converges: what its log says when it does not, and which settings to change."""

import math
from collections.abc import Iterable
from typing import Any

import torch

from opensphere.classifier import Classifier
from opensphere.model.head.head import Rows

FIRST = 20  # updates that say where the loss began
# The loss is judged after so many epochs, and no sooner than after so many updates: among the curves of
# tests/engine/curves.json are runs that rest for 200 updates, and learn well afterwards.
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
WITH_FACTOR = ("SphereFace", "SphereFacePlus", "SphereFaceR_H", "GAsoftmax")  # a margin of 1 is none
USUAL_LR = {"SGD": (0.005, 0.2), "Adam": (3e-5, 3e-3), "AdamW": (3e-5, 3e-3)}


class Convergence:
    """Watches the numbers that the log gets anyway, and says once of each trouble what it is and what may help.

    The loss is judged after one and after three epochs, counted from where a warm-up ends (a new loss begins far from
    where it is going, so one that has hardly moved says something whatever the loss is); the lengths of features at
    each report.

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
        before = _mean(row["Mag_mean"] for row in self.first)
        now, self.lengths = _mean(self.lengths), []
        if self.count <= FIRST or not before > 0.0:
            return
        words = f"({before:.3g} in the first updates, {now:.3g} now): the network no longer tells images apart; try "
        if now > EXPLODED * before:
            yield "explosion", f"the features have become {now / before:,.0f} times as long {words}{self._cure(now)}"
        if now < VANISHED * before:
            yield "vanishing", f"the features have all but vanished {words}{self._cure(now)}"

    def _loss(self) -> Iterable[tuple[str, str]]:
        judged = self._judged()
        if judged is None:
            return
        first, earlier, recent, epochs = judged
        after = f"({first:.4g} at first, {recent:.4g} after {epochs:.1f} epochs)"
        if self.guessing and all(
            abs(value - self.guessing) < share * self.guessing
            for value, share in ((recent, NEAR_GUESSING), (earlier, 2 * NEAR_GUESSING))
        ):
            yield (
                "loss",
                f"the loss is that of guessing among {self.num_class:,} people, {self.guessing:.4g} {after}: the network "
                f"no longer tells images apart; try {self._cure(recent / max(abs(first), 1e-9))}",
            )
        elif _fall(first, recent) + _fall(earlier, recent) < LEAST_FALL:
            what = "is higher than at the start" if recent > 1.05 * first else "has hardly moved since the start"
            yield "loss", f"the loss {what} {after}; try {self._cure(recent / max(abs(first), 1e-9))}"

    def _judged(self) -> tuple[float, float, float, float] | None:
        """At the moments when the loss is judged: what it was at first, in the second quarter and in the last, and the
        epochs so far."""
        if not self.due or self.count - self.since < self.due[0]:
            return None
        self.due = [due for due in self.due if due > self.count - self.since]
        quarter = len(self.losses) // 4
        earlier, recent = _mean(self.losses[quarter : 2 * quarter]), _mean(self.losses[-quarter:])
        if not self.due:
            self.losses = []
        return _mean(row["Loss"] for row in self.first), earlier, recent, self.count / self.steps_per_epoch

    def _cure(self, growth: float) -> str:
        """What to change, the likeliest first."""
        return ", ".join((found := cures(self.model, self.num_class, growth > 1.05))[:-1]) + f" or {found[-1]}"


def cures(model: dict[str, Any], num_class: int, grown: bool) -> list[str]:
    """Settings to change in a run that does not converge, the likeliest first.

    Args:
        model: the resolved `model` block.
        num_class: C; AdaCos (Zhang et al. 2019, eq. 12) gives sqrt(2) log(C - 1) as a scale that separates them.
        grown: whether loss or features became larger than they were.
    """
    net, backbone = model["head"]["net"], model["backbone"]
    kind, optimizer = net["type"], backbone.get("optimizer") or {}
    found = []
    for name in MARGINS if kind not in WITHOUT_MARGIN else ():
        none = 1.0 if kind in WITH_FACTOR or name == "m1" or net.get("magn_type") == "M" else 0.0
        if isinstance(net.get(name), int | float) and net[name] > none:
            found.append(f"a smaller margin {name} (now {net[name]:g})")
    if net.get("steps") and net.get("dm"):
        found.append(f"a margin that grows less or later (now dm {net['dm']:g}, steps {net['steps']})")
    fitting = math.sqrt(2.0) * math.log(max(num_class - 1, 2))
    for name in ("s", "r"):
        scale = net.get(name)
        if isinstance(scale, int | float) and not fitting / 2 <= scale <= 2 * fitting:
            word = "smaller" if scale > fitting else "larger"
            found.append(f"a {word} scale {name} (now {scale:g}; {fitting:.0f} is enough for {num_class:,} people)")
    if (backbone.get("scheduler") or {}).get("type") not in WARM_UPS:
        found.append("a warm-up (scheduler OneCycleLR with pct_start 0.05)")
    if isinstance(lr := optimizer.get("lr"), int | float):
        low, high = USUAL_LR.get(optimizer.get("type", ""), (0.0, math.inf))
        word = "larger" if lr < low else "smaller" if lr > high or grown else "different"
        found.append(f"a {word} lr (now {lr:g})")
    if grown and backbone.get("clip_grad_norm", math.inf) > 100.0:
        found.append("model.backbone.clip_grad_norm, such as 5")
    if "norm_layer" in backbone["net"] and backbone["net"]["norm_layer"] is None:
        found.append("norm_layer BatchNorm2d in the backbone")
    if kind not in ("AdaCos", "SoftmaxLoss"):
        found.append("the head AdaCos, which has no margin and finds its scale, to begin with")
    return found or ["another network"]


@torch.no_grad()
def loss_of_guessing(classifier: torch.nn.Module) -> float | None:
    """The loss of a softmax head under which all classes have the same logit; None where there is no such number."""
    if not isinstance(classifier, Classifier) or classifier.head.reduce != "logsumexp" or classifier.num_class < 2:
        return None
    logit = torch.zeros(1)
    others = logit + math.log(classifier.num_class - 1)
    return float(classifier.head.loss(logit, others, Rows(logit)))


def _fall(before: float, now: float) -> float:
    return (before - now) / max(abs(before), 1e-9)


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return sum(values) / len(values) if values else math.nan
