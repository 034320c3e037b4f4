"""What the loop asks of a head, and nothing more.

B rows of the whole micro-batch over all processes, C classes of this process.
"""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor


@runtime_checkable
class Head(Protocol):
    """Makes logits of the products of embeddings with class centres.

    Every head is a `torch.nn.Module`. What it remembers (a running mean) is a buffer, and the same on all
    processes because what it is computed from is.

    Attributes:
        bibtex: the paper, as BibTeX.
        centres: sub-centres per class; the caller takes the largest product of each class.
        cosine: True when it takes cosines of unit vectors; False when it takes inner products of raw
            embeddings with raw centres.
        bias: True when a constant 1 is appended to every embedding, so that centres carry a bias.
        strength: 0..1, multiplies the margin; the loop sets it before each step (warm-up).
    """

    bibtex: str
    centres: int
    cosine: bool
    bias: bool
    strength: float

    def __call__(self, product_BC: Tensor, column_B: Tensor, norm_B: Tensor, own_B: Tensor) -> Tensor:
        """Logits, float32 at least, shape (B, C).

        Args:
            product_BC: cosines in −1..1, give or take rounding, or inner products; of all rows with the
                classes of this process.
            column_B: int64, the column of each row's own class, −1 where another process has it; the row
                then has only negatives here.
            norm_B: raw length of each embedding.
            own_B: product with the own class, detached, known on every process.

        Raises:
            DatasetInvalid: a column outside −1..C−1.
        """
        ...

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """What is added to the loss, mean over the rows."""
        ...


def no_penalty(norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
    """A zero on the same device, for heads that add nothing to the loss."""
    return torch.zeros((), dtype=torch.promote_types(norm_B.dtype, torch.float32), device=norm_B.device)
