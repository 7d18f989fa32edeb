"""GA-softmax."""

import pytest
import torch
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.model.head import GAsoftmax
from tests.model.head.material import assert_close, assert_golden, golden_parameters, problem


def test_golden() -> None:
    assert_golden("ga_softmax", GAsoftmax(**golden_parameters("ga_softmax")))


@pytest.mark.parametrize("gradient", ["detached", "full"])
def test_textbook(gradient: str) -> None:
    """Scores fall linearly with the angle; "detached" is the slope that the target would have at m = 1."""
    x, w, y = problem()
    feature, weight = x.clone().requires_grad_(), w.clone().requires_grad_()
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(x)):
        logits: list[Tensor] = []
        for j in range(w.shape[1]):
            lengths = torch.sqrt((feature[i] ** 2).sum() * (weight[:, j] ** 2).sum())
            theta = torch.acos((feature[i] * weight[:, j]).sum() / lengths)
            logits.append(8.0 * (1 - 0.63662 * theta))
            if j == y[i]:
                extra = 8.0 * 0.63662 * 0.6 * theta
                logits[j] = logits[j] - (extra if gradient == "full" else extra.detach())
        total = total + (torch.log(sum(torch.exp(logit) for logit in logits)) - logits[int(y[i])]) / len(x)
    total.backward()

    classifier = PlainClassifier(GAsoftmax(8.0, 1.6, gradient, "in_graph"), *w.shape).double()
    classifier.w.data.copy_(w)
    loss = classifier(own := x.clone().requires_grad_(), y)
    loss.backward()
    assert_close(loss.detach(), total.detach())
    assert_close(own.grad, feature.grad)
    assert_close(classifier.w.grad, weight.grad)
