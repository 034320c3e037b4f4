"""Writing pictures in the format of their name."""

from pathlib import Path

import cv2
import numpy as np

from lineament.core.errors import OutputFailed
from lineament.core.files import write_bytes

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def write_picture(path: Path, pixels: np.ndarray) -> None:
    """Write an RGB picture in the format of its suffix, atomically.

    Raises:
        OutputFailed: another suffix, or the place cannot be written.
    """
    write_bytes(path, encode_picture(path, pixels))


def encode_picture(path: Path, pixels: np.ndarray) -> bytes:
    """The bytes that `write_picture` would write; arguments and errors as there."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputFailed(f"cannot write {path}: name it with one of {', '.join(SUFFIXES)}")
    quality = {".png": [], ".webp": [cv2.IMWRITE_WEBP_QUALITY, 92]}.get(
        suffix, [cv2.IMWRITE_JPEG_QUALITY, 92]
    )
    done, encoded = cv2.imencode(suffix, np.ascontiguousarray(pixels[:, :, ::-1]), quality)
    if not done:
        raise OutputFailed(
            f"cannot encode a picture of {pixels.shape[1]}×{pixels.shape[0]} pixels as {suffix}"
        )
    return encoded.tobytes()
