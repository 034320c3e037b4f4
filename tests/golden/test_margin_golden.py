"""Fixed values of margins on the own class, computed once with mpmath at 50 digits.

`golden_margin.json`, per row: cos θ | ArcFace s 64, m 0.5 as printed | its straight extension | `easy` |
CosFace m 0.35 | combined (1, 0.3, 0.2) | d ArcFace / d cos θ. Written with 10 digits behind the point.
"""

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lineament.train.heads import Head
from lineament.train.heads.arcface import ArcFace
from lineament.train.heads.combined import Combined
from lineament.train.heads.cosface import CosFace

ROWS = json.loads((Path(__file__).parent / "golden_margin.json").read_text("utf-8"))
COLUMNS = [torch.tensor([float(row[i]) for row in ROWS], dtype=torch.float64) for i in range(7)]
COSINE = COLUMNS[0]
HEADS = {
    "raw": (ArcFace(beyond="raw"), 1),
    "monotone": (ArcFace(beyond="monotone"), 2),
    "easy": (ArcFace(beyond="easy"), 3),
    "cosface": (CosFace(margin=0.35), 4),
    "combined": (Combined(m1=1.0, m2=0.3, m3=0.2, beyond="raw"), 5),
    "arcface by combined": (Combined(m1=1.0, m2=0.5, m3=0.0), 2),
    "easy by combined": (Combined(m1=1.0, m2=0.5, m3=0.0, beyond="easy"), 3),
    "cosface by combined": (Combined(m1=1.0, m2=0.0, m3=0.35), 4),
}


def targets(head: Head, cosine: Tensor) -> Tensor:
    """Logits of the own class, which is column 1 of three."""
    product = torch.stack([torch.zeros_like(cosine), cosine, torch.full_like(cosine, 0.3)], dim=1)
    column = torch.ones(len(cosine), dtype=torch.int64)
    logits = head(product, column, torch.ones_like(cosine), cosine.detach())
    assert torch.equal(logits[:, [0, 2]], product[:, [0, 2]].to(logits.dtype) * 64.0)
    return logits[:, 1]


@pytest.mark.parametrize("name", HEADS)
def test_values(name: str) -> None:
    head, column = HEADS[name]
    assert float((targets(head, COSINE) - COLUMNS[column]).abs().max()) <= 1e-10


@pytest.mark.parametrize("name", HEADS)
def test_values_in_float32(name: str) -> None:
    # acos of a cosine near −0.88 loses half a step of π there, and 64 times that is 1.5e-5.
    head, column = HEADS[name]
    inner = (COSINE.abs() < 0.99) | (COSINE.abs() == 1.0)
    got = targets(head, COSINE.float())
    assert got.dtype == torch.float32
    assert float((got - COLUMNS[column]).abs()[inner].max()) <= 3e-5


def test_derivative() -> None:
    cosine = COSINE.clone().requires_grad_(True)
    targets(ArcFace(beyond="raw"), cosine).sum().backward()
    assert cosine.grad is not None
    inner = COSINE.abs() < 1.0
    error = (cosine.grad - COLUMNS[6])[inner] / COLUMNS[6][inner]
    # Ten digits are printed; at ±0.999999, 1 − cos² keeps eleven.
    assert float(error.abs().max()) <= 2e-9
    assert bool(cosine.grad.isfinite().all())


def test_no_value_moves_to_keep_a_gradient_finite() -> None:
    ends = torch.tensor([1.0, -1.0], dtype=torch.float64)
    expected = 64.0 * torch.tensor([0.5, torch.pi + 0.5], dtype=torch.float64).cos()
    assert torch.equal(targets(ArcFace(beyond="raw"), ends), expected)
