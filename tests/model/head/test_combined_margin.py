"""The margins of SphereFace, ArcFace and CosFace in one."""

import pytest
import torch

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import ArcFace, CombinedMargin, CosFace
from opensphere.model.head.head import Head
from tests.model.head.material import assert_close, assert_textbook, problem


@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_textbook(gradient: str) -> None:
    head = CombinedMargin(9.0, 1.3, 0.2, 0.15, gradient)
    assert_textbook(
        head,
        lambda theta, own, row: torch.cos(1.3 * theta + 0.2) - 0.15 if own else torch.cos(theta),
        lambda feature: 9.0,
    )


@pytest.mark.parametrize(
    "combined, alone",
    [
        (CombinedMargin(20.0, 1.0, 0.0, 0.3), CosFace(20.0, 0.3, normalise="in_graph")),
        (CombinedMargin(20.0, 1.0, 0.4, 0.0), ArcFace(20.0, 0.4, normalise="in_graph")),
    ],
)
def test_one_margin_alone(combined: Head, alone: Head) -> None:
    """It is the loss of its name, for features within pi minus the margin of their centre."""
    _, w, y = problem()
    x = w.T[y] + 0.5  # all are nearer than that
    found = []
    for head in (combined, alone):
        classifier = PlainClassifier(head, *w.shape).double()
        classifier.w.data.copy_(w)
        loss = classifier(x, y)
        loss.backward()
        found.append((loss.detach(), classifier.w.grad))
    assert_close(found[0][0], found[1][0])
    assert_close(found[0][1], found[1][1])


@pytest.mark.parametrize("arguments", [{"m1": 0.5}, {"m2": -0.1}, {"m3": -0.1}])
def test_bad_margins(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"CombinedMargin: {next(iter(arguments))} must be a finite number, at least"):
        CombinedMargin(**arguments)
