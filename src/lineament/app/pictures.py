"""What callers of this door hand in, as red-green-blue pixels."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.core.errors import ImageNotFound, InvalidArgument
from lineament.vision.decode import read_image


def rgb_pixels(
    img: Any, color: str = "bgr", value_range: tuple[float, float] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Upright RGB pixels of an array, a path, encoded bytes, a file object or a Pillow image.

    Args:
        img: arrays are taken as `color` says; everything else knows its own colours, and EXIF turns apply.
        color: `bgr` (OpenCV's order, the default of this door) or `rgb`; for arrays only.
        value_range: the values that mean black and white in an array that is not uint8.

    Raises:
        ImageError: the picture cannot be used, as the message says.
        InvalidArgument: `color` is neither.
    """
    if img is None:
        raise ImageNotFound(
            "the picture is None: cv2.imread gives None for a file that is missing or no picture; check the "
            "path, or pass the path itself, which gives a precise error"
        )
    if color not in ("bgr", "rgb"):
        raise InvalidArgument(f"color is 'bgr' or 'rgb', not {color!r}")
    order = "rgb" if color == "rgb" else "bgr"
    return read_image(img, colour=order, value_range=value_range).pixels


def bgr_pixels(
    img: Any, color: str = "bgr", value_range: tuple[float, float] | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """As `rgb_pixels`, blue-green-red and writable."""
    return cv2.cvtColor(rgb_pixels(img, color, value_range), cv2.COLOR_RGB2BGR)
