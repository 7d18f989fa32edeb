"""The update fused into the backward pass is torch's SGD, clipping and all, without a gradient of the classes."""

import pytest
import torch

from opensphere.classifier.sink import FusedSGD, Scratch
from opensphere.engine.part import Part
from opensphere.error import UserError
from tests.classifier.material import HEADS, assert_close, build, problem, small_blocks

__all__ = ["small_blocks"]
SGD = {"lr": 0.3, "momentum": 0.9, "weight_decay": 0.01}


def trained(name: str, fused: bool, clip: float, kind: str = "chunked", steps: int = 4, **sgd: float) -> dict:
    """A few updates on changing batches; everything that they leave."""
    classifier = build(kind, name, 4, 11)
    optimizer = torch.optim.SGD(classifier.parameters(), **{**SGD, **sgd})
    if fused:
        classifier.fuse(optimizer)
    part = Part(classifier, optimizer, clip_grad_norm=clip)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    norms = []
    torch.manual_seed(5)  # of the heads that draw
    for seed in range(steps):
        x, _, y = problem(9, 11, 4, seed)
        classifier(x, y).backward()
        assert (classifier.w.grad is None) == fused
        norms.append(part.update(scaler))
    found = {name: value.detach() for name, value in classifier.named_parameters()}
    momentum = optimizer.state[classifier.w]["momentum_buffer"]
    return {**found, "momentum": momentum, "norms": torch.stack(norms)}


@pytest.mark.parametrize("clip", [1e5, 0.05])
@pytest.mark.parametrize("name", HEADS)
def test_equals_the_unfused_update(name: str, clip: float, small_blocks) -> None:
    """Four updates; under the small bound every gradient is clipped, in a second pass."""
    small_blocks(3, 2)
    found, expected = (trained(name, fused, clip) for fused in (True, False))
    assert (expected["norms"] > 0.05).all() and (expected["norms"] < 1e5).all()
    for key, value in expected.items():
        assert_close(found[key], value, 1e-9)


def test_equals_the_plain_classifier_under_torch(small_blocks) -> None:
    small_blocks(3, 2)
    for momentum, decay in ((0.0, 0.0), (0.9, 0.1)):
        found = trained("ArcFace", True, 0.3, momentum=momentum, weight_decay=decay)
        classifier = build("plain", "ArcFace", 4, 11)
        optimizer = torch.optim.SGD(classifier.parameters(), lr=0.3, momentum=momentum, weight_decay=decay)
        for seed in range(4):
            x, _, y = problem(9, 11, 4, seed)
            optimizer.zero_grad()
            classifier(x, y).backward()
            torch.nn.utils.clip_grad_norm_(classifier.parameters(), 0.3)
            optimizer.step()
        assert_close(found["w"], classifier.w.detach(), 1e-9)


def test_a_loss_nobody_differentiates_moves_nothing(small_blocks) -> None:
    small_blocks(3, 2)
    for name in ("ArcFace", "SphereFace2 C"):
        classifier = build("chunked", name, 4, 11)
        optimizer = torch.optim.SGD(classifier.parameters(), **SGD)
        classifier.fuse(optimizer)
        x, _, y = problem(9, 11, 4)
        classifier(x, y)
        before = classifier.w.detach().clone()
        Part(classifier, optimizer).update(torch.amp.GradScaler("cpu", enabled=False))
        assert torch.equal(classifier.w, before) and not classifier.fused.momentum.any()


def test_one_backward_for_each_update(small_blocks) -> None:
    classifier = build("chunked", "ArcFace", 4, 11)
    classifier.fuse(torch.optim.SGD(classifier.parameters(), **SGD))
    x, _, y = problem(9, 11, 4)
    classifier(x, y).backward()
    with pytest.raises(UserError, match="one backward pass for each update"):
        classifier(x, y).backward()


@pytest.mark.parametrize("choice", [{"nesterov": True}, {"dampening": 0.1}, {"maximize": True}])
def test_what_cannot_be_fused(choice: dict) -> None:
    classifier = build("chunked", "ArcFace", 4, 11)
    with pytest.raises(UserError, match="cannot be fused"):
        FusedSGD(classifier.w, torch.optim.SGD([classifier.w], lr=0.1, momentum=0.9, **choice))
    with pytest.raises(UserError, match="only SGD can be fused"):
        FusedSGD(classifier.w, torch.optim.Adam([classifier.w]))


def test_fused_and_sampled_leave_what_was_not_drawn(small_blocks) -> None:
    small_blocks(3, 2)
    classifier = build("sampled", "CosFace", 4, 40, {"rate": 0.25}, normalise="in_graph")
    classifier.fuse(torch.optim.SGD(classifier.parameters(), **SGD))
    before = classifier.w.detach().clone()
    x, _, y = problem(5, 40, 4)
    classifier(x, y).backward()
    classifier.fused.step(torch.tensor(1.0))
    moved = (classifier.w != before).any(0)
    assert moved.sum() == len(y.unique()) + round(0.25 * (40 - len(y.unique()))) and moved[y].all()
    assert torch.equal(classifier.fused.momentum.any(1), moved)


def test_the_schedule_goes_on_after_a_state_is_loaded(small_blocks) -> None:
    """Loading replaces the optimizer's settings: the learning rate is that of the schedule all the same."""
    small_blocks(3, 2)
    found = []
    for fused in (True, False):
        classifier = build("chunked", "CosFace", 4, 11)
        optimizer = torch.optim.SGD(classifier.parameters(), **SGD)
        if fused:
            classifier.fuse(optimizer)
        part = Part(classifier, optimizer, torch.optim.lr_scheduler.MultiStepLR(optimizer, [2], gamma=0.01))
        part.load_state_dict(part.state_dict())
        for seed in range(4):
            x, _, y = problem(9, 11, 4, seed)
            classifier(x, y).backward()
            part.update(torch.amp.GradScaler("cpu", enabled=False))
        found.append(classifier.w.detach())
    assert_close(*found, 1e-9)


def test_a_fused_classifier_waits_for_its_optimizer() -> None:
    x, _, y = problem(9, 11, 4)
    with pytest.raises(UserError, match="call `fuse` with the optimizer"):
        build("chunked", "ArcFace", 4, 11, {"fused": True})(x, y)
    classifier = build("chunked", "ArcFace", 4, 11)
    with pytest.raises(UserError, match="the optimizer does not update the classes"):
        classifier.fuse(torch.optim.SGD([torch.nn.Parameter(x)], lr=0.1))


def test_scratch_is_used_again() -> None:
    scratch, like = Scratch(), torch.empty(0)
    first = scratch.take(4, 5, like)
    assert first.shape == (4, 5)
    scratch.give(first)
    assert scratch.take(2, 5, like).data_ptr() == first.data_ptr()  # a smaller one fits in
    scratch.give(first)
    assert scratch.take(4, 6, like).data_ptr() != first.data_ptr()
    assert not scratch.free  # and what fits no more is let go
    scratch.give(first)
    assert scratch.take(4, 5, like.double()).dtype == torch.float64
    with torch.inference_mode():
        scratch.give(scratch.take(4, 5, like))
    scratch.take(4, 5, like).zero_()  # which a tensor of inference would refuse
