"""Ordinary JPEG files, the common case, by the fastest way to pixels: OpenCV's libjpeg-turbo.

Pillow's decoder is the same library, but keeps four bytes a pixel and so writes, clears and copies more:
about a quarter more time for a photograph of one megapixel. Their pixels are equal (tested).

OpenCV's libjpeg writes its warnings to the process's standard error, where neither a log level nor Python
reaches them, and fills what is missing with grey. Only files with nothing to warn about come here, as far as
that shows without decoding: one baseline scan, no restart markers, no stray markers, and padding instead of
the end mark (see `jpeg.py`), so that a scan that is too short fails here and gets its name from Pillow. What
remains is a flipped bit that yields an undefined code: then libjpeg writes one line, and the picture is
decoded as far as it goes, by either decoder.
"""

from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8

# REDUCED_GRAYSCALE_n is 16, 32, 64: the bit for the scale alone, to be joined with a colour order.
_SCALES: Final = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}


def decode_plain(encoded: bytes, reduce_by: int) -> UInt8[np.ndarray, "h w 3"] | None:
    """RGB pixels as stored, sides divided by 1, 2, 4 or 8 and rounded up; None when it cannot be decoded."""
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION | _SCALES[reduce_by]
    try:
        return cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:
        return None
