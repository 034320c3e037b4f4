"""Fitting a picture of any size into a network's input."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A picture shrunk or enlarged into a canvas, top left, black elsewhere.

    Attributes:
        canvas: uint8 (H, W, 3).
        scale: canvas pixels per picture pixel.
    """

    canvas: UInt8[np.ndarray, "H W 3"]
    scale: float


def fit(pixels: UInt8[np.ndarray, "h w 3"], size: tuple[int, int], stride: int, tight: bool) -> Fitted:
    """Resize keeping the aspect ratio so that the picture fills `size`, then pad right and bottom.

    Args:
        pixels: any picture of at least one pixel.
        size: (width, height) of the space to fill, pixels.
        stride: canvas sides are rounded up to a multiple of this.
        tight: pad only to the next multiple of `stride`, not to the whole of `size`: less to compute.

    Returns:
        The canvas and its scale. One scale serves both axes, taken from the height as InsightFace does,
        so that coordinates agree with its to the last digit.
    """
    height, width = pixels.shape[:2]
    ratio = height / width
    if ratio > size[1] / size[0]:
        new_height, new_width = size[1], max(1, int(size[1] / ratio))
    else:
        new_width, new_height = size[0], max(1, int(size[0] * ratio))
    wanted = (new_width, new_height) if tight else size
    canvas = np.zeros((_up(wanted[1], stride), _up(wanted[0], stride), 3), np.uint8)
    if (new_height, new_width) == (height, width):
        canvas[:height, :width] = pixels
    else:
        # cv2 writes straight into the canvas's corner.
        cv2.resize(pixels, (new_width, new_height), dst=canvas[:new_height, :new_width])
    return Fitted(canvas, new_height / height)


def _up(length: int, stride: int) -> int:
    return -(-length // stride) * stride
