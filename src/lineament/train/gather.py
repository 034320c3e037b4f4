"""Values that the processes of a group share: sums, extremes, and rows whose gradients find their way back.

Everything goes through torch.distributed on the device of its argument, so gloo and nccl both serve. Without
an initialised process group, or in a group of one, nothing is sent and nothing is copied.
"""

from typing import Any, cast

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor


def place(group: dist.ProcessGroup | None = None) -> tuple[int, int]:
    """Number of this process in the group, and how many it has; (0, 1) where no launcher was used.

    Args:
        group: None for all processes.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(group), dist.get_world_size(group)


def total(value: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Sum over the processes, in place; no gradient."""
    return _reduced(value, dist.ReduceOp.SUM, group)


def largest(value: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Largest over the processes, in place; no gradient."""
    return _reduced(value, dist.ReduceOp.MAX, group)


def smallest(value: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """Smallest over the processes, in place; no gradient."""
    return _reduced(value, dist.ReduceOp.MIN, group)


def _reduced(value: Tensor, how: Any, group: dist.ProcessGroup | None) -> Tensor:
    if place(group)[1] > 1:
        dist.all_reduce(value, op=how, group=group)
    return value


def gathered(
    value: Shaped[Tensor, "b *rest"], group: dist.ProcessGroup | None = None
) -> Shaped[Tensor, "B *rest"]:
    """Rows of all processes, in order of their numbers; no gradient.

    Args:
        value: as many rows on every process.
        group: None for all processes.
    """
    _, world = place(group)
    if world == 1:
        return value.detach()
    rows = value.new_empty((world * value.shape[0], *value.shape[1:]))
    # The form with a list is the one that every torch from 2.6 has and none calls deprecated.
    dist.all_gather(list(rows.tensor_split(world)), value.detach().contiguous(), group=group)
    return rows


def gathered_rows(
    value: Shaped[Tensor, "b *rest"], group: dist.ProcessGroup | None = None
) -> Shaped[Tensor, "B *rest"]:
    """Rows of all processes, in order of their numbers, with gradients.

    Each process computes from the rows a part of one common loss. The gradient that comes back is the sum of
    what the processes have for the rows of this one, times the number of processes, because
    DistributedDataParallel takes the mean over processes of what every process's rows give.

    Args:
        value: as many rows on every process.
        group: None for all processes.
    """
    if place(group)[1] == 1:
        return value
    return cast(Tensor, _Gather.apply(value, group))


def counted_once(value: Tensor, group: dist.ProcessGroup | None = None) -> Tensor:
    """The same value, for terms that every process computes in full from gathered rows.

    `gathered_rows` adds up the gradients of the processes; a term that is on all of them would count that
    often. Here its gradient is divided by their number.
    """
    _, world = place(group)
    if world == 1:
        return value
    constant = value.detach()
    return constant + (value - constant) / world


class _Gather(torch.autograd.Function):
    """All-gather; backward a sum over processes, of which each keeps its own rows."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        ctx.count = value.shape[0]
        return gathered(value, group)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        rank, world = place(ctx.group)
        # A copy: the sum is in place, and the engine may hand the same gradient to others.
        everyone = total(gradients[0].clone(memory_format=torch.contiguous_format), ctx.group)
        own = everyone[rank * ctx.count : (rank + 1) * ctx.count]
        return own * world, None
