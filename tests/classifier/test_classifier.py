"""What all classifiers share: checks, the layout of their state, what a head may do, several processes."""

import math
import re
import tempfile
from pathlib import Path

import pytest
import torch
from torch import Tensor

from opensphere.classifier import CLASSIFIERS, Classifier, PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import ArcFace, CosFace, SoftmaxLoss, SphereFace2
from opensphere.model.head.head import Head, Rows
from tests.model.head.material import HEADS, assert_close, plain, problem
from tests.ranks import assert_ranks_agree, two_ranks

# ---------------------------------------------------------------------------------------- checks


def test_the_list_of_classifiers() -> None:
    assert list(CLASSIFIERS) == ["plain", "chunked", "sharded", "sampled"]
    made = {name: make(ArcFace(), 4, 5) for name, make in CLASSIFIERS.items()}
    assert all(isinstance(each, Classifier) for each in made.values()) and isinstance(made["plain"], PlainClassifier)


@pytest.mark.parametrize("label", [-1, 5, 99])
def test_a_label_that_is_no_class(label: int) -> None:
    classifier = PlainClassifier(ArcFace(), 4, 5)
    with pytest.raises(UserError, match=rf"label {label} is no class: num_class is 5, labels go from 0 to 4"):
        classifier(torch.randn(3, 4), torch.tensor([0, label, 4]))


@pytest.mark.parametrize(
    "features, labels, words",
    [
        (
            torch.randn(3, 5),
            torch.zeros(3, dtype=torch.long),
            "features must be floating-point (B, 4), got torch.float32 (3, 5)",
        ),
        (torch.randn(3, 4, 1), torch.zeros(3, dtype=torch.long), "features must be floating-point (B, 4)"),
        (torch.zeros(3, 4, dtype=torch.long), torch.zeros(3, dtype=torch.long), "got torch.int64 (3, 4)"),
        (torch.randn(3, 4), torch.zeros(2, dtype=torch.long), "labels must be 3 integers, got torch.int64 (2,)"),
        (torch.randn(3, 4), torch.zeros(3), "labels must be 3 integers, got torch.float32 (3,)"),
        (torch.randn(0, 4), torch.zeros(0, dtype=torch.long), "the batch is empty"),
    ],
)
def test_shapes_that_do_not_fit(features: Tensor, labels: Tensor, words: str) -> None:
    with pytest.raises(UserError, match=re.escape(words)):
        PlainClassifier(ArcFace(), 4, 5)(features, labels)


def test_small_integers_are_labels_too() -> None:
    x, w, y = problem()
    classifier = plain("ArcFace", 4, 5)
    assert_close(classifier(x, y.to(torch.int32)).detach(), classifier(x, y).detach(), 1e-12)


def test_sizes() -> None:
    with pytest.raises(UserError, match="at least 1"):
        PlainClassifier(ArcFace(), 0, 5)
    with pytest.raises(UserError, match="SphereFace2: num_class is 7, but the classifier has 5"):
        PlainClassifier(SphereFace2(7), 4, 5)


def test_initial_weights_follow_the_seed() -> None:
    first, second = [(torch.manual_seed(3), PlainClassifier(ArcFace(), 64, 200))[1] for _ in range(2)]
    assert torch.equal(first.w, second.w)
    assert first.w.std().item() == pytest.approx(math.sqrt(2 / 264), rel=0.05)
    assert first.b is None and not PlainClassifier(SoftmaxLoss(), 4, 5).b.any()


# ---------------------------------------------------------------------------------------- the layout


def test_the_state_is_flat() -> None:
    names = {name: set(plain(name, 4, 5).state_dict()) for name in HEADS}
    assert names["ArcFace"] == {"w"}
    assert names["SoftmaxLoss"] == {"w", "b"}
    assert names["SphereFace2 C"] == {"w", "b"}
    assert names["AdaFace"] == {"w", "batch_mean", "batch_std"}
    assert names["CurricularFace"] == {"w", "t"} and names["AdaCos"] == {"w", "scale"}
    assert names["UniFace"] == {"w", "bias"}
    assert names["SphereFaceR_N v0"] == {"w", "margin.iter"}
    state = plain("SphereFace2 C", 4, 5).state_dict()
    assert state["w"].shape == (4, 5) and state["b"].shape == (1,)
    assert plain("SoftmaxLoss", 4, 5).state_dict()["b"].shape == (1, 5)


@pytest.mark.parametrize("prefix", ["", "module.", "head.", "module.head."])
@pytest.mark.parametrize("name", HEADS)
def test_state_comes_back(name: str, prefix: str) -> None:
    """As written, with the prefix of data parallelism, or with the head's entries under `head.`; strictly."""
    source, target = plain(name, 4, 5), plain(name, 4, 5)
    x, _, y = problem()
    for value in source.parameters():
        value.data.normal_()
    source(x, y)
    state = {}
    for key, value in source.state_dict().items():
        own = key == "w" or (key == "b" and source.b is not None)
        state[(prefix.replace("head.", "") if own else prefix) + key] = value.clone()
    before = dict(state)
    assert target.load_state_dict(state).missing_keys == []
    assert state.keys() == before.keys()  # the caller's mapping is left alone
    source.eval(), target.eval()
    assert torch.equal(source(x, y), target(x, y))


