"""The unit sphere, against definitions and finite differences."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from opensphere import sphere


def test_unit_vectors() -> None:
    x = torch.tensor([[3.0, 4.0], [0.0, -2.0]])
    assert torch.allclose(sphere.unit(x), torch.tensor([[0.6, 0.8], [0.0, -1.0]]))
    assert torch.allclose(sphere.unit(x, dim=0).norm(dim=0), torch.ones(2))


def test_the_gradient_of_a_unit_vector_is_tangential() -> None:
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(sphere.unit, x)
    sphere.unit(x).cos().sum().backward()
    assert (x.grad * x).sum(1).abs().max() < 1e-14


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [0.0, 1e-30, 1e-6, 1e4, 1e15])
def test_lengths_from_nothing_to_much(length: float, dtype: torch.dtype) -> None:
    x = (torch.tensor([[2.0, -1.0, 2.0]], dtype=dtype) / 3.0 * length).requires_grad_()
    u = sphere.unit(x)
    u[0, 1].backward()
    assert u.isfinite().all() and x.grad.isfinite().all()
    assert u.norm().item() == pytest.approx(1.0 if length > 1e-12 else length, rel=1e-6)


def test_cosines_of_all_pairs() -> None:
    x, y = np.random.default_rng(0).normal(size=(2, 4, 3))
    expected = [[a @ b / math.sqrt((a @ a) * (b @ b)) for b in y] for a in x]
    assert np.allclose(sphere.cosines(torch.from_numpy(x), torch.from_numpy(y)), expected, atol=1e-14)


def test_angle_and_sine_within_the_ends() -> None:
    theta = torch.linspace(0.01, 3.13, 200, dtype=torch.float64)
    assert torch.allclose(sphere.angle(theta.cos()), theta, atol=1e-12)
    assert torch.allclose(sphere.sine(theta.cos()), theta.sin(), atol=1e-12)


@pytest.mark.parametrize("function", [sphere.angle, sphere.sine, lambda cos: sphere.psi(cos, 1.7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_ends_are_finite(function, dtype: torch.dtype) -> None:
    over = 1.0 + 2 * torch.finfo(dtype).eps  # where rounding may carry a cosine
    cos = torch.tensor([-over, -1.0, 1.0, over], dtype=dtype, requires_grad=True)
    value = function(cos)
    value.sum().backward()
    assert value.isfinite().all() and cos.grad.isfinite().all()


def test_the_clamp_of_the_angle() -> None:
    cos = torch.tensor([1.0, -1.0], dtype=torch.float64)
    assert sphere.angle(cos).tolist() == pytest.approx([math.acos(1 - 1e-5), math.acos(-1 + 1e-5)], rel=1e-12)
    assert sphere.angle(cos, 1e-3).tolist() == pytest.approx([math.acos(0.999), math.acos(-0.999)], rel=1e-12)


@given(st.floats(1.0, 8.0))
@settings(max_examples=40, deadline=None)
def test_psi_falls_monotonically_and_continuously(m: float) -> None:
    theta = torch.linspace(0.005, math.pi - 0.005, 4001, dtype=torch.float64)
    steps = sphere.psi(theta.cos(), m).diff()
    assert (steps < 1e-12).all()  # flat for an instant at each multiple of pi / m
    assert steps.abs().max() < m * math.pi / 4000 * 1.01  # no jump between the pieces
    start = theta[theta < math.pi / m]
    assert torch.allclose(sphere.psi(start.cos(), m), torch.cos(m * start), atol=1e-9)


def test_psi_takes_a_margin_for_each_row() -> None:
    cos = torch.tensor([0.3, -0.8], dtype=torch.float64)
    both = sphere.psi(cos, torch.tensor([1.5, 2.5], dtype=torch.float64))
    assert both.tolist() == [sphere.psi(cos, 1.5)[0].item(), sphere.psi(cos, 2.5)[1].item()]


def test_the_gradient_of_psi() -> None:
    cos = torch.tensor([-0.95, -0.4, 0.1, 0.7, 0.99], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda value: sphere.psi(value, 2.3), cos)


def test_the_characteristic_gradient() -> None:
    cos = torch.tensor([0.1, 0.7], dtype=torch.float64, requires_grad=True)
    score = sphere.characteristic(cos, 5.0 * cos.square())
    assert torch.allclose(score.detach(), 5.0 * cos.detach().square())
    score.sum().backward()
    assert cos.grad.tolist() == [1.0, 1.0]


def test_the_energy_of_points() -> None:
    points = sphere.unit(torch.randn(5, 3, dtype=torch.float64)).requires_grad_()
    pairs = [math.acos(a @ b) ** -2 for a, b in itertools.combinations(points.detach().numpy(), 2)]
    assert sphere.energy(points).item() == pytest.approx(np.mean(pairs), rel=1e-12)
    assert torch.autograd.gradcheck(sphere.energy, points)


@pytest.mark.parametrize("count", [0, 1])
def test_no_pair_has_no_energy(count: int) -> None:
    assert sphere.energy(torch.ones(count, 3)).item() == 0.0


def test_coinciding_and_opposite_points_have_a_finite_energy() -> None:
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]], requires_grad=True)
    sphere.energy(points).backward()
    assert points.grad.isfinite().all()
