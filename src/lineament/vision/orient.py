"""Orientation marks 1–8: how a stored picture is turned to stand upright.

The mark says where the first row and the first column of the stored pixels belong (TIFF 6.0, tag 274;
Exif 2.32, tag 0x0112): 1 as stored, 2 mirrored left-right, 3 turned by 180°, 4 mirrored top-bottom,
5 transposed, 6 to be turned 90° clockwise, 7 transposed along the other diagonal, 8 to be turned 90°
counter-clockwise.
"""

import struct
from collections.abc import Callable
from typing import Final

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage

from lineament.vision.tiff import ORIENTATION, directories

_Turn = Callable[[np.ndarray], np.ndarray]

_TURNS: Final[dict[int, _Turn]] = {
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
    7: lambda pixels: cv2.flip(cv2.transpose(pixels), -1),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
}


def upright(pixels: UInt8[np.ndarray, "h w 3"], mark: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """The stored pixels as a viewer shows them; the same array when the mark is 1."""
    turn = _TURNS.get(mark)
    return pixels if turn is None else turn(pixels)


def upright_size(size: tuple[int, int], mark: int) -> tuple[int, int]:
    """(height, width) after `upright`, from the stored (height, width)."""
    return (size[1], size[0]) if mark in (5, 6, 7, 8) else size


def exif_mark(exif: bytes) -> int:
    """The orientation mark of an EXIF block, with or without its `Exif` prefix; 1 where there is none.

    A mark outside 1–8 or a block that cannot be read counts as none, as in every viewer: a damaged note
    beside the pixels is no reason to refuse them.
    """
    try:
        tags = next(iter(directories(exif.removeprefix(b"Exif\0\0"), most=1)), {})
    except struct.error:
        return 1
    return known_mark(tags.get(ORIENTATION, (1,))[0])


def known_mark(mark: object) -> int:
    """`mark` when it is one of 1–8, else 1."""
    return mark if isinstance(mark, int) and 1 <= mark <= 8 else 1


def mark_of(image: PillowImage.Image) -> int:
    """The mark that a loaded Pillow image still carries.

    Ask after loading: Pillow turns TIFF pictures while it loads them. Pillow also takes a mark from XMP
    where EXIF has none; that one is passed over here as it is for files, because editors that turn the
    pixels often leave it behind.
    """
    mark = known_mark(image.getexif().get(ORIENTATION, 1))
    only_xmp = not image.info.get("exif") and ("xmp" in image.info or "XML:com.adobe.xmp" in image.info)
    return 1 if only_xmp and not hasattr(image, "tag_v2") else mark
