"""SphereFace+."""

import itertools

import pytest
import torch

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import SphereFace, SphereFacePlus
from tests.model.head.material import assert_close, assert_golden, assert_textbook, golden_parameters, mirrored, problem


def test_golden() -> None:
    assert_golden("sphereface_plus", SphereFacePlus(**golden_parameters("sphereface_plus")))


@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_textbook(gradient: str) -> None:
    def energy(x, unit_w, y):
        present = sorted(set(y.tolist()))
        assert len(present) < len(y)  # some class comes more than once
        pairs = [torch.acos(unit_w[:, i] @ unit_w[:, j]) ** -2 for i, j in itertools.combinations(present, 2)]
        return 0.7 * sum(pairs) / len(pairs)

    head = SphereFacePlus(10.0, 1.6, 0.7, gradient, "in_graph")
    score = lambda theta, own, row: mirrored(1.6 * theta) if own else torch.cos(theta)  # noqa: E731
    assert_textbook(head, score, lambda feature: 10.0, extra=energy)


def energy_of(labels: list[int], lambda_MHE: float = 1.0) -> tuple[float, torch.Tensor]:
    """The energy alone, as the difference to SphereFace, and its gradient to the class weights."""
    x, w, _ = problem()
    found = []
    for head in (SphereFacePlus(lambda_MHE=lambda_MHE), SphereFace()):
        classifier = PlainClassifier(head, *w.shape).double()
        classifier.w.data.copy_(w)
        loss = classifier(x[: len(labels)], torch.tensor(labels))
        loss.backward()
        found.append((loss.item(), classifier.w.grad))
    return found[0][0] - found[1][0], found[0][1] - found[1][1]


def test_each_pair_of_distinct_classes_counts_once() -> None:
    once, gradient = energy_of([0, 1, 3])
    repeated, same = energy_of([3, 0, 1, 0, 0, 3])
    assert once == pytest.approx(repeated, rel=1e-12)
    assert_close(same, gradient)
    assert gradient[:, [0, 1, 3]].abs().sum(0).gt(0).all() and not gradient[:, [2, 4]].abs().gt(1e-12).any()


def test_one_class_alone_has_no_energy() -> None:
    value, gradient = energy_of([2, 2, 2])
    assert value == 0.0 and not gradient.abs().gt(0.0).any()


def test_the_weight_of_the_energy() -> None:
    assert energy_of([0, 1, 3], 0.25)[0] == pytest.approx(0.25 * energy_of([0, 1, 3])[0], rel=1e-12)
    with pytest.raises(UserError, match="lambda_MHE"):
        SphereFacePlus(lambda_MHE=-1.0)
