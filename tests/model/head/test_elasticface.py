"""ElasticFace."""

import pytest
import torch

from opensphere.classifier import PlainClassifier
from opensphere.error import UserError
from opensphere.model.head import CombinedMargin, CosFace, ElasticArcFace, ElasticCosFace
from tests.model.head.material import assert_close, assert_textbook, problem

KINDS = {"arc": ElasticArcFace, "cos": ElasticCosFace}


def drawn(head, cos_y: torch.Tensor, seed: int = 3) -> torch.Tensor:
    """The margins that a head draws with a generator of its own."""
    head.random = torch.Generator().manual_seed(seed)
    return head.prepare(torch.ones_like(cos_y), cos_y, torch.zeros(len(cos_y))).m


def test_textbook_without_spread() -> None:
    """With std 0 the margin is m; like the code of fdbtrs/ElasticFace, utils/losses.py, which goes on beyond pi."""
    value = lambda theta, own, row: torch.cos(theta + 1.1) if own else torch.cos(theta)  # noqa: E731
    assert_textbook(ElasticArcFace(9.0, 1.1, 0.0), value, lambda feature: 9.0)
    value = lambda theta, own, row: torch.cos(theta) - 0.3 if own else torch.cos(theta)  # noqa: E731
    assert_textbook(ElasticCosFace(9.0, 0.3, 0.0), value, lambda feature: 9.0)


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_a_margin_of_its_own(kind: str) -> None:
    cos_y = torch.tensor([0.9, -0.2, 0.4], dtype=torch.float64)
    head = KINDS[kind](m=0.4, std=0.1)
    margins = drawn(head, cos_y)
    normal = torch.randn(3, generator=torch.Generator().manual_seed(3)).double()
    assert_close(margins, 0.4 + 0.1 * normal, 1e-14)
    rows = head.prepare(torch.ones(3), cos_y, torch.zeros(3))
    assert not torch.equal(rows.m, margins)  # the generator has moved on
    expected = torch.cos(torch.acos(cos_y) + rows.m) if kind == "arc" else cos_y - rows.m
    assert_close(head.target(cos_y, rows), expected, 1e-12)
    assert torch.equal(drawn(head, cos_y.float()).double(), drawn(head, cos_y).float().double())  # free of the dtype


@pytest.mark.parametrize("kind", KINDS)
def test_the_distribution(kind: str) -> None:
    margins = drawn(KINDS[kind](), torch.zeros(20_000))
    assert margins.mean().item() == pytest.approx(0.5 if kind == "arc" else 0.35, abs=0.002)
    assert margins.std().item() == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize("kind", KINDS)
def test_plus_gives_the_larger_margins_to_the_further_rows(kind: str) -> None:
    cos_y = torch.tensor([0.1, 0.9, 0.5, 0.3, 0.7])
    plus, free = (drawn(KINDS[kind](plus=choice), cos_y) for choice in (True, False))
    low = free.sort().values
    assert torch.equal(plus, low[[4, 0, 2, 3, 1]])
    published = low[cos_y.argsort(descending=True)]  # the authors' indexing: the nearest row need not have the least
    assert published[1] != low[0]


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_has_the_mean_margin(kind: str) -> None:
    x, w, y = problem()
    fixed = CombinedMargin(m2=0.5, gradient="full") if kind == "arc" else CosFace(64.0, 0.35, normalise="in_graph")
    found = []
    for head in (KINDS[kind](plus=True), fixed):
        classifier = PlainClassifier(head, 4, 5).double().eval()
        classifier.w.data.copy_(w)
        found.append(classifier(x, y).detach())
    assert_close(found[0], found[1], 1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("arguments", [{"m": -0.1}, {"std": -0.1}, {"s": 0.0}])
def test_bad_arguments(kind: str, arguments: dict) -> None:
    with pytest.raises(UserError, match=f"{KINDS[kind].__name__}: {next(iter(arguments))} must be"):
        KINDS[kind](**arguments)
