"""Softmax over cosines, without a margin: Wang, Xiang, Cheng & Yuille, "NormFace", ACM MM 2017, eq. 7–8;
eq. 2 of Deng et al., "ArcFace", CVPR 2019: s·cos θ.

B rows, C classes of this process.
"""

from typing import final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.train.heads.bounds import require_scale
from lineament.train.heads.columns import require_columns, widened
from lineament.train.heads.port import no_penalty


@final
class NormSoftmax(nn.Module):
    """Normalised softmax, Deng et al. 2019, eq. 2: s·cos θ for every class. `strength` changes nothing.

    Args:
        scale: s, above 0; 64 and 20 in the paper's tables.

    Raises:
        InvalidArgument: a scale that is not above 0.
    """

    bibtex = """@inproceedings{wang2017normface,
  title = {{NormFace}: {L2} Hypersphere Embedding for Face Verification},
  author = {Wang, Feng and Xiang, Xiang and Cheng, Jian and Yuille, Alan Loddon},
  booktitle = {Proceedings of the 25th ACM International Conference on Multimedia},
  pages = {1041--1049},
  year = {2017}
}"""
    cosine = True
    bias = False

    def __init__(self, *, scale: float = 64.0) -> None:
        super().__init__()
        require_scale(scale)
        self.scale = scale
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
        return widened(product_BC) * self.scale

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
