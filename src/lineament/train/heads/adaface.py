"""AdaFace: Kim, Jain & Liu, "AdaFace: Quality Adaptive Margin for Face Recognition", CVPR 2022, §3.3.

B rows, C classes of this process.
"""

import math
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.train.heads.angular import angle
from lineament.train.heads.bounds import require_between, require_scale
from lineament.train.heads.columns import own, require_columns, widened, with_own
from lineament.train.heads.combined import require_angle
from lineament.train.heads.port import no_penalty

SHORTEST, LONGEST = 1e-3, 100.0
FLOOR = 1e-3  # added to the deviation, so that equal norms divide by something


@final
class AdaFace(nn.Module):
    """A margin that follows picture quality, read from the embedding's length: Kim et al. 2022, §3.3.

    s·(cos(θ + g_angle) − g_add) for the own class, s·cos θ for others, with g_angle = −m·ẑ,
    g_add = m·ẑ + m and ẑ = (‖z‖ − μ) / (σ/h), clipped to −1..1 and taken as a constant. Poor pictures
    (ẑ = −1) get ArcFace's margin, good ones (ẑ = 1) one that presses hard examples more. θ + g_angle is kept
    in 0..π, as in the authors' code, where norms are clipped to 0.001..100, σ is increased by 0.001, and μ
    and σ begin at 20 and 100.

    Attributes:
        mean: μ, running mean of the norms; follows in training mode only, before it is used.
        deviation: σ, running standard deviation of the norms; a batch of one row leaves it alone.

    Args:
        scale: s, above 0.
        margin: m, 0 to π/2; taken off the angle and the cosine.
        h: how much of a standard deviation counts as a whole step of quality, 0.01 to 10.
        t_alpha: weight of the newest batch in μ and σ, 0 to 1.

    Raises:
        InvalidArgument: a setting outside its range.
    """

    bibtex = """@inproceedings{kim2022adaface,
  title = {{AdaFace}: Quality Adaptive Margin for Face Recognition},
  author = {Kim, Minchul and Jain, Anil K. and Liu, Xiaoming},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {18750--18759},
  year = {2022}
}"""
    cosine = True
    bias = False
    mean: Tensor
    deviation: Tensor

    def __init__(
        self, *, scale: float = 64.0, margin: float = 0.4, h: float = 0.33, t_alpha: float = 0.01
    ) -> None:
        super().__init__()
        require_scale(scale)
        require_angle(margin=margin)
        require_between(0.01, 10.0, h=h)
        require_between(0.0, 1.0, t_alpha=t_alpha)
        self.scale, self.margin, self.h, self.t_alpha = scale, margin, h, t_alpha
        self.centres = 1
        self.strength = 1.0
        self.register_buffer("mean", torch.tensor(20.0))
        self.register_buffer("deviation", torch.tensor(100.0))

    def forward(
        self,
        product_BC: Float[Tensor, "B C"],
        column_B: Int64[Tensor, " B"],
        norm_B: Float[Tensor, " B"],
        own_B: Float[Tensor, " B"],
    ) -> Float[Tensor, "B C"]:
        """Logits; see `port.Head`."""
        del own_B
        require_columns(column_B, product_BC.shape[1])
        cosine_BC = widened(product_BC)
        quality_B = self.quality(norm_B).to(cosine_BC.dtype)
        margin = self.margin * self.strength
        angle_B = angle(own(cosine_BC, column_B), product_BC.dtype) - margin * quality_B
        target_B = angle_B.clamp(0.0, math.pi).cos() - (margin * quality_B + margin)
        return with_own(cosine_BC * self.scale, column_B, target_B * self.scale)

    @torch.no_grad()
    def quality(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """ẑ, −1..1: where each norm stands among recent ones. In training mode they are remembered first."""
        norm_B = norm_B.to(torch.promote_types(norm_B.dtype, torch.float32)).clamp(SHORTEST, LONGEST)
        if self.training:
            self._remember(norm_B)
        return ((norm_B - self.mean) / (self.deviation + FLOOR) * self.h).clamp(-1.0, 1.0)

    def _remember(self, norm_B: Float[Tensor, " B"]) -> None:
        mean = norm_B.mean()
        # A norm that is not a number ends the step, not the memory: one NaN would never leave a running mean.
        known = mean.isfinite()
        moved = torch.lerp(self.mean, mean.to(self.mean.dtype), self.t_alpha)
        self.mean.copy_(torch.where(known, moved, self.mean))
        if norm_B.shape[0] > 1:
            moved = torch.lerp(self.deviation, norm_B.std().to(self.deviation.dtype), self.t_alpha)
            self.deviation.copy_(torch.where(known, moved, self.deviation))

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
