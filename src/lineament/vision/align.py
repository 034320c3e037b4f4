"""Alignment: the similarity transform that carries five facial points onto a template.

Templates are the ones of the ArcFace family (Deng et al., CVPR 2019, §3.1; the five numbers are published
with InsightFace). The least-squares similarity is Umeyama's (PAMI 1991, eq. 40–42); in the plane it has a
closed form, because rotating and scaling is one multiplication by a complex number:
a = Σ conj(zᵢ)·wᵢ / Σ |zᵢ|² for centred points z (picture) and w (template).
"""

import re
from typing import Final

import cv2
import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, UInt8

from lineament.core.crop import Crops
from lineament.core.errors import InvalidArgument, PointsDegenerate

ARCFACE_112: Final = np.array(
    [
        [38.2946, 51.6963],  # left eye as seen in the picture
        [73.5318, 51.5014],  # right eye
        [56.0252, 71.7366],  # nose tip
        [41.5493, 92.3655],  # left mouth corner
        [70.7299, 92.2041],  # right mouth corner
    ],
    dtype=np.float32,
)
"""Where the five points lie in a 112×112 crop, pixels."""

# Points closer together than this (root mean square distance from their middle, pixels) differ by no more
# than rounding: single precision at coordinate 4,000 resolves 0.0005 pixels.
SMALLEST_SPREAD: Final = 1e-3


def template(name: str) -> Float32[np.ndarray, "5 2"]:
    """The five target points of an alignment, in pixels of its crop.

    Args:
        name: `arcface-N`. N a multiple of 112 scales the 112 template; a multiple of 128 scales it from
            128 and shifts it right by 8/128 of the side, as InsightFace does.

    Raises:
        InvalidArgument: not such a name, or another size.
    """
    match = re.fullmatch(r"arcface-(\d{1,4})", name)
    if match is None:
        raise InvalidArgument(f"there is no alignment called {name!r}: use arcface-112, arcface-128, ...")
    return arcface(int(match[1]))


def arcface(size: int) -> Float32[np.ndarray, "5 2"]:
    """The ArcFace template for crops of `size` pixels; see `template`."""
    if size > 0 and size % 112 == 0:
        return ARCFACE_112 * np.float32(size / 112)
    if size > 0 and size % 128 == 0:
        ratio = np.float32(size / 128)
        return ARCFACE_112 * ratio + np.array([8 * ratio, 0], np.float32)
    raise InvalidArgument(
        f"no ArcFace template for crops of {size} pixels: the side must be a multiple of 112 or of 128"
    )


def alignable(points: Float[np.ndarray, "n 5 2"]) -> Bool[np.ndarray, "n"]:
    """Which faces have points that determine an alignment: finite and not all in one place."""
    finite = np.asarray(np.isfinite(points).all(axis=(1, 2)))
    safe = np.where(finite[:, None, None], points, 0.0).astype(np.float64)
    spread = np.sqrt(((safe - safe.mean(axis=1, keepdims=True)) ** 2).sum(axis=2).mean(axis=1))
    return finite & (spread > SMALLEST_SPREAD)


def motions_to(
    points: Float[np.ndarray, "n 5 2"], target: Float[np.ndarray, "5 2"]
) -> Float64[np.ndarray, "n 2 3"]:
    """Least-squares similarities that carry each face's points onto `target`, without reflection.

    Args:
        points: in the picture, pixels.
        target: in the crop, pixels.

    Returns:
        (n, 2, 3) matrices M with crop = M · (x, y, 1).

    Raises:
        PointsDegenerate: points of a face are not finite, coincide, or fit no orientation at all.
    """
    bad = np.flatnonzero(~alignable(points))
    if bad.size:
        raise PointsDegenerate(
            f"the five points of face {bad[0]} coincide or are not numbers: no alignment follows from them; "
            "leave this face out or detect it again"
        )
    z = points[..., 0].astype(np.float64) + 1j * points[..., 1].astype(np.float64)
    w = target[:, 0].astype(np.float64) + 1j * target[:, 1].astype(np.float64)
    z_mean, w_mean = z.mean(axis=1, keepdims=True), w.mean()
    z_centred, w_centred = z - z_mean, w - w_mean
    a = (z_centred.conj() * w_centred).sum(axis=1) / (np.abs(z_centred) ** 2).sum(axis=1)
    # Points that lie so that every rotation fits equally badly (a = 0) would shrink the picture to a dot.
    flat = np.flatnonzero(np.abs(a) < 1e-9)
    if flat.size:
        raise PointsDegenerate(
            f"the five points of face {flat[0]} are not arranged like a face: leave it out or detect it again"
        )
    b = w_mean - a * z_mean[:, 0]
    motions = np.empty((len(points), 2, 3))
    motions[:, 0, 0], motions[:, 0, 1], motions[:, 0, 2] = a.real, -a.imag, b.real
    motions[:, 1, 0], motions[:, 1, 1], motions[:, 1, 2] = a.imag, a.real, b.imag
    return motions


def warp(
    pixels: UInt8[np.ndarray, "h w 3"], motion: Float64[np.ndarray, "2 3"], size: int
) -> UInt8[np.ndarray, "s s 3"]:
    """One crop of `size` pixels: bilinear, black outside the picture."""
    return cv2.warpAffine(pixels, motion, (size, size), flags=cv2.INTER_LINEAR, borderValue=(0, 0, 0))


def align(
    pixels: UInt8[np.ndarray, "h w 3"], points: Float[np.ndarray, "n 5 2"], name: str = "arcface-112"
) -> Crops:
    """Crops of n faces of one picture, warped to the alignment `name`.

    Raises:
        PointsDegenerate: see `motions_to`.
        InvalidArgument: unknown alignment.
    """
    target = template(name)
    size = int(name.rpartition("-")[2])
    motions = motions_to(points, target)
    crops = np.empty((len(points), size, size, 3), np.uint8)
    for row, motion in enumerate(motions):
        crops[row] = warp(pixels, motion, size)
    return Crops(crops, motions)


def scale_of(motions: Float64[np.ndarray, "n 2 3"]) -> Float64[np.ndarray, "n"]:
    """Crop pixels per picture pixel: above 1 the crop is enlarged from fewer pixels than it shows."""
    return np.hypot(motions[:, 0, 0], motions[:, 1, 0])


def invert(motions: Float64[np.ndarray, "n 2 3"]) -> Float64[np.ndarray, "n 2 3"]:
    """The opposite transforms, crop → picture."""
    linear = np.linalg.inv(motions[:, :, :2])
    shift = -(linear @ motions[:, :, 2:])
    return np.concatenate([linear, shift], axis=2)


def carry(points: Float[np.ndarray, "n k 2"], motions: Float64[np.ndarray, "n 2 3"]) -> np.ndarray:
    """Points (n, k, 2) through their face's transform."""
    return points @ motions[:, :, :2].transpose(0, 2, 1) + motions[:, None, :, 2]
