"""Our heads against pytorch-metric-learning: loss, and gradients of embeddings and centres, in float64."""

import math

import pytest
import torch
from pytorch_metric_learning import losses
from torch import Tensor
from torch.nn import functional

from lineament.train.heads import Head, build
from lineament.train.recipe import Part, part

ROWS, CLASSES, DIMENSION = 16, 10, 8
DEGREES = math.degrees(0.5)
PEERS = {
    "arcface": (part("arcface"), losses.ArcFaceLoss, {"margin": DEGREES, "scale": 64}),
    "arcface, easy on scale": (
        part("arcface", margin=0.3, scale=16.0),
        losses.ArcFaceLoss,
        {"margin": math.degrees(0.3), "scale": 16},
    ),
    "combined": (
        part("combined", m1=1.0, m2=0.5, m3=0.0),
        losses.ArcFaceLoss,
        {"margin": DEGREES, "scale": 64},
    ),
    "cosface": (part("cosface"), losses.CosFaceLoss, {"margin": 0.35, "scale": 64}),
    "subcenter": (
        part("subcenter", centres=3),
        losses.SubCenterArcFaceLoss,
        {"margin": DEGREES, "scale": 64, "sub_centers": 3},
    ),
}


def data(hard: bool, centres: int) -> tuple[Tensor, Tensor, Tensor]:
    """Embeddings, labels and centres (C, centres, D); hard ones lie opposite to their own class."""
    generator = torch.Generator().manual_seed(11)
    weight = torch.randn(CLASSES, centres, DIMENSION, generator=generator, dtype=torch.float64)
    embedding = torch.randn(ROWS, DIMENSION, generator=generator, dtype=torch.float64)
    label = torch.randint(CLASSES, (ROWS,), generator=generator)
    if hard:
        weight[:, 1:] = weight[:, :1] + 0.1 * weight[:, 1:]
        embedding = 0.1 * embedding - 3.0 * weight[label, 0]
    return embedding, label, weight


def loss_of(head: Head, embedding: Tensor, label: Tensor, weight: Tensor) -> Tensor:
    """Embeddings → unit length → cosines → head → cross entropy."""
    unit = functional.normalize(embedding)
    cosine = torch.einsum("bd,ckd->bck", unit, functional.normalize(weight, dim=2)).amax(dim=2)
    own = cosine.gather(1, label[:, None])[:, 0].detach()
    return functional.cross_entropy(head(cosine, label, embedding.norm(dim=1), own), label)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("name", PEERS)
def test_the_same_loss_and_gradients(name: str, hard: bool) -> None:
    recipe, peer_kind, options = PEERS[name]
    head = build(recipe)
    embedding, label, weight = data(hard, head.centres)
    ours, centres = embedding.clone().requires_grad_(True), weight.clone().requires_grad_(True)
    loss = loss_of(head, ours, label, centres)
    loss.backward()
    peer = peer_kind(num_classes=CLASSES, embedding_size=DIMENSION, **options)
    peer.W = torch.nn.Parameter(weight.reshape(-1, DIMENSION).T.contiguous())  # theirs is (D, C·k)
    theirs = embedding.clone().requires_grad_(True)
    expected = peer(theirs, label)
    expected.backward()
    assert abs(float((loss - expected).detach())) <= 1e-12
    assert float((ours.grad - theirs.grad).abs().max()) <= 1e-12
    assert float((centres.grad.reshape(-1, DIMENSION).T - peer.W.grad).abs().max()) <= 1e-12
    assert float(expected.detach()) > 1.0


def test_the_hard_rows_are_past_the_seam() -> None:
    embedding, label, weight = data(True, 1)
    monotone, raw = (
        loss_of(build(Part("arcface", {"beyond": b})), embedding, label, weight) for b in ("monotone", "raw")
    )
    assert abs(float(monotone - raw)) > 0.1
