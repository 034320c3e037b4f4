"""Every head against its paper's formula, written slowly: one number at a time, with the math module."""

import math
import statistics
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from lineament.train.heads import KINDS, build
from lineament.train.heads.adaface import AdaFace
from lineament.train.heads.curricularface import CurricularFace
from lineament.train.heads.magface import MagFace
from lineament.train.recipe import Part, Value, part

S = 64.0


def psi(phi: float) -> float:
    """SphereFace's monotone continuation of the cosine."""
    k = math.floor(phi / math.pi)
    return (-1) ** k * math.cos(phi) - 2 * k


def arc(theta: float, m: float) -> float:
    """cos(θ + m), and the straight line after π."""
    return math.cos(theta + m) if theta + m <= math.pi else math.cos(theta) - m * math.sin(m)


def easy(theta: float, m: float) -> float:
    """The margin on one side of 90° only."""
    return math.cos(theta + m) if math.cos(theta) > 0 else math.cos(theta)


TARGETS: list[tuple[Part, Callable[[float], float]]] = [
    (part("normsoftmax"), lambda t: math.cos(t)),
    (part("sphereface"), lambda t: psi(1.35 * t)),
    (part("sphereface", margin=4.0), lambda t: psi(4.0 * t)),
    (part("sphereface", beyond="raw"), lambda t: math.cos(1.35 * t)),
    (part("cosface"), lambda t: math.cos(t) - 0.35),
    (part("arcface"), lambda t: arc(t, 0.5)),
    (part("arcface", beyond="raw", margin=0.4), lambda t: math.cos(t + 0.4)),
    (part("arcface", beyond="easy"), lambda t: easy(t, 0.5)),
    (part("subcenter"), lambda t: arc(t, 0.5)),
    (part("combined"), lambda t: arc(t, 0.3) - 0.2),
    (part("combined", m1=1.35, m2=0.0, m3=0.0), lambda t: psi(1.35 * t)),
    (part("combined", m1=1.0, m2=0.5, m3=0.0), lambda t: arc(t, 0.5)),
    (part("combined", m1=1.0, m2=0.0, m3=0.35), lambda t: math.cos(t) - 0.35),
    (part("combined", m1=0.9, m2=0.4, m3=0.15, beyond="raw"), lambda t: math.cos(0.9 * t + 0.4) - 0.15),
    (part("combined", m1=1.2, m2=0.4, m3=0.15), lambda t: psi(1.2 * t + 0.4) - 0.15),
    (part("combined", beyond="easy"), lambda t: easy(t, 0.3) - 0.2),
]


@pytest.mark.parametrize(
    ("recipe", "target"), TARGETS, ids=[f"{p.kind} {dict(p.options)}" for p, _ in TARGETS]
)
@pytest.mark.parametrize("gradient", ["exact", "straight_through"])
def test_margin(batch, recipe: Part, target: Callable[[float], float], gradient: str) -> None:
    options: dict[str, Value] = dict(recipe.options)
    if recipe.kind in ("arcface", "combined", "sphereface", "subcenter"):
        options["gradient"] = gradient
    logits = batch.logits(build(Part(recipe.kind, options)))
    for row in range(5):
        for column in range(6):
            cosine = float(batch.product[row, column])
            mine = int(batch.column[row]) == column
            expected = S * (target(math.acos(cosine)) if mine else cosine)
            assert float(logits[row, column]) == pytest.approx(expected, abs=1e-12)


def test_two_rows_of_the_reference_table_at_60_degrees() -> None:
    for margins, expected in (((1.0, 0.3, 0.2), 1.3914), ((0.9, 0.4, 0.15), 4.8858)):
        m1, m2, m3 = margins
        head = build(part("combined", m1=m1, m2=m2, m3=m3))
        product = torch.tensor([[0.5, 0.1]], dtype=torch.float64)
        logits = head(product, torch.tensor([0]), torch.ones(1), product[:, 0])
        assert float(logits[0, 0]) == pytest.approx(expected, abs=5e-5)


