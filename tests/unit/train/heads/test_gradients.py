"""Gradients: right where they exist, finite where they do not, in every precision."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from lineament.train.heads import KINDS, build
from lineament.train.heads.angular import angle
from lineament.train.heads.magface import MagFace
from lineament.train.recipe import Part, part

VARIANTS = [
    *(part(kind) for kind in KINDS),
    part("arcface", beyond="raw"),
    part("arcface", beyond="easy"),
    part("sphereface", margin=4.0),
    part("combined", m1=1.35, m2=0.2, m3=0.1),
    part("combined", m1=0.9, m2=0.4, m3=0.15),
]
NAMES = [f"{p.kind} {dict(p.options)}" for p in VARIANTS]
STRAIGHT = ("arcface", "sphereface", "combined", "subcenter")
ENDS = [*VARIANTS, *(part(kind, gradient="straight_through") for kind in STRAIGHT)]


@pytest.mark.parametrize("recipe", VARIANTS, ids=NAMES)
def test_gradcheck(batch, recipe: Part) -> None:
    head = build(recipe)
    assert isinstance(head, nn.Module)
    head.double().eval()  # a running mean that moves between two evaluations is no function
    norm = torch.tensor([14.0, 18.0, 25.0, 60.0, 100.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda product: head(product, batch.column, norm, batch.own),
        batch.product.clone().requires_grad_(True),
    )


def test_gradcheck_of_lengths_in_magface(batch) -> None:
    norm = torch.tensor([14.0, 18.0, 25.0, 60.0, 100.0], dtype=torch.float64, requires_grad=True)
    head = MagFace()
    assert torch.autograd.gradcheck(head.penalty, norm)
    assert torch.autograd.gradcheck(lambda a: head(batch.product, batch.column, a, batch.own), norm)


@pytest.mark.parametrize("kind", ["adaface", "curricularface"])
def test_what_is_remembered_and_measured_is_a_constant(batch, kind: str) -> None:
    product, norm, own = (x.clone().requires_grad_(True) for x in (batch.product, batch.norm, batch.own))
    build(part(kind))(product, batch.column, norm, own).sum().backward()
    assert product.grad is not None
    assert norm.grad is None
    assert own.grad is None


@pytest.mark.parametrize("kind", STRAIGHT)
def test_straight_through_has_the_scale_as_derivative(batch, kind: str) -> None:
    product = batch.product.clone().requires_grad_(True)
    head = build(part(kind, gradient="straight_through"))
    head(product, batch.column, batch.norm, batch.own).sum().backward()
    assert torch.equal(product.grad, torch.full_like(product, 64.0))


@pytest.mark.parametrize("degrees", [10.0, 40.0, 80.0, 120.0])
def test_exact_derivative_of_arcface(degrees: float) -> None:
    theta = math.radians(degrees)
    product = torch.tensor([[math.cos(theta), 0.0]], dtype=torch.float64, requires_grad=True)
    build(part("arcface"))(product, torch.tensor([0]), torch.ones(1), product[:, 0].detach()).sum().backward()
    assert product.grad is not None
    assert float(product.grad[0, 0]) == pytest.approx(
        64.0 * math.sin(theta + 0.5) / math.sin(theta), abs=1e-9
    )


def edge(dtype: torch.dtype) -> Tensor:
    """Own cosines of exactly ±1 and the next number beyond, all between two hard negatives."""
    step = torch.finfo(dtype).eps
    own = torch.tensor([1.0, -1.0, 1.0 + step, -1.0 - step], dtype=torch.float64)
    return torch.stack([torch.ones(4).double(), own, own.flip(0)], dim=1).to(dtype)


@pytest.mark.parametrize("autocast", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("recipe", ENDS, ids=str)
def test_finite_at_the_ends(recipe: Part, dtype: torch.dtype, autocast: bool) -> None:
    product = edge(dtype).requires_grad_(True)
    norm = torch.tensor([0.0, 1e-4, 20.0, 6e4], dtype=dtype, requires_grad=True)
    head = build(recipe)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        column = torch.ones(4, dtype=torch.int64)
        logits = head(product, column, norm, product[:, 1].detach())
        loss = functional.cross_entropy(logits, column) + head.penalty(norm)
    loss.backward()
    assert logits.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert bool(loss.isfinite())
    assert product.grad is not None
    assert bool(product.grad.isfinite().all())
    assert norm.grad is None or bool(norm.grad.isfinite().all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_half_precision_costs_only_its_own_rounding(batch, dtype: torch.dtype) -> None:
    """The head adds nothing to the rounding of the cosines it is given."""
    coarse = batch.to(dtype)
    for recipe in VARIANTS:
        head = build(recipe)
        head.eval()
        exact = coarse.to(torch.float64).logits(head)
        got = coarse.logits(head)
        assert float((got - exact).abs().max()) < 1e-4, recipe


@pytest.mark.parametrize(
    ("dtype", "bound"), [(torch.float64, 2.0**26), (torch.float32, 2.0**11.5), (torch.bfloat16, 2.0**3.5)]
)
def test_the_bound_is_the_nearest_cosine_that_can_be_written(dtype: torch.dtype, bound: float) -> None:
    widest = torch.promote_types(dtype, torch.float32)
    cosine = torch.tensor([1.0, -1.0, 1.5], dtype=widest, requires_grad=True)
    theta = angle(cosine, dtype)
    theta.sum().backward()
    assert theta.tolist() == pytest.approx([0.0, math.pi, 0.0], abs=1e-6)
    assert cosine.grad is not None
    assert cosine.grad.tolist() == pytest.approx([-bound] * 3, rel=1e-6)
    nearest = torch.nextafter(torch.ones(1, dtype=dtype), torch.zeros(1, dtype=dtype)).to(widest)
    near = nearest.requires_grad_(True)
    angle(near, dtype).sum().backward()
    assert near.grad is not None
    assert float(near.grad) == pytest.approx(-bound, rel=2e-3 if dtype == torch.bfloat16 else 1e-6)


def test_second_derivatives_exist() -> None:
    cosine = torch.tensor([0.3, -0.6], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(angle, cosine)
