"""CurricularFace."""

import math

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import CurricularFace
from tests.model.head.material import assert_golden, assert_textbook, golden_parameters, problem


def test_golden() -> None:
    assert_golden("curricularface", CurricularFace(**golden_parameters("curricularface")))


@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_textbook(gradient: str) -> None:
    """As HuangYG123/CurricularFace, head/metrics.py: t moves first; no cosine of the own class is left unbounded."""
    x, w, y = problem()
    theta_y = [float(torch.acos(x[i] @ w[:, y[i]] / (x[i].norm() * w[:, y[i]].norm()))) for i in range(len(x))]
    t = 0.6 * 0.0 + 0.4 * sum(math.cos(theta) for theta in theta_y) / len(x)
    met = set()

    def value(theta: Tensor, own: bool, row: int) -> Tensor:
        cos = torch.cos(theta)
        if own:
            met.add("wide" if theta + 0.9 > math.pi else "near")
            return cos - 0.9 * math.sin(0.9) if theta + 0.9 > math.pi else torch.cos(theta + 0.9)
        hard = math.cos(theta.item()) > math.cos(theta_y[row] + 0.9)
        met.add("hard" if hard else "easy")
        return cos * (t + cos) if hard else cos

    head = CurricularFace(9.0, 0.9, 0.4, gradient)
    assert_textbook(head, value, lambda feature: 9.0)
    assert met == {"near", "wide", "easy", "hard"}
    assert head.t.item() == pytest.approx(t, rel=1e-12)


def test_t_stands_still_in_evaluation_and_is_saved() -> None:
    x, _, y = problem()
    classifier = PlainClassifier(CurricularFace(), 4, 5).double()
    classifier(x, y)
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    assert set(state) == {"w", "t"} and state["t"].shape == (1,) and state["t"] != 0.0
    classifier.eval()
    classifier(x, y)
    assert torch.equal(classifier.head.t, state["t"])
    restored = PlainClassifier(CurricularFace(), 4, 5).double().eval()
    restored.load_state_dict(state)
    assert torch.equal(restored(x, y), classifier(x, y))


def test_t_by_hand() -> None:
    """A hundredth of the way to the mean at each step; rows keep the t that they were made with."""
    head = CurricularFace()
    cos_y = torch.tensor([0.3, 0.7])
    rows = head.prepare(torch.ones(2), cos_y, torch.zeros(2))
    assert head.t.item() == pytest.approx(0.005)
    head.prepare(torch.ones(2), cos_y, torch.zeros(2))
    assert head.t.item() == pytest.approx(0.00995)
    assert rows.t.tolist() == pytest.approx([0.005, 0.005])


@pytest.mark.parametrize("arguments", [{"m": 4.0}, {"alpha": 1.5}, {"s": 0.0}, {"normalise": "no"}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"CurricularFace: {next(iter(arguments))} must be"):
        CurricularFace(**arguments)
