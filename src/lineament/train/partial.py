"""Class centres that are sampled step by step and divided over processes ("Partial FC").

An et al. 2021, "Partial FC: training 10 million identities on a single machine"; An et al. 2022, "Killing two
birds with one stone: efficient and robust training of face recognition CNNs by Partial FC". Each process
keeps the centres of a contiguous range of the classes. In a step, the classes of its rows take part and a
random share of the others; the rest keep centre and optimiser state to the bit.

Everything is a function of seed, step and class number: one process and many give the same numbers, up to the
order of additions.

Shapes: B rows of a micro-batch on all processes, b of this one, C classes of this process that take part, K
sub-centres, D dimension (one more with a bias).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
import torch.distributed as dist
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.core.errors import CheckpointInvalid, DatasetInvalid, RecipeInvalid, TrainingError
from lineament.train.cosines import products, unit
from lineament.train.gather import counted_once, gathered, gathered_rows, largest, place, smallest, total
from lineament.train.heads.port import Head
from lineament.train.recipe import Part
from lineament.train.rows import RowOptimiser, build_rows
from lineament.train.sampled import initial_centres, taking_part
from lineament.train.softmax import own_column, sharded_cross_entropy


@dataclass(frozen=True, slots=True, eq=False)
class HeadResult:
    """What a micro-batch gave; the same on every process.

    Attributes:
        loss: scalar; sum of the row losses over the number of rows of the whole step, so that those of all
            micro-batches add up to the mean.
        correct: int64 scalar, rows whose own class has the largest product without margin of all classes that
            take part; of equal products the lower class number wins.
        own: (B,) products with the own class, detached.
        rows: B.
    """

    loss: Tensor
    correct: Tensor
    own: Tensor
    rows: int


@dataclass(frozen=True, slots=True, eq=False)
class _Step:
    """A step that was begun: its rows, who takes part, and their centres, a leaf that collects gradients."""

    rows: int
    present: Tensor
    index: Tensor | None
    leaf_CKD: Tensor


class PartialFC(nn.Module):
    """A head over class centres of which some take part in a step.

    A step is `begin`, then `forward` and backward per micro-batch, then `step` or `discard`.

    The gradient of an embedding is that of the global loss times the number of processes, because
    DistributedDataParallel takes the mean over processes of gradients that belong together as a sum.

    Weight decay and momentum act on a centre only in steps in which it takes part: at rate r a centre decays
    about r times as often as it would without sampling.

    Args:
        head: makes logits of products.
        classes: on all processes.
        dimension: of the embeddings.
        sample_rate: share of the classes that take part, about; 1 for all, without drawing or copying.
        seed: of the run, 0 or more.
        group: processes that share the classes; None for all, or for a single one without a launcher.
        device: of the centres.
        dtype: of the centres and of everything from the products on: float32 or float64.

    Attributes:
        first: this process's first class.
        last: the one after its last.
        weight: (last − first, K, D), buffer; a cosine head's centres need no unit length.
        rows: moves the centres; set by `optimise`, or directly.

    Raises:
        RecipeInvalid: a value that cannot be, or a head that wants both cosines and a bias.
    """

    weight: Tensor

    def __init__(
        self,
        head: Head,
        classes: int,
        dimension: int,
        *,
        sample_rate: float = 1.0,
        seed: int = 0,
        group: dist.ProcessGroup | None = None,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        _refuse(head, classes, sample_rate, seed, dtype)
        # Its running values are used together with products, on their device.
        self.head = cast(Head, head.to(device)) if isinstance(head, nn.Module) else head
        self.classes = classes
        self.dimension = dimension
        self.sample_rate = sample_rate
        self.seed = seed
        self.group = group
        self.rows: RowOptimiser | None = None
        rank, world = place(group)
        self.first = classes * rank // world
        self.last = classes * (rank + 1) // world
        shape = (head.centres, dimension + 1 if head.bias else dimension)
        weight = torch.empty((self.last - self.first, *shape), device=device, dtype=dtype)
        done = 0
        for part in initial_centres(self.first, self.last, shape, seed):
            weight[done : done + len(part)] = part.to(device=device, dtype=dtype)
            done += len(part)
        self.register_buffer("weight", weight)
        self._step: _Step | None = None

    def optimise(self, part: Part) -> None:
        """Set `rows` from a recipe's optimiser.

        Raises:
            RecipeInvalid: see `build_rows`.
        """
        self.rows = build_rows(part)

    def begin(self, label_b: Int64[Tensor, " b"], step: int) -> None:
        """Announce a step: draw the classes that take part. What an earlier step left is forgotten.

        Args:
            label_b: of all micro-batches of this process; as many on every process.
            step: number of the step, 0 or more.

        Raises:
            DatasetInvalid: on every process: labels outside the classes, or unequal numbers of rows.
        """
        self.discard()
        mine = label_b.to(self.weight.device)
        counts: list[int] = gathered(mine.new_tensor([len(mine)]), self.group).tolist()
        if min(counts) != max(counts) or not counts[0]:
            raise DatasetInvalid(
                f"the processes have {', '.join(map(str, counts))} rows in step {step}: give each process "
                "the same number, at least 1"
            )
        labels = gathered(mine, self.group)
        present = torch.unique(labels)
        low, high = (int(v) for v in present[[0, -1]].tolist())
        if low < 0 or high >= self.classes:
            raise DatasetInvalid(
                f"label {low if low < 0 else high} in step {step} is none of the {self.classes} classes, "
                f"0 to {self.classes - 1}: number the persons without gaps, and build the head for all"
            )
        index = self._drawn(present, step)
        # At full rate the leaf is the centres themselves; nothing is copied.
        leaf = self.weight.detach() if index is None else self.weight.index_select(0, index)
        self._step = _Step(len(labels), present, index, leaf.requires_grad_())

    def _drawn(self, present: Tensor, step: int) -> Tensor | None:
        if self.sample_rate == 1.0:
            return None
        known = present.cpu().numpy()
        chosen: np.ndarray = taking_part(
            known, self.first, self.last, self.classes, self.sample_rate, self.seed, step
        )
        return torch.from_numpy(chosen).to(self.weight.device)

    def forward(self, embedding_bD: Float[Tensor, "b d"], label_b: Int64[Tensor, " b"]) -> HeadResult:
        """Loss of one micro-batch.

        Args:
            embedding_bD: raw, of this process; as many rows on every process.
            label_b: their classes, among those that `begin` was given.

        Raises:
            TrainingError: no step was begun, or (on every process) a label that `begin` was not given.
        """
        open_step = self._begun()
        head = cast(Callable[..., Tensor], self.head)
        embedding_BD = gathered_rows(embedding_bD.to(self.weight.dtype), self.group)
        label_B = gathered(label_b.to(self.weight.device), self.group)
        column_B = self._columns(label_B, open_step)
        norm_B = torch.linalg.vector_norm(embedding_BD, dim=1)
        product_BC = self._products(embedding_BD, norm_B, open_step.leaf_CKD)
        own_B = total(own_column(product_BC.detach(), column_B)[0].to(self.weight.dtype), self.group)
        with torch.autocast(self.weight.device.type, enabled=False):
            # Also where no class of this process takes part: running values must stay the same everywhere.
            logit_BC = head(product_BC, column_B, norm_B, own_B)
            loss = sharded_cross_entropy(logit_BC, column_B, self.group).sum()
            penalty = counted_once(self.head.penalty(norm_B), self.group) * len(label_B)
        best_B = self._best(product_BC.detach().to(self.weight.dtype), open_step)
        correct = (best_B == label_B).sum()
        return HeadResult((loss + penalty) / open_step.rows, correct, own_B, len(label_B))

    def _begun(self) -> _Step:
        if self._step is None:
            raise TrainingError("no step of the class centres was begun: call begin() with the step's labels")
        return self._step

    def _columns(self, label_B: Tensor, step: _Step) -> Tensor:
        """Column of each row's own class among those of this process that take part, or −1."""
        if not bool(torch.isin(label_B, step.present).all()):
            raise TrainingError(
                "a micro-batch has a label that the step was not begun with: give begin() all"
            )
        local_B = label_B - self.first
        here_B = (local_B >= 0) & (label_B < self.last)
        if step.index is not None:
            # Every class with a row takes part, so that what is here is found.
            local_B = torch.searchsorted(step.index, local_B)
        return torch.where(here_B, local_B, -1)

    def _products(self, embedding_BD: Tensor, norm_B: Tensor, centre_CKD: Tensor) -> Tensor:
        if self.head.cosine:
            return products(unit(embedding_BD, norm_B), centre_CKD, cosine=True)
        if self.head.bias:
            one = embedding_BD.new_ones(())
            embedding_BD = torch.cat([embedding_BD, one.expand(len(embedding_BD), 1)], dim=1)
        return products(embedding_BD, centre_CKD, cosine=False)

    def _best(self, product_BC: Tensor, step: _Step) -> Tensor:
        """Class with the largest product of all that take part, (B,)."""
        if product_BC.shape[1]:
            top_B, column_B = product_BC.max(1)
            class_B = (column_B if step.index is None else step.index[column_B]) + self.first
        else:
            top_B = product_BC.new_full((len(product_BC),), -torch.inf)
            class_B = torch.full_like(top_B, self.classes, dtype=torch.int64)
        best_B = largest(top_B.clone(), self.group)
        return smallest(torch.where(top_B == best_B, class_B, self.classes), self.group)

    def step(self, learning_rate: float, *, scale: float = 1.0) -> None:
        """Move the centres that took part, and end the step.

        Args:
            learning_rate: of this step.
            scale: gradients are this many times too large (fp16), and divided by it first.

        Raises:
            TrainingError: no step was begun, no gradient arrived, or `rows` was not set.
        """
        open_step = self._begun()
        if self.rows is None:
            raise TrainingError("nothing is set to move the class centres: call optimise() first")
        gradient = open_step.leaf_CKD.grad
        if open_step.leaf_CKD.numel():
            if gradient is None:
                raise TrainingError(
                    "no gradient reached the class centres: call backward() on the loss first"
                )
            if scale != 1.0:
                gradient.div_(scale)
            self.rows.update(self.weight, open_step.index, gradient, learning_rate)
        self._step = None

    def discard(self) -> None:
        """Forget the step and its gradients; centres and their state stay as they are."""
        self._step = None

    def gradients_finite(self) -> bool:
        """Whether this process's gradients of centres are numbers; true where there are none."""
        gradient = None if self._step is None else self._step.leaf_CKD.grad
        if gradient is None or not gradient.numel():
            return True
        low, high = torch.aminmax(gradient)
        return bool(torch.isfinite(low) & torch.isfinite(high))

    def state_tensors(self) -> dict[str, Tensor]:
        """`weight`, and `state.<name>` of the optimiser: the tensors themselves, class axis first."""
        return {"weight": self.weight, **{f"state.{n}": t for n, t in self._state().items()}}

    def _state(self) -> dict[str, Tensor]:
        if self.rows is None:
            return {}
        self.rows.prepare(self.weight)
        return self.rows.state

    @torch.no_grad()
    def load_rows(self, first: int, values: Tensor, state: Mapping[str, Tensor]) -> None:
        """Overwrite the classes of a range that lie on this process; others are passed over.

        A step that was begun is forgotten.

        Args:
            first: class that the first row belongs to.
            values: (n, K, D) centres.
            state: of the optimiser, n rows each, by name with or without `state.`; empty to leave it alone.

        Raises:
            CheckpointInvalid: classes that there are not, other shapes, or the state of another optimiser.
        """
        self.discard()
        given = {"weight": values, **{f"state.{n.removeprefix('state.')}": t for n, t in state.items()}}
        kept = self.state_tensors()
        if first < 0 or first + len(values) > self.classes:
            raise CheckpointInvalid(
                f"the checkpoint has centres of classes {first} to {first + len(values) - 1}, and there are "
                f"{self.classes} here: resume with the data that the run was started with"
            )
        if state and set(given) != set(kept):
            raise CheckpointInvalid(
                f"the checkpoint has {', '.join(sorted(given))} of the class centres, and the optimiser here "
                f"{', '.join(sorted(kept))}: resume with the optimiser that the run was started with"
            )
        for name, tensor in given.items():
            if len(tensor) != len(values) or tensor.shape[1:] != kept[name].shape[1:]:
                raise CheckpointInvalid(
                    f"{name} of the checkpoint is {tuple(tensor.shape)}, one class here is "
                    f"{tuple(kept[name].shape[1:])}: resume with the head and dimension that it was made with"
                )
        low, high = max(first, self.first), min(first + len(values), self.last)
        if low < high:
            for name, tensor in given.items():
                kept[name][low - self.first : high - self.first].copy_(tensor[low - first : high - first])


def _refuse(head: Head, classes: int, sample_rate: float, seed: int, dtype: torch.dtype) -> None:
    if classes < 1:
        raise RecipeInvalid(f"{classes} classes: there must be at least 1; check data.path and data.fewest")
    if not 0.0 < sample_rate <= 1.0:
        raise RecipeInvalid(f"sample_rate = {sample_rate:g}: set it above 0 and to at most 1")
    if not 0 <= seed < 2**64:
        raise RecipeInvalid(f"seed = {seed}: set it to 0 or more and below 2^64")
    if dtype not in (torch.float32, torch.float64):
        raise RecipeInvalid(f"class centres in {dtype}: use torch.float32, or torch.float64 for checks")
    if head.cosine and head.bias:
        raise RecipeInvalid("a head of cosines takes no bias: set cosine or bias to false")
