"""Combined margin: Deng, Guo, Xue & Zafeiriou, "ArcFace", CVPR 2019, eq. 4, s·(cos(m1·θ + m2) − m3).

B rows, C classes of this process.
"""

import math
from typing import final

from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.train.heads.angular import Beyond, Gradient, angular_margin, require_one_hump, with_gradient
from lineament.train.heads.bounds import require_between, require_choice, require_scale
from lineament.train.heads.columns import own, require_columns, widened, with_own
from lineament.train.heads.port import no_penalty

BIBTEX = """@inproceedings{deng2019arcface,
  title = {{ArcFace}: Additive Angular Margin Loss for Deep Face Recognition},
  author = {Deng, Jiankang and Guo, Jia and Xue, Niannan and Zafeiriou, Stefanos},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {4690--4699},
  year = {2019}
}"""


def margin_logits(
    product_BC: Float[Tensor, "B C"],
    column_B: Int64[Tensor, " B"],
    *,
    scale: float,
    m1: float = 1.0,
    m2: float | Float[Tensor, " B"] = 0.0,
    m3: float = 0.0,
    gradient: Gradient = "exact",
    beyond: Beyond = "monotone",
) -> Float[Tensor, "B C"]:
    """Eq. 4 on the own class and s·cos θ on the others; in float32 at least.

    Args:
        product_BC: cosines.
        column_B: the own class of each row, −1 for one of another process.
        scale: s.
        m1: factor on the angle.
        m2: radians added to it; one for each row where it depends on the embedding.
        m3: taken off the cosine.
        gradient: see `angular.with_gradient`.
        beyond: see `angular.angular_margin`; concerns the angular part, m3 is taken off in any case.

    Raises:
        DatasetInvalid: a column outside −1..C−1.
    """
    require_columns(column_B, product_BC.shape[1])
    cosine_BC = widened(product_BC)
    cosine_B = own(cosine_BC, column_B)
    target_B = angular_margin(cosine_B, m1, m2, beyond, product_BC.dtype) - m3
    target_B = with_gradient(cosine_B, target_B, gradient)
    return with_own(cosine_BC * scale, column_B, target_B * scale)


def require_angle(**named: float) -> None:
    """Refuse an angular margin outside 0..π/2.

    Raises:
        InvalidArgument: naming it.
    """
    for name, value in named.items():
        require_between(0.0, math.pi / 2.0, **{f"{name} (radians)": value})


@final
class Combined(nn.Module):
    """Deng et al. 2019, eq. 4: s·(cos(m1·θ + m2) − m3) for the own class, s·cos θ for others.

    The defaults are CM1 of its Table 2; CM2 is (0.9, 0.4, 0.15), SphereFace (1.35, 0, 0), ArcFace
    (1, 0.5, 0), CosFace (1, 0, 0.35). Warm-up: 1 + (m1 − 1)·strength, m2·strength, m3·strength.

    Args:
        scale: s, above 0.
        m1: factor on the angle, 0.1 to 10.
        m2: radians added to it, 0 to π/2.
        m3: taken off the cosine, 0 to 2.
        gradient: `exact`, or `straight_through` (d logit / d cos θ = s), see `angular.with_gradient`.
        beyond: past m1·θ + m2 = π: `monotone`, `raw` or `easy`, see `angular.angular_margin`.

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
        m1: float = 1.0,
        m2: float = 0.3,
        m3: float = 0.2,
        gradient: Gradient = "exact",
        beyond: Beyond = "monotone",
    ) -> None:
        super().__init__()
        require_scale(scale)
        require_between(0.1, 10.0, m1=m1)
        require_angle(m2=m2)
        require_between(0.0, 2.0, m3=m3)
        require_choice(Gradient, gradient=gradient)
        require_choice(Beyond, beyond=beyond)
        if beyond == "easy":
            require_one_hump(m1, m2)
        self.scale, self.m1, self.m2, self.m3 = scale, m1, m2, m3
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
            m1=1.0 + (self.m1 - 1.0) * self.strength,
            m2=self.m2 * self.strength,
            m3=self.m3 * self.strength,
            gradient=self.gradient,
            beyond=self.beyond,
        )

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
