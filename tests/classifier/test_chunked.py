"""The chunked classifier equals the plain one: every head, every choice, any shape of blocks."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from opensphere.classifier import CLASSIFIERS, ChunkedClassifier, blocks
from opensphere.error import UserError
from opensphere.model.head import ArcFace, CircleLoss, CosFace, SphereFace2
from opensphere.model.head.head import Head, Rows
from tests.classifier.material import HEADS, assert_close, assert_same, build, problem, small_blocks, step

CHOICES = [
    {"gradient": g, "normalise": n} for g, n in itertools.product(("detached", "full"), ("in_place", "in_graph"))
]
__all__ = ["small_blocks"]


@pytest.mark.parametrize("kept", [0, 2, 99])
@pytest.mark.parametrize("name", HEADS)
def test_equals_plain(name: str, kept: int, small_blocks) -> None:
    """Repeated labels, a last block that is short, no, some and all blocks kept."""
    x, _, y = problem(9, 11, 4)
    y[3] = y[0]
    small_blocks(3, kept)
    assert_same(step(build("chunked", name, 4, 11), x, y), step(build("plain", name, 4, 11), x, y))


@pytest.mark.parametrize("kept", [0, 1, 99])
@pytest.mark.parametrize("name", ["ArcFace", "CurricularFace", "SoftmaxLoss"])
def test_a_first_block_far_below_the_others(name: str, kept: int, small_blocks) -> None:
    """Exponentials are relative to it: the others overflow in single precision, and another reference is taken."""
    small_blocks(3, kept)
    x, _, y = problem(4, 8, 4)
    x = x[:1] + 0.01 * x
    y = torch.tensor([4, 5, 6, 7])
    towards = torch.cat([-x[:1].expand(3, -1), x[:1].expand(5, -1)]).mT * 10.0
    found = []
    for kind, dtype in (("chunked", torch.float32), ("plain", torch.float64)):
        classifier = build(kind, name, 4, 8, **({} if name == "SoftmaxLoss" else {"s": 90.0})).to(dtype)
        with torch.no_grad():
            classifier.w += towards.to(dtype)
        found.append(step(classifier, x.to(dtype), y))
    assert found[1]["gradient of w"].abs().max() > 0.1
    assert_same(*found, 2e-3)  # large logits: what a rounding moves is far more than elsewhere


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("name", HEADS)
def test_equals_plain_in_every_choice(name: str, choice: dict[str, str], small_blocks) -> None:
    for rows, num_class, kept in ((9, 11, 1), (1, 1, 9), (1, 5, 0), (6, 1, 9), (4, 4, 1)):
        x, _, y = problem(rows, num_class, 4, seed=rows)
        small_blocks(3, kept)
        found, expected = (step(build(kind, name, 4, num_class, **choice), x, y) for kind in ("chunked", "plain"))
        assert_same(found, expected)


@pytest.mark.slow
@given(
    st.sampled_from(list(HEADS)),
    st.integers(1, 9),
    st.integers(1, 13),
    st.integers(2, 5),
    st.integers(1, 6),
    st.integers(0, 4),
    st.sampled_from(CHOICES),
    st.sampled_from([0.0, 1e-4, 1.0, 1e4]),
    st.integers(0, 2**31),
)
@settings(max_examples=300, deadline=None)
def test_equals_plain_at_any_shape(name, rows, num_class, feat_dim, width, kept, choice, norm, seed) -> None:
    """One row, one class, numbers that divide nothing, labels repeated and missing, features of length 0 to 1e4."""
    x, _, y = problem(rows, num_class, feat_dim, seed)
    x[0] *= norm / x[0].norm()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "block_width", lambda batch, device: width)
        patch.setattr(blocks.Walk, "blocks_kept", staticmethod(lambda u, count, *rest: min(kept, -(-count // width))))
        found, expected = (
            step(build(kind, name, feat_dim, num_class, **choice), x, y) for kind in ("chunked", "plain")
        )
    # angles divide by sines: where a cosine comes near 1 the two orders of summation differ by more than elsewhere
    assert_same(found, expected, 1e-7 if feat_dim == 2 else 1e-9)


@pytest.mark.parametrize("name", HEADS)
def test_float32_stays_near(name: str, small_blocks) -> None:
    """In single precision: 2e-5 of the largest number of each tensor, four hundred roundings."""
    x, _, y = problem(16, 40, 8)
    small_blocks(7, 2)
    found = step(build("chunked", name, 8, 40).float(), x.float(), y)
    expected = step(build("plain", name, 8, 40).float(), x.float(), y)
    assert found["loss"].dtype == torch.float32
    assert_same(found, expected, 2e-5)


def test_real_blocks() -> None:
    """The width that is used outside tests, more than one block, memory for one of them."""
    x, _, y = problem(512, 2500, 16)
    assert blocks.block_width(512, "cpu") == 1024
    for memory in (300.0, 0.0):
        for name in ("ArcFace", "SphereFace2 C"):
            found = step(build("chunked", name, 16, 2500, {"memory": memory}), x, y)
            assert_same(found, step(build("plain", name, 16, 2500), x, y))


def test_kept_blocks_follow_the_memory() -> None:
    u = torch.empty(512, 512, device="meta")
    none, some, all_of_them = (blocks.Walk.blocks_kept(u, 85_000, int(m * 1e6), "cpu") for m in (0.0, 100.0, 300.0))
    assert none == 0 < some < all_of_them == 84  # blocks of 2.1 MB
    assert some * blocks.Walk.block_bytes(u, "cpu") + blocks.Walk.temporaries(u, 85_000, 1, "cpu") <= 100e6


# ---------------------------------------------------------------------------------------- as a module


@pytest.mark.parametrize("name", ["ArcFace", "SphereFace2 C", "CurricularFace", "SphereFaceR_S v0", "SoftmaxLoss"])
def test_two_forwards_may_await_one_backward(name: str, small_blocks) -> None:
    x, _, y = problem(8, 11, 4)
    small_blocks(3, 2)
    found = []
    for kind in ("chunked", "plain"):
        classifier = build(kind, name, 4, 11)
        (classifier(x[:3], y[:3]) + 2.0 * classifier(x[3:], y[3:])).backward()
        found.append(classifier.w.grad)
    assert_close(*found, 1e-9)


@pytest.mark.parametrize("name", ["ArcFace", "SphereFace2 C"])
def test_gradients_accumulate(name: str, small_blocks) -> None:
    """Without clearing in between, as over several batches; and what was recycled is not read again."""
    x, _, y = problem(8, 11, 4)
    small_blocks(3, 2)
    classifier, plain = build("chunked", name, 4, 11), build("plain", name, 4, 11)
    for _ in range(3):
        for part in (slice(0, 3), slice(3, 8)):
            classifier(x[part], y[part]).backward()
            plain(x[part], y[part]).backward()
        assert_close(classifier.w.grad, plain.w.grad, 1e-9)
        classifier.recycle(), plain.zero_grad()
        assert classifier.w.grad is None
    assert len(classifier.gradients.free) == 1


def test_a_gradient_that_somebody_holds_is_left_alone(small_blocks) -> None:
    x, _, y = problem(8, 11, 4)
    small_blocks(3, 9)
    classifier = build("chunked", "ArcFace", 4, 11)
    (held,) = torch.autograd.grad(classifier(x, y), classifier.w)
    copy = held.clone()
    classifier(2.0 * x, y.flip(0)).backward()
    assert torch.equal(held, copy)


@pytest.mark.parametrize("name", ["ArcFace", "SphereFace2 C"])
def test_without_a_gradient(name: str, small_blocks) -> None:
    """In evaluation, and where the classes are frozen."""
    x, _, y = problem(8, 11, 4)
    small_blocks(3, 2)
    classifier, plain = build("chunked", name, 4, 11), build("plain", name, 4, 11)
    with torch.no_grad():
        assert_close(classifier(x, y), plain(x, y), 1e-12)
    for each in (classifier, plain):
        each.w.requires_grad_(False)
    found, expected = step(classifier, x, y), step(plain, x, y)
    assert classifier.w.grad is None
    assert_same(found, expected)


@pytest.mark.parametrize("name", ["ArcFace", "CurricularFace", "SphereFace2 C"])
def test_a_loss_is_differentiated_once(name: str) -> None:
    x, _, y = problem(8, 11, 4)
    loss = build("chunked", name, 4, 11)(x.requires_grad_(), y)
    loss.backward(retain_graph=True)
    with pytest.raises(UserError, match="differentiated once"):
        loss.backward()


def test_the_layout_of_w() -> None:
    """A centre's numbers lie side by side, in the gradient too, and the state is the same as ever."""
    torch.manual_seed(3)
    plain = CLASSIFIERS["plain"](CosFace(), 4, 11)
    torch.manual_seed(3)
    chunked = CLASSIFIERS["chunked"](CosFace(), 4, 11)
    assert torch.equal(plain.w, chunked.w)
    assert chunked.w.shape == (4, 11) and chunked.w.stride() == (1, 4)
    chunked(torch.randn(3, 4), torch.tensor([0, 1, 1])).backward()
    assert chunked.w.grad.stride() == (1, 4)
    assert chunked.double().w.stride() == (1, 4)
    plain.load_state_dict(chunked.state_dict())


