"""Every head in the plain classifier: properties that hold for all, and the features that break naive code."""

import inspect
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from opensphere.classifier import PlainClassifier
from opensphere.model.head.head import Head, Rows
from tests.model.head.material import HEADS, assert_close, plain, problem, tangential

COSINE = [name for name in HEADS if name != "SoftmaxLoss"]
CHOOSING = [name for name in COSINE if "gradient" in inspect.signature(type(HEADS[name](5))).parameters]
CHOICES = list(itertools.product(["detached", "full"], ["in_place", "in_graph"]))


def run(
    classifier: PlainClassifier, x: Tensor, y: Tensor, autocast: bool = False
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Loss, gradient of the features, gradients of the parameters; fresh ones."""
    classifier.zero_grad()
    x = x.detach().clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        loss = classifier(x, y)
    loss.backward()
    return loss.detach(), x.grad, {name: value.grad for name, value in classifier.named_parameters()}


def still(classifier: PlainClassifier) -> PlainClassifier:
    """A head that draws has its mean margins out of training: the same in every forward, for every order of rows."""
    return classifier.eval() if classifier.head.draws else classifier


# ---------------------------------------------------------------------------------------- hard features


@pytest.mark.parametrize("gradient, normalise", CHOICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", HEADS)
def test_finite_on_hard_features(name: str, dtype: torch.dtype, gradient: str, normalise: str) -> None:
    """Features on the own centre, on another's, opposite to either, zero, and of lengths 1e-4 to 1e4."""
    w = torch.randn(8, 6, dtype=dtype)
    w = w / w.norm(dim=0)
    w[:, 5] = w[:, 4]  # two classes share a centre
    own, other = w.T[[0, 0, 4, 4]], w.T[[1, 1, 5, 5]]
    rows = [own, -own, other, -other, 0.0 * own, 1e4 * own, -1e4 * own, 1e4 * torch.randn(4, 8).to(dtype), 1e-4 * own]
    x, y = torch.cat(rows), torch.tensor([0, 0, 4, 4] * len(rows))
    classifier = PlainClassifier(HEADS[name](6, gradient=gradient, normalise=normalise), 8, 6).to(dtype)
    classifier.w.data.copy_(w)
    loss, grad_x, grads = run(classifier, x, y)
    assert loss.dtype == dtype and loss.isfinite() and loss > -10.0
    assert grad_x.isfinite().all()
    assert all(gradient.isfinite().all() for gradient in grads.values())
    if classifier.head.normalise == "in_place" and name != "SoftmaxLoss":
        assert (classifier.w.norm(dim=0) - 1.0).abs().max() < 1e-6
    zeros = run(classifier, x[16:20], y[16:20])  # by themselves
    assert all(value.isfinite().all() for value in (zeros[0], zeros[1], *zeros[2].values()))


@pytest.mark.parametrize("rows, num_class", [(1, 1), (1, 5), (4, 1)])
@pytest.mark.parametrize("name", HEADS)
def test_one_row_and_one_class(name: str, rows: int, num_class: int) -> None:
    x, y = torch.randn(rows, 4), torch.randint(num_class, (rows,))
    classifier = PlainClassifier(HEADS[name](num_class), 4, num_class)
    loss, grad_x, grads = run(classifier, x, y)
    assert loss.isfinite() and grad_x.isfinite().all() and all(grad.isfinite().all() for grad in grads.values())
    if num_class == 1 and classifier.head.reduce == "logsumexp" and "R_S" not in name and name != "MagFace":
        assert loss == 0.0 and not grad_x.any()  # there is nothing to be told apart, and no term of the norms


def test_a_class_vector_of_zero_moves() -> None:
    for normalise in ("in_place", "in_graph"):
        classifier = plain("ArcFace", 4, 5, normalise=normalise)
        classifier.w.data[:, 2] = 0.0
        _, grad_x, grads = run(classifier, *problem()[::2])
        assert grad_x.isfinite().all() and grads["w"].isfinite().all() and grads["w"][:, 2].any()


# ---------------------------------------------------------------------------------------- the two choices


@pytest.mark.parametrize("gradient", ["detached", "full"])
@pytest.mark.parametrize("name", COSINE)
def test_in_place_and_in_graph(name: str, gradient: str) -> None:
    """One loss, one gradient of the features; class gradients agree across the vectors, and scale with 1 / length."""
    x, w, y = problem()
    place, graph = (still(plain(name, 4, 5, gradient=gradient, normalise=c)) for c in ("in_place", "in_graph"))
    for classifier in (place, graph):
        classifier.w.data.copy_(w)
    loss, grad_x, grads = run(place, x, y)
    assert_close(place.w.detach(), w / w.norm(dim=0), 1e-15)  # it really is changed
    if list(place.head.buffers()):
        place.eval(), graph.eval()
        graph.load_state_dict(place.state_dict() | {"w": w})  # statistics of one update
        loss, grad_x, grads = run(place, x, y)
    loss_in_graph, grad_x_in_graph, grads_in_graph = run(graph, x, y)
    assert torch.equal(graph.w, w)  # and it really is not
    assert_close(loss_in_graph, loss, 1e-13)
    assert_close(grad_x_in_graph, grad_x, 1e-12)
    across = tangential(grads["w"], w)
    assert_close(grads_in_graph["w"], across / w.norm(dim=0), 1e-12)
    assert (grads["w"] - across).abs().max() > 1e-3  # the radial part is there
    assert_close(grads_in_graph["w"], tangential(grads_in_graph["w"], w), 1e-12)
    if "head.b" in grads:
        assert_close(grads_in_graph["head.b"], grads["head.b"], 1e-12)


@pytest.mark.parametrize("name", CHOOSING)
def test_the_gradient_choice_leaves_the_loss(name: str) -> None:
    x, w, y = problem()
    found = []
    for gradient in ("detached", "full"):
        classifier = still(plain(name, 4, 5, gradient=gradient))
        classifier.w.data.copy_(w)
        found.append(run(classifier, x, y))
    assert_close(found[0][0], found[1][0], 1e-13)
    same = torch.allclose(found[0][1], found[1][1], rtol=1e-6)
    assert same == (name == "CosFace")  # a constant margin has slope one anyway


def test_two_forwards_may_await_one_backward() -> None:
    """Gradients over several batches: normalising in place leaves what autograd keeps alone."""
    x, w, y = problem()
    classifier = plain("SphereFace", 4, 5)
    classifier.w.data.copy_(w)
    (classifier(x[:3], y[:3]) + classifier(x[3:], y[3:])).backward()
    both = classifier.w.grad.clone()
    assert_close(both, run(classifier, x[:3], y[:3])[2]["w"] + run(classifier, x[3:], y[3:])[2]["w"], 1e-12)


# ---------------------------------------------------------------------------------------- properties


@pytest.mark.slow
@given(
    st.sampled_from(COSINE),
    st.integers(1, 9),
    st.integers(1, 8),
    st.integers(2, 6),
    st.sampled_from(CHOICES),
    st.integers(0, 2**31),
)
@settings(max_examples=150, deadline=None)
def test_symmetries(name: str, rows: int, num_class: int, feat_dim: int, choice: tuple, seed: int) -> None:
    """Neither the order of rows and classes nor a rotation of the space matters, for the loss or any gradient."""
    x, w, y = problem(rows, num_class, feat_dim, seed)
    draw = torch.Generator().manual_seed(seed)
    row_order, class_order = torch.randperm(rows, generator=draw), torch.randperm(num_class, generator=draw)
    rotation = torch.linalg.qr(torch.randn(feat_dim, feat_dim, generator=draw, dtype=torch.float64))[0]
    found = []
    for moved in (False, True):
        classifier = still(plain(name, feat_dim, num_class, gradient=choice[0], normalise=choice[1]))
        classifier.w.data.copy_(rotation @ w[:, class_order] if moved else w)
        place = class_order.argsort()
        found.append(run(classifier, (x @ rotation.T)[row_order] if moved else x, place[y][row_order] if moved else y))
    (loss, grad_x, grads), (moved_loss, moved_x, moved_grads) = found
    assert_close(moved_loss, loss, 1e-9)
    assert_close(moved_x, (grad_x @ rotation.T)[row_order], 1e-7)
    assert_close(moved_grads["w"], rotation @ grads["w"][:, class_order], 1e-7)


@given(st.sampled_from(COSINE), st.integers(2, 6), st.integers(0, 2**31))
@settings(max_examples=30, deadline=None)
def test_a_repeated_batch_is_the_same_mean(name: str, num_class: int, seed: int) -> None:
    x, w, y = problem(3, num_class, 4, seed)
    classifier = plain(name, 4, num_class).eval()  # no statistics, which do differ
    classifier.w.data.copy_(w)
    once, twice = run(classifier, x, y), run(classifier, x.repeat(2, 1), y.repeat(2))
    assert_close(twice[0], once[0], 1e-11)
    assert_close(twice[1], once[1].repeat(2, 1) / 2, 1e-9)
    assert_close(twice[2]["w"], once[2]["w"], 1e-9)


@pytest.mark.parametrize(
    "name", ["CocoLoss", "SphereFace", "SphereFace2 C", "GAsoftmax", "ArcFace", "SphereFaceR_H v2"]
)
def test_the_length_of_a_feature_does_not_count(name: str) -> None:
    x, _, y = problem()
    classifier = plain(name, 4, 5)
    _, grad_x, _ = run(classifier, x, y)
    assert_close(run(classifier, 7.0 * x, y)[0], run(classifier, x, y)[0], 1e-13)
    assert (grad_x * x).sum(1).abs().max() < 1e-10


@pytest.mark.parametrize("name", [name for name in HEADS if name not in ("AdaFace", "SFace")])
def test_full_gradients_against_finite_differences(name: str) -> None:
    """All but AdaFace and SFace, whose norms and weights are without a gradient by design."""
    x, w, y = problem(3, 4, 3, seed=5)
    classifier = plain(name, 3, 4, gradient="full", normalise="in_graph").eval()
    classifier.w.data.copy_(w)
    weight = classifier.w.detach().clone().requires_grad_()

    def loss(feature: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(classifier, {"w": weight}, (feature, y))

    assert torch.autograd.gradcheck(loss, (x.requires_grad_(), weight))


# ---------------------------------------------------------------------------------------- precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", HEADS)
def test_half_precision_features_meet_a_float32_loss(name: str, dtype: torch.dtype) -> None:
    x, w, y = problem()
    x = x.to(dtype)
    classifier = PlainClassifier(HEADS[name](5), 4, 5).eval()
    classifier.w.data.copy_(w)
    half, grad_x, _ = run(classifier, x, y, autocast=True)
    classifier.w.data.copy_(w)  # normalising twice may move the last bit
    single, grad_single, _ = run(classifier, x.float(), y)
    assert half.dtype == torch.float32 and grad_x.dtype == dtype
    assert torch.equal(half, single)  # autocast has no hold inside
    assert torch.equal(grad_x, grad_single.to(dtype))


def test_float64_on_either_side_stays_float64() -> None:
    x, _, y = problem()
    assert PlainClassifier(HEADS["ArcFace"](5), 4, 5)(x, y).dtype == torch.float64
    assert plain("ArcFace", 4, 5)(x.float(), y).dtype == torch.float64
    assert PlainClassifier(HEADS["ArcFace"](5), 4, 5).bfloat16()(x.bfloat16(), y).dtype == torch.float32


@pytest.mark.parametrize("name", COSINE)
def test_float32_follows_float64(name: str) -> None:
    x, w, y = problem(16, 20, 8)
    double, single = (still(plain(name, 8, 20)), still(plain(name, 8, 20).float()))
    for classifier in (double, single):
        classifier.w.data.copy_(w)
    single.load_state_dict(double.state_dict())
    expected, found = run(double, x, y), run(single, x.float(), y)
    assert_close(found[0].double(), expected[0], 1e-5)
    assert_close(found[1].double(), expected[1], 1e-4)


# ---------------------------------------------------------------------------------------- centres


class SubCenter(Head):
    """Three centres a class, an additive margin."""

    centers = 3

    def target(self, cos_y: Tensor, rows: Rows) -> Tensor:
        return cos_y - 0.2


@pytest.mark.parametrize("normalise", ["in_place", "in_graph"])
def test_the_nearest_of_several_centres_counts(normalise: str) -> None:
    x, w, y = problem(7, 12, 4)
    y = y % 4
    w = w / w.norm(dim=0)
    weight = w.clone().requires_grad_()
    unit_w = weight / weight.norm(dim=0) if normalise == "in_graph" else weight
    cos = (x / x.norm(dim=1, keepdim=True)) @ unit_w
    nearest = torch.stack([torch.stack([cos[:, 3 * j + k] for k in range(3)]).amax(0) for j in range(4)], dim=1)
    logits = 10.0 * (nearest - 0.2 * torch.nn.functional.one_hot(y, 4).double())
    expected = torch.nn.functional.cross_entropy(logits, y)
    expected.backward()
    classifier = PlainClassifier(SubCenter(10.0, "full", normalise), 4, 4).double()
    assert classifier.w.shape == (4, 12)
    classifier.w.data.copy_(w)
    loss, _, grads = run(classifier, x, y)
    assert_close(loss, expected.detach(), 1e-13)
    assert_close(grads["w"], weight.grad, 1e-12)
