"""Random changes to training pictures.

`crop`, `low_resolution` and `colour` are AdaFace's (Kim, Jain, Liu, "AdaFace: Quality Adaptive Margin for
Face Recognition", CVPR 2022, §4.1, with the values of its published code; each there with share 0.2):
a random part of 0.2–1 of the area and 3/4–4/3 of the aspect, left in its place on black; reduced to 0.2–1 of
the side with a random filter, and enlarged again with another; brightness, contrast and saturation each
times 0.5–1.5, in a random order, hue as it is.

What happens in the world comes first (mirror, mask), then what a camera does.
"""

import math
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.train.masks import draw_mask
from lineament.train.recipe import Augment

AREA: Final = (0.2, 1.0)
ASPECT: Final = (3 / 4, 4 / 3)
SIDE: Final = (0.2, 1.0)
FACTOR: Final = (0.5, 1.5)
_FILTERS: Final = (
    cv2.INTER_NEAREST,
    cv2.INTER_LINEAR,
    cv2.INTER_AREA,
    cv2.INTER_CUBIC,
    cv2.INTER_LANCZOS4,
)
_TRIES: Final = 10
_LEVELS: Final = np.arange(256, dtype=np.float32)


def augment(
    pixels: UInt8[np.ndarray, "s s 3"], settings: Augment, rng: np.random.Generator
) -> UInt8[np.ndarray, "s s 3"]:
    """A picture with the changes that chance gives it.

    Whether each change happens is drawn first, always with the same numbers: another share for one of them
    does not change which pictures get the others.

    Args:
        pixels: RGB, aligned to the ArcFace template; not changed.
        settings: the share of pictures that get each change.
        rng: of this picture alone.
    """
    flip, mask, crop, low, colour, gray = rng.random(6).tolist()
    if flip < settings.flip:
        pixels = cv2.flip(pixels, 1)
    if mask < settings.mask:
        pixels = draw_mask(pixels, rng)
    if crop < settings.crop:
        pixels = crop_on_black(pixels, rng)
    if low < settings.low_resolution:
        pixels = lower_resolution(pixels, rng)
    if colour < settings.colour:
        pixels = change_colour(pixels, rng)
    if gray < settings.gray:
        pixels = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return pixels


def crop_on_black(pixels: UInt8[np.ndarray, "s s 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """A random part, left where it is; all else black. AdaFace's, see the head of this file."""
    height, width = pixels.shape[:2]
    y, x, h, w = _part(height, width, rng)
    out = np.zeros_like(pixels)
    out[y : y + h, x : x + w] = pixels[y : y + h, x : x + w]
    return out


def lower_resolution(
    pixels: UInt8[np.ndarray, "s s 3"], rng: np.random.Generator
) -> UInt8[np.ndarray, "s s 3"]:
    """Reduced to 0.2–1 of the side and enlarged again. AdaFace's, see the head of this file."""
    height, width = pixels.shape[:2]
    small = max(1, int(rng.uniform(*SIDE) * height))
    down, up = rng.integers(len(_FILTERS), size=2).tolist()
    reduced = cv2.resize(pixels, (small, small), interpolation=_FILTERS[down])
    return cv2.resize(reduced, (width, height), interpolation=_FILTERS[up])


def change_colour(pixels: UInt8[np.ndarray, "s s 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "s s 3"]:
    """Brightness, contrast and saturation times 0.5–1.5. AdaFace's, see the head of this file."""
    order = rng.permutation(3).tolist()
    factors = rng.uniform(*FACTOR, size=3).tolist()
    for which in order:
        pixels = (_brighter, _more_contrast, _more_saturated)[which](pixels, factors[which])
    return pixels


def _part(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """(y, x, height, width); the whole picture when no draw fits into it."""
    for _ in range(_TRIES):
        area = height * width * rng.uniform(*AREA)
        aspect = math.exp(rng.uniform(math.log(ASPECT[0]), math.log(ASPECT[1])))
        w, h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    return 0, 0, height, width


def _brighter(pixels: UInt8[np.ndarray, "s s 3"], factor: float) -> UInt8[np.ndarray, "s s 3"]:
    return _through(pixels, _LEVELS * factor)


def _more_contrast(pixels: UInt8[np.ndarray, "s s 3"], factor: float) -> UInt8[np.ndarray, "s s 3"]:
    mean = cv2.mean(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY))[0]
    return _through(pixels, _LEVELS * factor + (1 - factor) * mean)


def _more_saturated(pixels: UInt8[np.ndarray, "s s 3"], factor: float) -> UInt8[np.ndarray, "s s 3"]:
    gray = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(pixels, factor, gray, 1 - factor, 0)


def _through(pixels: UInt8[np.ndarray, "s s 3"], levels: np.ndarray) -> UInt8[np.ndarray, "s s 3"]:
    """Each value replaced by the level it stands for, rounded and kept within 0..255."""
    return cv2.LUT(pixels, np.clip(np.rint(levels), 0, 255).astype(np.uint8))
