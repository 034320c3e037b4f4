"""One training picture as it is, for whoever looks at the data instead of training on them."""

import numpy as np

from lineament.core.errors import DatasetError, ImageEmpty, ImageError
from lineament.train.crops import decode_crop
from lineament.train.examples import Examples


def read_crop(examples: Examples, row: int, colour: str, size: int) -> np.ndarray | str:
    """RGB pixels, uint8 (size, size, 3), or why there are none.

    Args:
        examples: the pictures.
        row: which of them.
        colour: order of channels in the file, `rgb` or `bgr`.
        size: side that it must have, pixels.
    """
    name = examples.name(row)
    try:
        encoded = examples.read(row)
        if not encoded:
            raise ImageEmpty(f"{name} holds no bytes")
        pixels = decode_crop(encoded, size, name)
    except (ImageError, DatasetError) as error:
        return error.reason
    return np.ascontiguousarray(pixels[..., ::-1]) if colour == "bgr" else pixels
