"""Which process of a run this is, and how the processes agree.

A run is started once per process by torchrun, or without a launcher as a single process. Everything that
needs to know of other processes is here and in `partial.py`; the network itself does not.
"""

import inspect
import os
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lineament.core.errors import RuntimeUnavailable, TrainingError

DEVICES = ("auto", "cpu", "cuda")

PATIENCE = timedelta(minutes=30)
"""How long a process waits for the others: longer than the first one takes to validate and save."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of the run.

    Attributes:
        rank: number of this one, from 0.
        world: how many there are.
        device: where it calculates.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Whether this is the one that talks and writes."""
        return self.rank == 0

    @property
    def group(self) -> "dist.ProcessGroup | None":
        """All processes, or None for a single one."""
        return dist.group.WORLD if self.world > 1 else None

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """For each flag, whether it is set on any process."""
        if self.world == 1:
            return flags
        seen = torch.tensor([float(f) for f in flags], device=self.device)
        dist.all_reduce(seen, op=dist.ReduceOp.MAX)
        return tuple(bool(v) for v in seen.tolist())

    def gather(self, sentences: Sequence[str]) -> tuple[str, ...]:
        """What all processes have to say, each sentence once, on every process."""
        if self.world == 1:
            return tuple(sentences)
        own = np.frombuffer("\0".join(sentences).encode("utf-8", "surrogatepass"), np.uint8)
        length = torch.tensor([len(own)], device=self.device)
        lengths = [torch.zeros_like(length) for _ in range(self.world)]
        dist.all_gather(lengths, length)
        sizes = [int(n) for n in lengths]
        padded = torch.zeros(max(sizes), dtype=torch.uint8, device=self.device)
        padded[: len(own)] = torch.from_numpy(own.copy())
        rows = [torch.zeros_like(padded) for _ in range(self.world)]
        dist.all_gather(rows, padded)
        said = [
            bytes(r[:n].tolist()).decode("utf-8", "surrogatepass") for r, n in zip(rows, sizes, strict=True)
        ]
        return tuple(dict.fromkeys(s for text in said for s in text.split("\0") if s))

    def wait(self) -> None:
        """Until every process has come here."""
        if self.world > 1:
            dist.barrier()

    def average_statistics(self, network: nn.Module) -> None:
        """Make the running statistics of batch normalisation the mean over processes.

        Each process saw its own micro-batches. Training does not use the running statistics, so this changes
        what is validated and saved, never the loss.
        """
        if self.world == 1:
            return
        for buffer in network.buffers():
            if buffer.is_floating_point():
                dist.all_reduce(buffer)
                buffer /= self.world


def launched() -> bool:
    """Whether a launcher such as torchrun has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1


@contextmanager
def joined(device: str = "auto") -> Generator[Processes]:
    """Join the processes of the run; leave them at the end.

    Args:
        device: `cpu`, `cuda`, or `auto`: CUDA where torch has it.

    Raises:
        RuntimeUnavailable: a device that is not here.
        TrainingError: another process ended while this one was waiting for it.
    """
    chosen = _device(device)
    if not launched():
        yield Processes(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), chosen)
    except RuntimeError as error:
        if not _is_loss(error):
            raise
        raise TrainingError(
            "another process of this run has ended or does not answer: see its message, then start the run "
            "again; it goes on from the last checkpoint"
        ) from error
    finally:
        dist.destroy_process_group()


def _is_loss(error: RuntimeError) -> bool:
    # Gloo raises plain RuntimeErrors that begin with the place in its sources.
    return isinstance(error, dist.DistError) or "/gloo/" in str(error)


def _device(name: str) -> torch.device:
    if name not in DEVICES:
        raise RuntimeUnavailable(f"there is no device {name!r}: use one of {', '.join(DEVICES)}")
    here = torch.cuda.is_available()
    if name == "cuda" and not here:
        raise RuntimeUnavailable(
            "torch finds no CUDA device here: use --device cpu, or install a CUDA build of torch and "
            "its driver"
        )
    if name == "cpu" or not here:
        return torch.device("cpu")
    number, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if number >= count:
        raise RuntimeUnavailable(
            f"process {number} of this machine has no CUDA device: there are {count}; start at most that "
            "many processes, or use --device cpu"
        )
    device = torch.device("cuda", number)
    torch.cuda.set_device(device)
    return device


def distributed(network: nn.Module, processes: Processes) -> nn.Module:
    """The network, with its gradients averaged over processes where there are several."""
    if processes.world == 1:
        return network
    device = processes.device
    ids = [device.index] if device.type == "cuda" else None
    # Buffers are statistics of each process's own micro-batches; they are averaged when they are needed. The
    # argument has another name from torch 2.13 on.
    named = inspect.signature(DistributedDataParallel).parameters
    name = "forward_sync_buffers" if "forward_sync_buffers" in named else "broadcast_buffers"
    options: dict[str, Any] = {name: False}
    return DistributedDataParallel(network, device_ids=ids, **options)


def seeded(*numbers: int) -> int:
    """A seed for torch from several numbers; the same on every machine and for every number of processes."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
