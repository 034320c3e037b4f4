"""Triplets against plain loops, and the batches from which none can be made."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from lineament.core.errors import DatasetInvalid, InvalidArgument
from lineament.train.heads.triplet import Mining, Triplet

MINING: list[Mining] = ["hard", "semi_hard", "all"]


def batch(seed: int = 3, rows: int = 12, people: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    label = torch.arange(rows) % people
    label[-1] = 99  # one person with a single picture: a negative, never an anchor
    centre = torch.randn(100, 5, generator=generator, dtype=torch.float64)
    return 1.5 * centre[label] + torch.randn(rows, 5, generator=generator, dtype=torch.float64), label


def slow(embedding: Tensor, label: Tensor, margin: float, mining: Mining) -> float:
    rows = [[x / math.hypot(*row) for x in row] for row in embedding.tolist()]
    people = label.tolist()
    n = range(len(rows))

    def d(i: int, j: int) -> float:
        return sum((x - y) ** 2 for x, y in zip(rows[i], rows[j], strict=True))

    losses: list[float] = []
    for a in n:
        positives = [d(a, p) for p in n if p != a and people[p] == people[a]]
        negatives = [d(a, k) for k in n if people[k] != people[a]]
        if not positives or not negatives:
            continue
        if mining == "hard":
            chosen = [(max(positives), min(negatives))]
        elif mining == "all":
            chosen = list(itertools.product(positives, negatives))
        else:
            chosen = [(p, min((k for k in negatives if k > p), default=max(negatives))) for p in positives]
        losses += [max(0.0, p - k + margin) for p, k in chosen]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("seed", range(5))
def test_against_loops(mining: Mining, seed: int) -> None:
    embedding, label = batch(seed)
    expected = slow(embedding, label, 0.35, mining)
    assert expected > 0.0
    assert float(Triplet(margin=0.35, mining=mining)(embedding, label)) == pytest.approx(expected, abs=1e-12)


def test_semi_hard_takes_the_farthest_where_all_negatives_are_nearer() -> None:
    degrees = torch.tensor([0.0, 90.0, 10.0, 20.0], dtype=torch.float64).deg2rad()
    embedding = torch.stack([degrees.cos(), degrees.sin()], dim=1)
    label = torch.tensor([0, 0, 1, 2])
    # Anchor 0: positive at 2, farthest negative at 20°. Anchor 1: positive at 2, farthest negative at 80°.
    expected = sum(2.0 - (2.0 - 2.0 * math.cos(math.radians(a))) + 0.35 for a in (20.0, 80.0)) / 2.0
    assert float(Triplet(mining="semi_hard")(embedding, label)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("mining", MINING)
def test_gradcheck(mining: Mining) -> None:
    embedding, label = batch()
    head = Triplet(mining=mining)
    assert torch.autograd.gradcheck(lambda x: head(x, label), embedding.requires_grad_(True))


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("label", [[0, 1, 2, 3], [5, 5, 5, 5], [0, 0, 0, 0][:1]])
def test_a_batch_without_triplets_is_zero_with_a_gradient(mining: Mining, label: list[int]) -> None:
    embedding = torch.randn(len(label), 3, requires_grad=True)
    loss = Triplet(mining=mining)(embedding, torch.tensor(label))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert embedding.grad is not None
    assert torch.equal(embedding.grad, torch.zeros_like(embedding))


@pytest.mark.parametrize("mining", MINING)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_finite_and_exact_for_equal_pictures_in_every_precision(mining: Mining, dtype: torch.dtype) -> None:
    """Four copies of one embedding: every distance is 0, every triplet costs the margin."""
    embedding = torch.full((4, 3), 0.7, dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = Triplet(margin=0.35, mining=mining)(embedding, torch.tensor([0, 0, 1, 1]))
    loss.backward()
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(0.35, abs=1e-6)
    assert embedding.grad is not None
    assert bool(embedding.grad.isfinite().all())


def test_steps_bring_persons_together_and_apart() -> None:
    generator = torch.Generator().manual_seed(0)
    embedding = torch.randn(12, 4, generator=generator).requires_grad_(True)
    label = torch.arange(12) % 3
    head = Triplet(mining="semi_hard")
    optimiser = torch.optim.SGD([embedding], lr=2.0)
    first = float(head(embedding.detach(), label))
    for _ in range(60):
        optimiser.zero_grad()
        head(embedding, label).backward()
        optimiser.step()
    assert float(head(embedding.detach(), label)) < 0.02 < first


def test_what_cannot_be() -> None:
    with pytest.raises(InvalidArgument, match=r"margin = -0\.1"):
        Triplet(margin=-0.1)
    with pytest.raises(DatasetInvalid, match="label -1"):
        Triplet()(torch.randn(2, 3), torch.tensor([0, -1]))
    assert "schroff2015facenet" in Triplet.bibtex
