"""What a few steps of a run show: memory, speed, and whether it learns at all.

The network and everything else are made as for the run itself (`setup.py`), on one process.
"""

import math
import os
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lineament.core.errors import LineamentError
from lineament.train import heads
from lineament.train.doctor import Check
from lineament.train.embedder import normalised
from lineament.train.examples import Examples
from lineament.train.loader import MicroBatch, StepBatch
from lineament.train.objective import Classify, Measured, is_distillation
from lineament.train.optimiser import learning_rate
from lineament.train.parallel import Processes, seeded
from lineament.train.recipe import Part, Recipe
from lineament.train.sampled import DEVIATION
from lineament.train.setup import Parts, prepare
from lineament.train.softmax import sharded_cross_entropy

STEPS = 5
LEARNING_STEPS = 20
LEARNING_ROWS = 32
FALL = 0.8
"""Share of its first value that the loss of one repeated batch must fall below."""
LARGEST_COLUMNS, SIMULATED_ROWS = 100_000, 64


def look_at_run(
    recipe: Recipe, examples: Examples, processes: Processes, *, among: int = 1, seconds: float = 60.0
) -> list[Check]:
    """Memory, speed of loader and steps, loss at chance, and a batch that is learnt by heart.

    Args:
        recipe: to look at.
        examples: what `recipe.data` names.
        processes: this one.
        among: how many processes the run will have, for the memory of each.
        seconds: that the steps, and the batch, may take at most, each; at least two micro-batches are done.
    """
    if is_distillation(recipe.head):
        return [Check("steps", "not looked at: a teacher's templates would have to be made first")]
    with TemporaryDirectory() as folder:
        try:
            parts = prepare(recipe, Path(folder), examples, processes, None, lambda done, total: None)
            return list(_looks(_Trial(parts, recipe, processes.device), among, seconds))
        except LineamentError as error:
            return [Check("steps", f"no step can be made: {error.reason}", error.message)]


def _looks(trial: "_Trial", among: int, seconds: float) -> Iterator[Check]:
    batches, loading = _load(trial.parts, seconds)
    yield _broken(batches)
    first = batches[0].micro[0]
    if isinstance(trial.parts.objective, Classify):
        yield _chance(trial, trial.parts.objective, first)
    yield _memory(trial, first, among)
    micro = [m for batch in batches for m in batch.micro]
    yield from _speed(trial, micro, loading, seconds)
    yield _learning(trial, first, seconds)


