"""CurricularFace: Huang, Wang, Tai, Liu, Shen, Li, Li & Huang, CVPR 2020, eq. 4–7.

B rows, C classes of this process.
"""

from typing import final

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from lineament.train.heads.angular import angular_margin
from lineament.train.heads.bounds import require_between, require_scale
from lineament.train.heads.columns import own, require_columns, widened, with_own
from lineament.train.heads.combined import require_angle
from lineament.train.heads.port import no_penalty


@final
class CurricularFace(nn.Module):
    """Hard negatives that weigh more as training goes on: Huang et al. 2020, eq. 4–7.

    s·cos(θ_y + m) for the own class; for another class j, s·cos θ_j while cos θ_j ≤ cos(θ_y + m) and
    s·cos θ_j·(t + cos θ_j) beyond, where t follows the mean cosine with the own class. Which negatives are
    hard, and t, are taken as constants. Past θ_y + m = π the own class goes on as cos θ_y − m·sin m, as in
    the authors' code; what is hard is still decided by cos(θ_y + m). Warm-up multiplies m.

    Attributes:
        t: running mean of cos θ_y, 0 at first; follows in training mode only, before it is used.

    Args:
        scale: s, above 0.
        margin: m in radians, 0 to π/2.
        t_alpha: weight of the newest batch in t, 0 to 1.

    Raises:
        InvalidArgument: a setting outside its range.
    """

    bibtex = """@inproceedings{huang2020curricularface,
  title = {{CurricularFace}: Adaptive Curriculum Learning Loss for Deep Face Recognition},
  author = {Huang, Yuge and Wang, Yuhan and Tai, Ying and Liu, Xiaoming and Shen, Pengcheng and
    Li, Shaoxin and Li, Jilin and Huang, Feiyue},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {5901--5910},
  year = {2020}
}"""
    cosine = True
    bias = False
    t: Tensor

    def __init__(self, *, scale: float = 64.0, margin: float = 0.5, t_alpha: float = 0.01) -> None:
        super().__init__()
        require_scale(scale)
        require_angle(margin=margin)
        require_between(0.0, 1.0, t_alpha=t_alpha)
        self.scale, self.margin, self.t_alpha = scale, margin, t_alpha
        self.centres = 1
        self.strength = 1.0
        self.register_buffer("t", torch.tensor(0.0))

    def forward(
        self,
        product_BC: Float[Tensor, "B C"],
        column_B: Int64[Tensor, " B"],
        norm_B: Float[Tensor, " B"],
        own_B: Float[Tensor, " B"],
    ) -> Float[Tensor, "B C"]:
        """Logits; see `port.Head`."""
        del norm_B
        require_columns(column_B, product_BC.shape[1])
        cosine_BC = widened(product_BC)
        own_B = own_B.detach().to(cosine_BC.dtype)
        if self.training:
            self._remember(own_B)
        weighed_BC = cosine_BC * (self.t.to(cosine_BC.dtype) + cosine_BC)
        logit_BC = torch.where(self._hard(cosine_BC, own_B), weighed_BC, cosine_BC) * self.scale
        cosine_B = own(cosine_BC, column_B)
        target_B = angular_margin(cosine_B, 1.0, self.margin * self.strength, precision=product_BC.dtype)
        return with_own(logit_BC, column_B, target_B * self.scale)

    @torch.no_grad()
    def _hard(self, cosine_BC: Float[Tensor, "B C"], own_B: Float[Tensor, " B"]) -> Bool[Tensor, "B C"]:
        # own_B and not the gathered cosine: a row whose class is elsewhere has hard negatives here, too.
        bar_B = angular_margin(own_B, 1.0, self.margin * self.strength, "raw")
        return cosine_BC > bar_B[:, None]

    @torch.no_grad()
    def _remember(self, own_B: Float[Tensor, " B"]) -> None:
        mean = own_B.mean().to(self.t.dtype)
        # A cosine that is not a number ends the step, not the memory: one NaN would never leave t.
        self.t.copy_(torch.where(mean.isfinite(), torch.lerp(self.t, mean, self.t_alpha), self.t))

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """None."""
        return no_penalty(norm_B)
