"""What a step of the class centres costs: all of them, or a tenth (Partial FC), beside the usual ways.

    python bench/train_heads.py               # 10k, 100k and 1M classes, some minutes
    python bench/train_heads.py --quick       # 10k and 100k, few steps
    python bench/train_heads.py --classes 100000 --ways "ours, all" "ours, 0.1" --json heads.json

A step takes 128 embeddings of 512 numbers that want a gradient: ArcFace, softmax, the way back to embeddings
and centres, and SGD with momentum and weight decay on the centres. `ours` is `PartialFC`, with the share of
classes that take part; the loss of pytorch-metric-learning is its `ArcFaceLoss` with torch.optim.SGD on its
`W`; `plain` is normalize, linear, cross entropy and torch.optim.SGD, without a margin: what the arithmetic
costs when nothing is done about memory.

Each case runs in a process of its own, in turn. Printed: median and best processor milliseconds per step of
all threads, median on the clock, and the peak of memory over what the process had before centres were made.
The centres themselves, and their momentum, are part of that: the column before it says how much they are. A
case that would not fit in the free memory is left out, and said to be.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from lineament.train import heads
from lineament.train.partial import PartialFC
from lineament.train.recipe import part
from lineament.train.rows import RowSGD
from measure import machine, timed
from thresholds import peak_memory

DIMENSION, BATCH, SCALE, MARGIN = 512, 128, 64.0, 0.5
RATE, MOMENTUM, DECAY = 0.1, 0.9, 5e-4
WARM_UP = 2
Step = Callable[[torch.Tensor, torch.Tensor, int], float]


def ours(classes: int, share: float) -> Step:
    """PartialFC with a share of the classes taking part."""
    centres = PartialFC(
        heads.build(part("arcface", scale=SCALE, margin=MARGIN)), classes, DIMENSION, sample_rate=share
    )
    centres.rows = RowSGD(MOMENTUM, DECAY)
    for tensor in centres.state_tensors().values():
        # Zeros take no memory until they are written to, and a few steps do not write to all rows.
        tensor.add_(0.0)

    def step(embedding: torch.Tensor, label: torch.Tensor, number: int) -> float:
        centres.begin(label, number)
        loss = centres(embedding, label).loss
        loss.backward()
        centres.step(RATE)
        return loss.item()

    return step


def metric_learning(classes: int) -> Step:
    """ArcFaceLoss of pytorch-metric-learning, which takes its margin in degrees."""
    from pytorch_metric_learning.losses import ArcFaceLoss

    measure = ArcFaceLoss(classes, DIMENSION, margin=57.29578 * MARGIN, scale=SCALE)
    optimiser = torch.optim.SGD(measure.parameters(), RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def step(embedding: torch.Tensor, label: torch.Tensor, number: int) -> float:
        loss = measure(embedding, label)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def plain(classes: int) -> Step:
    """Normalised softmax, written as in a notebook."""
    weight = torch.nn.Parameter(torch.randn(classes, DIMENSION) * 0.01)
    optimiser = torch.optim.SGD([weight], RATE, momentum=MOMENTUM, weight_decay=DECAY)

    def step(embedding: torch.Tensor, label: torch.Tensor, number: int) -> float:
        loss = F.cross_entropy(SCALE * F.linear(F.normalize(embedding), F.normalize(weight)), label)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


WAYS: dict[str, Callable[[int], Step]] = {
    "ours, all": lambda classes: ours(classes, 1.0),
    "ours, 0.1": lambda classes: ours(classes, 0.1),
    "pytorch-metric-learning": metric_learning,
    "plain, no margin": plain,
}
# Copies of the centres, and of the logits, that a way has at its peak, roughly: only to leave out what would
# not fit.
COPIES = {
    "ours, all": (3, 6),
    "ours, 0.1": (2.5, 1),
    "pytorch-metric-learning": (6, 12),
    "plain, no margin": (6, 6),
}
LARGEST = {"pytorch-metric-learning": 100_000, "plain, no margin": 100_000}
"""Classes up to which the rivals are run unless --all asks for more."""


def needed(way: str, classes: int) -> float:
    """Megabytes, roughly."""
    matrices, logits = COPIES[way]
    return (matrices * classes * DIMENSION + logits * classes * BATCH) * 4 / 1e6


def free() -> float:
    """Megabytes that can be had; without an answer, no limit."""
    try:
        text = Path("/proc/meminfo").read_text()
        return int(text.split("MemAvailable:")[1].split()[0]) * 1024 / 1e6
    except (OSError, IndexError):
        return float("inf")


def one(way: str, classes: int, steps: int, threads: int) -> None:
    """Run one case and print what it took as JSON."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if way.startswith("pytorch"):
        import pytorch_metric_learning.losses  # noqa: F401  (loading it is not what is measured)
    # The first product and the first way back load their kernels: that is no one's memory.
    warm = torch.randn(BATCH, DIMENSION, requires_grad=True)
    F.cross_entropy(F.linear(warm, torch.randn(BATCH, DIMENSION)), torch.arange(BATCH)).backward()
    base = peak_memory()
    step = WAYS[way](classes)
    samples = []
    loss = float("nan")
    for number in range(WARM_UP + steps):
        embedding = torch.randn(BATCH, DIMENSION, requires_grad=True)
        label = torch.randint(classes, (BATCH,))
        loss, sample = timed(lambda e=embedding, y=label, n=number: step(e, y, n))
        samples.append(sample)
    cpu = [s.cpu * 1e3 for s in samples[WARM_UP:]]
    wall = [s.wall * 1e3 for s in samples[WARM_UP:]]
    print(json.dumps({"cpu": cpu, "wall": wall, "memory": peak_memory() - base, "loss": loss}))


