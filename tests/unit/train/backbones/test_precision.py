"""Under autocast the body may be coarse, the embedding never is."""

import pytest
import torch
from torch import nn

from lineament.train.backbones import build
from lineament.train.backbones.vit import vit
from lineament.train.recipe import part

CHOSEN = [
    part("iresnet18", width=16, dimension=32, reduce=2),
    part("mobilefacenet", scale=0.25, dimension=32),
    None,
]


@pytest.mark.parametrize("chosen", CHOSEN, ids=["iresnet", "mobilefacenet", "vit"])
def test_bf16_gives_nearly_the_same_embeddings_in_float32(chosen):
    torch.manual_seed(1)
    network = build(chosen) if chosen is not None else vit(32, 3, dimension=32)
    crops = torch.randn(4, 3, 112, 112)
    kinds: list[torch.dtype] = []
    coarse: list[torch.dtype] = []
    for module in network.tail.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_hook(lambda _m, _x, y: kinds.append(y.dtype))
    for module in network.body.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _m, _x, y: coarse.append(y.dtype))
    exact = network(crops)
    kinds.clear()
    coarse.clear()
    with torch.autocast("cpu", torch.bfloat16):
        embedding = network(crops)
    assert set(coarse) == {torch.bfloat16}
    assert set(kinds) == {torch.float32}
    assert embedding.dtype is torch.float32
    cosine = nn.functional.cosine_similarity(exact, embedding)
    assert cosine.min().item() > 0.98
    assert not torch.equal(exact, embedding)
    embedding.square().sum().backward()
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, name
            assert parameter.grad.dtype is torch.float32
            assert parameter.grad.isfinite().all(), name


def test_fp16_on_a_processor_runs_too():
    torch.manual_seed(2)
    network = build(CHOSEN[1]).eval()
    crops = torch.randn(2, 3, 112, 112)
    with torch.no_grad(), torch.autocast("cpu", torch.float16):
        embedding = network(crops)
    assert embedding.dtype is torch.float32
    assert embedding.isfinite().all()


def test_double_precision_stays_double():
    network = build(CHOSEN[1]).double()
    assert network(torch.randn(2, 3, 112, 112, dtype=torch.float64)).dtype is torch.float64
