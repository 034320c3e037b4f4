"""Synthetic face masks on aligned crops.

That faces with drawn masks among the training pictures make a network recognise masked faces is Anwar and
Raychowdhury's ("Masked Face Recognition for Secure Authentication", 2020). They draw on photographs by
landmarks; crops aligned to the ArcFace template have eyes, nose and mouth in known places already, so that a
polygon with some chance in it is enough: upper edge between the lower lids and the tip of the nose, sides
along the cheeks, the lower edge at or below the chin, straps towards the ears. The face's own light and shade
are kept in part, as a mask hangs on it.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

SIDE: Final = 112
# x, y in the 112-pixel crop (tip of the nose 56, 72; mouth corners 41 and 71, 92): the upper edge from the
# left cheek over the bridge of the nose to the right, then down and around the chin.
_OUTLINE: Final = np.array(
    [
        *((16, 68), (28, 68), (42, 65), (50, 62), (56, 60), (62, 62), (70, 65), (84, 68), (96, 68)),
        *((94, 84), (86, 99), (74, 109), (56, 113), (38, 109), (26, 99), (18, 84)),
    ],
    np.float64,
)
_UPPER: Final = slice(0, 9)
_LOWER: Final = slice(9, 16)
_LOWERED: Final = (-1.0, 10.0)  # of the upper edge, pixels
_SHIFT: Final = 3.0
_WIDTH: Final = (0.9, 1.08)
_JITTER: Final = 0.8
# Cloths people wear; others get any colour.
_CLOTHS: Final = ((165, 205, 225), (245, 245, 245), (35, 35, 38), (130, 170, 150), (70, 90, 140))
_ANY_COLOUR: Final = 0.4
_SHADE: Final = (0.25, 0.7)
_FRACTION: Final = 4  # bits after the point that cv2 takes


def draw_mask(pixels: UInt8[np.ndarray, "s s 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """The face with a mask on.

    Args:
        pixels: RGB, aligned to the ArcFace template, of any size; not changed.
        rng: of shape, colour and folds.
    """
    size = pixels.shape[0]
    scale = size / SIDE
    outline = _outline(rng)
    cover = np.zeros((size, size), np.uint8)
    _straps(cover, outline * scale, rng)
    cv2.fillPoly(cover, [_fixed(outline * scale)], 255, cv2.LINE_AA, _FRACTION)
    cloth = _cloth(pixels, outline[:, 1].min() * scale, rng)
    # A pixel on the edge belongs to both: blended by how much of it is covered.
    weight = cover.astype(np.float32) / np.float32(255)
    blended = cv2.blendLinear(pixels, cloth, 1 - weight, weight)
    # `blendLinear` divides by weights that add up to a little more than 1: elsewhere nothing may change.
    return cv2.copyTo(blended, cover, pixels.copy())


def _outline(rng: np.random.Generator) -> Float64[np.ndarray, "k 2"]:
    points = _OUTLINE + rng.uniform(-_JITTER, _JITTER, _OUTLINE.shape)
    points[_UPPER, 1] += rng.uniform(*_LOWERED)
    points[_LOWER, 1] += rng.uniform(-_SHIFT, _SHIFT)
    middle = _OUTLINE[:, 0].mean()
    points[:, 0] = (points[:, 0] - middle) * rng.uniform(*_WIDTH) + middle + rng.uniform(-_SHIFT, _SHIFT)
    return points


def _cloth(
    pixels: UInt8[np.ndarray, "s s 3"], top: float, rng: np.random.Generator
) -> UInt8[np.ndarray, "s s 3"]:
    """The mask's colour everywhere, with some of the face's shade and with folds across."""
    size = pixels.shape[0]
    if rng.random() < _ANY_COLOUR:
        colour = rng.uniform(20, 250, 3)
    else:
        colour = np.array(_CLOTHS[int(rng.integers(len(_CLOTHS)))]) * rng.uniform(0.85, 1.05)
    # Shade without features: 1/8 of the side blurs eyes and mouth away.
    light = cv2.blur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (size // 8, size // 8)).astype(np.float32)
    mean = float(light[int(max(top, 0)) :].mean())
    strength = rng.uniform(*_SHADE)
    shade = 1 - strength + strength * light / max(mean, 1.0)
    folds, depth, phase = int(rng.integers(0, 5)), rng.uniform(0.0, 0.1), rng.uniform(0, 2 * np.pi)
    rows = np.arange(size, dtype=np.float32) / size * 2 * np.pi * 2 * folds + phase
    shade *= (1 - depth * (1 + np.sin(rows)) / 2)[:, None].astype(np.float32)
    return cv2.merge([cv2.convertScaleAbs(shade, alpha=level) for level in colour.tolist()])


def _straps(cover: UInt8[np.ndarray, "s s"], outline: np.ndarray, rng: np.random.Generator) -> None:
    """Four lines from the corners of the mask to where the ears are."""
    if rng.random() < 0.3:
        return
    size = cover.shape[0]
    ears = rng.uniform(0.42, 0.56) * size
    for corner, x in ((0, -0.05), (8, 1.05), (15, -0.05), (9, 1.05)):
        ends = _fixed(np.array([outline[corner], [x * size, ears]]))
        cv2.polylines(cover, [ends], False, 200, max(1, size // 112), cv2.LINE_AA, _FRACTION)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _FRACTION)).astype(np.int32)
