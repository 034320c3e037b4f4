"""Error versus discard: does a quality measure know which comparisons will fail?

The worst comparisons by quality are left out step by step, at one threshold fixed at the start. A good
measure makes the error fall at once; the curve of an all-knowing one is `ideal`.

Sources: P. Grother and E. Tabassi, *Performance of biometric quality measures*, IEEE TPAMI 29, 2007;
T. Schlett et al., *Considerations on the evaluation of biometric quality assessment algorithms*, 2023,
arXiv:2303.13294 (stepwise curves, partial area up to a named limit).
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.intervals import Rate
from lineament.metrics.operating import allowed

ErrorKind = Literal["fnmr", "fmr"]
Area = Literal["step", "trapezoid"]


@dataclass(frozen=True, slots=True, eq=False)
class Edc:
    """An error-versus-discard curve, a staircase: each error holds until the next discarded share.

    Attributes:
        discarded: (k,) shares of comparisons left out, ascending from 0; the last comparisons are never.
        error: (k,) share of errors among those that are left.
        comparisons: how many there were.
        errors: errors among all of them.
    """

    discarded: Float64[np.ndarray, "k"]
    error: Float64[np.ndarray, "k"]
    comparisons: int
    errors: int


def edc(
    similarity: np.ndarray,
    quality_a: np.ndarray,
    quality_b: np.ndarray,
    threshold: float,
    kind: ErrorKind = "fnmr",
) -> Edc:
    """Errors at a fixed threshold as comparisons of low quality are discarded.

    A comparison is as good as the worse of its two samples. Comparisons of equal quality go together, as no
    order among them follows from the measure.

    Args:
        similarity: (n,) of mated comparisons for `fnmr`, of non-mated ones for `fmr`; NaN failed, which is a
            rejection.
        quality_a, quality_b: (n,) of both samples, larger is better; −inf for a sample without a template.
        threshold: accept at or above; `threshold_at_fnmr` finds the usual starting point.
        kind: which error.

    Raises:
        ScoresInvalid: nothing to compare, lengths differ, or a quality is NaN.
        InvalidArgument: `kind` is neither of the two, or the threshold is NaN.
    """
    if kind not in ("fnmr", "fmr"):
        raise InvalidArgument(f"the error is fnmr or fmr, not {kind!r}")
    if math.isnan(threshold):
        raise InvalidArgument("the threshold is not a number: give a similarity")
    similarity = _column(similarity)
    of_a, of_b = np.asarray(quality_a, np.float64), np.asarray(quality_b, np.float64)
    if not of_a.shape == of_b.shape == similarity.shape or not similarity.size:
        raise ScoresInvalid(
            f"qualities of shapes {of_a.shape} and {of_b.shape} for {similarity.shape} similarities: "
            "give two each"
        )
    quality = np.minimum(of_a, of_b)
    if np.isnan(quality).any():
        raise ScoresInvalid("a quality is NaN: give −inf to a sample without a template")
    accepted = similarity >= threshold
    wrong = accepted if kind == "fmr" else ~accepted
    levels, place = np.unique(quality, return_inverse=True)
    gone = np.cumsum(np.bincount(place, minlength=len(levels)))[:-1]
    errors_gone = np.cumsum(np.bincount(place[wrong], minlength=len(levels)))[:-1]
    return _curve(np.append(0, gone), np.append(0, errors_gone), len(wrong), int(wrong.sum()))


def ideal(curve: Edc) -> Edc:
    """The curve of a measure that knew: every discarded comparison is an error while there are any.

    The lower bound of any curve that starts where this one does; the area above it is what can be improved.
    """
    gone = np.arange(curve.comparisons)
    return _curve(gone, np.minimum(gone, curve.errors), curve.comparisons, curve.errors)


def _curve(gone: np.ndarray, errors_gone: np.ndarray, comparisons: int, errors: int) -> Edc:
    return Edc(
        discarded=gone / comparisons,
        error=(errors - errors_gone) / (comparisons - gone),
        comparisons=comparisons,
        errors=errors,
    )


def partial_area(curve: Edc, limit: float, how: Area = "step") -> float:
    """Area under the curve from nothing to `limit` discarded; smaller is better. Not divided by the limit.

    Areas compare only at the same limit, which belongs beside the number; higher limits are more stable.

    Args:
        curve: from `edc` or `ideal`.
        limit: largest discarded share, in (0, 1].
        how: `step` follows the staircase and is what can be reached; `trapezoid` joins its corners by lines,
            which credits a measure for discards that it cannot make. Beyond the last corner the error holds.

    Raises:
        InvalidArgument: a limit outside (0, 1], or an unknown `how`.
    """
    if not 0 < limit <= 1:
        raise InvalidArgument(f"a limit of the discarded share lies above 0 and up to 1, not {limit}")
    if how not in ("step", "trapezoid"):
        raise InvalidArgument(f"an area is step or trapezoid, not {how!r}")
    inside = curve.discarded < limit
    edges = np.append(curve.discarded[inside], limit)
    if how == "step":
        return float(np.diff(edges) @ curve.error[inside])
    heights = np.append(curve.error[inside], np.interp(limit, curve.discarded, curve.error))
    return float(np.diff(edges) @ (heights[1:] + heights[:-1]) / 2)


def threshold_at_fnmr(similarity: np.ndarray, fnmr: Rate) -> float:
    """The highest threshold, among the similarities, whose FNMR on all comparisons is at most `fnmr`.

    Args:
        similarity: (n,) of mated comparisons; NaN failed, which is a rejection.
        fnmr: where the curve is to start at most, in (0, 1).

    Raises:
        ScoresInvalid: empty, or more comparisons failed than `fnmr` allows.
        InvalidArgument: `fnmr` outside (0, 1).
    """
    similarity = _column(similarity)
    if not similarity.size:
        raise ScoresInvalid("there is no mated comparison")
    order = np.sort(np.where(np.isnan(similarity), -np.inf, similarity))
    threshold = float(order[allowed(fnmr, len(order))])
    if threshold == -np.inf:
        failed = int(np.isneginf(order).sum())
        raise ScoresInvalid(
            f"{failed} of {len(order)} comparisons failed, more than an FNMR of {fnmr} "
            "allows: start higher, or leave failed comparisons out"
        )
    return threshold


def _column(similarity: np.ndarray) -> np.ndarray:
    similarity = np.asarray(similarity, np.float64)
    if similarity.ndim != 1:
        raise ScoresInvalid(f"similarities are one column, not shape {similarity.shape}")
    return similarity