def test_softmax_leaves_inner_products_alone(batch) -> None:
    head = build(part("softmax"))
    assert torch.equal(batch.logits(head), batch.product)
    assert (head.cosine, head.bias) == (False, True)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_strength_multiplies_the_margin(batch, strength: float) -> None:
    def at(recipe: Part, value: float) -> Tensor:
        head = build(recipe)
        assert head.strength == 1.0
        head.strength = value
        return batch.logits(head)

    pairs = [
        (part("arcface", margin=0.5), part("arcface", margin=0.5 * strength)),
        (part("subcenter", margin=0.5), part("subcenter", margin=0.5 * strength)),
        (part("cosface", margin=0.3), part("cosface", margin=0.3 * strength)),
        (part("sphereface", margin=1.4), part("sphereface", margin=1.0 + 0.4 * strength)),
        (
            part("combined", m1=0.9, m2=0.4, m3=0.15),
            part("combined", m1=1.0 - 0.1 * strength, m2=0.4 * strength, m3=0.15 * strength),
        ),
        (part("magface"), part("magface", l_m=0.45 * strength, u_m=0.8 * strength)),
        (part("adaface"), part("adaface", margin=0.4 * strength)),
        (part("curricularface"), part("curricularface", margin=0.5 * strength)),
    ]
    for warming, weaker in pairs:
        torch.testing.assert_close(at(warming, strength), at(weaker, 1.0), rtol=0, atol=1e-12)
    if strength == 0.0:
        for kind in ("arcface", "subcenter", "cosface", "sphereface", "combined"):
            assert torch.equal(at(part(kind), 0.0), batch.logits(build(part("normsoftmax"))))


def double(head: nn.Module) -> nn.Module:
    """With running means in float64, so that they can be followed to twelve digits."""
    return head.double()


def test_adaface(batch) -> None:
    head = double(AdaFace())
    mean, deviation = 20.0, 100.0
    for _ in range(3):
        logits = batch.logits(head)
        norms = [min(max(float(n), 1e-3), 100.0) for n in batch.norm]
        mean = 0.01 * statistics.mean(norms) + 0.99 * mean
        deviation = 0.01 * statistics.stdev(norms) + 0.99 * deviation
        assert float(head.mean) == pytest.approx(mean, abs=1e-12)
        assert float(head.deviation) == pytest.approx(deviation, abs=1e-12)
        for row in range(4):
            z = min(max((norms[row] - mean) / (deviation + 1e-3) * 0.33, -1.0), 1.0)
            theta = math.acos(float(batch.own[row]))
            turned = min(max(theta - 0.4 * z, 0.0), math.pi)
            expected = S * (math.cos(turned) - (0.4 * z + 0.4))
            assert float(logits[row, batch.column[row]]) == pytest.approx(expected, abs=1e-12)
    assert torch.equal(logits[4], batch.product[4] * S)


@pytest.mark.parametrize("z", [-1.0, 1.0])
def test_adaface_at_the_ends_of_quality(z: float) -> None:
    head = double(AdaFace()).eval()
    head.mean.fill_(50.0)
    head.deviation.fill_(1.0)
    product = torch.tensor([[0.6, 0.3], [1.0, 0.3]], dtype=torch.float64)
    norm = torch.full((2,), 50.0 + 40.0 * z, dtype=torch.float64)
    got = head(product, torch.tensor([0, 0]), norm, product[:, 0])[:, 0] / S
    if z < 0:  # ArcFace's margin
        expected = [math.cos(math.acos(0.6) + 0.4), math.cos(0.4)]
    else:
        expected = [math.cos(math.acos(0.6) - 0.4) - 0.8, 1.0 - 0.8]
    assert got.tolist() == pytest.approx(expected, abs=1e-12)


def test_adaface_remembers_only_while_training(batch) -> None:
    head = AdaFace().eval()
    batch.logits(head)
    assert (float(head.mean), float(head.deviation)) == (20.0, 100.0)
    head.train()
    head(batch.product[:1], batch.column[:1], batch.norm[:1], batch.own[:1])
    assert float(head.mean) == pytest.approx(0.99 * 20.0 + 0.01 * 4.0)
    assert float(head.deviation) == 100.0, "one row has no spread"
    assert set(head.state_dict()) == {"mean", "deviation"}


def test_magface(batch) -> None:
    logits = batch.logits(MagFace())
    for row in range(4):
        a = min(max(float(batch.norm[row]), 10.0), 110.0)
        margin = (0.8 - 0.45) / (110.0 - 10.0) * (a - 10.0) + 0.45
        expected = S * arc(math.acos(float(batch.own[row])), margin)
        assert float(logits[row, batch.column[row]]) == pytest.approx(expected, abs=1e-12)
    assert torch.equal(logits[4], batch.product[4] * S)


