"""What training can go on from, kept beside a pack's network: ONNX answers, but cannot learn.

training/recipe.json            the recipe, the step, and the digest of the weights
training/backbone.safetensors   the weights, by the names of the backbone
"""

import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file

from lineament.core.errors import OutputFailed
from lineament.packs.card import sha256_of
from lineament.packs.store import write_durably
from lineament.train.backbones.port import Backbone
from lineament.train.recipe import Recipe
from lineament.train.start import RECIPE, TRAINING
from lineament.train.state import BACKBONE


def keep_weights(network: Backbone, recipe: Recipe, step: int, folder: Path) -> None:
    """Write both files into the folder of a pack that is being made.

    Raises:
        OutputFailed: they cannot be written.
    """
    place = folder / TRAINING
    try:
        place.mkdir()
        weights = {name: value.contiguous() for name, value in network.state_dict().items()}
        save_file(weights, place / BACKBONE)
    except (OSError, SafetensorError) as error:
        raise OutputFailed(f"cannot write {place}: {error}; make room") from error
    about = {"step": step, "sha256": sha256_of(place / BACKBONE), "recipe": recipe.to_dict()}
    write_durably(place / RECIPE, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
