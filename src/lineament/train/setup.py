"""What a run is made of, from a recipe; and taking over where a checkpoint stopped."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from lineament.train import backbones, objective, optimiser, schedule, state, teacher
from lineament.train.backbones.port import Backbone
from lineament.train.backbones.wrap import wrapped
from lineament.train.examples import Examples, split_held_out
from lineament.train.loader import Loader
from lineament.train.objective import Classify, Objective, Saved
from lineament.train.parallel import Processes, seeded
from lineament.train.partial import PartialFC
from lineament.train.plan import Plan, plan
from lineament.train.recipe import Data, Recipe
from lineament.train.sampler import Persons, Sampler, Shuffled
from lineament.train.scaling import LossScale
from lineament.train.schedule import Schedule
from lineament.train.validation import HeldOut
from lineament.train.window import Window

Start = Callable[[Backbone], None]
"""Gives a fresh backbone its first weights; one that `PlacesCentres` is asked for the class centres, too."""


@runtime_checkable
class PlacesCentres(Protocol):
    """A start that knows where class centres begin."""

    def place_centres(
        self, network: Backbone, centres: PartialFC, examples: Examples, data: Data, threads: int
    ) -> None:
        """Overwrite this process's fresh centres; `network` has its first weights."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """Everything that a run is made of.

    Attributes:
        classes: names of the persons that are trained on, by number.
        network: the backbone, on its device.
        objective: the loss and its class centres.
        optimiser: of the backbone.
        rate: learning rate by step.
        scale: factor of the loss.
        loader: reads the pictures.
        held_out: persons who are only looked at; None when nobody is held out, and beyond the first process.
        validates: whether somebody is held out.
        plan: the numbers that follow.
    """

    classes: tuple[str, ...]
    network: Backbone
    objective: Objective
    optimiser: torch.optim.Optimizer
    rate: Schedule
    scale: LossScale
    loader: Loader
    held_out: HeldOut | None
    validates: bool
    plan: Plan


def prepare(
    recipe: Recipe,
    run: Path,
    examples: Examples,
    processes: Processes,
    start: Start | None,
    advance: Callable[[int, int], None],
) -> Parts:
    """Make the parts of a run; nothing but a teacher's templates is written.

    Args:
        recipe: what to make.
        run: folder of the run.
        examples: what `recipe.data` names.
        processes: of the run.
        start: gives the backbone its first weights; None for fresh ones.
        advance: told how far a teacher is.

    Raises:
        RecipeInvalid, DatasetError, PackError: something in the recipe cannot be had.
    """
    training, held_out = _data(recipe, examples)
    sampler = _sampler(recipe, training)
    network = _network(recipe, processes, start)
    what = plan(recipe, training, held_out, sampler.steps_per_epoch, network, processes)
    rate = optimiser.learning_rate(recipe.optimiser)
    made = _objective(recipe, run, training, network.dimension, processes, advance)
    if isinstance(start, PlacesCentres) and isinstance(made, Classify) and not state.checkpoints(run):
        start.place_centres(network, made.centres, training, recipe.data, recipe.threads)
    return Parts(
        classes=training.classes,
        network=network,
        objective=made,
        optimiser=optimiser.build(recipe.optimiser, network.parameters()),
        rate=schedule.build(recipe.schedule, rate, what.steps, what.steps_per_epoch),
        scale=LossScale.of(recipe.precision),
        loader=Loader(
            training, sampler, recipe.augment, micro_batch=recipe.micro_batch, seed=recipe.seed,
            rank=processes.rank, world=processes.world, threads=recipe.threads, limit=what.steps,
            colour=recipe.data.colour, size=recipe.data.size,
        ),
        held_out=_held_out(recipe, held_out) if processes.first else None,
        validates=held_out is not None,
        plan=what,
    )  # fmt: skip


def _data(recipe: Recipe, examples: Examples) -> tuple[Examples, Examples | None]:
    if not recipe.data.held_out:
        return examples, None
    return split_held_out(examples, recipe.data.held_out, recipe.seed)


def _sampler(recipe: Recipe, training: Examples) -> Sampler:
    if recipe.people:
        return Persons(training.labels, recipe.batch, recipe.people, recipe.seed)
    return Shuffled(training.labels, recipe.batch, recipe.seed)


def _network(recipe: Recipe, processes: Processes, start: Start | None) -> Backbone:
    torch.manual_seed(seeded(recipe.seed))
    network = backbones.build(recipe.backbone)
    if start is not None:
        start(network)
    return wrapped(
        network.to(processes.device),
        channels_last=recipe.channels_last,
        checkpoint_activations=recipe.checkpoint_activations,
        compile=recipe.compile,
    )


def _objective(
    recipe: Recipe,
    run: Path,
    training: Examples,
    dimension: int,
    processes: Processes,
    advance: Callable[[int, int], None],
) -> Objective:
    made = None
    if objective.is_distillation(recipe.head):
        made = _targets(recipe, run, training, processes, advance)
    return objective.build(recipe, len(training.classes), dimension, processes, made)


def _targets(
    recipe: Recipe, run: Path, training: Examples, processes: Processes, advance: Callable[[int, int], None]
) -> Tensor:
    """The first process makes the teacher's templates; the others read what it kept."""
    if not processes.first:
        while not all(processes.any(False)):
            pass

    def told(done: int, total: int) -> None:
        advance(done, total)
        if processes.first:
            # A sign of life: a teacher may take longer than processes wait for each other.
            processes.any(False)

    made = teacher.targets(recipe.head, training, recipe.data, run, recipe.threads, told)
    if processes.first:
        processes.any(True)
    return made


