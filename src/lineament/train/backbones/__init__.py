"""Networks that turn aligned crops into embeddings."""

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from lineament.core.errors import RecipeInvalid
from lineament.train.backbones.iresnet import LAYERS, iresnet
from lineament.train.backbones.mobilefacenet import INSIGHTFACE, mobilefacenet, mobilefacenet_insightface
from lineament.train.backbones.options import checked
from lineament.train.backbones.port import Backbone
from lineament.train.backbones.timm import timm
from lineament.train.backbones.vit import SIZES, vit
from lineament.train.recipe import Part

KINDS: Mapping[str, Callable[..., Backbone]] = MappingProxyType(
    {
        **{kind: partial(iresnet, layers) for kind, layers in LAYERS.items()},
        "mobilefacenet": mobilefacenet,
        **{kind: partial(mobilefacenet_insightface, *sizes) for kind, sizes in INSIGHTFACE.items()},
        **{kind: partial(vit, *sizes) for kind, sizes in SIZES.items()},
        "timm": timm,
    }
)
"""What makes each network; options are its keywords."""


def build(part: Part) -> Backbone:
    """The network of a recipe, in training mode; initial values from torch's global generator.

    Raises:
        RecipeInvalid: no such network, or an option that it does not take.
        RuntimeUnavailable: a network of a package that is not installed.
    """
    make = KINDS.get(part.kind)
    if make is None:
        raise RecipeInvalid(f"there is no backbone {part.kind!r}: there are {', '.join(KINDS)}")
    return make(**checked(f"backbone {part.kind}", make, part.options))
