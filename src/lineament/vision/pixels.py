"""Pixels of a Pillow image as RGB, and Pillow's complaints as named errors.

Pillow decodes everything but ordinary JPEG files (`plain_jpeg.py`). It reports what is missing as an error;
only libtiff, of a damaged compressed TIFF file, also writes a line to the process's standard error.

What becomes RGB, and how:
- gray, 1 bit, palette, CMYK (Adobe's inverted one too), YCbCr: converted; colour profiles are not applied.
- 16 bits: gray is scaled by 255/65535 and rounded; of RGB the upper byte is taken (at most one level less).
- transparency is laid on white: what a page or a viewer shows, and the background of identity photographs;
  the colours under fully transparent pixels are often arbitrary and must not be seen.
- 32-bit whole numbers and floats are refused: nothing in the file says which values are black and white.
"""

import ctypes
import threading
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import cv2
import numpy as np
from jaxtyping import UInt8
from PIL import Image as PillowImage

from lineament.core.errors import ImageError, ImageTooLarge, ImageTruncated, ImageUnreadable, LineamentError

_WITH_ALPHA: Final = {"LA", "La", "PA", "RGBA", "RGBa"}
_SPOKEN: Final = {
    "1": "1 bit to RGB",
    "L": "gray to RGB",
    "P": "palette to RGB",
    "CMYK": "CMYK to RGB",
    "YCbCr": "YCbCr to RGB",
}
_PHOTOMETRIC: Final = 262
# Bytes of one strip when an image is read in pieces: below Pillow's 16 MiB blocks of memory.
_STRIP: Final = 8 << 20
_SHORTENED: Final = ("truncated", "unexpected end", "end of file", "not enough data", "eof")
_silence = threading.Lock()


@contextmanager
def complaints(name: str, kind: str) -> Generator[None]:
    """Turn whatever Pillow raises about one picture into a named error."""
    try:
        yield
    except LineamentError:
        raise
    except MemoryError as error:
        raise ImageTooLarge(f"{name} needs more memory than there is: shrink the picture") from error
    except PillowImage.DecompressionBombError as error:
        raise ImageTooLarge(f"{name} is larger than PIL.Image.MAX_IMAGE_PIXELS allows ({error})") from error
    except Exception as error:
        raise _named(error, name, kind) from error


def _named(error: Exception, name: str, kind: str) -> ImageError:
    said = str(error)
    if isinstance(error, EOFError) or any(word in said.lower() for word in _SHORTENED):
        return ImageTruncated(
            f"{name} is a {kind} file that stops before its end: fetch the whole file again"
        )
    return ImageUnreadable(f"{name} is a damaged or unusual {kind} file ({said or type(error).__name__})")


@contextmanager
def no_warnings() -> Generator[None]:
    """Keep Pillow's warnings about odd tags to itself.

    Python's warning filters belong to the whole process, so this is held under a lock, and only where a
    plugin parses tags (TIFF, AVIF, HEIC): all other formats are handed over without anything to warn about.
    """
    with _silence, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def to_rgb(
    image: PillowImage.Image, name: str, kind: str
) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[str, ...]]:
    """The loaded image as RGB, and notes on what was converted.

    Raises:
        ImageUnreadable: samples without a stated range (32-bit, float) or an unknown colour space.
        ImageTruncated: the pixels end early.
    """
    with complaints(name, kind):
        image.load()
        if image.mode in _WITH_ALPHA or _has_transparency(image):
            return _on_white(image)
        if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PNM"):
            gray = _from_16_bits(np.asarray(image), light_is_zero=_tags(image).get(_PHOTOMETRIC) == 0)
            return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), ("16-bit gray to RGB",)
        if image.mode in ("I", "F", "I;32", "I;32B"):
            what = "floats" if image.mode == "F" else "whole numbers"
            raise ImageUnreadable(
                f"{name} holds 32-bit {what} and does not state which mean black and white: "
                "save it with 8 or 16 bits, or pass an array with value_range="
            )
        notes = (_SPOKEN.get(image.mode, f"{image.mode} to RGB"),) if image.mode != "RGB" else ()
        if image.mode in ("1", "L"):
            gray = np.asarray(image if image.mode == "L" else image.convert("L"))
            return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), notes
        rgb = image if image.mode == "RGB" else image.convert("RGB")
        return _four_channels(rgb, 3), notes


