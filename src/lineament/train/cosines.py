"""Products of embeddings with class centres, without a second copy of the centres.

The plain way, normalise the centres and multiply, keeps a unit copy of every centre and, on the way back,
makes several more of that size. Dividing the columns of the product by the lengths instead needs the lengths
only: (e·w)/|w|. Its derivative is written out in `_Cosines`.

Shapes: B rows, C classes, K sub-centres per class, D dimension.
"""

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

SMALLEST = 1e-12
"""Lengths below this are taken as this, as `torch.nn.functional.normalize` does."""


def products(
    embedding_BD: Float[Tensor, "b d"], centre_CKD: Float[Tensor, "c k d"], *, cosine: bool
) -> Float[Tensor, "b c"]:
    """Product of each row with each class: the largest over its sub-centres (Deng et al. 2020, eq. 3).

    Args:
        embedding_BD: unit vectors where `cosine`.
        centre_CKD: of any length.
        cosine: divide by the length of the centres.

    Returns:
        Cosines in the type they were calculated in, that of the centres or autocast's: a margin bounds its
        gradient by what that type can tell apart. Inner products in the type of the centres.
    """
    sub_centres = centre_CKD.shape[1]
    # Not flatten: it refuses where there is no class to infer the size from.
    flat = centre_CKD.reshape(centre_CKD.shape[0] * sub_centres, centre_CKD.shape[2])
    kind = embedding_BD.device.type
    lower = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    if cosine:
        product = cast(Tensor, _Cosines.apply(embedding_BD, flat, lower))
    else:
        product = torch.nn.functional.linear(embedding_BD, flat).to(flat.dtype)
    if sub_centres == 1:
        return product
    return product.view(len(product), -1, sub_centres).max(2).values


def unit(embedding_BD: Float[Tensor, "b d"], norm_B: Float[Tensor, " b"]) -> Float[Tensor, "b d"]:
    """Embeddings of length 1, given their lengths; a zero vector stays one."""
    return embedding_BD / norm_B.clamp_min(SMALLEST)[:, None]


class _Cosines(torch.autograd.Function):
    """(e·w)/|w| for unit e.

    With w = |w|·u and cos = e·u: d cos/d e = u, d cos/d w = (e − cos·u)/|w|.
    """

    @staticmethod
    def forward(ctx: Any, unit_BD: Tensor, centre_CD: Tensor, lower: torch.dtype | None) -> Tensor:
        inverse_C = torch.linalg.vector_norm(centre_CD, dim=1).clamp_min_(SMALLEST).reciprocal_()
        with torch.autocast(unit_BD.device.type, enabled=False):
            if lower is None:
                matrix_CD = centre_CD
                cos_BC = (unit_BD @ centre_CD.T).mul_(inverse_C)
            else:
                # Divided before rounding: raw centres may leave the range of half precision.
                matrix_CD = torch.empty_like(centre_CD, dtype=lower)
                torch.mul(centre_CD, inverse_C[:, None], out=matrix_CD)
                cos_BC = unit_BD.to(lower) @ matrix_CD.T
        ctx.lower = lower
        ctx.save_for_backward(unit_BD, centre_CD, matrix_CD, inverse_C, cos_BC)
        return cos_BC

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[override]  (the decorator hides the name of ctx)
        ctx: Any, *gradients: Tensor
    ) -> tuple[Tensor, Tensor, None]:
        unit_BD, centre_CD, matrix_CD, inverse_C, cos_BC = ctx.saved_tensors
        with torch.autocast(unit_BD.device.type, enabled=False):
            # In the type of the centres, also where the cosines are not.
            scaled_BC = gradients[0] * inverse_C
            if ctx.lower is None:
                unit_grad_BD = scaled_BC @ matrix_CD
                centre_grad_CD = scaled_BC.T @ unit_BD
            else:
                lower_BC = gradients[0].to(ctx.lower)
                unit_grad_BD = (lower_BC @ matrix_CD).to(unit_BD.dtype)
                centre_grad_CD = (lower_BC.T @ unit_BD.to(ctx.lower)).to(centre_CD.dtype)
                centre_grad_CD.mul_(inverse_C[:, None])
            along_C = scaled_BC.mul_(cos_BC).sum(0).mul_(inverse_C)
            centre_grad_CD.addcmul_(centre_CD, along_C[:, None], value=-1.0)
        return unit_grad_BD, centre_grad_CD, None
