"""Equal error rate: where false matches and false non-matches are equally frequent.

A set of comparisons rarely has a threshold at which both are equal, so the number depends on how the gap is
bridged, by a tenth or more on small sets. It is never printed without its method.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lineament.core.errors import InvalidArgument
from lineament.metrics.curves import Roc, roc
from lineament.metrics.scores import Scores

EerMethod = Literal["rocch", "midpoint", "interpolated"]

ROUNDING = 4 * float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True)
class Eer:
    """An equal error rate.

    Attributes:
        value: in [0, 1].
        method: how it was found, see `eer`.
        threshold: the one that has these errors; None when the value lies between two thresholds.
    """

    value: float
    method: EerMethod
    threshold: float | None


def eer(scores: Scores, method: EerMethod = "rocch") -> Eer:
    """The equal error rate by a named method.

    Failed comparisons are rejected at every threshold. When not all non-mated similarities were kept, the
    curve below those kept has only the histogram's edges, and the value may be off by what one bin holds.

    Args:
        scores: comparisons.
        method: `rocch` on the convex hull of the error curve, which a random choice between two
            thresholds attains (Brümmer and de Villiers, BOSARIS 2011);
            `midpoint` the mean of both errors at the threshold where they differ least (BOB, pyeer);
            `interpolated` on the straight line between the two thresholds around it.

    Raises:
        InvalidArgument: another method.
        ScoresInvalid: there is no mated or no non-mated comparison, or the histogram does not fit.
        EvidenceInsufficient: not all similarities were kept, and there is no histogram.
    """
    if method == "midpoint":
        return _midpoint(roc(scores))
    if method == "interpolated":
        return _crossing(*_with_corners(roc(scores)), method)
    if method == "rocch":
        return _crossing(*_hull_edge(*_with_corners(roc(scores))), method)
    raise InvalidArgument(f"{method!r} is not a method: choose rocch, midpoint or interpolated")


def _midpoint(curve: Roc) -> Eer:
    """Mean of both errors at the lowest threshold where they differ least."""
    gap = np.abs(curve.fmr - curve.fnmr)
    # 0.4 − 0.3 and 0.3 − 0.2 are equal gaps, though not in binary.
    at = int(np.argmax(gap <= gap.min() + ROUNDING))
    return Eer(float(curve.fmr[at] + curve.fnmr[at]) / 2, "midpoint", float(curve.threshold[at]))


def _with_corners(curve: Roc) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(n,) FMR, FNMR and threshold, between accepting and refusing whatever comes, failed ones included."""
    return (
        np.concatenate([[1.0], curve.fmr, [0.0]]),
        np.concatenate([[0.0], curve.fnmr, [1.0]]),
        np.concatenate([[-np.inf], curve.threshold, [np.inf]]),
    )


def _crossing(fmr: np.ndarray, fnmr: np.ndarray, threshold: np.ndarray, method: EerMethod) -> Eer:
    """Where straight lines between the points (n,) have equal errors; FNMR − FMR rises along them."""
    gap = fnmr - fmr
    after = int(np.argmax(gap >= 0))
    if gap[after] == 0:
        return Eer(float(fmr[after]), method, float(threshold[after]))
    before = after - 1
    share = -gap[before] / (gap[after] - gap[before])
    return Eer(float(fmr[before] + share * (fmr[after] - fmr[before])), method, None)


def _hull_edge(
    fmr: np.ndarray, fnmr: np.ndarray, threshold: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(2,) ends of the edge of the lower left convex hull that crosses FMR = FNMR.

    Starting from the corners, the point farthest below the edge becomes an end of it, on its own side of the
    diagonal, until no point is below: a few passes over the points between the ends instead of a hull of all.
    """
    left, right = 0, len(fmr) - 1
    while right - left > 1:
        run, rise = fmr[right] - fmr[left], fnmr[right] - fnmr[left]
        inner = slice(left + 1, right)
        # Positive where a point lies towards (0, 0) from the edge.
        depth = run * (fnmr[inner] - fnmr[left]) - rise * (fmr[inner] - fmr[left])
        deepest = int(np.argmax(depth))
        if depth[deepest] <= ROUNDING * max(abs(run), abs(rise)):
            break
        point = left + 1 + deepest
        if fnmr[point] < fmr[point]:
            left = point
        else:
            right = point
    ends = [left, right]
    return fmr[ends], fnmr[ends], threshold[ends]