def test_wrong_entries_are_named() -> None:
    state = plain("SphereFace2 C", 4, 5).state_dict()
    with pytest.raises(RuntimeError, match="head.b"):
        plain("SphereFace2 C", 4, 5).load_state_dict({"w": state["w"]})
    with pytest.raises(RuntimeError, match="surplus"):
        plain("ArcFace", 4, 5).load_state_dict({"w": state["w"], "surplus": state["w"]})


def test_the_state_of_a_part_of_something_larger() -> None:
    whole = torch.nn.ModuleDict({"classifier": plain("SphereFace2 C", 4, 5)})
    state = whole.state_dict()
    assert set(state) == {"classifier.w", "classifier.b"}
    other = torch.nn.ModuleDict({"classifier": plain("SphereFace2 C", 4, 5)})
    other["classifier"].head.b.data.fill_(9.0)
    other.load_state_dict(state)
    assert torch.equal(other["classifier"].head.b, whole["classifier"].head.b)


# ---------------------------------------------------------------------------------------- what a head may do


class ScaledByTheOthers(Head):
    """A head that looks at the others first."""

    needs_scan = True

    def rescale(self, rows: Rows, neg: Tensor) -> Rows:
        assert not neg.requires_grad
        return Rows(rows.cos_y, scale=neg.mean())


def test_a_head_may_look_at_the_others_first() -> None:
    x, w, y = problem()
    cos = (x / x.norm(dim=1, keepdim=True)) @ (w / w.norm(dim=0))
    neg = torch.stack([torch.cat([4.0 * cos[i, : y[i]], 4.0 * cos[i, y[i] + 1 :]]).logsumexp(0) for i in range(7)])
    classifier = PlainClassifier(ScaledByTheOthers(4.0, "full", "in_graph"), 4, 5).double()
    classifier.w.data.copy_(w)
    assert_close(classifier(x, y).detach(), torch.nn.functional.cross_entropy(neg.mean() * cos, y), 1e-12)


def test_the_rows_may_weigh_differently() -> None:
    """A one-vs-all head with weights of its own."""

    class Weighted(Head):
        reduce = "sum"

        def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
            return Rows(cos_y, weight=labels + 1.0)

    x, w, y = problem()
    cos = (x / x.norm(dim=1, keepdim=True)) @ (w / w.norm(dim=0))
    target = torch.nn.functional.one_hot(y, 5).double()
    each = torch.nn.functional.binary_cross_entropy_with_logits(cos, target, reduction="none")
    classifier = PlainClassifier(Weighted(), 4, 5).double()
    classifier.w.data.copy_(w)
    assert_close(classifier(x, y).detach(), ((y + 1.0) * each.sum(1)).sum(), 1e-12)


# ---------------------------------------------------------------------------------------- several processes


def step(name: str, rows: slice) -> dict[str, Tensor]:
    """Loss, gradients and buffers after one step on some rows of a fixed batch, beginning from fixed weights."""
    x, w, y = problem(8, 5, 4)
    x = x[rows].clone().requires_grad_()
    torch.manual_seed(0)
    classifier = plain(name, 4, 5)
    classifier.w.data.copy_(w)
    loss = classifier(x, y[rows])
    (3.7 * loss).backward()
    grads = {name: value.grad for name, value in classifier.named_parameters()}
    return {"loss": loss.detach(), "x": x.grad, **grads, **dict(classifier.head.named_buffers(prefix="buffer"))}


def member(rank: int, folder: str) -> None:
    torch.save({name: step(name, slice(4 * rank, 4 * rank + 4)) for name in HEADS}, f"{folder}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_compute_the_loss_of_the_global_batch() -> None:
    """Loss, gradients and statistics of one process on all rows, in every head, to 1e-10.

    Feature gradients are twice as large on each rank, for the mean that data parallelism takes afterwards.
    """
    with tempfile.TemporaryDirectory() as folder:
        two_ranks(member, folder)
        ranks = [torch.load(Path(folder) / f"{rank}.pt") for rank in (0, 1)]
    for name in HEADS:
        assert_ranks_agree([found[name] for found in ranks], step(name, slice(None)))


def test_a_shared_head_is_not_shared_state() -> None:
    """Two classifiers keep their own matrices, whatever the head."""
    first, second = PlainClassifier(CosFace(), 4, 5), PlainClassifier(CosFace(), 4, 5)
    first.w.data.zero_()
    assert second.w.any()
