"""One point of operation: the threshold for a false match rate, and what happens there.

A threshold is chosen by the floor rule: of N non-mated comparisons at most `floor(target * N)` may match,
counted in exact decimals. So the false match rate never exceeds the target, also with ties, and no valid
threshold misses fewer mated pairs. Taking the point whose rate is nearest to the target would exceed it.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lineament.core.errors import InvalidArgument
from lineament.metrics.intervals import Rate, exact, reliable
from lineament.metrics.scores import Scores


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A threshold and its errors.

    Attributes:
        target: false match rate that was asked for; the achieved one when a threshold was given.
        allowed: false matches that the target allows.
        bar: accept exactly the similarities above it; None when all are accepted.
        threshold: accept similarities of at least it; -inf when all are accepted.
        false_matches, nonmated: non-mated comparisons accepted, and all of them, failed ones included.
        fmr: their quotient.
        false_nonmatches, mated: mated comparisons rejected, and all of them, failed ones included in both.
        fnmr: their quotient.
        status: `insufficient` when the target is less than one comparison in `nonmated`: then nothing was
            accepted falsely, and no more than `rule_of_three(nonmated)` follows for the rate.
        reliable: whether there are 30 false matches or more.
    """

    target: float
    allowed: int
    bar: float | None
    threshold: float
    false_matches: int
    nonmated: int
    fmr: float
    false_nonmatches: int
    mated: int
    fnmr: float
    status: Literal["ok", "insufficient"]
    reliable: bool

    @property
    def tar(self) -> float:
        """True accept rate, 1 − FNMR, as many papers print it."""
        return 1 - self.fnmr


def allowed(target: Rate, trials: int) -> int:
    """False matches that a target rate allows in so many comparisons: `floor(target * trials)`, exactly.

    In binary floating point 0.29 · 100 is 28.999…, one too few.

    Raises:
        InvalidArgument: the target is not in (0, 1), or trials are negative.
    """
    if trials < 0:
        raise InvalidArgument(f"{trials} comparisons: give a count of 0 or more")
    return math.floor(exact(target) * trials)


def at_fmr(scores: Scores, target: Rate) -> OperatingPoint:
    """The lowest threshold whose false match rate does not exceed a target.

    Args:
        scores: comparisons; of the non-mated ones, `allowed + 1` of the largest must be kept.
        target: false match rate, in (0, 1).

    Raises:
        InvalidArgument: the target is not in (0, 1).
        ScoresInvalid: there is no mated or no non-mated comparison.
        EvidenceInsufficient: too few of the largest non-mated similarities were kept.
    """
    scores.require_both()
    count = allowed(target, scores.nonmated_count)
    status: Literal["ok", "insufficient"] = "ok" if count else "insufficient"
    if count >= scores.nonmated_total:
        return _point(scores, float(target), count, None, -math.inf, scores.nonmated_total, status)
    scores.require_largest(count + 1)
    bar = scores.nonmated[count]
    threshold = float(np.nextafter(bar, bar.dtype.type(np.inf)))
    matches = largest_at_least(scores.nonmated, threshold)
    return _point(scores, float(target), count, float(bar), threshold, matches, status)


def at_threshold(scores: Scores, threshold: float) -> OperatingPoint:
    """What a given threshold does, for example the one that is deployed.

    Args:
        scores: comparisons; every non-mated one that the threshold accepts must be kept, and one more.
        threshold: accept similarities of at least it; may be infinite.

    Raises:
        InvalidArgument: the threshold is not a number.
        ScoresInvalid: there is no mated or no non-mated comparison.
        EvidenceInsufficient: too few of the largest non-mated similarities were kept.
    """
    scores.require_both()
    matches = accepted_nonmated(scores, threshold)
    bar = None
    if threshold > -math.inf:
        least = least_accepted(threshold, scores.nonmated.dtype)
        # No number of the type lies below its smallest one: then every similarity is accepted.
        with np.errstate(over="ignore"):
            below = float(np.nextafter(least, least.dtype.type(-np.inf)))
        bar = below if below > -math.inf else None
    return _point(scores, matches / scores.nonmated_count, matches, bar, float(threshold), matches, "ok")


def accepted_nonmated(scores: Scores, threshold: float) -> int:
    """Non-mated comparisons that a threshold accepts.

    Raises:
        InvalidArgument: the threshold is not a number.
        EvidenceInsufficient: some of them may not have been kept.
    """
    if math.isnan(threshold):
        raise InvalidArgument("the threshold is not a number: give a similarity")
    if threshold == -math.inf:
        return scores.nonmated_total
    count = largest_at_least(scores.nonmated, threshold)
    if count == len(scores.nonmated):
        # Those that were not kept may be as large as the smallest that was.
        scores.require_largest(count + 1)
    return count


def least_accepted(threshold: float, dtype: np.dtype) -> np.floating:
    """The smallest number of a type that is at least a threshold.

    Comparing a float32 array with a float64 threshold rounds the threshold first, possibly down, and would
    then accept a similarity just below it.
    """
    with np.errstate(over="ignore"):
        nearest = dtype.type(threshold)
        return np.nextafter(nearest, dtype.type(np.inf)) if float(nearest) < threshold else nearest


def largest_at_least(descending: np.ndarray, threshold: float) -> int:
    """How many of descending numbers (n,) are at least a threshold."""
    least = least_accepted(threshold, descending.dtype)
    return len(descending) - int(np.searchsorted(descending[::-1], least, side="left"))


def _point(
    scores: Scores,
    target: float,
    count: int,
    bar: float | None,
    threshold: float,
    matches: int,
    status: Literal["ok", "insufficient"],
) -> OperatingPoint:
    """The record, with the mated side counted."""
    hits = int(np.count_nonzero(scores.mated >= least_accepted(threshold, scores.mated.dtype)))
    misses = scores.mated_count - hits
    return OperatingPoint(
        target=target,
        allowed=count,
        bar=bar,
        threshold=threshold,
        false_matches=matches,
        nonmated=scores.nonmated_count,
        fmr=matches / scores.nonmated_count,
        false_nonmatches=misses,
        mated=scores.mated_count,
        fnmr=misses / scores.mated_count,
        status=status,
        reliable=reliable(matches),
    )
