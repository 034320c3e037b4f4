"""Cross-entropy over classes whose logits are spread over processes.

Every process has all rows and some of the columns. Largest value, sum of exponentials and own logit are the
only numbers that travel (An et al. 2021, "Partial FC", §3.1). Unlike implementations that clamp
probabilities, the loss stays exact for rows that are hopelessly wrong.

Shapes: B rows, C columns of this process.
"""

from typing import Any, cast

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from lineament.train.gather import largest, total


def sharded_cross_entropy(
    logit_BC: Float[Tensor, "b c"], column_B: Int[Tensor, " b"], group: dist.ProcessGroup | None = None
) -> Float[Tensor, " b"]:
    """−log softmax of the own class, row by row, over the columns of all processes.

    Args:
        logit_BC: columns of this process; may be none at all. Half precision is raised to float32.
        column_B: of the row's own class, −1 where another process has it.
        group: processes that share the columns; None for all, or for a single process without a launcher.

    Returns:
        The same losses on every process; NaN for a row whose own class no process, or more than one, claims.
        The gradient of a logit is (p − y) times that of the row's loss, which must be the same on every
        process: nothing is sent on the way back.
    """
    # Half precision would round p − y to nothing for all but a few classes.
    kept = logit_BC.to(torch.promote_types(logit_BC.dtype, torch.float32))
    return cast(Tensor, _CrossEntropy.apply(kept, column_B, group))


class _CrossEntropy(torch.autograd.Function):
    """Keeps the logits and one number per row; probabilities are made again on the way back."""

    @staticmethod
    def forward(ctx: Any, logit_BC: Tensor, column_B: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        own_B, mine_B = own_column(logit_BC, column_B)
        if logit_BC.shape[1]:
            log_sum_B = logit_BC.logsumexp(1)
        else:
            log_sum_B = logit_BC.new_full((logit_BC.shape[0],), -torch.inf)
        top_B = largest(log_sum_B.clone(), group)
        sums = total(torch.stack([(log_sum_B - top_B).exp(), own_B, mine_B.to(own_B.dtype)]), group)
        log_sum_B = sums[0].log() + top_B
        ctx.save_for_backward(logit_BC, column_B, log_sum_B)
        return torch.where(sums[2] == 1, log_sum_B - sums[1], torch.nan)

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[override]  (the decorator hides the name of ctx)
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, None, None]:
        logit_BC, column_B, log_sum_B = ctx.saved_tensors
        gradient_BC = (logit_BC - log_sum_B[:, None]).exp_()
        if gradient_BC.shape[1]:
            mine_B = (column_B >= 0).to(gradient_BC.dtype)
            gradient_BC.scatter_add_(1, column_B.clamp_min(0)[:, None], -mine_B[:, None])
        return gradient_BC.mul_(gradients[0][:, None]), None, None


def own_column(value_BC: Tensor, column_B: Tensor) -> tuple[Tensor, Tensor]:
    """Each row's value in its own column, 0 where another process has that; and whether it is here."""
    mine_B = column_B >= 0
    if not value_BC.shape[1]:
        return value_BC.new_zeros(value_BC.shape[0]), mine_B
    own_B = value_BC.gather(1, column_B.clamp_min(0)[:, None])[:, 0]
    return torch.where(mine_B, own_B, 0.0), mine_B
