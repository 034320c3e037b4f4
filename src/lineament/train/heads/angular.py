"""Angles of cosines, margins on angles, and gradients that stay finite at 0° and 180°.

Margin: Deng, Guo, Xue & Zafeiriou, "ArcFace", CVPR 2019, eq. 4: cos(m1·θ + m2) − m3. Extension past 180°:
Liu et al., "SphereFace", CVPR 2017, eq. 7, ψ(θ) = (−1)^k cos(m·θ) − 2k, for m1 ≠ 1; for m1 = 1 the straight
line cos θ − m2·sin m2 of the ArcFace authors' first implementation.
B rows.
"""

import math
from typing import Any, Literal, cast

import torch
from jaxtyping import Float
from torch import Tensor

from lineament.core.errors import InvalidArgument

Gradient = Literal["exact", "straight_through"]
Beyond = Literal["monotone", "raw", "easy"]


class _Angle(torch.autograd.Function):
    """acos on [−1, 1] whose derivative −1/sin θ is bounded; the value is not touched."""

    @staticmethod
    def forward(cosine: Tensor, smallest_sine: float) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]  # torch: any signature
        del smallest_sine
        return cosine.clamp(-1.0, 1.0).acos()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, float], output: Tensor) -> None:
        del output
        cosine, ctx.smallest_sine = inputs
        ctx.save_for_backward(cosine)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        cosine = cast(Tensor, ctx.saved_tensors[0]).clamp(-1.0, 1.0)
        sine = ((1.0 - cosine) * (1.0 + cosine)).sqrt().clamp(min=cast(float, ctx.smallest_sine))
        return -grad_outputs[0] / sine, None


def angle(cosine_B: Float[Tensor, " B"], precision: torch.dtype | None = None) -> Float[Tensor, " B"]:
    """Angles in radians, 0..π, of cosines that may leave −1..1 by rounding.

    The value is acos of the nearest cosine in range. The gradient is exact but for cosines closer to ±1 than
    `precision` can write; there, where −1/sin θ is infinite, it is that of the nearest cosine it can write:
    1/sin θ ≤ 1/√ε (2 896 for float32, 32 for float16, 11 for bfloat16).

    Args:
        cosine_B: float32 or float64.
        precision: type the cosines were computed in, if coarser than the tensor's own.
    """
    coarse = torch.finfo(precision or cosine_B.dtype).eps
    return cast(Tensor, _Angle.apply(cosine_B, math.sqrt(coarse)))


def angular_margin(
    cosine_B: Float[Tensor, " B"],
    m1: float,
    m2: float | Float[Tensor, " B"],
    beyond: Beyond = "monotone",
    precision: torch.dtype | None = None,
) -> Float[Tensor, " B"]:
    """cos(m1·θ + m2), and what stands in its place where m1·θ + m2 has passed π and it would rise again.

    Args:
        cosine_B: cos θ with the own class, float32 or float64.
        m1: factor on the angle.
        m2: radians added to it, one for all rows or one for each.
        beyond: `monotone` falls on: by cos θ − m2·sin m2 when m1 = 1 (with a step down at the seam), by
            ψ = (−1)^k cos(m1·θ + m2) − 2k, k = ⌊(m1·θ + m2)/π⌋, otherwise (without one). `raw` keeps the
            cosine, as printed in eq. 4. `easy` has the margin only where cos θ > 0, and cos θ elsewhere.
        precision: see `angle`.
    """
    if m1 == 1.0 and not isinstance(m2, Tensor) and m2 == 0.0:
        return cosine_B
    turned_B = m1 * angle(cosine_B, precision) + m2
    inside_B = turned_B.cos()
    if beyond == "raw":
        return inside_B
    if beyond == "easy":
        return torch.where(cosine_B > 0.0, inside_B, cosine_B)
    if m1 == 1.0:
        drop = m2 * (m2.sin() if isinstance(m2, Tensor) else math.sin(m2))
        return torch.where(turned_B <= math.pi, inside_B, cosine_B - drop)
    k_B = (turned_B.detach() / math.pi).floor()
    return (1.0 - 2.0 * k_B.remainder(2.0)) * inside_B - 2.0 * k_B


def with_gradient(
    cosine_B: Float[Tensor, " B"], target_B: Float[Tensor, " B"], gradient: Gradient
) -> Float[Tensor, " B"]:
    """The target cosine with the gradient that was asked for.

    `exact` is the derivative of the formula. `straight_through` treats the margin as a constant, so that
    d target / d cos θ = 1: what arcface_torch does by changing the logits in place without recording it.
    """
    if gradient == "exact":
        return target_B
    return target_B.detach() + (cosine_B - cosine_B.detach())


def require_one_hump(m1: float, m2: float) -> None:
    """Refuse `easy` for margins that turn an angle below 90° past 180°: nothing keeps those from rising.

    Raises:
        InvalidArgument: m1·π/2 + m2 > π.
    """
    if m1 * math.pi / 2.0 + m2 > math.pi:
        raise InvalidArgument(
            f"beyond = 'easy' leaves m1 = {m1:g}, m2 = {m2:g} rising again before 90°: use 'monotone'"
        )
