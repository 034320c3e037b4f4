"""A few training steps with class centres on two and on three processes; what they gave goes to files.

    python partial_steps.py FOLDER

writes FOLDER/WORLD-RANK.npz. The test also runs `steps` in its own process, where nothing is distributed.
"""

import contextlib
import multiprocessing
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lineament.core.errors import LineamentError
from lineament.train import heads
from lineament.train.partial import PartialFC
from lineament.train.recipe import Part, part

WIDTH, DIMENSION, ROWS, STEPS = 4, 5, 12, 2


@dataclass(frozen=True)
class Case:
    """What is trained: each step has ROWS rows, `micro` of them at a time over all processes."""

    head: Part
    rate: float = 1.0
    classes: int = 11
    micro: int = 6
    optimiser: Part = field(default_factory=lambda: part("sgd", momentum=0.9, weight_decay=0.01))


CASES = {
    "cosface": Case(part("cosface", scale=8.0, margin=0.2)),
    "cosface sampled": Case(part("cosface", scale=8.0, margin=0.2), rate=0.7, classes=30),
    "bias": Case(part("softmax"), rate=0.6, classes=40),
    "sub-centres": Case(part("subcenter", centres=3, scale=8.0, margin=0.3), rate=0.7, classes=30),
    "lengths count": Case(part("magface", scale=8.0), rate=0.7, classes=30),
    "running values": Case(part("curricularface", scale=8.0), rate=0.7, classes=30),
    "running means": Case(part("adaface", scale=8.0), rate=0.7, classes=30),
    "adamw": Case(part("arcface", scale=8.0), 0.7, 30, 6, part("adamw", weight_decay=0.1)),
    "fewer classes than processes": Case(part("arcface", scale=8.0), classes=2),
    "a process without a class in the step": Case(part("curricularface", scale=8.0), rate=1e-9, classes=300),
    "one row at a time": Case(part("cosface", scale=8.0), rate=0.7, classes=30, micro=0),
}


def rows(case: Case, step: int) -> tuple[torch.Tensor, torch.Tensor]:
    """All rows of a step and their labels."""
    rng = np.random.default_rng(step)
    inputs = torch.from_numpy(rng.standard_normal((ROWS, WIDTH)) * 3.0)
    return inputs, torch.from_numpy(rng.integers(0, case.classes, ROWS))


def steps(case: Case, rank: int, world: int) -> dict[str, np.ndarray]:
    """Train, and tell everything: per step, and the centres of this process at the end."""
    network = nn.Linear(WIDTH, DIMENSION, dtype=torch.float64)
    with torch.no_grad():
        network.weight.copy_(torch.linspace(-1, 1, DIMENSION * WIDTH).sin().view(DIMENSION, WIDTH))
        network.bias.fill_(0.1)
    model = DistributedDataParallel(network) if world > 1 else network
    head = heads.build(case.head)
    centres = PartialFC(head, case.classes, DIMENSION, sample_rate=case.rate, seed=5, dtype=torch.float64)
    centres.optimise(case.optimiser)
    told: dict[str, list[Any]] = {}
    for step in range(STEPS):
        network.zero_grad()
        for name, value in one_step(case, model, centres, step, rank, world).items():
            told.setdefault(name, []).append(value)
        for name, value in network.named_parameters():
            told.setdefault(f"gradient of {name}", []).append(value.grad.numpy().copy())
            value.data.add_(value.grad, alpha=-0.1)
        centres.step(0.5)
    result = {name: np.stack(values) for name, values in told.items()}
    result |= {f"centre {n}": t.numpy() for n, t in centres.state_tensors().items()}
    return result | {f"head {n}": t.numpy() for n, t in head.state_dict().items()}


def one_step(
    case: Case, model: nn.Module, centres: PartialFC, step: int, rank: int, world: int
) -> dict[str, np.ndarray]:
    """Forward and backward of all micro-batches."""
    inputs, labels = rows(case, step)
    micro = case.micro or world
    each = micro // world
    mine = [torch.arange(at + rank * each, at + (rank + 1) * each) for at in range(0, ROWS, micro)]
    centres.begin(labels[torch.cat(mine)], step)
    loss, correct, own = 0.0, 0, []
    gradients = torch.zeros(ROWS, DIMENSION, dtype=torch.float64)
    for index in mine:
        last = index is mine[-1]
        waits = model.no_sync() if world > 1 and not last else contextlib.nullcontext()
        with waits:
            embedding = model(inputs[index])
            embedding.retain_grad()
            result = centres(embedding, labels[index])
            result.loss.backward()
        loss += float(result.loss.detach())
        correct += int(result.correct)
        own.append(result.own)
        gradients[index] = embedding.grad / world
    values = {"loss": loss, "correct": correct, "own": torch.cat(own).numpy(), "embedding": gradients.numpy()}
    return {name: np.asarray(value) for name, value in values.items()}


def refusals(rank: int, world: int) -> dict[str, np.ndarray]:
    """What every process says when only the last one has a wrong label, or a row too many."""
    centres = PartialFC(heads.build(part("cosface")), 4, DIMENSION)
    told = {}
    labels = torch.tensor([1, 7 if rank == world - 1 else 2])
    for name, wrong in (("label", labels), ("rows", torch.zeros(1 + (rank == world - 1), dtype=torch.int64))):
        try:
            centres.begin(wrong, 3)
        except LineamentError as error:
            told[name] = np.asarray(f"{type(error).__name__}: {error.message}")
    return told


def member(rank: int, world: int, folder: Path) -> None:
    """One process of several."""
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet{world}"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=world)
    told = {f"{name}/{k}": v for name, case in CASES.items() for k, v in steps(case, rank, world).items()}
    told |= {f"refusals/{k}": v for k, v in refusals(rank, world).items()}
    np.savez(folder / f"{world}-{rank}.npz", **told)
    dist.destroy_process_group()


def main(folder: Path) -> int:
    """Five processes in two groups; 0 if all went well."""
    # Forked, they share one import of torch, which takes longer than all steps.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    members = [(rank, world, folder) for world in (2, 3) for rank in range(world)]
    processes = [context.Process(target=member, args=m, daemon=True) for m in members]
    for process in processes:
        process.start()
    for process in processes:
        process.join(90)
    return max(abs(process.exitcode or 0) if process.exitcode is not None else 1 for process in processes)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
