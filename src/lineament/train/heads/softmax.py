"""Plain softmax: Deng, Guo, Xue & Zafeiriou, "ArcFace", CVPR 2019, eq. 1, W·x + b.

B rows, C classes of this process.
"""

from typing import final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.train.heads.columns import require_columns, widened
from lineament.train.heads.combined import BIBTEX
from lineament.train.heads.port import no_penalty


@final
class Softmax(nn.Module):
    """Softmax over inner products with a bias, Deng et al. 2019, eq. 1. `strength` changes nothing.

    Lengths of embeddings and centres count; the bias is the centres' last number, which a constant 1 at the
    end of every embedding multiplies.
    """

    bibtex = BIBTEX
    cosine = False
    bias = True

    def __init__(self) -> None:
        super().__init__()
        self.centres = 1
        self.strength = 1.0

    def forward(
        self,
        product_BC: Float[Tensor, "B C"],
        column_B: Int64[Tensor, " B"],
        norm_B: Float[Tensor, " B"],
        own_B: Float[Tensor, " B"],
    ) -> Float[Tensor, "B C"]:
        """Logits; see `port.Head`."""
        del norm_B, own_B
        require_columns(column_B, product_BC.shape[1])
        return widened(product_BC)

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
