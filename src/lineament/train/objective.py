"""What a run makes smaller: the loss of a head with its class centres, of triplets, or of a teacher.

The loop knows this promise only. An objective may hold values of its own that learn (class centres); it
updates them itself, because only the rows that took part in a step may move.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from lineament.core.errors import CheckpointInvalid, InvalidArgument, RecipeInvalid
from lineament.train import heads, rows
from lineament.train.heads.triplet import Triplet
from lineament.train.loader import MicroBatch
from lineament.train.parallel import Processes
from lineament.train.partial import PartialFC
from lineament.train.recipe import Part, Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One micro-batch.

    Attributes:
        loss: scalar; those of all micro-batches of a step add up to the step's mean.
        right: rows whose own class has the largest product without margin; None where there are no classes.
        own: mean cosine with the own class, or with the teacher; NaN where there is none.
        rows: how many rows it covers, over all processes.
    """

    loss: Tensor
    right: Tensor | None
    own: Tensor
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class Saved:
    """What a checkpoint holds of an objective.

    Attributes:
        shards: number of the first class of each, and its tensors.
        shared: what was the same on every process.
        classes: names of the classes then, by number.
    """

    shards: Iterable[tuple[int, Mapping[str, Tensor]]]
    shared: Mapping[str, Tensor]
    classes: Sequence[str]


@runtime_checkable
class Objective(Protocol):
    """A loss over embeddings and whatever learns with it."""

    def begin(self, labels: Tensor, step: int, strength: float) -> None:
        """Announce a step: the labels of all its rows on this process, and how much of the margin applies."""
        ...

    def measure(self, embedding: Tensor, batch: MicroBatch) -> Measured:
        """Loss of one micro-batch; its gradient is the sum over processes, for DDP to average."""
        ...

    def step(self, learning_rate: float, scale: float) -> None:
        """Update what the objective holds; its gradients are `scale` times too large."""
        ...

    def discard(self) -> None:
        """Forget the gradients of this step."""
        ...

    def finite(self) -> bool:
        """Whether this process's gradients of what the objective holds are numbers."""
        ...

    def sharded(self) -> dict[str, Tensor]:
        """What is divided over processes, class axis first."""
        ...

    def shared(self) -> dict[str, Tensor]:
        """What is the same on every process."""
        ...

    def restore(self, saved: "Saved", classes: Sequence[str]) -> list[str]:
        """Take over what a checkpoint holds; says in sentences what had to be done otherwise."""
        ...


class Classify:
    """A head over class centres, sampled and divided over processes."""

    def __init__(self, recipe: Recipe, classes: int, dimension: int, processes: Processes) -> None:
        self.head = heads.build(recipe.head)
        self.centres = PartialFC(
            self.head,
            classes,
            dimension,
            sample_rate=recipe.sample_rate,
            seed=recipe.seed,
            group=processes.group,
            device=processes.device,
        )
        self.centres.rows = rows.build_rows(recipe.optimiser)

    def begin(self, labels: Tensor, step: int, strength: float) -> None:
        """Draw the classes of the step."""
        self.head.strength = strength
        self.centres.begin(labels, step)

    def measure(self, embedding: Tensor, batch: MicroBatch) -> Measured:
        """Loss of the head."""
        labels = torch.from_numpy(batch.label).to(embedding.device)
        result = self.centres(embedding, labels)
        return Measured(result.loss, result.correct, result.own.mean(), result.rows)

    def step(self, learning_rate: float, scale: float) -> None:
        """Move the centres that took part."""
        self.centres.step(learning_rate, scale=scale)

    def discard(self) -> None:
        """Leave the centres as they are."""
        self.centres.discard()

    def finite(self) -> bool:
        """Of the centres that took part."""
        return self.centres.gradients_finite()

    def sharded(self) -> dict[str, Tensor]:
        """Centres and their optimiser's state."""
        return self.centres.state_tensors()

    def shared(self) -> dict[str, Tensor]:
        """Running values of the head, such as AdaFace's means."""
        return _state(self.head)

    def restore(self, saved: Saved, classes: Sequence[str]) -> list[str]:
        """Centres by the name of their class: persons may have come or gone since.

        Raises:
            CheckpointInvalid: it is of another head.
        """
        own = self.shared()
        if {n: t.shape for n, t in own.items()} != {n: t.shape for n, t in saved.shared.items()}:
            raise CheckpointInvalid(
                f"the checkpoint has running values {_named(saved.shared)} of a head, and the head here "
                f"{_named(own)}: go on with the head that the run was started with, or begin anew "
                "with --restart"
            )
        for name, value in own.items():
            value.copy_(saved.shared[name])
        now = {name: number for number, name in enumerate(classes)}
        for first, tensors in saved.shards:
            count = len(next(iter(tensors.values())))
            numbers = [now.get(name, -1) for name in saved.classes[first : first + count]]
            for old, new, length in _stretches(numbers):
                part = {name: value[old : old + length] for name, value in tensors.items()}
                weight = part.pop("weight")
                state = {name.removeprefix("state."): value for name, value in part.items()}
                self.centres.load_rows(new, weight, state)
        return _changes(saved.classes, classes)


