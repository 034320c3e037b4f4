"""CosFace: Wang, Wang, Zhou, Ji, Gong, Zhou, Li & Liu, CVPR 2018, eq. 4, s·(cos θ − m).

B rows, C classes of this process.
"""

from typing import final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.train.heads.bounds import require_between, require_scale
from lineament.train.heads.combined import margin_logits
from lineament.train.heads.port import no_penalty


@final
class CosFace(nn.Module):
    """Additive cosine margin, Wang et al. 2018, eq. 4: s·(cos θ − m) for the own class, s·cos θ for others.

    Its derivative by cos θ is s everywhere, and it falls all the way to 180°: there is nothing to choose.

    Args:
        scale: s, above 0.
        margin: m, taken off the cosine, 0 to 2; 0.35 in the paper, 0.4 in arcface_torch.

    Raises:
        InvalidArgument: a setting outside its range.
    """

    bibtex = """@inproceedings{wang2018cosface,
  title = {{CosFace}: Large Margin Cosine Loss for Deep Face Recognition},
  author = {Wang, Hao and Wang, Yitong and Zhou, Zheng and Ji, Xing and Gong, Dihong and Zhou, Jingchao and
    Li, Zhifeng and Liu, Wei},
  booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {5265--5274},
  year = {2018}
}"""
    cosine = True
    bias = False

    def __init__(self, *, scale: float = 64.0, margin: float = 0.35) -> None:
        super().__init__()
        require_scale(scale)
        require_between(0.0, 2.0, margin=margin)
        self.scale, self.margin = scale, margin
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
        return margin_logits(product_BC, column_B, scale=self.scale, m3=self.margin * self.strength)

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
