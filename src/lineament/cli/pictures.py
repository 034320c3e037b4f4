"""Writing pictures and other files: whole or not at all."""

import os
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from lineament.core.errors import OutputFailed

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


def write_bytes(path: Path, data: bytes, *, private: bool = False) -> None:
    """Write a file whole or not at all; arguments and errors as for `replacing`."""
    with replacing(path, private=private) as stream:
        stream.write(data)


@contextmanager
def replacing(path: Path, *, private: bool = False) -> Generator[BinaryIO]:
    """A stream into a temporary file that becomes `path` at the end, so that a reader never sees half of it.

    Args:
        path: where.
        private: only the owner may read it, as for files with templates.

    Raises:
        OutputFailed: the place cannot be written.
    """
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".lineament-")
        with os.fdopen(handle, "wb") as stream:
            yield stream
        if not private:
            # mkstemp makes private files, and the user asked for an ordinary one.
            mask = os.umask(0)
            os.umask(mask)
            Path(temporary).chmod(0o666 & ~mask)
        Path(temporary).replace(path)
        temporary = None
    except OSError as error:
        why = error.strerror or str(error)
        raise OutputFailed(
            f"cannot write {path}: {why}; name a folder that exists and that you may write to"
        ) from error
    finally:
        if temporary is not None:
            with suppress(OSError):
                Path(temporary).unlink(missing_ok=True)
