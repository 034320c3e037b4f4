"""ArcFace: Deng, Guo, Xue & Zafeiriou, CVPR 2019, eq. 3, s·cos(θ + m).

B rows, C classes of this process.
"""

from typing import final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.train.heads.angular import Beyond, Gradient
from lineament.train.heads.bounds import require_choice, require_scale
from lineament.train.heads.combined import BIBTEX, margin_logits, require_angle
from lineament.train.heads.port import no_penalty


@final
class ArcFace(nn.Module):
    """Additive angular margin, Deng et al. 2019, eq. 3: s·cos(θ + m) for the own class, s·cos θ for others.

    Args:
        scale: s, above 0.
        margin: m in radians, 0 to π/2.
        gradient: `exact`, or `straight_through` (d logit / d cos θ = s, as in arcface_torch).
        beyond: past θ + m = π: `monotone` (cos θ − m·sin m), `raw` (as printed; rises again, as in
            arcface_torch) or `easy` (the margin only where cos θ > 0).

    Raises:
        InvalidArgument: a setting outside its range.
    """

    bibtex = BIBTEX
    cosine = True
    bias = False

    def __init__(
        self,
        *,
        scale: float = 64.0,
        margin: float = 0.5,
        gradient: Gradient = "exact",
        beyond: Beyond = "monotone",
    ) -> None:
        super().__init__()
        require_scale(scale)
        require_angle(margin=margin)
        require_choice(Gradient, gradient=gradient)
        require_choice(Beyond, beyond=beyond)
        self.scale, self.margin = scale, margin
        self.gradient: Gradient = gradient
        self.beyond: Beyond = beyond
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
            m2=self.margin * self.strength,
            gradient=self.gradient,
            beyond=self.beyond,
        )

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
