"""What the papers claim of their margins."""

import math

import pytest
import torch
from torch import Tensor

from lineament.train.heads import Head, build
from lineament.train.recipe import Part, part


def target(head: Head, theta: Tensor) -> Tensor:
    """Logit of the own class at angles in radians."""
    product = torch.stack([theta.cos(), torch.zeros_like(theta)], dim=1)
    column = torch.zeros(len(theta), dtype=torch.int64)
    return head(product, column, torch.full_like(theta, 20.0), product[:, 0])[:, 0]


def boundary(head: Head, other: float) -> float:
    """The own angle (radians) at which both logits are equal, the other class being at `other`."""
    low, high = 0.0, math.pi
    for _ in range(48):
        middle = (low + high) / 2.0
        if float(target(head, torch.tensor([middle], dtype=torch.float64))) > 64.0 * math.cos(other):
            low = middle
        else:
            high = middle
    return low


OTHERS = [math.radians(degrees) for degrees in (60.0, 75.0, 90.0, 105.0)]


def test_arcface_s_margin_is_a_constant_angle() -> None:
    head = build(part("arcface"))
    assert [other - boundary(head, other) for other in OTHERS] == pytest.approx([0.5] * 4, abs=1e-12)


@pytest.mark.parametrize("kind", ["cosface", "sphereface"])
def test_other_margins_are_not(kind: str) -> None:
    gaps = [other - boundary(build(part(kind)), other) for other in OTHERS]
    assert max(gaps) - min(gaps) > 0.1


def test_cosface_s_margin_is_a_constant_cosine() -> None:
    head = build(part("cosface"))
    gaps = [math.cos(boundary(head, other)) - math.cos(other) for other in OTHERS]
    assert gaps == pytest.approx([0.35] * 4, abs=1e-12)


FALLING = [
    part("arcface"),
    part("subcenter", margin=0.7),
    part("cosface"),
    part("sphereface"),
    part("sphereface", margin=4.0),
    part("combined"),
    part("combined", m1=0.9, m2=0.4, m3=0.15),
    part("combined", m1=1.35, m2=0.5, m3=0.1),
    part("magface"),
    part("curricularface"),
    part("arcface", beyond="easy", margin=0.0),
]


@pytest.mark.parametrize("recipe", FALLING, ids=[f"{p.kind} {dict(p.options)}" for p in FALLING])
def test_the_target_falls_from_0_to_180_degrees(recipe: Part) -> None:
    theta = torch.linspace(0.0, math.pi, 4001, dtype=torch.float64)
    assert float(target(build(recipe), theta).diff().max()) <= 1e-12


def test_as_printed_arcface_rises_again() -> None:
    theta = torch.tensor([math.pi - 0.5, math.pi], dtype=torch.float64)
    assert target(build(part("arcface", beyond="raw")), theta).tolist() == pytest.approx(
        [-64.0, -56.1652839610], abs=1e-9
    )


def test_sphereface_s_extension_has_no_step() -> None:
    seam = math.pi / 1.35
    theta = torch.tensor([seam - 1e-9, seam + 1e-9], dtype=torch.float64)
    before, after = target(build(part("sphereface")), theta).tolist()
    assert before == pytest.approx(after, abs=1e-9)


def test_sphereface_by_combined_is_sphereface() -> None:
    theta = torch.linspace(0.0, math.pi, 301, dtype=torch.float64)
    combined = target(build(part("combined", m1=1.35, m2=0.0, m3=0.0)), theta)
    assert torch.equal(combined, target(build(part("sphereface")), theta))


def test_adaface_presses_hard_examples_of_good_pictures_more() -> None:
    """Kim et al. 2022, figure 3: far from the centre the gradient is larger where quality is high."""
    slopes = []
    for norm in (1.0, 99.0):
        head = build(part("adaface"))
        assert isinstance(head, torch.nn.Module)
        head.eval()
        head.get_buffer("mean").fill_(50.0)
        head.get_buffer("deviation").fill_(10.0)
        product = torch.tensor([[math.cos(1.4), 0.0]], requires_grad=True)
        head(product, torch.tensor([0]), torch.tensor([norm]), product[:, 0].detach())[0, 0].backward()
        assert product.grad is not None
        slopes.append(float(product.grad[0, 0]))
    low, high = slopes
    assert low > 0
    assert high == pytest.approx(64.0 * math.sin(1.4 - 0.4) / math.sin(1.4), rel=1e-5)
    assert low == pytest.approx(64.0 * math.sin(1.4 + 0.4) / math.sin(1.4), rel=1e-5)