# ------------------------------------------------------------------------------------------------------ trial


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Single micro-batches through the parts of a run."""

    parts: Parts
    recipe: Recipe
    device: torch.device

    def embed(self, micro: MicroBatch) -> Tensor:
        torch.manual_seed(seeded(self.recipe.seed, 0, micro.number))
        self.parts.network.train()
        kinds = {"bf16": torch.bfloat16, "fp16": torch.float16}
        kind = kinds.get(self.recipe.precision)
        with torch.autocast(self.device.type, kind or torch.bfloat16, enabled=kind is not None):
            layout = self.recipe.channels_last
            pixels = normalised(micro.pixels, self.device, channels_last=layout)
            return cast(Tensor, self.parts.network(pixels))

    def measure(self, micro: MicroBatch, strength: float) -> Measured:
        embedding = self.embed(micro)
        self.parts.objective.begin(torch.from_numpy(micro.label).to(self.device), 0, strength)
        return self.parts.objective.measure(embedding, micro)

    def step(self, micro: MicroBatch, rate: float) -> float:
        """A whole step without margin; its loss."""
        parts, scale = self.parts, self.parts.scale.value
        loss = self.measure(micro, 0.0).loss
        (loss * scale).backward()
        weights = [p for p in parts.network.parameters() if p.grad is not None]
        for weight in weights if parts.scale.active else ():
            cast(Tensor, weight.grad).div_(scale)
        nn.utils.clip_grad_norm_(weights, self.recipe.clip or float("inf"))
        for group in parts.optimiser.param_groups:
            group["lr"] = rate
        parts.optimiser.step()
        parts.objective.step(rate, scale)
        parts.optimiser.zero_grad(set_to_none=True)
        return float(loss.detach())


def _load(parts: Parts, seconds: float) -> tuple[list[StepBatch], float]:
    """Some batches, and how many pictures per second the loader gives while nothing else happens."""
    batches: list[StepBatch] = []
    began = time.perf_counter()
    with closing(parts.loader.steps(0)) as steps:
        for batch in islice(steps, STEPS):
            batches.append(batch)
            if time.perf_counter() - began > seconds:
                break
    pictures = sum(len(m.label) for batch in batches for m in batch.micro)
    return batches, pictures / max(time.perf_counter() - began, 1e-9)


def _broken(batches: list[StepBatch]) -> Check:
    found = tuple(name for batch in batches for name in batch.broken)
    said = f"{len(batches)} batches were read"
    if not found:
        return Check("loader", said)
    return Check("loader", f"{said}; {len(found)} pictures were replaced: {found[0]}", "see pictures", found)


# ------------------------------------------------------------------------------------------------ first loss


def _chance(trial: _Trial, objective: Classify, micro: MicroBatch) -> Check:
    with torch.no_grad():
        embedding = trial.embed(micro)
        objective.begin(torch.from_numpy(micro.label).to(trial.device), 0, 0.0)
        loss = float(objective.measure(embedding, micro).loss)
        objective.discard()
    classes = max(2, round(trial.recipe.sample_rate * objective.centres.classes))
    norm_B = torch.linalg.vector_norm(embedding.float(), dim=1).cpu()
    expected, spread = chance(trial.recipe.head, classes, embedding.shape[1], norm_B)
    allowed = 0.5 + 4.0 * spread / math.sqrt(len(set(micro.label.tolist())))
    said = f"{loss:.2f} without margin before the first step; chance gives {expected:.2f} ± {allowed:.2f}"
    if math.isfinite(loss) and abs(loss - expected) <= allowed:
        return Check("first loss", said)
    return Check(
        "first loss",
        said,
        "labels, head or precision are not what they seem: try precision=fp32",
    )


def chance(head: Part, classes: int, dimension: int, norm_B: Float[Tensor, " b"]) -> tuple[float, float]:
    """Loss that random centres give without margin, and its standard deviation over rows, by simulation.

    Cosines with random centres are about normal, of deviation 1/√dimension; inner products have that of the
    centres' values times the length of the embedding.

    Args:
        head: of the recipe.
        classes: that take part in a step.
        dimension: of the embeddings.
        norm_B: their lengths, for heads that look at them.
    """
    made = heads.build(head)
    made.strength = 0.0
    columns = min(classes, LARGEST_COLUMNS)
    chance_of = torch.Generator().manual_seed(0)
    norm = norm_B.repeat(-(-SIMULATED_ROWS // len(norm_B)))[:SIMULATED_ROWS].float()
    deviation = norm.new_full((), 1.0 / math.sqrt(dimension)) if made.cosine else norm.mean() * DEVIATION
    column = torch.arange(SIMULATED_ROWS) % columns
    product = torch.randn(SIMULATED_ROWS, columns, generator=chance_of)
    for _ in range(made.centres - 1):
        torch.maximum(product, torch.randn(product.shape, generator=chance_of), out=product)
    product = product * deviation
    product = product.clamp(-1.0, 1.0) if made.cosine else product
    own = product.gather(1, column[:, None])[:, 0]
    losses = sharded_cross_entropy(made(product, column, norm, own), column)
    # Classes beyond those simulated: as many times more terms in the sum of exponentials.
    mean = losses.mean() + math.log(classes / columns) + made.penalty(norm)
    return float(mean), float(losses.std())


# ---------------------------------------------------------------------------------------------------- memory


def _memory(trial: _Trial, micro: MicroBatch, among: int) -> Check:
    weights = list(trial.parts.network.parameters())
    backbone = sum(p.numel() * p.element_size() for p in weights)
    states = _states(trial.recipe.optimiser)
    centres = sum(t.numel() * t.element_size() for t in _centres(trial.parts)) / among
    kept = _kept(trial, micro)
    taken = {
        "weights and gradients": 2 * backbone,
        "optimiser": states * backbone,
        "class centres": centres * (1 + states + trial.recipe.sample_rate),
        "kept for the backward pass": kept,
    }
    total = sum(taken.values())
    there = _there(trial.device)
    said = f"about {_mib(total)} per process: " + ", ".join(f"{n} {_mib(v)}" for n, v in taken.items())
    if there is None or total < 0.9 * there:
        return Check("memory", said if there is None else f"{said}; there are {_mib(there)}")
    todo = "set a smaller micro_batch, checkpoint_activations=true or precision=bf16, or use more processes"
    return Check("memory", f"{said}; there are only {_mib(there)}", todo)


def _states(optimiser: Part) -> int:
    """Numbers that an optimiser keeps per weight."""
    return 2 if optimiser.kind == "adamw" else int(bool(optimiser.options.get("momentum", 0.0)))


def _centres(parts: Parts) -> list[Tensor]:
    return [parts.objective.centres.weight] if isinstance(parts.objective, Classify) else []


def _kept(trial: _Trial, micro: MicroBatch) -> int:
    """Bytes that one micro-batch keeps for its backward pass, weights apart."""
    own = [*trial.parts.network.parameters(), *_centres(trial.parts)]
    known = {tensor.untyped_storage().data_ptr() for tensor in own}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        trial.measure(micro, 0.0)
    trial.parts.objective.discard()
    return sum(sizes.values())


def _there(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _mib(size: int | float) -> str:
    return f"{size / 2**30:,.1f} GiB" if size >= 2**30 else f"{size / 2**20:,.1f} MiB"


# ----------------------------------------------------------------------------------------------------- speed


def _speed(trial: _Trial, micro: list[MicroBatch], loading: float, seconds: float) -> Iterator[Check]:
    rate = learning_rate(trial.recipe.optimiser) * 1e-3
    trial.step(micro[0], rate)  # the first is slower: memory is found, kernels are chosen
    pictures, began = 0, time.perf_counter()
    for part in micro[1:] or micro:
        trial.step(part, rate)
        pictures += len(part.label)
        if time.perf_counter() - began > seconds:
            break
    if trial.device.type == "cuda":
        torch.cuda.synchronize(trial.device)
    learning = pictures / (time.perf_counter() - began)
    shared = trial.device.type == "cpu"
    both = 1.0 / (1.0 / loading + 1.0 / learning) if shared else min(loading, learning)
    plan = trial.parts.plan
    left = timedelta(seconds=round(plan.steps * trial.recipe.batch / both))
    said = f"steps {learning:,.0f} pictures/s, loader alone {loading:,.0f} pictures/s"
    if loading < learning:
        yield Check("speed", said, "the loader starves the steps: raise threads, or use a faster disk")
    else:
        yield Check("speed", said)
    place = "one processor for both" if shared else "one device"
    yield Check("time", f"about {left} for {plan.steps:,} steps of {trial.recipe.batch} on {place}")


# --------------------------------------------------------------------------------------------------- learning


def _learning(trial: _Trial, micro: MicroBatch, seconds: float) -> Check:
    """A network that cannot learn one batch by heart learns nothing from many."""
    few = slice(0, LEARNING_ROWS)
    batch = MicroBatch(0, micro.pixels[few], micro.label[few], micro.index[few])
    rate = learning_rate(trial.recipe.optimiser)
    losses: list[float] = []
    began = time.perf_counter()
    while len(losses) < LEARNING_STEPS and (len(losses) < 2 or time.perf_counter() - began < seconds):
        losses.append(trial.step(batch, rate))
    last = sum(losses[-3:]) / len(losses[-3:])
    said = f"loss of one batch of {len(batch.label)}: {losses[0]:.2f}, {last:.2f} after {len(losses)} steps"
    if math.isfinite(last) and last < FALL * losses[0]:
        return Check("learning", said)
    if len(losses) < LEARNING_STEPS:
        return Check("learning", f"{said}: too few to tell in the time allowed")
    return Check(
        "learning", f"{said}: it does not fall", "lower optimiser.learning_rate, or set precision=fp32"
    )
