"""SphereFace: Liu, Wen, Yu, Li, Raj & Song, CVPR 2017, eq. 7, s·ψ(θ) with ψ = (−1)^k cos(m·θ) − 2k.

B rows, C classes of this process.
"""

from typing import Literal, final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.train.heads.angular import Gradient
from lineament.train.heads.bounds import require_between, require_choice, require_scale
from lineament.train.heads.combined import margin_logits
from lineament.train.heads.port import no_penalty


@final
class SphereFace(nn.Module):
    """Multiplicative angular margin, Liu et al. 2017, eq. 7, for any m: ψ(θ) = (−1)^k cos(m·θ) − 2k.

    k = ⌊m·θ/π⌋. As in Table 2 of the ArcFace paper, embeddings have the fixed length s and m is 1.35; the
    original has embeddings of free length and m = 4. Warm-up: 1 + (m − 1)·strength.

    Args:
        scale: s, above 0.
        margin: m, factor on the angle, 1 to 10.
        gradient: `exact`, or `straight_through` (d logit / d cos θ = s).
        beyond: past m·θ = π: `monotone` (ψ) or `raw` (cos m·θ).

    Raises:
        InvalidArgument: a setting outside its range.
    """

    bibtex = """@inproceedings{liu2017sphereface,
  title = {{SphereFace}: Deep Hypersphere Embedding for Face Recognition},
  author = {Liu, Weiyang and Wen, Yandong and Yu, Zhiding and Li, Ming and Raj, Bhiksha and Song, Le},
  booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition},
  pages = {212--220},
  year = {2017}
}"""
    cosine = True
    bias = False

    def __init__(
        self,
        *,
        scale: float = 64.0,
        margin: float = 1.35,
        gradient: Gradient = "exact",
        beyond: Literal["monotone", "raw"] = "monotone",
    ) -> None:
        super().__init__()
        require_scale(scale)
        require_between(1.0, 10.0, margin=margin)
        require_choice(Gradient, gradient=gradient)
        require_choice(Literal["monotone", "raw"], beyond=beyond)
        self.scale, self.margin = scale, margin
        self.gradient: Gradient = gradient
        self.beyond: Literal["monotone", "raw"] = beyond
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
        return margin_logits(
            product_BC,
            column_B,
            scale=self.scale,
            m1=1.0 + (self.margin - 1.0) * self.strength,
            gradient=self.gradient,
            beyond=self.beyond,
        )

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
