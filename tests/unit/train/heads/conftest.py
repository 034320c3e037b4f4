"""Batches for the heads: cosines away from every kink, and rows whose class is elsewhere."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from lineament.train.heads import Head


@dataclass(frozen=True)
class Batch:
    """What a head takes: five rows, six classes; the last row's class is on another process."""

    product: Tensor
    column: Tensor
    norm: Tensor
    own: Tensor

    def logits(self, head: Head) -> Tensor:
        """The head's answer."""
        return head(self.product, self.column, self.norm, self.own)

    def to(self, dtype: torch.dtype) -> "Batch":
        """The same in another precision."""
        return Batch(self.product.to(dtype), self.column, self.norm.to(dtype), self.own.to(dtype))


@pytest.fixture
def batch() -> Batch:
    """Own cosines of 25° to 171°: past every seam, between any two of them."""
    generator = torch.Generator().manual_seed(7)
    product = torch.rand(5, 6, generator=generator, dtype=torch.float64) * 1.8 - 0.9
    own = torch.tensor([25.0, 70.0, 110.0, 171.0, 50.0], dtype=torch.float64).deg2rad().cos()
    column = torch.tensor([2, 0, 5, 3, -1])
    for row in range(4):
        product[row, column[row]] = own[row]
    norm = torch.tensor([4.0, 18.0, 25.0, 60.0, 130.0], dtype=torch.float64)
    return Batch(product, column, norm, own)
