"""Sub-center ArcFace: Deng, Guo, Liu, Gong & Zafeiriou, ECCV 2020, eq. 2–3.

B rows, C classes of this process.
"""

from typing import final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.train.heads.angular import Beyond, Gradient
from lineament.train.heads.bounds import require_between, require_choice, require_scale
from lineament.train.heads.combined import margin_logits, require_angle
from lineament.train.heads.port import no_penalty


@final
class SubCenter(nn.Module):
    """ArcFace on the nearest of k centres per class, Deng et al. 2020, eq. 2–3.

    θ = acos(max over the k sub-centres of the class). The caller pools; what arrives here is one cosine per
    class. Pictures with wrong labels gather at a sub-centre of their own instead of pulling the first.

    Args:
        centres: k, sub-centres per class, 1 to 100; 3 in the paper.
        scale: s, above 0.
        margin: m in radians, 0 to π/2.
        gradient: `exact`, or `straight_through` (d logit / d cos θ = s, as in arcface_torch).
        beyond: past θ + m = π: `monotone` (cos θ − m·sin m), `raw` (as printed; rises again, as in
            arcface_torch) or `easy` (the margin only where cos θ > 0).

    Raises:
        InvalidArgument: a setting outside its range.
    """

    bibtex = """@inproceedings{deng2020subcenter,
  title = {Sub-center {ArcFace}: Boosting Face Recognition by Large-Scale Noisy Web Faces},
  author = {Deng, Jiankang and Guo, Jia and Liu, Tongliang and Gong, Mingming and Zafeiriou, Stefanos},
  booktitle = {European Conference on Computer Vision},
  pages = {741--757},
  year = {2020}
}"""
    cosine = True
    bias = False

    def __init__(
        self,
        *,
        centres: int = 3,
        scale: float = 64.0,
        margin: float = 0.5,
        gradient: Gradient = "exact",
        beyond: Beyond = "monotone",
    ) -> None:
        super().__init__()
        require_between(1.0, 100.0, centres=centres)
        require_scale(scale)
        require_angle(margin=margin)
        require_choice(Gradient, gradient=gradient)
        require_choice(Beyond, beyond=beyond)
        self.scale, self.margin = scale, margin
        self.gradient: Gradient = gradient
        self.beyond: Beyond = beyond
        self.centres = centres
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
            m2=self.margin * self.strength,
            gradient=self.gradient,
            beyond=self.beyond,
        )

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