class Triplets:
    """Triplets within each micro-batch: nothing of its own to learn.

    Each process looks at its own micro-batches only; a micro-batch therefore holds several persons.
    """

    def __init__(self, recipe: Recipe, classes: int, dimension: int, processes: Processes) -> None:
        if recipe.people < 2:
            raise RecipeInvalid(
                "triplets need batches of several pictures of several persons: set people to 2 or more"
            )
        pictures = recipe.batch // recipe.people
        if pictures < 2 or recipe.micro_batch % pictures or recipe.micro_batch < 2 * pictures:
            raise RecipeInvalid(
                f"triplets are made within a micro-batch of {recipe.micro_batch}, which needs all {pictures} "
                "pictures of 2 persons or more, at least 2 of each: set micro_batch to 2, 3, ... times "
                "batch / people, and people to at most half of batch"
            )
        try:
            self.loss = Triplet(**recipe.head.options)  # type: ignore[arg-type]  (checked by its constructor)
        except (TypeError, InvalidArgument) as error:
            raise RecipeInvalid(f"head 'triplet' cannot be made: {error}") from error
        self.micro = recipe.batch // recipe.micro_batch
        self.processes = processes

    def begin(self, labels: Tensor, step: int, strength: float) -> None:
        """Nothing to prepare."""

    def measure(self, embedding: Tensor, batch: MicroBatch) -> Measured:
        """Mean over the triplets of this micro-batch, divided by the number of micro-batches."""
        labels = torch.from_numpy(batch.label).to(embedding.device)
        # DDP divides by the number of processes, and each of them saw its own share of the micro-batches.
        loss = self.loss(embedding, labels) / self.micro
        scaled = loss * self.processes.world
        return Measured(scaled, None, torch.tensor(float("nan")), len(labels))

    def step(self, learning_rate: float, scale: float) -> None:
        """Nothing to move."""

    def discard(self) -> None:
        """Nothing to forget."""

    def finite(self) -> bool:
        """There is nothing that could not be."""
        return True

    def sharded(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def shared(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def restore(self, saved: Saved, classes: Sequence[str]) -> list[str]:
        """Nothing."""
        return []


class Distil:
    """Nearness to a teacher's templates (Hinton et al. 2015 for embeddings): 1 − cosine, mean over rows.

    The target is the teacher's template of the picture as it is; the student sees it changed, and so learns
    to give changed pictures the same answer. Weights made so owe what they know to the teacher: say so.

    Args:
        targets: (n, d) unit templates by number of the picture.
    """

    def __init__(self, recipe: Recipe, targets: Tensor, dimension: int, processes: Processes) -> None:
        if targets.shape[1] != dimension:
            raise RecipeInvalid(
                f"the teacher's templates have {targets.shape[1]} numbers and the network's {dimension}: set "
                f"backbone.dimension={targets.shape[1]}"
            )
        self.targets = targets.to(processes.device)
        self.rows = recipe.batch
        self.processes = processes

    def begin(self, labels: Tensor, step: int, strength: float) -> None:
        """Nothing to prepare."""

    def measure(self, embedding: Tensor, batch: MicroBatch) -> Measured:
        """1 − cosine with the teacher, over the rows of the whole step."""
        target = self.targets[torch.from_numpy(batch.index).to(embedding.device)]
        cosine = nn.functional.cosine_similarity(embedding.float(), target)
        loss = (1.0 - cosine).sum() / self.rows * self.processes.world
        return Measured(loss, None, cosine.detach().mean(), len(cosine))

    def step(self, learning_rate: float, scale: float) -> None:
        """Nothing to move."""

    def discard(self) -> None:
        """Nothing to forget."""

    def finite(self) -> bool:
        """There is nothing that could not be."""
        return True

    def sharded(self) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def shared(self) -> dict[str, Tensor]:
        """Nothing: the teacher's templates are made again."""
        return {}

    def restore(self, saved: Saved, classes: Sequence[str]) -> list[str]:
        """Nothing."""
        return []


def _stretches(numbers: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Runs of consecutive numbers, (where, first number, length); negative ones are passed over."""
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1 or numbers[at - 1] < 0:
            if numbers[start] >= 0:
                yield start, numbers[start], at - start
            start = at


def _changes(before: Sequence[str], after: Sequence[str]) -> list[str]:
    new, gone = len(set(after) - set(before)), len(set(before) - set(after))
    if not new and not gone:
        return []
    return [f"the data have other persons than the checkpoint: {new} are new and begin anew, {gone} are gone"]


def _named(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted(tensors)) or "none"


def _state(module: object) -> dict[str, Tensor]:
    return dict(module.state_dict()) if isinstance(module, nn.Module) else {}


Maker = Callable[[Recipe, int, int, Processes], Objective]
WITHOUT_CLASSES: Mapping[str, Maker] = {"triplet": Triplets}


def build(
    recipe: Recipe, classes: int, dimension: int, processes: Processes, targets: Tensor | None = None
) -> Objective:
    """The objective that a recipe's `head` names.

    Args:
        recipe: with `head`.
        classes: persons in the data.
        dimension: of the embeddings.
        processes: of the run.
        targets: the teacher's templates, for `distil`.

    Raises:
        RecipeInvalid: an unknown head, or options that it does not take.
    """
    if targets is not None:
        return Distil(recipe, targets, dimension, processes)
    return WITHOUT_CLASSES.get(recipe.head.kind, Classify)(recipe, classes, dimension, processes)


def is_distillation(head: Part) -> bool:
    """Whether the recipe learns from a teacher."""
    return head.kind == "distil"
