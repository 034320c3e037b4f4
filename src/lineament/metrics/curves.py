"""Every threshold at once: error curves, the area under them, and distributions to draw.

When only the largest non-mated similarities were kept, what lies below them is read off the histogram: the
rates at its bin edges are exact, and nothing between two edges is known.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid
from lineament.metrics.scores import Histogram, Scores

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Roc:
    """Errors at every threshold at which one of them changes.

    Attributes:
        threshold: (n,) ascending; the first accepts every similarity, the last none.
        fmr: (n,) false match rate, falling.
        fnmr: (n,) false non-match rate, rising; it starts above 0 when mated comparisons failed.
        exact: whether no threshold is missing between two others.
    """

    threshold: Float64[np.ndarray, "n"]
    fmr: Float64[np.ndarray, "n"]
    fnmr: Float64[np.ndarray, "n"]
    exact: bool


def roc(scores: Scores) -> Roc:
    """Both error rates at every threshold.

    Failed comparisons are rejected at each of them.

    Raises:
        ScoresInvalid: there is no mated or no non-mated comparison, or the histogram does not fit.
        EvidenceInsufficient: not all similarities were kept, and there is no histogram.
    """
    scores.require_both()
    mated = np.sort(scores.mated)
    kept = scores.nonmated[::-1]
    if scores.complete:
        values = np.unique(np.concatenate([mated, kept])).astype(np.float64)
        below, counts = values[:0], np.empty(0, np.int64)
    else:
        below, counts = _below_kept(scores)
        values = np.unique(np.concatenate([mated[mated > kept[0]], kept[kept > kept[0]]])).astype(np.float64)
    threshold = np.concatenate([below, values, _above_all(mated, kept)])
    matches = len(kept) - np.searchsorted(kept, threshold[len(below) :], side="left")
    misses = np.searchsorted(mated, threshold, side="left") + scores.mated_failed
    return Roc(
        threshold=threshold,
        fmr=np.concatenate([counts, matches]) / scores.nonmated_count,
        fnmr=misses / scores.mated_count,
        exact=scores.complete,
    )


def thinned(curve: Roc, points: int = 400) -> Roc:
    """A curve for drawing, of about so many of its points.

    Kept are both ends, the last false match, the first threshold without any, and points spread evenly over
    the logarithm of the FMR and over the FNMR. A false match rate below one comparison does not exist in the
    data, except 0, so nothing is lost below it.

    Raises:
        InvalidArgument: fewer than 8 points.
    """
    if points < 8:
        raise InvalidArgument(f"a curve of {points} points shows nothing: ask for at least 8")
    size = len(curve.threshold)
    if size <= points:
        return curve
    matching = int(np.count_nonzero(curve.fmr > 0))
    share = (points - 4) // 2
    wanted = [np.array([0, max(matching - 1, 0), min(matching, size - 1), size - 1])]
    if matching:
        grid = np.geomspace(curve.fmr[0], curve.fmr[matching - 1], share)
        wanted.append(np.searchsorted(-curve.fmr[:matching], -grid, side="left"))
    grid = np.linspace(curve.fnmr[0], curve.fnmr[-1], share)
    wanted.append(np.searchsorted(curve.fnmr, grid, side="left"))
    index = np.unique(np.clip(np.concatenate(wanted), 0, size - 1))
    return Roc(curve.threshold[index], curve.fmr[index], curve.fnmr[index], curve.exact)


def auc(scores: Scores) -> float:
    """Probability that a mated comparison is more similar than a non-mated one, ties counting one half.

    The Mann–Whitney statistic over both counts. A failed comparison ranks below every similarity. When not
    all similarities were kept, those in one bin of the histogram count as ties.

    Raises:
        ScoresInvalid: there is no mated or no non-mated comparison, or the histogram does not fit.
        EvidenceInsufficient: not all similarities were kept, and there is no histogram.
    """
    scores.require_both()
    if scores.complete:
        ascending = scores.nonmated[::-1]
        mated = np.sort(scores.mated)
        smaller = np.searchsorted(ascending, mated, side="left")
        twice = float(smaller.sum() + np.searchsorted(ascending, mated, side="right").sum())
    else:
        bins = _whole(scores)
        smaller = np.cumsum(bins.nonmated) - bins.nonmated
        twice = float((bins.mated.astype(np.float64) * (2.0 * smaller + bins.nonmated)).sum())
    failed = scores.nonmated_failed
    twice += float(failed) * (2.0 * len(scores.mated) + scores.mated_failed)
    return twice / (2.0 * scores.mated_count * scores.nonmated_count)


def d_prime(scores: Scores, ddof: int = 1) -> float:
    """Distance of the two means in units of the pooled spread: |µm − µn| / sqrt((σm² + σn²) / 2).

    Failed comparisons have no similarity and do not take part.

    Args:
        scores: comparisons; with `nonmated_moments` when not all non-mated similarities were kept.
        ddof: 1 for variances with n − 1, 0 for n; the result differs, so name it beside the number.

    Raises:
        InvalidArgument: ddof is not 0 or 1.
        ScoresInvalid: no similarity of one kind, or neither kind varies.
        EvidenceInsufficient: too few similarities for a variance, or the moments are missing.
    """
    if ddof not in (0, 1):
        raise InvalidArgument(f"ddof is 0 or 1, not {ddof}")
    if not len(scores.mated) or not scores.nonmated_total:
        raise ScoresInvalid("a mean of no similarities: both kinds are needed")
    if min(len(scores.mated), scores.nonmated_total) <= ddof:
        raise EvidenceInsufficient("one similarity has no spread: measure more comparisons, or use ddof=0")
    mated = scores.mated.astype(np.float64)
    mean, variance = _nonmated_moments(scores)
    total = scores.nonmated_total
    pooled = (float(mated.var(ddof=ddof)) + variance * (total / (total - ddof))) / 2
    if pooled <= 0:
        raise ScoresInvalid(
            "the similarities of neither kind vary, so d' is undefined: check how they were made"
        )
    return abs(float(mated.mean()) - mean) / pooled**0.5


def probit(p: np.ndarray) -> np.ndarray:
    """Normal quantiles of rates, the axes of a DET plot; 0 and 1 give -inf and +inf."""
    from scipy.special import ndtri

    return np.asarray(ndtri(p))


def histogram(
    scores: Scores, bins: int = 200, low: float | None = None, high: float | None = None
) -> Histogram:
    """Both distributions, to draw.

    Args:
        scores: comparisons. When not all are kept, their own histogram is summed to at most so many bins,
            each of its bins counted where its middle falls.
        bins: how many.
        low, high: ends; None for those of the data.

    Raises:
        InvalidArgument: no bins, or ends between which not every similarity lies.
        ScoresInvalid: there is no similarity, or the histogram does not fit.
        EvidenceInsufficient: not all similarities were kept, and there is no histogram.
    """
    if bins < 1:
        raise InvalidArgument(f"a histogram of {bins} bins: ask for at least 1")
    if not len(scores.mated) and not scores.nonmated_total:
        raise ScoresInvalid("there is no similarity to draw: every comparison failed")
    fine = None if scores.complete else _filled(_whole(scores))
    if fine is not None:
        bins = min(bins, len(fine.nonmated))
    start, end = _ends(scores, fine, low, high)
    if fine is None:
        nonmated = _binned(scores.nonmated, bins, start, end)
    else:
        nonmated = np.zeros(bins, np.int64)
        np.add.at(nonmated, _bin_of(fine.centres, bins, start, end), fine.nonmated)
    return Histogram(start, end, _binned(scores.mated, bins, start, end), nonmated)


def _filled(bins: Histogram) -> Histogram:
    """The part of a histogram from its first to its last bin with a non-mated similarity."""
    filled = np.flatnonzero(bins.nonmated)
    first, after = int(filled[0]), int(filled[-1]) + 1
    return Histogram(
        low=bins.low + first * bins.width,
        high=bins.low + after * bins.width,
        mated=bins.mated[first:after],
        nonmated=bins.nonmated[first:after],
    )


def _ends(
    scores: Scores, fine: Histogram | None, low: float | None, high: float | None
) -> tuple[float, float]:
    """Ends of a histogram to draw: those of the data, or wider ones if given.

    Raises:
        InvalidArgument: not every similarity lies between those given.
    """
    sides = [scores.mated] if fine else [scores.mated, scores.nonmated]
    least = [float(side.min()) for side in sides if len(side)] + ([fine.low] if fine else [])
    most = [float(side.max()) for side in sides if len(side)] + ([fine.high] if fine else [])
    start = min(least) if low is None else low
    end = max(most) if high is None else high
    if not start <= min(least) <= max(most) <= end:
        raise InvalidArgument(
            f"similarities lie between {min(least):.6g} and {max(most):.6g}, not all of them between "
            f"{start:.6g} and {end:.6g}: widen the ends"
        )
    return (start, end) if start < end else (start - 0.5, end + 0.5)


def _nonmated_moments(scores: Scores) -> tuple[float, float]:
    """Mean and variance (ddof 0) of all non-mated similarities.

    Raises:
        EvidenceInsufficient: not all were kept and nobody noted the moments.
    """
    if scores.complete:
        nonmated = scores.nonmated.astype(np.float64)
        return float(nonmated.mean()), float(nonmated.var())
    if scores.nonmated_moments is None:
        raise EvidenceInsufficient(
            "d' needs the mean and variance of all non-mated similarities: repeat the evaluation with them"
        )
    return scores.nonmated_moments


def _whole(scores: Scores) -> Histogram:
    """The histogram of comparisons that were not all kept.

    Raises:
        EvidenceInsufficient: there is none.
        ScoresInvalid: it counts other comparisons.
    """
    bins = scores.histogram
    if bins is None:
        raise EvidenceInsufficient(
            f"only the {len(scores.nonmated)} largest of {scores.nonmated_total} non-mated similarities were "
            "kept, without a histogram of the rest: repeat the evaluation with one"
        )
    counted = int(bins.mated.sum()), int(bins.nonmated.sum())
    if counted != (len(scores.mated), scores.nonmated_total):
        raise ScoresInvalid(
            f"the histogram counts {counted[0]} mated and {counted[1]} non-mated similarities, not "
            f"{len(scores.mated)} and {scores.nonmated_total}: make both from the same comparisons"
        )
    return bins


def _below_kept(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """(b,) bin edges not above the smallest kept similarity, and (b,) non-mated ones of at least each."""
    bins = _whole(scores)
    if not len(scores.nonmated):
        raise EvidenceInsufficient("no non-mated similarity was kept: repeat the evaluation keeping some")
    smallest = float(scores.nonmated[-1])
    edges = bins.low + np.arange(len(bins.nonmated)) * bins.width
    counts = scores.nonmated_total - np.concatenate([[0], np.cumsum(bins.nonmated)[:-1]])
    inside = edges <= smallest
    # A similarity on an edge may have been counted on either side of it.
    return edges[inside], np.maximum(counts[inside], len(scores.nonmated))


def _above_all(mated: np.ndarray, kept: np.ndarray) -> np.ndarray:
    """(1,) the smallest threshold that accepts none of two ascending lists, in the type of the larger end."""
    ends = [side[-1] for side in (mated, kept) if len(side)]
    if not ends:
        return np.zeros(1)
    top = max(ends)
    return np.array([np.nextafter(top, top.dtype.type(np.inf))], np.float64)


def _bin_of(values: np.ndarray, bins: int, low: float, high: float) -> np.ndarray:
    """(n,) number of the bin of each value; the last bin includes its upper end."""
    place = (values.astype(np.float64) - low) * (bins / (high - low))
    return np.clip(place.astype(np.int64), 0, bins - 1)


def _binned(values: np.ndarray, bins: int, low: float, high: float) -> np.ndarray:
    """(bins,) counts, a chunk of values at a time."""
    counts = np.zeros(bins, np.int64)
    for start in range(0, len(values), CHUNK):
        part = _bin_of(values[start : start + CHUNK], bins, low, high)
        counts += np.bincount(part, minlength=bins)
    return counts