def case(way: str, classes: int, steps: int, threads: int) -> dict[str, Any]:
    """One case in a process of its own."""
    command = [sys.executable, __file__, "--one", way, str(classes), str(steps), str(threads)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{way} at {classes} classes ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def line(way: str, classes: int, rounds: list[dict[str, Any]]) -> str:
    """One row of the table."""
    cpu, wall = ([v for r in rounds for v in r[k]] for k in ("cpu", "wall"))
    centres = 2 * classes * DIMENSION * 4 / 1e6
    memory = statistics.median(r["memory"] for r in rounds)
    return (
        f"| {classes:,} | {way} | {statistics.median(cpu):,.1f} | {min(cpu):,.1f} | "
        f"{statistics.median(wall):,.1f} | {centres:,.0f} | {memory:,.0f} | {rounds[-1]['loss']:.2f} |"
    )


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=int, nargs="+")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--rounds", type=int, help="processes per case")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--quick", action="store_true", help="10k and 100k, 3 steps, one round")
    parser.add_argument("--all", action="store_true", help="the rivals at 1M classes, too, if they fit")
    parser.add_argument("--json", type=Path)
    parser.add_argument(
        "--one", nargs=4, metavar=("WAY", "CLASSES", "STEPS", "THREADS"), help=argparse.SUPPRESS
    )
    wanted = parser.parse_args()
    if wanted.one:
        one(wanted.one[0], *(int(v) for v in wanted.one[1:]))
        return
    steps = wanted.steps or (3 if wanted.quick else 10)
    rounds = wanted.rounds or (1 if wanted.quick else 3)
    sizes = wanted.classes or ([10_000, 100_000] if wanted.quick else [10_000, 100_000, 1_000_000])
    about = machine() | {"torch": torch.__version__, "threads": wanted.threads}
    print(", ".join(f"{name} {value}" for name, value in about.items()))
    print("| classes | way | CPU ms, median | best | clock ms | centres and momentum, MB | peak, MB | loss |")
    print("|---|---|---|---|---|---|---|---|")
    found: list[dict[str, Any]] = []
    for classes in sizes:
        ways = [w for w in wanted.ways if wanted.all or classes <= LARGEST.get(w, classes)]
        fitting = [w for w in ways if needed(w, classes) < free()]
        for way in sorted(set(ways) - set(fitting)):
            print(
                f"| {classes:,} | {way} | left out: about {needed(way, classes):,.0f} MB are not free |"
                + " |" * 5
            )
        # A B A B: what else the machine does meanwhile meets all of them.
        taken: dict[str, list[dict[str, Any]]] = {way: [] for way in fitting}
        for _ in range(rounds):
            for way, runs in taken.items():
                runs.append(case(way, classes, steps, wanted.threads))
        for way, runs in taken.items():
            print(line(way, classes, runs), flush=True)
            found.append({"way": way, "classes": classes, "rounds": runs})
    if wanted.json:
        wanted.json.write_text(json.dumps({"machine": about, "cases": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