def test_bad_options() -> None:
    for memory in (-1.0, float("inf"), float("nan")):
        with pytest.raises(UserError, match="model.head.classifier.memory: a number of megabytes"):
            ChunkedClassifier(ArcFace(), 4, 5, memory=memory)
    with pytest.raises(UserError, match="model.head.classifier.rate: a share"):
        ChunkedClassifier(ArcFace(), 4, 5, rate=0.0)


def test_autocast_has_no_hold_on_either_pass() -> None:
    x, _, y = problem(8, 11, 4)
    found = []
    for enabled in (False, True):
        classifier = build("chunked", "CurricularFace", 4, 11).float()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            found.append(step(classifier, x.float(), y))
    assert_same(*found, 1e-7)


class Steep(Head):
    """A head with all that can be asked: bent others, learnt scale, weighted rows, no closed slope."""

    reduce = "sum"

    def __init__(self) -> None:
        super().__init__(2.0, "full", "in_graph")
        self.t = torch.nn.Parameter(torch.tensor(0.7))

    def prepare(self, norm: Tensor, cos_y: Tensor, labels: Tensor) -> Rows:
        return Rows(cos_y, scale=self.t * norm, bias=self.t - norm, weight=0.1 + labels)

    def others(self, cos: Tensor, rows: Rows) -> Tensor:
        return cos * cos.abs() * rows.cos_y

    def negative(self, z: Tensor, rows: Rows) -> Tensor:
        return z.square() * 0.1 + z


