"""A row's own class within the logits of one process: finding it, reading it, replacing it.

B rows, C classes of this process. Column −1 stands for a class that another process has.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from lineament.core.errors import DatasetInvalid


def widened(product_BC: Float[Tensor, "B C"]) -> Float[Tensor, "B C"]:
    """In float32 at least: a margin of 0.5 rad is 300 steps of a bfloat16 cosine, and 64 × that rounding."""
    return product_BC.to(torch.promote_types(product_BC.dtype, torch.float32))


def require_columns(column_B: Int64[Tensor, " B"], classes: int) -> None:
    """Refuse labels that no class has: gathering there reads other memory or stops the device.

    Raises:
        DatasetInvalid: naming the first such label.
    """
    wrong_B = (column_B < -1) | (column_B >= classes)
    if bool(wrong_B.any()):
        row = int(wrong_B.nonzero()[0, 0])
        raise DatasetInvalid(
            f"label {int(column_B[row])} in row {row} is not one of {classes} classes "
            f"(0 to {classes - 1}, or -1 for a class of another process): check the labels of the data set "
            "against the number of classes"
        )


def own(logit_BC: Float[Tensor, "B C"], column_B: Int64[Tensor, " B"]) -> Float[Tensor, " B"]:
    """Each row's value at its own class; of rows without one here, some finite value that is not used."""
    if logit_BC.shape[1] == 0:
        return logit_BC.new_zeros(logit_BC.shape[0])
    # No boolean indexing: its result has a size that only the device knows, and waiting for it costs time.
    # Nor `gather`: it keeps the logits for the way back, and `with_own` changes them.
    row_B = torch.arange(len(column_B), device=column_B.device)
    return logit_BC[row_B, column_B.clamp(min=0)]


def with_own(
    logit_BC: Float[Tensor, "B C"], column_B: Int64[Tensor, " B"], value_B: Float[Tensor, " B"]
) -> Float[Tensor, "B C"]:
    """The logits with each row's own class replaced; rows without one here stay as they are.

    The tensor is changed in place, since a copy of a million classes costs gigabytes: pass one that nothing
    else uses.
    """
    if logit_BC.shape[1] == 0:
        return logit_BC
    kept_B = torch.where(column_B >= 0, value_B, own(logit_BC, column_B))
    return logit_BC.scatter_(1, column_B.clamp(min=0)[:, None], kept_B[:, None])
