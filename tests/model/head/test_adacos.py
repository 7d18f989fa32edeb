"""AdaCos."""

import math

import pytest
import torch

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import AdaCos
from tests.model.head.material import assert_textbook, problem

cosine = lambda theta, own, row: torch.cos(theta)  # noqa: E731


def next_scale(s: float) -> float:
    """The paper's dynamic scale for the common problem, in plain numbers; as JDAI-CV/FaceX-Zoo, head/AdaCos.py.
    Other code takes the median over all classes' angles, which the paper does not."""
    x, w, y = problem()
    thetas, total = [], 0.0
    for i in range(len(x)):
        cos = [float(x[i] @ w[:, j] / (x[i].norm() * w[:, j].norm())) for j in range(5)]
        thetas.append(math.acos(cos[y[i]]))
        total += sum(math.exp(s * cos[j]) for j in range(5) if j != y[i])
    median = sorted(thetas)[len(x) // 2]
    return math.log(total / len(x)) / math.cos(min(math.pi / 4, median))


def test_fixed_scale() -> None:
    head = AdaCos(5, dynamic=False)
    scale = math.sqrt(2) * math.log(4)
    assert_textbook(head, cosine, lambda feature: scale)
    assert head.s == pytest.approx(scale) and not head.state_dict()
    assert AdaCos(10_572).scale.item() == pytest.approx(13.1039, abs=1e-4)


def test_dynamic_scale() -> None:
    """The loss of a step already has the step's scale, which carries no gradient; the next step goes on from there."""
    head = AdaCos(5)
    s = float(head.scale)
    for _ in range(2):
        s = next_scale(s)
        assert_textbook(head, cosine, lambda feature, s=s: s)
        assert head.scale.item() == pytest.approx(s, rel=1e-9)


def test_the_median_counts_where_rows_are_near() -> None:
    """Two rows at 30 degrees, one at 80: divided by cos(30), and by cos(45) where the median is wider."""
    head = AdaCos(100)
    neg = torch.tensor([5.0, 6.0, 7.0], dtype=torch.float64)
    log_mean = math.log((math.exp(5) + math.exp(6) + math.exp(7)) / 3)
    for angles, held in (([30, 30, 80], 30), ([30, 80, 80], 45)):
        cos_y = torch.cos(torch.deg2rad(torch.tensor(angles, dtype=torch.float64)))
        rows = head.rescale(head.prepare(torch.ones(3), cos_y, torch.zeros(3)), neg)
        assert rows.scale.tolist() == pytest.approx([log_mean / math.cos(math.radians(held))] * 3, rel=1e-6)


@pytest.mark.parametrize("num_class", [1, 2, 3])
def test_few_classes_have_a_scale_of_one(num_class: int) -> None:
    """The fixed formula gives minus infinity, 0 and 0.98."""
    assert AdaCos(num_class, dynamic=False).s == 1.0
    classifier = PlainClassifier(AdaCos(num_class), 4, num_class)
    assert classifier(torch.randn(3, 4), torch.zeros(3, dtype=torch.long)).isfinite()
    assert classifier.head.scale >= 1.0


def test_the_scale_stands_still_in_evaluation_and_is_saved() -> None:
    x, _, y = problem()
    classifier = PlainClassifier(AdaCos(5), 4, 5).double()
    before = classifier.head.scale.clone()
    classifier(x, y)
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    assert set(state) == {"w", "scale"} and state["scale"] != before
    classifier.eval()
    classifier(x, y)
    assert classifier.head.scale == state["scale"]
    restored = PlainClassifier(AdaCos(5), 4, 5).double().eval()
    restored.load_state_dict(state)
    assert torch.equal(restored(x, y), classifier(x, y))


def test_bad_arguments() -> None:
    with pytest.raises(UserError, match="AdaCos: num_class must be"):
        AdaCos(0)
    with pytest.raises(UserError, match="AdaCos: num_class is 7, but the classifier has 5"):
        PlainClassifier(AdaCos(7), 4, 5)
