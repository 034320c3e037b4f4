"""Decoding training crops: as `read_image` does, without what only photographs need.

A plain JPEG file, which nearly every crop is, goes straight to the fast decoder (`vision/plain_jpeg.py`);
anything else takes the long way. The pixels are `read_image`'s in either case. The size is compared
before anything is decoded: a data set of whole photographs is noticed at once.
"""

import numpy as np
from jaxtyping import UInt8

from lineament.core.errors import ImageError
from lineament.vision.containers import read_header
from lineament.vision.decode import open_picture
from lineament.vision.plain_jpeg import decode_plain


class CropSize(ImageError):
    """The picture is not a crop of the size that is trained on; the loader counts it as broken."""

    reason = "crop_size"


def decode_crop(encoded: bytes, size: int, name: str) -> UInt8[np.ndarray, "s s 3"]:
    """RGB pixels of a crop.

    Args:
        encoded: the picture file.
        size: side that it must have, pixels.
        name: for messages.

    Raises:
        CropSize: another size.
        ImageError: it cannot be decoded, see `lineament.vision.decode.read_image`.
    """
    if encoded.startswith(b"\xff\xd8"):
        header = read_header(encoded, name)
        _check_size(header.size, size, name)
        if header.plain and header.orientation == 1:
            pixels = decode_plain(header.lean(encoded), 1)
            if pixels is not None:
                return pixels
    picture = open_picture(encoded)
    _check_size(picture.full_size, size, name)
    return picture.decode().pixels


def _check_size(found: tuple[int, int], size: int, name: str) -> None:
    if found != (size, size):
        height, width = found
        raise CropSize(
            f"{name} has {width}×{height} pixels, and crops of {size}×{size} are trained on: align the faces "
            "first, or set data.size"
        )
