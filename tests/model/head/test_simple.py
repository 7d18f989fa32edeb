"""SimPLE."""

import math

import pytest
import torch
from torch import Tensor

from opensphere.error import UserError
from opensphere.model.head import SimPLE
from tests.model.head.material import assert_close


def written_out(head: SimPLE, x: Tensor, y: list[int], bank: list[tuple[int, int, Tensor]], b: Tensor) -> Tensor:
    """Eq. 8 pair by pair. The bank holds (image, label, key): an image is no pair with its own key."""
    positive, negative = [], []
    for i in range(len(x)):
        for image, label, key in bank:
            if image == i:
                continue
            length, other = torch.sqrt((x[i] ** 2).sum()), math.sqrt((key**2).sum())
            score = length * other * ((x[i] * key).sum() / (length * other) - head.b_theta)
            if label == y[i]:
                positive.append(torch.log(1.0 + torch.exp(-(score + b) / head.r)))
            else:
                negative.append(torch.log(1.0 + torch.exp(head.r * (score + b))))
    mean = [sum(terms) / len(terms) if terms else 0.0 for terms in (positive, negative)]
    return head.lw * (head.alpha * mean[0] + (1.0 - head.alpha) * mean[1])


def made(**rest: float) -> SimPLE:
    return SimPLE(**{"feat_dim": 3, "bank": 7, "alpha": 0.2, "r": 2.0, "lw": 5.0, "init_bias": -1.5, **rest}).double()


def batches(steps: int, rows: int = 4) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Features, keys and labels of each step."""
    draw = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(rows, 3, generator=draw, dtype=torch.float64),
            torch.randn(rows, 3, generator=draw, dtype=torch.float64),
            torch.randint(3, (rows,), generator=draw),
        )
        for _ in range(steps)
    ]


def test_textbook_while_the_bank_fills_and_goes_round() -> None:
    head = made()
    kept: list[tuple[int, int, Tensor]] = []  # the latest seven, oldest first
    for step, (x, keys, y) in enumerate(batches(5)):
        kept = [(-1, label, key) for _, label, key in kept]
        kept = (kept + [(i, int(y[i]), keys[i]) for i in range(len(y))])[-7:]
        results = []
        for textbook in (True, False):
            feature, b = x.clone().requires_grad_(), head.b.detach().clone().requires_grad_()
            if textbook:
                loss = written_out(head, feature, y.tolist(), kept, b)
            else:
                head.zero_grad()
                loss, b = head(feature, y, keys, y), head.b
            loss.sum().backward()
            results.append((loss.detach().reshape(()), feature.grad, b.grad))
        for expected, found in zip(*results, strict=True):
            assert_close(found, expected, 1e-12)
        assert int(head.seen) == 4 * (step + 1)
        assert int((head.bank_labels >= 0).sum()) == min(7, 4 * (step + 1))


def test_evaluation_leaves_the_bank_alone() -> None:
    (first, keys, labels), (x, more, y) = batches(2, rows=3)
    head = made()
    head(first, labels, keys, labels)
    before = {name: value.clone() for name, value in head.state_dict().items()}
    head.eval()
    loss = head(x, y, more, y)
    for name, value in head.state_dict().items():
        assert torch.equal(value, before[name])
    bank = [(i, int(y[i]), more[i]) for i in range(3)] + [(-1, int(labels[i]), keys[i]) for i in range(3)]
    assert_close(loss.detach().reshape(()), written_out(head, x, y.tolist(), bank, head.b).detach().reshape(()), 1e-12)


def test_without_keys_the_features_are_the_keys() -> None:
    x, _, y = batches(1)[0]
    results = []
    for keys in (None, x.clone()):
        feature = x.clone().requires_grad_()
        loss = made()(feature, y, keys)
        loss.backward()
        results.append((loss.detach(), feature.grad))
    for found, expected in zip(*results, strict=True):
        assert torch.equal(found, expected)


def test_a_saved_bank_goes_on_as_it_was() -> None:
    one, other = made(), made()
    plan = batches(4)
    losses = []
    for step, (x, keys, y) in enumerate(plan):
        if step == 2:
            other.load_state_dict(one.state_dict())
        losses.append(one(x, y, keys, y).item())
    assert [other(x, y, keys, y).item() for x, keys, y in plan[2:]] == losses[2:]
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_a_zero_feature_gets_no_gradient_by_its_length() -> None:
    x, keys, y = batches(1)[0]
    feature = (0.0 * x).requires_grad_()
    loss = made()(feature, y, keys, y)
    loss.backward()
    assert loss.isfinite() and feature.grad is not None and feature.grad.isfinite().all()


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"bank": 0}, "SimPLE: bank must be a finite number, at least 1; got 0"),
        ({"ema": 1.5}, "SimPLE: ema must be a finite number, at least 0 and at most 1; got 1.5"),
        ({"alpha": 1.0}, "SimPLE: alpha must be a finite number, above 0 and below 1; got 1"),
        ({"b_theta": -2.0}, "SimPLE: b_theta must be a finite number, at least -1 and at most 1; got -2"),
    ],
)
def test_arguments(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        made(**arguments)


def test_a_batch_larger_than_the_bank_is_refused() -> None:
    x, keys, y = batches(1, rows=8)[0]
    with pytest.raises(UserError, match="SimPLE: bank must be a finite number, at least 8; got 7"):
        made()(x, y, keys, y)
