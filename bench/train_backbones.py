"""Training steps of backbones on a processor: how many pictures a second, by precision, layout and compiler.

    python bench/train_backbones.py                                   # everything but torch.compile, minutes
    python bench/train_backbones.py --ways compiled --kinds mobilefacenet --batches 32 --threads 2

A step is forward, backward and SGD with momentum; the loss is softmax over 1000 classes, so that the head
costs next to nothing. Ways are run in turn, A B A B, after one step each to warm up. Best and median step are
printed, with processor milliseconds per picture, which say more where the machine is shared. What
torch.compile takes to compile (it needs a C++ compiler) is said apart.
"""

import argparse
import time
from collections.abc import Callable
from contextlib import nullcontext

import torch
import torch.nn.functional as F
from torch import nn

from lineament.train.backbones import build
from lineament.train.backbones.wrap import wrapped
from lineament.train.recipe import Part, part
from measure import Runs, timed

KINDS: dict[str, Part] = {
    "mobilefacenet": part("mobilefacenet"),
    "mobilefacenet-half": part("mobilefacenet", scale=0.5, dimension=128),
    "mobilefacenet-reduced": part("mobilefacenet", reduce=2),
    "iresnet18": part("iresnet18"),
    "iresnet18-small": part("iresnet18", width=16, reduce=2, dimension=128),
}

WAYS: dict[str, dict[str, bool]] = {
    "eager": {},
    "channels_last": {"channels_last": True},
    "bf16": {"bf16": True},
    "bf16+channels_last": {"bf16": True, "channels_last": True},
    "recomputed": {"checkpoint_activations": True},
    "compiled": {"compile": True},
    "compiled+channels_last": {"compile": True, "channels_last": True},
    "compiled+bf16": {"compile": True, "bf16": True},
}


def stepper(kind: str, way: str, batch: int) -> Callable[[], float]:
    """One training step, always on the same pictures; returns the loss."""
    torch.manual_seed(0)
    settings = dict(WAYS[way])
    half = settings.pop("bf16", False)
    network = wrapped(build(KINDS[kind]), **settings)
    centres = nn.Linear(network.dimension, 1000, bias=False)
    parameters = [*network.parameters(), *centres.parameters()]
    optimiser = torch.optim.SGD(parameters, 0.01, momentum=0.9, weight_decay=5e-4)
    # As a loader gives them: (b, h, w, 3), seen as (b, 3, h, w).
    crops = torch.randn(batch, 112, 112, 3).permute(0, 3, 1, 2)
    if not settings.get("channels_last"):
        crops = crops.contiguous()
    label = torch.arange(batch) % 1000

    def step() -> float:
        with torch.autocast("cpu", torch.bfloat16) if half else nullcontext():
            embedding = network(crops)
        loss = F.cross_entropy(centres(embedding), label)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        return loss.item()

    return step


def measure(kind: str, batch: int, threads: int, ways: list[str], steps: int) -> None:
    """Prints one row per way."""
    torch.set_num_threads(threads)
    runs: dict[str, Runs] = {}
    work: dict[str, Callable[[], float]] = {}
    for way in ways:
        start = time.perf_counter()
        work[way] = stepper(kind, way, batch)
        work[way]()
        if "compiled" in way:
            seconds = time.perf_counter() - start
            print(f"# {kind} {way} batch {batch}: {seconds:.0f} s until the first step ended")
        runs[way] = Runs(way, batch)
    for _ in range(steps):
        for way in ways:
            runs[way].answer, sample = timed(work[way])
            runs[way].samples.append(sample)
    for way, run in runs.items():
        print(
            f"{kind:<22} {batch:>5} {threads:>7} {way:<23} {1 / run.wall:>10.1f} {1 / run.middle:>10.1f} "
            f"{1000 * run.cpu:>8.2f} {run.answer:>8.4f}",
            flush=True,
        )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=["mobilefacenet", "iresnet18"])
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS)[:5])
    parser.add_argument("--batches", nargs="+", type=int, default=[32, 64])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--steps", type=int, default=5)
    wanted = parser.parse_args()
    print(
        f"# torch {torch.__version__}, oneDNN {torch.backends.mkldnn.is_available()}, "
        f"{torch.backends.cpu.get_cpu_capability()}"
    )
    print(
        f"{'network':<22} {'batch':>5} {'threads':>7} {'way':<23} {'best 1/s':>10} {'median 1/s':>10} "
        f"{'cpu ms':>8} {'loss':>8}"
    )
    for kind in wanted.kinds:
        for threads in wanted.threads:
            for batch in wanted.batches:
                measure(kind, batch, threads, wanted.ways, wanted.steps)


if __name__ == "__main__":
    main()
