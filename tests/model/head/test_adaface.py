"""AdaFace."""

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import AdaFace
from tests.model.head.material import assert_golden, assert_textbook, golden_parameters, problem


def test_golden() -> None:
    """CVLface's code, which detaches the margin's gradient."""
    assert_golden("adaface", AdaFace(**golden_parameters("adaface"), gradient="detached"))


@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_textbook(gradient: str) -> None:
    head = AdaFace(9.0, 0.4, 0.5, 0.3, gradient)
    norms = [float(torch.sqrt((feature**2).sum())) for feature in problem()[0]]
    batch = sum(norms) / len(norms)
    mean = 0.7 * 20.0 + 0.3 * batch
    std = 0.7 * 100.0 + 0.3 * (sum((norm - batch) ** 2 for norm in norms) / (len(norms) - 1)) ** 0.5

    def value(theta: Tensor, own: bool, row: int) -> Tensor:
        k = max(-1.0, min(1.0, 0.5 * (norms[row] - mean) / (std + 1e-3)))
        return torch.cos(theta - 0.4 * k) - (0.4 + 0.4 * k) if own else torch.cos(theta)

    assert_textbook(head, value, lambda feature: 9.0)
    assert float(head.batch_mean) == pytest.approx(mean, rel=1e-12)
    assert float(head.batch_std) == pytest.approx(std, rel=1e-12)


def test_the_statistics_stand_still_in_evaluation_and_are_saved() -> None:
    x, _, y = problem()
    classifier = PlainClassifier(AdaFace(), 4, 5).double()
    classifier(x, y)
    state = {name: value.clone() for name, value in classifier.state_dict().items()}
    assert state["batch_mean"] != 20.0 and state["batch_std"] != 100.0
    classifier.eval()
    classifier(x, y)
    assert all(torch.equal(value, state[name]) for name, value in classifier.state_dict().items())
    restored = PlainClassifier(AdaFace(), 4, 5).double().eval()
    restored.load_state_dict(state)
    assert torch.equal(restored(x, y), classifier(x, y))


def test_one_row_has_no_deviation() -> None:
    head = AdaFace(t_alpha=0.5)
    head.prepare(torch.tensor([10.0]), torch.zeros(1), torch.zeros(1))
    assert head.batch_mean == 15.0 and head.batch_std == 100.0


def test_norms_count_between_a_thousandth_and_a_hundred() -> None:
    head = AdaFace(t_alpha=1.0)
    head.prepare(torch.tensor([0.0, 1e6]), torch.zeros(2), torch.zeros(2))
    assert float(head.batch_mean) == pytest.approx((1e-3 + 100.0) / 2)


@pytest.mark.parametrize("arguments", [{"m": -0.1}, {"h": -1.0}, {"t_alpha": 1.5}, {"s": 0.0}, {"gradient": "half"}])
def test_bad_arguments(arguments: dict) -> None:
    with pytest.raises(UserError, match=f"AdaFace: {next(iter(arguments))} must be"):
        AdaFace(**arguments)
