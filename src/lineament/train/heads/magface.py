"""MagFace: Meng, Zhao, Huang & Zhou, "MagFace", CVPR 2021, eq. 3, with its linear m(a) and g(a).

B rows, C classes of this process.
"""

import math
from typing import final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from lineament.core.errors import InvalidArgument
from lineament.train.heads.bounds import require_between, require_scale
from lineament.train.heads.combined import margin_logits


@final
class MagFace(nn.Module):
    """A margin that grows with the embedding's length, and a reward for length: Meng et al. 2021, eq. 3.

    s·cos(θ + m(a)) for the own class, where a = ‖z‖ clipped to l_a..u_a and m(a) rises linearly from l_m to
    u_m; plus λ_g·g(a) with g(a) = 1/a + a/u_a², which falls up to a = u_a. Both are differentiated by a. As
    in the authors' code the clipped length is in both terms, so a length outside l_a..u_a is not moved, and
    past θ + m = π the target goes on as cos θ − m·sin m. Warm-up multiplies m(a).

    Args:
        scale: s, above 0.
        l_m: margin in radians at the length l_a, 0 to u_m.
        u_m: margin in radians at the length u_a, l_m to π/2.
        l_a: shortest length, above 0.
        u_a: longest length, above l_a.
        lambda_g: weight of g, 0 or more. 20 and 35 are both in use with these bounds.

    Raises:
        InvalidArgument: a setting outside its range.
    """

    bibtex = """@inproceedings{meng2021magface,
  title = {{MagFace}: A Universal Representation for Face Recognition and Quality Assessment},
  author = {Meng, Qiang and Zhao, Shichao and Huang, Zhida and Zhou, Feng},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  pages = {14225--14234},
  year = {2021}
}"""
    cosine = True
    bias = False

    def __init__(
        self,
        *,
        scale: float = 64.0,
        l_m: float = 0.45,
        u_m: float = 0.8,
        l_a: float = 10.0,
        u_a: float = 110.0,
        lambda_g: float = 20.0,
    ) -> None:
        super().__init__()
        require_scale(scale)
        if not 0.0 <= l_m <= u_m <= math.pi / 2.0:
            raise InvalidArgument(f"l_m = {l_m!r}, u_m = {u_m!r}: set 0 <= l_m <= u_m <= 1.5708 (radians)")
        if not 0.0 < l_a < u_a < math.inf:
            raise InvalidArgument(f"l_a = {l_a!r}, u_a = {u_a!r}: set 0 < l_a < u_a")
        require_between(0.0, 1e6, lambda_g=lambda_g)
        self.scale, self.l_m, self.u_m, self.l_a, self.u_a = scale, l_m, u_m, l_a, u_a
        self.lambda_g = lambda_g
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
        del own_B
        slope = (self.u_m - self.l_m) / (self.u_a - self.l_a)
        margin_B = (self.l_m + slope * (self._length(norm_B) - self.l_a)) * self.strength
        margin_B = margin_B.to(torch.promote_types(product_BC.dtype, torch.float32))
        return margin_logits(product_BC, column_B, scale=self.scale, m2=margin_B)

    def penalty(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """λ_g · mean of g(a) over the rows."""
        length_B = self._length(norm_B)
        return self.lambda_g * (1.0 / length_B + length_B / self.u_a**2).mean()

    def _length(self, norm_B: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        widest = torch.promote_types(norm_B.dtype, torch.float32)
        return norm_B.to(widest).clamp(self.l_a, self.u_a)
