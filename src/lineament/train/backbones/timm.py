"""Any network of the timm collection as a backbone.

Wightman, "PyTorch Image Models", https://github.com/huggingface/pytorch-image-models. Not part of what
`lineament[train]` installs.
"""

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from lineament.core.errors import RecipeInvalid, RuntimeUnavailable
from lineament.train.backbones.layers import EPSILON, named
from lineament.train.backbones.port import SIZE, Backbone


def timm(*, name: str, dimension: int = 512, sized: bool = False) -> Backbone:
    """A network of timm, untrained, with batch normalisation and a linear layer behind it.

    Args:
        name: timm's, for example `convnext_tiny`.
        dimension: length of an embedding.
        sized: True for networks that are built for one size of picture (ViT, Swin): they are told 112 pixels.

    Raises:
        RuntimeUnavailable: timm is not installed.
        RecipeInvalid: timm has no such network, or it does not take crops of 112 pixels.
    """
    if dimension < 1:
        raise RecipeInvalid(f"backbone.dimension = {dimension}: set it to 1 or more")
    collection = _collection()
    if not collection.is_model(name):
        raise RecipeInvalid(f"timm has no network {name!r}: timm.list_models() lists those it has")
    sizes: dict[str, Any] = {"img_size": SIZE} if sized else {}
    try:
        body: nn.Module = collection.create_model(name, pretrained=False, num_classes=0, **sizes)
        features = _features(body)
    except (TypeError, AssertionError, RuntimeError, ValueError) as error:
        other = "false" if sized else "true"
        raise RecipeInvalid(
            f"timm's {name} cannot be built for crops of {SIZE} pixels ({error}): try "
            f"--set backbone.sized={other}, or another network"
        ) from error
    output = nn.BatchNorm1d(dimension, EPSILON)
    linear = nn.Linear(features, dimension, bias=False)
    tail = named(norm=nn.BatchNorm1d(features, EPSILON), linear=linear, output=output)
    return Backbone(body, tail, dimension=dimension)


def _collection() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError as error:
        raise RuntimeUnavailable(
            f"the backbone `timm` needs the package timm, which cannot be imported here ({error}): install "
            "it with `pip install timm`, and a torchvision that fits the torch that is installed"
        ) from error


def _features(body: nn.Module) -> int:
    """Numbers per picture that come out; asked of the network itself, whose attributes differ by family."""
    training = body.training
    body.eval()
    with torch.no_grad():
        answer: Tensor = body(torch.zeros(1, 3, SIZE, SIZE))
    body.train(training)
    if answer.ndim != 2:
        raise ValueError(f"it answers with a shape of {tuple(answer.shape)}")
    return answer.shape[1]