def _has_transparency(image: PillowImage.Image) -> bool:
    """A transparent colour or palette entry beside the pixels."""
    palette: Any = image.palette
    return "transparency" in image.info or (
        image.mode == "P" and palette is not None and palette.mode == "RGBA"
    )


def _on_white(image: PillowImage.Image) -> tuple[np.ndarray, tuple[str, ...]]:
    rgba = _four_channels(image if image.mode == "RGBA" else image.convert("RGBA"), 4)
    notes = (
        ()
        if image.mode in ("RGB", "RGBA", "RGBa")
        else ("palette to RGB" if "P" in image.mode else "gray to RGB",)
    )
    if (rgba[..., 3] == 255).all():
        return cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), notes
    return over_white(rgba), (*notes, "transparency laid on white")


def over_white(rgba: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Straight (not premultiplied) colours over white, rounded: c·a/255 + 255 − a."""
    out = np.empty((*rgba.shape[:2], 3), dtype=np.uint8)
    step = max(1, _STRIP // max(1, rgba.shape[1] * 4))
    for top in range(0, rgba.shape[0], step):
        part = rgba[top : top + step].astype(np.uint16)
        alpha = part[..., 3:]
        # White is 255, so the sum stays below 65 536: 255·255 + 127.
        out[top : top + step] = (part[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return out


def _from_16_bits(gray: np.ndarray, light_is_zero: bool) -> np.ndarray:
    levels = ((gray.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    # Pillow turns TIFF's WhiteIsZero round for 1 and 8 bits only.
    return 255 - levels if light_is_zero else levels


def _tags(image: PillowImage.Image) -> Mapping[int, object]:
    """Tags of a TIFF image, empty for every other format."""
    return getattr(image, "tag_v2", {})


def _four_channels(image: PillowImage.Image, channels: int) -> np.ndarray:
    """Pixels of an RGB or RGBA image, (h, w, channels), a copy.

    Pillow keeps four bytes a pixel; `numpy.asarray` packs them in two passes, which for a large JPEG costs
    as much as decoding it. Its Arrow export shows the memory itself, when that is one block.
    """
    out = np.empty((image.height, image.width, channels), dtype=np.uint8)
    if _copy(image, out):
        return out
    strip = _STRIP // (image.width * 4)
    if strip == 0 or (PillowImage.MAX_IMAGE_PIXELS or _STRIP) < _STRIP // 4:
        # Rows too long for one block, or an application's limit that even a strip's `crop` would exceed.
        return np.asarray(image).copy()
    for top in range(0, image.height, strip):
        rows = min(strip, image.height - top)
        part = image.crop((0, top, image.width, top + rows))
        if not _copy(part, out[top : top + rows]):
            out[top : top + rows] = np.asarray(part)
    return out


def _copy(image: PillowImage.Image, out: np.ndarray) -> bool:
    """Copy the pixels into `out`; False when they do not lie in one block of memory."""
    try:
        schema, exported = image.__arrow_c_array__()
    except ValueError:
        return False
    del schema
    quads = _exported_bytes(exported, image.width * image.height * 4).reshape(image.height, image.width, 4)
    if out.shape[2] == 3:
        cv2.cvtColor(quads, cv2.COLOR_RGBA2RGB, dst=out)
    else:
        out[...] = quads
    return True


class _ArrowArray(ctypes.Structure):
    """`struct ArrowArray` of the Arrow C data interface, up to what is read here."""

    _fields_ = (
        ("length", ctypes.c_int64),
        ("null_count", ctypes.c_int64),
        ("offset", ctypes.c_int64),
        ("n_buffers", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        ("buffers", ctypes.POINTER(ctypes.c_void_p)),
        ("children", ctypes.POINTER(ctypes.c_void_p)),
    )


_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype = ctypes.c_void_p
_capsule_pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)


def _exported_bytes(capsule: object, size: int) -> UInt8[np.ndarray, "n"]:
    """The bytes behind an exported fixed-size list of four; valid while the capsule lives."""
    array = _ArrowArray.from_address(_capsule_pointer(capsule, b"arrow_array"))
    child = _ArrowArray.from_address(array.children[0])
    return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(child.buffers[1]))