def _held_out(recipe: Recipe, examples: Examples | None) -> HeldOut | None:
    return None if examples is None else HeldOut(examples, recipe.data.colour, recipe.data.size)


@dataclass(frozen=True, slots=True)
class Restored:
    """Where a run goes on.

    Attributes:
        step: steps that were made.
        skipped: of these, how many were skipped.
        in_a_row: how many of the last ones were.
        window: sums since the last logged step.
        notes: what a person should know.
    """

    step: int = 0
    skipped: int = 0
    in_a_row: int = 0
    window: Window = field(default_factory=Window)
    notes: tuple[str, ...] = ()


def restore(parts: Parts, recipe: Recipe, run: Path) -> Restored:
    """Take over from the newest checkpoint in a run's folder, if there is one.

    Raises:
        CheckpointInvalid: it is damaged, or of another network.
    """
    found = state.checkpoints(run)
    if not found:
        return Restored()
    folder = found[-1]
    meta = state.verify(folder)
    state.restore_backbone(parts.network, folder)
    state.restore_optimiser(parts.network, parts.optimiser, folder)
    shared = state.read_tensors(folder / state.HEAD)
    saved = Saved(state.shards(folder), shared, state.read_classes(folder))
    notes = parts.objective.restore(saved, parts.classes)
    counters = cast(dict[str, float], meta["counters"])
    if parts.scale.active:
        parts.scale.value, parts.scale.good = counters["loss_scale"], int(counters["good_steps"])
    in_a_row = int(counters.get("in_a_row", 0))
    if in_a_row and not parts.scale.active:
        notes = [
            *notes,
            f"the last {in_a_row} steps before {folder.name} were skipped: if that goes on, remove this "
            "checkpoint, and the run goes on from the one before",
        ]
    was = cast(dict[str, Any], meta["recipe"])
    told = (f"going on from {folder.name}", *notes, *_differences(was, recipe.to_dict()))
    return Restored(int(meta["step"]), int(counters["skipped"]), in_a_row, Window.of(counters), told)


def _differences(before: dict[str, Any], after: dict[str, Any], place: str = "") -> list[str]:
    """Settings that changed since the checkpoint was written."""
    notes: list[str] = []
    for name, value in after.items():
        old = before.get(name)
        if isinstance(value, dict) and isinstance(old, dict):
            notes += _differences(cast(dict[str, Any], old), cast(dict[str, Any], value), f"{place}{name}.")
        elif old != value:
            notes.append(f"{place}{name} was {old!r} and is {value!r}")
    return notes
