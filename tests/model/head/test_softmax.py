"""Softmax cross-entropy."""

import torch

from opensphere.classifier import PlainClassifier
from opensphere.model.head import SoftmaxLoss
from tests.model.head.material import assert_close, assert_golden, problem


def test_golden() -> None:
    assert_golden("softmax", SoftmaxLoss())


def test_textbook() -> None:
    x, w, y = problem()
    b = torch.linspace(-1, 1, 5, dtype=torch.float64)
    classifier = PlainClassifier(SoftmaxLoss(), 4, 5).double()
    classifier.load_state_dict({"w": w, "b": b[None]})
    loss = classifier(x, y)
    loss.backward()
    logits = x @ w + b
    probability = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    error = probability.clone()
    error[torch.arange(7), y] -= 1.0
    assert_close(loss.detach(), -torch.log(probability[torch.arange(7), y]).mean())
    assert_close(classifier.w.grad, x.T @ error / 7)
    assert_close(classifier.b.grad, error.mean(0)[None])
    assert torch.equal(classifier.w, w)  # never normalised
