"""Every number that follows from a recipe, its data and the processes, told before the first step."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from lineament.core.errors import RecipeInvalid
from lineament.train import optimiser
from lineament.train.backbones.port import Backbone
from lineament.train.examples import Examples
from lineament.train.parallel import Processes
from lineament.train.read_crop import read_crop
from lineament.train.recipe import Recipe, Value

SAMPLE = 64


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run will do.

    Attributes:
        rows: pairs of what and how much, for people.
        steps: of the run.
        steps_per_epoch: of one pass through the data.
        remarks: sentences that a reader must see.
    """

    rows: tuple[tuple[str, str], ...]
    steps: int
    steps_per_epoch: int
    remarks: tuple[str, ...]


def plan(
    recipe: Recipe,
    training: Examples,
    held_out: Examples | None,
    steps_per_epoch: int,
    backbone: Backbone,
    processes: Processes,
) -> Plan:
    """Derive the numbers of a run.

    Raises:
        RecipeInvalid: the processes cannot share the batch evenly, or the network takes other crops or cannot
            train on single pictures.
    """
    steps = recipe.steps or max(1, round(recipe.epochs * steps_per_epoch))
    micro = recipe.batch // recipe.micro_batch
    if micro % processes.world:
        raise RecipeInvalid(
            f"{micro} micro-batches of {recipe.micro_batch} cannot be shared by {processes.world} processes: "
            f"set batch to a multiple of {recipe.micro_batch * processes.world}"
        )
    _refuse(recipe, backbone)
    classes = len(training.classes)
    dimension = backbone.dimension
    count = sum(p.numel() for p in backbone.parameters())
    rate = optimiser.learning_rate(recipe.optimiser)
    sampled = max(1, round(recipe.sample_rate * classes))
    rows = (
        ("recipe", f"{recipe.name}: {recipe.summary}"),
        ("data", training.describe()),
        ("persons, pictures", f"{classes:,}, {len(training):,}"),
        ("held out", _held(held_out)),
        ("backbone", f"{recipe.backbone.kind}, {count / 1e6:.2f} M parameters, {dimension} numbers"),
        ("head", _options(recipe.head.kind, recipe.head.options)),
        ("class centres", _centres(classes, sampled, dimension, processes.world)),
        ("batch", _batch(recipe, micro, processes)),
        ("steps", f"{steps:,} = {steps / steps_per_epoch:.2f} epochs of {steps_per_epoch:,}"),
        ("learning rate", f"{rate:g}, {_options(recipe.schedule.kind, recipe.schedule.options)}"),
        ("optimiser", _options(recipe.optimiser.kind, recipe.optimiser.options)),
        ("precision", f"{recipe.precision}, {processes.world} × {processes.device}"),
        ("loss at chance", f"{math.log(max(sampled, 2)):.3f} without scale and margin"),
        ("seed", str(recipe.seed)),
    )
    return Plan(rows, steps, steps_per_epoch, _remarks(recipe, training))


def _refuse(recipe: Recipe, backbone: Backbone) -> None:
    if recipe.data.size != backbone.size:
        raise RecipeInvalid(
            f"data.size = {recipe.data.size}, and {recipe.backbone.kind} takes crops of {backbone.size} "
            f"pixels: set data.size={backbone.size}"
        )
    if recipe.micro_batch == 1 and any(isinstance(m, nn.BatchNorm1d) for m in backbone.modules()):
        raise RecipeInvalid(
            f"micro_batch = 1: the batch normalisation at the end of {recipe.backbone.kind} needs 2 pictures "
            "or more to take a mean of: set micro_batch to 2 or more"
        )


def _held(held_out: Examples | None) -> str:
    if held_out is None:
        return "nobody: the newest checkpoint is the last one, not a chosen one"
    return f"{len(held_out.classes):,} persons, {len(held_out):,} pictures"


def _centres(classes: int, sampled: int, dimension: int, world: int) -> str:
    size = classes * dimension * 4 / 2**20
    part = "" if world == 1 else f", {size / world:,.1f} on each process"
    return f"{classes:,} × {dimension} = {size:,.1f} MiB{part}; {sampled:,} take part in a step"


def _batch(recipe: Recipe, micro: int, processes: Processes) -> str:
    own = micro // processes.world
    return (
        f"{recipe.batch} = {processes.world} processes × {own} micro-batches × {recipe.micro_batch} pictures"
    )


def _options(kind: str, options: Mapping[str, Value]) -> str:
    return ", ".join([kind, *(f"{k} {v}" for k, v in options.items())])


def _remarks(recipe: Recipe, training: Examples) -> tuple[str, ...]:
    return tuple(training.remarks) + tuple(colour_remarks(training, recipe.data.colour, recipe.data.size))


def colour_remarks(examples: Examples, colour: str, size: int) -> Sequence[str]:
    """A warning when faces look blue: skin reflects more red than blue, so channels are likely swapped."""
    numbers = np.linspace(0, len(examples) - 1, min(SAMPLE, len(examples))).astype(int)
    crops = [read_crop(examples, int(n), colour, size) for n in numbers]
    means = np.array([c.mean(axis=(0, 1)) for c in crops if isinstance(c, np.ndarray)])
    if not len(means):
        return ()
    red, _, blue = means.mean(axis=0)
    if blue <= red:
        return ()
    other = "bgr" if colour == "rgb" else "rgb"
    return (
        f"faces look blue (mean red {red:.0f}, mean blue {blue:.0f} over {len(means)} pictures): if the "
        f"channels are swapped in the files, set data.colour={other}",
    )
