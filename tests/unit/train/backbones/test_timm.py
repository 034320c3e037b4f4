"""The adapter to timm, with it and without it."""

import importlib.util

import pytest
import torch

from lineament.core.errors import RecipeInvalid, RuntimeUnavailable
from lineament.train.backbones import build
from lineament.train.recipe import part

HERE = importlib.util.find_spec("timm") is not None
needs_timm = pytest.mark.skipif(not HERE, reason="timm (which needs a torchvision) is not installed")


@pytest.mark.skipif(HERE, reason="timm is installed")
def test_without_timm_a_sentence_says_what_to_install():
    with pytest.raises(RuntimeUnavailable, match="pip install timm"):
        build(part("timm", name="resnet18"))


@needs_timm
@pytest.mark.parametrize(("name", "sized"), [("resnet10t", False), ("vit_tiny_patch16_224", True)])
def test_networks_of_timm_answer_with_embeddings(name, sized):
    torch.manual_seed(1)
    network = build(part("timm", name=name, dimension=32, sized=sized))
    assert network(torch.randn(2, 3, 112, 112)).shape == (2, 32)


@needs_timm
@pytest.mark.parametrize("options", [{"name": "no_such_network"}, {"name": "vit_tiny_patch16_224"}])
def test_what_timm_cannot_build_is_refused(options):
    with pytest.raises(RecipeInvalid):
        build(part("timm", **options))
