"""Sub-center ArcFace."""

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import SubCenterArcFace
from tests.model.head.material import assert_close, assert_textbook, problem


def test_one_centre_is_a_textbook_margin() -> None:
    value = lambda theta, own, row: torch.cos(theta + 1.1) if own else torch.cos(theta)  # noqa: E731
    assert_textbook(SubCenterArcFace(9.0, 1.1, 1), value, lambda feature: 9.0)


def written_out(x: Tensor, w: Tensor, y: Tensor, gradient: str) -> Tensor:
    """Entry by entry: the nearest of three centres, side by side in the matrix, then the margin; as insightface's
    recognition/subcenter_arcface/train_parall.py, which goes on beyond pi."""
    loss = x.new_zeros(())
    for i in range(len(x)):
        logits = []
        for j in range(w.shape[1] // 3):
            centres = [w[:, 3 * j + k] for k in range(3)]
            cos = max(x[i] @ centre / torch.sqrt((x[i] @ x[i]) * (centre @ centre)) for centre in centres)
            value = torch.cos(torch.acos(cos) + 0.9) if j == int(y[i]) else cos
            logits.append(9.0 * (cos + (value - cos).detach() if gradient == "detached" else value))
        loss = loss + (torch.stack(logits).logsumexp(0) - logits[int(y[i])]) / len(x)
    return loss


@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_the_nearest_centre_has_the_margin(gradient: str) -> None:
    x, w, y = problem(7, 12, 4)
    y = y % 4
    feature, weight = x.clone().requires_grad_(), w.clone().requires_grad_()
    expected = written_out(feature, weight, y, gradient)
    expected.backward()
    classifier = PlainClassifier(SubCenterArcFace(9.0, 0.9, 3, gradient), 4, 4).double()
    assert classifier.w.shape == (4, 12)
    classifier.w.data.copy_(w)
    loss = classifier(own := x.clone().requires_grad_(), y)
    loss.backward()
    assert_close(loss.detach(), expected.detach(), 1e-12)
    assert_close(own.grad, feature.grad)
    assert_close(classifier.w.grad, weight.grad)


@pytest.mark.parametrize("normalise", ["in_place", "in_graph"])
def test_finite_on_hard_features(normalise: str) -> None:
    """On a centre, on two at once, opposite, zero, and of lengths 1e-4 to 1e4; one class alone too."""
    w = torch.nn.functional.normalize(torch.randn(8, 18), dim=0)
    w[:, 1] = w[:, 0]  # two centres of a class are one
    w[:, 5] = w[:, 0]  # and another class has it too
    own = w.T[[0, 0, 7]]
    x = torch.cat([own, -own, 0.0 * own, 1e4 * own, -1e4 * own, 1e-4 * own, 1e4 * torch.randn(3, 8)])
    y = torch.tensor([0, 1, 2]).repeat(7)
    for columns, labels in ((18, y), (3, 0 * y)):
        classifier = PlainClassifier(SubCenterArcFace(normalise=normalise), 8, columns // 3)
        classifier.w.data.copy_(w[:, :columns])
        loss = classifier(feature := x.clone().requires_grad_(), labels)
        loss.backward()
        assert all(value.isfinite().all() for value in (loss, feature.grad, classifier.w.grad))


@pytest.mark.parametrize("arguments", [{"centers": 0}, {"centers": 1.5}, {"centers": True}, {"m": 4.0}, {"s": -1.0}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"SubCenterArcFace: {next(iter(arguments))} must be"):
        SubCenterArcFace(**arguments)