def test_a_head_that_asks_for_everything(small_blocks) -> None:
    x, _, y = problem(8, 11, 4)
    small_blocks(3, 0)
    found = []
    for kind in ("chunked", "plain"):
        classifier = CLASSIFIERS[kind](Steep(), 4, 11).double()
        classifier.w.data.copy_(problem(8, 11, 4)[1])
        found.append(step(classifier, x, y))
    assert_same(*found)
    assert found[0]["gradient of head.t"].abs() > 0.1


class AsTheyAre(Head):
    """A head that hands the cosines back."""

    def others(self, cos: Tensor, rows: Rows) -> Tensor:
        return cos


class LearnsBends(Head):
    """A head that learns where no gradient can come from blocks."""

    def __init__(self) -> None:
        super().__init__(4.0)
        self.t = torch.nn.Parameter(torch.tensor(0.7))

    def others(self, cos: Tensor, rows: Rows) -> Tensor:
        return cos * self.t


def test_a_head_may_hand_the_cosines_back(small_blocks) -> None:
    x, _, y = problem(8, 11, 4)
    small_blocks(3, 2)
    for gradient in ("detached", "full"):
        found = []
        for kind in ("chunked", "plain"):
            classifier = CLASSIFIERS[kind](AsTheyAre(4.0, gradient, "in_graph"), 4, 11).double()
            classifier.w.data.copy_(problem(8, 11, 4)[1])
            found.append(step(classifier, x, y))
        assert_same(*found)


def test_what_blocks_cannot_differentiate_is_refused() -> None:
    x, _, y = problem(8, 11, 4)
    with pytest.raises(UserError, match="LearnsBends.others: what a head learns reaches other classes through"):
        CLASSIFIERS["chunked"](LearnsBends(), 4, 11).double()(x, y)
    CLASSIFIERS["plain"](LearnsBends(), 4, 11).double()(x, y)


def test_slopes_are_derivatives() -> None:
    """Where a head knows the slope of `negative`, autograd finds the same."""
    for make in HEADS.values():
        head = make(5).double()
        z = torch.linspace(-30.0, 30.0, 61, dtype=torch.float64).view(1, -1).requires_grad_()
        rows = Rows(torch.zeros(1, dtype=torch.float64), scale=1.0).beside(1)
        slope = head.slope(z.detach(), rows)
        if head.reduce == "sum" and slope is not None:
            (expected,) = torch.autograd.grad(head.negative(z, rows).sum(), z)
            assert_close(slope.expand_as(expected), expected, 1e-12)
    assert SphereFace2(5).slope(torch.zeros(1), None) is not None


@pytest.mark.parametrize("name", ["CurricularFace", "MVSoftmax AM", "MVSoftmax Arc", "CircleLoss", "full CircleLoss"])
def test_bends_are_derivatives(name: str) -> None:
    """Where a head knows the derivative of `others`, autograd finds the same."""
    head = CircleLoss(gradient="full") if name == "full CircleLoss" else HEADS[name](5)
    cos_y = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)
    rows = head.double().prepare(torch.ones_like(cos_y), cos_y, torch.zeros(7)).beside(0)
    cos = torch.linspace(-0.99, 0.98, 51, dtype=torch.float64).view(-1, 1).repeat(1, 7).requires_grad_()
    (expected,) = torch.autograd.grad(head.others(cos, rows).sum(), cos)
    assert_close(head.bend(cos.detach(), rows), expected, 1e-12)
    assert expected.std() > 0.01
