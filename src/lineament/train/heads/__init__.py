"""Heads: what makes logits of embeddings and class centres."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast

from lineament.train.heads.adaface import AdaFace
from lineament.train.heads.arcface import ArcFace
from lineament.train.heads.combined import Combined
from lineament.train.heads.cosface import CosFace
from lineament.train.heads.curricularface import CurricularFace
from lineament.train.heads.magface import MagFace
from lineament.train.heads.normsoftmax import NormSoftmax
from lineament.train.heads.options import constructed
from lineament.train.heads.port import Head as Head
from lineament.train.heads.softmax import Softmax
from lineament.train.heads.sphereface import SphereFace
from lineament.train.heads.subcenter import SubCenter
from lineament.train.recipe import Part

KINDS: Mapping[str, Callable[..., Head]] = MappingProxyType(
    {
        "softmax": Softmax,
        "normsoftmax": NormSoftmax,
        "sphereface": SphereFace,
        "cosface": CosFace,
        "arcface": ArcFace,
        "combined": Combined,
        "subcenter": SubCenter,
        "adaface": AdaFace,
        "magface": MagFace,
        "curricularface": CurricularFace,
    }
)


def build(part: Part) -> Head:
    """The head a recipe names: `build(part("arcface", scale=64.0, margin=0.5))`.

    Raises:
        RecipeInvalid: an unknown kind or option, listing the known ones; or a value out of range.
    """
    return cast(Head, constructed("head", KINDS, part))
