"""What every protocol checks of the templates and labels it is given."""

import numpy as np

from lineament.core.errors import ScoresInvalid, TemplateInvalid

LENGTH_TOLERANCE = 1e-2
"""How far from 1 the length of a template may be: one stored in eight bits is off by about 3e-3."""
STEP = 65_536


def failures(vectors: np.ndarray, what: str) -> np.ndarray:
    """Which rows hold no template.

    Args:
        vectors: (n, d) of floats, an array or a memory map; a row with a NaN is a failure to acquire.
        what: name used in errors.

    Returns:
        (n,) bool.

    Raises:
        ScoresInvalid: not two-dimensional, or not of floats.
        TemplateInvalid: a row is infinite or not of unit length.
    """
    if vectors.ndim != 2 or vectors.dtype.kind != "f":
        raise ScoresInvalid(f"{what} must be floats of shape (n, d), not {vectors.dtype} {vectors.shape}")
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), STEP):
        part = np.asarray(vectors[start : start + STEP], dtype=np.float32)
        lengths[start : start + STEP] = np.sqrt(np.einsum("nd,nd->n", part, part))
    failed = np.isnan(lengths)
    bad = np.flatnonzero(~failed & ~(np.abs(lengths - 1.0) < LENGTH_TOLERANCE))
    if bad.size:
        raise TemplateInvalid(
            f"row {bad[0]} of {what} is not a unit vector (length {lengths[bad[0]]:.6g}): scale raw outputs "
            "to unit length, and mark a failure to acquire with NaN"
        )
    return failed


def labels(values: np.ndarray, count: int, what: str) -> np.ndarray:
    """Whole numbers, one a row, as int64 (count,).

    Raises:
        ScoresInvalid: of another length, or not whole numbers.
    """
    values = np.asarray(values)
    if values.shape != (count,):
        raise ScoresInvalid(f"{what} must have one value for each of {count} rows, not {values.shape}")
    if values.dtype.kind not in "iu" and values.size:
        raise ScoresInvalid(f"{what} must be whole numbers, not {values.dtype}: number the names first")
    return values.astype(np.int64)


def flags(values: np.ndarray, count: int, what: str) -> np.ndarray:
    """Truth values, one a row, (count,) bool.

    Raises:
        ScoresInvalid: of another length, or not boolean.
    """
    values = np.asarray(values)
    if values.shape != (count,) or values.dtype != np.bool_:
        raise ScoresInvalid(
            f"{what} must be {count} truth values, not {values.dtype} of shape {values.shape}"
        )
    return values


def rows_of(wanted: np.ndarray, known: np.ndarray, what: str) -> np.ndarray:
    """Positions (k,) in `known` of the numbers `wanted` (k,).

    Raises:
        ScoresInvalid: `known` holds a number twice, or lacks one that is wanted.
    """
    order = np.argsort(known, kind="stable")
    if (np.diff(known[order]) == 0).any():
        raise ScoresInvalid(f"{what} holds the same number twice")
    if not len(known):
        raise ScoresInvalid(f"{what} is empty")
    place = order[np.minimum(np.searchsorted(known, wanted, sorter=order), len(known) - 1)]
    missing = np.unique(wanted[known[place] != wanted])
    if missing.size:
        raise ScoresInvalid(
            f"{missing.size} numbers are not in {what}, the first is {missing[0]}: the "
            "lists do not belong together"
        )
    return place
