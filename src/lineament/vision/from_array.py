"""A numpy array as a picture: what cannot be seen in an array must be stated by whoever passes it."""

import math
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
from jaxtyping import UInt8

from lineament.core.errors import ImageArrayInvalid, ImageZeroSized, InvalidArgument
from lineament.vision.pixels import over_white

Colour = Literal["rgb", "bgr"]
"""Order of an array's colour channels; a fourth channel is alpha in either."""

Range: TypeAlias = tuple[int | float, int | float]
"""The values of an array that mean black and white."""

_MEASURED: Final = ("uint16", "float16", "float32", "float64")


def check_statements(colour: object, value_range: object) -> None:
    """Refuse a colour order or a range that is none.

    Raises:
        InvalidArgument: `colour` is not "rgb" or "bgr", or the range is not two rising finite numbers.
    """
    if colour not in (None, "rgb", "bgr"):
        raise InvalidArgument(f'colour is "rgb" or "bgr", not {colour!r}')
    if value_range is None:
        return
    try:
        low, high = value_range  # pyright: ignore[reportGeneralTypeIssues]
        rising = math.isfinite(low) and math.isfinite(high) and low < high
    except (TypeError, ValueError):
        rising = False
    if not rising:
        raise InvalidArgument(
            f"value_range is (black, white) such as (0, 1) or (0, 65535), not {value_range!r}"
        )


def rgb_of_array(
    array: np.ndarray, colour: Colour | None, value_range: Range | None
) -> tuple[UInt8[np.ndarray, "h w 3"], tuple[str, ...]]:
    """A copy of the array as 8-bit RGB, and notes on what was converted. The array is not modified.

    Args:
        array: (h, w), (h, w, 1), (h, w, 3) or (h, w, 4); uint8, uint16 or float; any strides.
        colour: order of the channels; needed for three and four of them.
        value_range: the values that mean black and white; needed unless the array is uint8.

    Raises:
        ImageZeroSized: no rows, columns or channels.
        ImageArrayInvalid: another shape or type, or a statement is missing, or a value lies outside.
    """
    channels = _channels(array)
    if channels >= 3 and colour is None:
        raise ImageArrayInvalid(
            f"an array of shape {array.shape} does not say whether it is red-green-blue or blue-green-red: "
            'pass colour="rgb" (Pillow, scikit-image) or colour="bgr" (OpenCV)'
        )
    levels, notes = _levels(array, value_range)
    if channels == 1:
        gray = np.ascontiguousarray(levels.reshape(levels.shape[:2]))
        return cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB), (*notes, "gray to RGB")
    if channels == 4:
        rgba = levels[..., [2, 1, 0, 3]] if colour == "bgr" else np.ascontiguousarray(levels)
        if (rgba[..., 3] == 255).all():
            return rgba[..., :3].copy(), notes
        return over_white(rgba), (*notes, "transparency laid on white")
    if colour == "bgr":
        return cv2.cvtColor(np.ascontiguousarray(levels), cv2.COLOR_BGR2RGB), notes
    return levels.copy(order="C"), notes


def _channels(array: np.ndarray) -> int:
    if isinstance(array, np.ma.MaskedArray):
        raise ImageArrayInvalid(
            "a masked array is not a picture: fill its gaps first, with array.filled(...)"
        )
    if array.dtype.name != "uint8" and array.dtype.name not in _MEASURED:
        raise ImageArrayInvalid(
            f"an array of {array.dtype} is not a picture: convert it to uint8, uint16 or a float type"
        )
    if array.ndim in (2, 3) and array.size == 0:
        raise ImageZeroSized(f"an array of shape {array.shape} has no pixels")
    if array.ndim == 2:
        return 1
    if array.ndim == 3 and array.shape[2] in (1, 3, 4):
        return array.shape[2]
    hint = "its shape must be (h, w), (h, w, 1), (h, w, 3) or (h, w, 4)"
    if array.ndim == 3 and array.shape[0] in (1, 3, 4):
        hint = "its channels come first: pass array.transpose(1, 2, 0)"
    elif array.ndim == 4:
        hint = "pass one picture at a time"
    raise ImageArrayInvalid(f"an array of shape {array.shape} is not a picture: {hint}")


def _levels(array: np.ndarray, value_range: Range | None) -> tuple[np.ndarray, tuple[str, ...]]:
    """Values as 8-bit levels."""
    if array.dtype == np.uint8 and value_range in (None, (0, 255)):
        return array, ()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ImageArrayInvalid(
            "the array holds values that are not finite (NaN or infinity): replace them first"
        )
    low, high = float(array.min()), float(array.max())
    if value_range is None:
        raise ImageArrayInvalid(
            f"an array of {array.dtype} does not say which values mean black and white: pass value_range=; "
            f"its values lie between {low:g} and {high:g}, {_guess(array.dtype, low, high)}"
        )
    black, white = value_range
    if low < black or high > white:
        raise ImageArrayInvalid(
            f"the array's values lie between {low:g} and {high:g}, outside value_range={value_range}: "
            f"clip them or state another range, {_guess(array.dtype, low, high)}"
        )
    # 32-bit floats keep 24 bits, more than any of the 16-bit types needs; doubles stay doubles.
    working = array.astype(np.float64 if array.dtype == np.float64 else np.float32)
    working -= black
    working *= 255.0 / (white - black)
    working += 0.5
    return np.minimum(working, 255.0).astype(np.uint8), (f"{black:g} to {white:g} scaled to 8 bits",)


def _guess(dtype: np.dtype, low: float, high: float) -> str:
    """Which range the values look like, for the message only."""
    ranges = ((0, 1), (-1, 1), (0, 255), (0, 1023), (0, 4095), (0, 65535))
    fitting = [r for r in ranges if r[0] <= low and high <= r[1] and (dtype.kind == "f" or r[1] > 1)]
    return f"which looks like {fitting[0]}" if fitting else "which looks like no range in common use"