def test_magface_penalty(batch) -> None:
    clipped = [10.0, 18.0, 25.0, 60.0, 110.0]
    expected = 20.0 * statistics.mean(1.0 / a + a / 110.0**2 for a in clipped)
    assert float(MagFace().penalty(batch.norm)) == pytest.approx(expected, abs=1e-12)
    norm = torch.tensor([20.0, 60.0, 109.0], dtype=torch.float64, requires_grad=True)
    MagFace().penalty(norm).backward()
    assert norm.grad is not None
    assert bool((norm.grad < 0).all()), "longer embeddings are rewarded up to u_a"


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"magface"}))
def test_other_heads_have_no_penalty(batch, kind: str) -> None:
    penalty = build(part(kind)).penalty(batch.norm)
    assert (float(penalty), penalty.shape) == (0.0, ())


def test_curricularface(batch) -> None:
    head = double(CurricularFace())
    t, hard = 0.0, 0
    for _ in range(3):
        logits = batch.logits(head)
        t = 0.01 * statistics.mean(batch.own.tolist()) + 0.99 * t
        assert float(head.t) == pytest.approx(t, abs=1e-14)
        for row in range(5):
            theta = math.acos(float(batch.own[row]))
            for column in range(6):
                cosine = float(batch.product[row, column])
                if int(batch.column[row]) == column:
                    expected = arc(theta, 0.5)
                elif cosine > math.cos(theta + 0.5):
                    expected = cosine * (t + cosine)
                    hard += row == 4
                else:
                    expected = cosine
                assert float(logits[row, column]) == pytest.approx(S * expected, abs=1e-12)
    assert 0 < hard < 18, "of the row whose class is elsewhere, some negatives are hard and some are not"


def test_curricularface_s_bar_is_the_own_cosine_with_its_margin() -> None:
    """Just above cos(θ_y + m) a negative is hard, just below it is not; also where θ_y is elsewhere."""
    head = double(CurricularFace()).eval()
    bar = math.cos(1.0 + 0.5)
    product = torch.tensor([[math.cos(1.0), bar + 1e-9, bar - 1e-9, -0.5]] * 2, dtype=torch.float64)
    own = torch.full((2,), math.cos(1.0), dtype=torch.float64)
    logits = head(product, torch.tensor([0, -1]), torch.ones(2), own) / S
    for row in logits.tolist():
        assert row[1:] == pytest.approx([(bar + 1e-9) ** 2, bar - 1e-9, -0.5], abs=1e-12)
    assert logits[:, 0].tolist() == pytest.approx([bar, math.cos(1.0) ** 2], abs=1e-12)


def test_curricularface_remembers_only_while_training(batch) -> None:
    head = CurricularFace().eval()
    batch.logits(head)
    assert float(head.t) == 0.0
    assert set(head.state_dict()) == {"t"}


def test_a_step_that_is_not_finite_is_not_remembered(batch) -> None:
    for head in (AdaFace(), CurricularFace()):
        before = {name: value.clone() for name, value in head.state_dict().items()}
        broken = torch.full_like(batch.norm, math.nan)
        head(batch.product, batch.column, broken, broken)
        assert all(torch.equal(value, before[name]) for name, value in head.state_dict().items())
        batch.logits(head)
        assert all(bool(value.isfinite()) for value in head.state_dict().values())


@pytest.mark.parametrize("kind", KINDS)
def test_classes_may_be_divided_among_processes(batch, kind: str) -> None:
    """Logits of two shards, and of one without any class, are those of the whole."""
    options: dict[str, Value] = {} if kind == "softmax" else {"scale": 30.0}
    column = torch.tensor([2, 0, 5, 3, 4])
    own = batch.product.gather(1, column[:, None])[:, 0]
    together = build(Part(kind, options))(batch.product, column, batch.norm, own)
    shards = []
    for first, last in ((0, 4), (4, 4), (4, 6)):
        here = (column >= first) & (column < last)
        local = torch.where(here, column - first, -1)
        head = build(Part(kind, options))
        shards.append(head(batch.product[:, first:last], local, batch.norm, own))
    assert torch.equal(torch.cat(shards, dim=1), together)


@pytest.mark.parametrize("kind", KINDS)
def test_products_are_not_changed(batch, kind: str) -> None:
    before = batch.product.clone()
    batch.logits(build(part(kind)))
    assert torch.equal(batch.product, before)
