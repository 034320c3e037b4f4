"""Where a run's first weights come from: a checkpoint, a run, a pack with training weights, arcface_torch.

    find_weights(what) → `Weights` → `Beginning(weights)` → `prepare(..., start=Beginning)`

Class centres are never taken over: they belong to other people. They begin at the mean template that the
starting weights give to each person, which is near where training would take them.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lineament.core.errors import CheckpointInvalid, RecipeInvalid
from lineament.packs.card import CARD_NAME
from lineament.train import state
from lineament.train.backbones.foreign import load_arcface_torch
from lineament.train.backbones.port import Backbone
from lineament.train.examples import Examples
from lineament.train.partial import PartialFC
from lineament.train.recipe import Data, Part, Recipe
from lineament.train.run_folder import read_best
from lineament.train.templates import templates_of

TRAINING = "training"
"""Folder of an exported pack with what training goes on from."""
RECIPE = "recipe.json"
FOREIGN = (".pt", ".pth", ".safetensors")
MOST_PICTURES = 32
"""Pictures of one person that its first centre is the mean of, at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """A trained network, ready to be put into a fresh one.

    Attributes:
        backbone: which network.
        tensors: its weights by name.
        recipe: it was trained by; None for weights of another program.
        where: they are from, for messages.
        run: folder of the run that they are of; None where they are of none.
    """

    backbone: Part
    tensors: dict[str, Tensor]
    recipe: Recipe | None
    where: Path
    run: Path | None = None


def find_weights(what: Path) -> Weights:
    """The trained weights meant.

    Args:
        what: folder of a checkpoint; of a run (its best checkpoint, else its newest); of a pack that
            `lineament export` wrote with its training weights; or a `.pt`, `.pth` or `.safetensors` of
            arcface_torch.

    Raises:
        CheckpointInvalid: nothing there, damaged, or without weights that can be trained.
    """
    path = what.expanduser()
    if path.is_dir():
        return _of_folder(path)
    if path.suffix.lower() in FOREIGN and path.is_file():
        chosen, tensors = load_arcface_torch(path)
        return Weights(chosen, tensors, None, path)
    if path.suffix.lower() == ".onnx" and path.is_file():
        raise _only_onnx(path)
    raise CheckpointInvalid(
        f"{path} is nothing to begin from: name a checkpoint (runs/NAME/step-00001000), a run (runs/NAME), "
        f"the folder of a pack that lineament exported, or a {', '.join(FOREIGN)} file of arcface_torch"
    )


def _of_folder(path: Path) -> Weights:
    if (path / state.META).is_file():
        return _of_checkpoint(path)
    if found := state.checkpoints(path):
        best = read_best(path)
        return _of_checkpoint(path / best.checkpoint if best else found[-1])
    if (path / TRAINING / RECIPE).is_file():
        return _of_pack(path)
    if (path / CARD_NAME).is_file() or any(path.glob("*.onnx")):
        raise _only_onnx(path)
    raise CheckpointInvalid(
        f"{path} has neither a checkpoint (step-*) nor training weights ({TRAINING}/{RECIPE}): name the "
        "folder of a checkpoint, of a run, or of a pack that lineament exported"
    )


def _of_checkpoint(folder: Path) -> Weights:
    recipe = state.recipe_of(state.verify(folder), folder)
    tensors = state.read_tensors(folder / state.BACKBONE)
    return Weights(recipe.backbone, tensors, recipe, folder, folder.absolute().parent)


def _of_pack(folder: Path) -> Weights:
    place = folder / TRAINING / RECIPE
    try:
        values = cast(dict[str, Any], json.loads(place.read_text(encoding="utf-8")))
        recipe = Recipe.from_dict(cast(dict[str, Any], values.get("recipe", values)), str(place))
    except (OSError, ValueError, AttributeError, TypeError, RecipeInvalid) as error:
        raise CheckpointInvalid(f"{place} cannot be read: {error}; export the pack again") from error
    tensors = state.read_tensors(folder / TRAINING / state.BACKBONE)
    return Weights(recipe.backbone, tensors, recipe, folder)


def _only_onnx(path: Path) -> CheckpointInvalid:
    return CheckpointInvalid(
        f"{path} holds a network in ONNX only, which answers and cannot learn: fine-tuning needs the trained "
        "weights. Name the checkpoint the pack was exported from (runs/NAME/step-*), a pack that lineament "
        f"exported with its {TRAINING} folder, or the model's .pt of arcface_torch"
    )


@dataclass(frozen=True, slots=True, eq=False)
class Beginning:
    """Gives a fresh backbone trained weights and, where wanted, each person's centre its mean template.

    Attributes:
        weights: where from.
        means: whether centres begin at mean templates; else they are random.
    """

    weights: Weights
    means: bool = True

    def __call__(self, network: Backbone) -> None:
        """Put the weights in.

        Raises:
            CheckpointInvalid: they are of another network.
        """
        state.put_weights(network, self.weights.tensors, str(self.weights.where))

    def place_centres(
        self, network: Backbone, centres: PartialFC, examples: Examples, data: Data, threads: int
    ) -> None:
        """Put this process's centres at the mean template of each person.

        Heads of inner products keep their random centres: a direction alone says nothing about their bias and
        length.

        Args:
            network: with its weights, on its device.
            centres: of this process.
            examples: training pictures.
            data: how they are stored.
            threads: that read pictures.
        """
        if not self.means or not centres.head.cosine:
            return
        means_CD = mean_templates(
            network, examples, data, first=centres.first, last=centres.last, threads=threads
        )
        placed = centres.weight.clone()
        known = torch.linalg.vector_norm(means_CD, dim=1) > 0
        # As long as random centres are: the length decides how far a step of a given rate turns them.
        length = torch.linalg.vector_norm(placed[:, 0].cpu(), dim=1, keepdim=True)
        placed[known.to(placed.device), 0] = (means_CD * length)[known].to(placed)
        centres.load_rows(centres.first, placed, {})


def mean_templates(
    network: Backbone, examples: Examples, data: Data, *, first: int, last: int, threads: int = 1
) -> Float[Tensor, "c d"]:
    """Unit mean of the templates of each person from `first` on; zeros where no picture can be used.

    Args:
        network: any mode.
        examples: the pictures; of a person with many, the first 32 are used.
        data: how they are stored.
        first: person.
        last: the one after the last.
        threads: that read pictures.
    """
    order = np.argsort(examples.labels, kind="stable")
    labels = examples.labels[order]
    position = np.arange(len(order)) - np.searchsorted(labels, labels)
    mine = (labels >= first) & (labels < last) & (position < MOST_PICTURES)
    rows = order[mine].astype(np.int64)
    made, _ = templates_of(network, examples, rows, data, threads=threads)
    sums = torch.zeros(last - first, network.dimension)
    sums.index_add_(0, torch.from_numpy(labels[mine] - first), made)
    return torch.nn.functional.normalize(sums, dim=1)
