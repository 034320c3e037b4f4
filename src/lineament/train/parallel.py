"""Which process of a run this is, and how the processes agree.

A run is started once per process by torchrun, or without a launcher as a single process. Everything that
needs to know of other processes is here and in `partial.py`; the network itself does not.
"""

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lineament.core.errors import RuntimeUnavailable

DEVICES = ("auto", "cpu", "cuda")


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
    """
    chosen = _device(device)
    if not launched():
        yield Processes(0, 1, chosen)
        return
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), chosen)
    finally:
        dist.destroy_process_group()


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
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def distributed(network: nn.Module, processes: Processes) -> nn.Module:
    """The network, with its gradients averaged over processes where there are several."""
    if processes.world == 1:
        return network
    device = processes.device
    ids = [device.index] if device.type == "cuda" else None
    # Buffers are statistics of each process's own micro-batches; they are averaged when they are needed.
    return DistributedDataParallel(network, device_ids=ids, broadcast_buffers=False)


def seeded(*numbers: int) -> int:
    """A seed for torch from several numbers; the same on every machine and for every number of processes."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> np.uint64(1))
