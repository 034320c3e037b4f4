"""Columns that cannot change under their owner."""

from typing import Any

import numpy as np


def frozen(values: Any, dtype: Any, shape: tuple[int | None, ...], what: str) -> np.ndarray:
    """`values` as a read-only, C-contiguous array of `dtype`, checked against `shape`.

    Args:
        values: anything numpy accepts.
        dtype: numpy data type of the result.
        shape: expected shape; None stands for any length.
        what: name used in the error.

    Raises:
        ValueError: the shape differs. This is a mistake of the calling code, not of a user's data.
    """
    array = np.ascontiguousarray(values, dtype=dtype)
    fits = array.ndim == len(shape) and all(
        want is None or have == want for have, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{what} must have shape {shape}, not {array.shape}")
    # A view keeps the caller's own array writable; the data is shared, not copied.
    view = array.view()
    view.flags.writeable = False
    return view
