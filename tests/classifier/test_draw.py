"""Sampled classes: which are drawn, and that the loss over them is the plain one over these classes."""

import pytest
import torch

from opensphere.classifier import CLASSIFIERS, PlainClassifier
from opensphere.classifier.draw import draw, weights_of_drawn
from tests.classifier.material import HEADS, assert_close, assert_same, build, problem, small_blocks, step

__all__ = ["small_blocks"]


def test_all_classes_of_the_batch_and_some_others() -> None:
    own = torch.tensor([3, 17, 90])
    torch.manual_seed(0)
    drawn = draw(own, 100, 0.2)
    assert len(drawn) == 3 + 19 == len(drawn.unique())
    assert torch.equal(drawn, drawn.sort().values) and torch.isin(own, drawn).all()
    torch.manual_seed(0)
    assert torch.equal(draw(own, 100, 0.2), drawn)
    assert not torch.equal(draw(own, 100, 0.2), drawn)
    assert len(draw(own, 100, 1e-9)) == 4  # one other at least, or a one-vs-all loss would lack them
    assert torch.equal(draw(torch.arange(5), 5, 0.1), torch.arange(5))
    assert len(draw(own[:0], 100, 1e-9)) == 1 and len(draw(own[:0], 0, 0.5)) == 0


def test_every_class_is_drawn_alike() -> None:
    torch.manual_seed(0)
    count = torch.zeros(50)
    for _ in range(2000):
        count[draw(torch.tensor([7]), 50, 0.2)] += 1
    assert count[7] == 2000
    others = count[torch.arange(50) != 7] / 2000
    assert others.mean().item() == pytest.approx(10 / 49)
    assert (others - 10 / 49).abs().max() < 5 * (10 / 49 * 39 / 49 / 2000) ** 0.5  # five standard deviations


@pytest.mark.parametrize("name", HEADS)
def test_at_rate_1_equals_plain(name: str, small_blocks) -> None:
    x, _, y = problem(9, 11, 4)
    small_blocks(3, 2)
    assert_same(step(build("sampled", name, 4, 11, {"rate": 1.0}), x, y), step(build("plain", name, 4, 11), x, y))


@pytest.mark.parametrize("name", HEADS)
def test_equals_plain_over_the_drawn_classes(name: str, small_blocks) -> None:
    """Loss and gradients, with the classes that were not drawn cut out of the plain matrix, and untouched here."""
    x, _, y = problem(6, 40, 4)
    small_blocks(3, 1)
    sampled = build("sampled", name, 4, 40, {"rate": 0.4, "reweight": False}, normalise="in_graph")
    sampled.head.train(not sampled.head.draws)  # a margin drawn after the classes would be another
    found = step(sampled, x, y)
    torch.manual_seed(11)
    drawn = draw(y.unique(), 40, 0.4)
    assert len(drawn) == len(y.unique()) + round(0.4 * (40 - len(y.unique())))
    k = sampled.head.centers
    columns = (drawn[:, None] * k + torch.arange(k)).flatten()
    head = HEADS[name](40, normalise="in_graph")
    head.num_class = None  # what it begins with is that of all the classes
    plain = PlainClassifier(head, 4, len(drawn)).double()
    head.train(not head.draws)
    whole = build("plain", name, 4, 40)
    plain.w.data.copy_(whole.w.data[:, columns])
    if plain.b is not None:
        plain.b.data.copy_(whole.b.data[:, drawn])
    expected = step(plain, x, torch.searchsorted(drawn, y))
    for key in ("loss", "x"):
        assert_close(found[key], expected[key], 1e-9)
    assert_close(found["gradient of w"][:, columns], expected["gradient of w"], 1e-9)
    rest = torch.ones(40 * k, dtype=torch.bool)
    rest[columns] = False
    assert not found["gradient of w"][:, rest].any()


def test_weights_of_drawn() -> None:
    drawn, own = torch.tensor([1, 4, 6, 8, 9]), torch.tensor([4, 9])
    assert weights_of_drawn(drawn, own, 20).flatten().tolist() == [6.0, 1.0, 6.0, 6.0, 1.0]
    assert weights_of_drawn(own, own, 20).flatten().tolist() == [1.0, 1.0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SphereFace2 C", "P2SGrad"])
def test_reweighted_sums_are_right_on_average(name: str, small_blocks) -> None:
    """The mean over many draws of the loss, and of the gradient of the features, is that over all classes."""
    x, _, y = problem(6, 60, 4)
    small_blocks(16, 0)
    expected = step(build("plain", name, 4, 60), x, y)
    sampled = build("sampled", name, 4, 60, {"rate": 0.3, "reweight": True})
    losses, gradients = [], []
    for seed in range(3000):
        torch.manual_seed(seed)
        leaf = x.clone().requires_grad_()
        loss = sampled(leaf, y)
        (3.7 * loss).backward()
        losses.append(loss.detach())
        gradients.append(leaf.grad)
        sampled.recycle()
    for found, key in ((torch.stack(losses), "loss"), (torch.stack(gradients), "x")):
        error = found.std(0) / 3000**0.5
        assert ((found.mean(0) - expected[key]).abs() <= 5.0 * error + 1e-9).all()


def test_in_evaluation_all_classes_count(small_blocks) -> None:
    x, _, y = problem(6, 40, 4)
    small_blocks(3, 1)
    sampled, plain = build("sampled", "ArcFace", 4, 40, {"rate": 0.1}), build("plain", "ArcFace", 4, 40)
    assert (sampled(x, y) - plain(x, y)).abs() > 1e-3
    assert_close(sampled.eval()(x, y).detach(), plain(x, y).detach(), 1e-9)


def test_the_default_rate() -> None:
    assert CLASSIFIERS["sampled"](HEADS["ArcFace"](5), 4, 5).rate == 0.1
