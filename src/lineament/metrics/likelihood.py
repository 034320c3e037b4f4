"""Similarities as evidence: log-likelihood ratios, what they cost, and how to make them.

A log-likelihood ratio (LLR, natural logarithm) says how many times more likely a similarity is between two
pictures of one person than between two of different persons. It becomes a probability only with a prior: how
often the two are the same person before anyone has looked. `Logistic.probability` therefore asks for it.

Sources: N. Brümmer and J. du Preez, *Application-independent evaluation of speaker detection*, Computer
Speech and Language 20, 2006 (Cllr, its minimum, logistic calibration); N. Brümmer and E. de Villiers, *The
BOSARIS Toolkit*, 2013 (PAV calibration, Laplace's rule at its ends); NIST SRE plans (detection cost).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from lineament.core.errors import InvalidArgument, ScoresInvalid

_STEPS = 200
_RIDGE = 1e-15
_ROUNDING = 1e-14
_GAIN = 1e-20


def cllr(mated_llr: np.ndarray, nonmated_llr: np.ndarray) -> float:
    """Cost of log-likelihood ratios in bits: 0 is perfect, 1 is knowing nothing, above 1 misleads.

    Half the mean of log₂(1 + e^−llr) over mated comparisons plus half the mean of log₂(1 + e^llr) over
    non-mated ones. Infinite when a comparison was declared impossible that happened.

    Args:
        mated_llr: (m,) natural-log likelihood ratios of mated comparisons; ±inf is allowed.
        nonmated_llr: (n,) of non-mated ones.

    Raises:
        ScoresInvalid: one of them is empty, not one-dimensional, or holds NaN.
    """
    mated_llr, nonmated_llr = _both(mated_llr, nonmated_llr)
    misses = np.logaddexp(0.0, -mated_llr).mean()
    false_matches = np.logaddexp(0.0, nonmated_llr).mean()
    return float((misses + false_matches) / (2 * math.log(2)))


def min_cllr(mated: np.ndarray, nonmated: np.ndarray) -> float:
    """Cllr after the best monotone calibration of these very comparisons: what the ordering alone can give.

    `cllr(...) - min_cllr(...)` is what miscalibration costs.

    Raises:
        ScoresInvalid: one of them is empty, not one-dimensional, or holds NaN.
    """
    return cllr(*pav(mated, nonmated))


def pav(
    mated: np.ndarray, nonmated: np.ndarray, laplace: bool = False
) -> tuple[Float64[np.ndarray, "m"], Float64[np.ndarray, "n"]]:
    """Log-likelihood ratios by isotonic regression: pool adjacent violators.

    Equal similarities are pooled first, so that they get equal ratios whatever their order. Where only one
    kind lies at an end the ratio there is ±inf, and is kept: no finite number follows from these data.

    Args:
        mated: (m,) similarities of mated comparisons; −inf for a failed one is allowed.
        nonmated: (n,) of non-mated ones.
        laplace: add one comparison of each kind below all and above all (Laplace's rule of succession), which
            makes every ratio finite and the ends careful. For ratios that will be used on other data.

    Returns:
        (m,) and (n,) ratios in the order of the arguments.

    Raises:
        ScoresInvalid: one of them is empty, not one-dimensional, or holds NaN.
    """
    mated, nonmated = _both(mated, nonmated)
    values, place = np.unique(np.concatenate([mated, nonmated]), return_inverse=True)
    hits = np.bincount(place[: len(mated)], minlength=len(values))
    others = np.bincount(place[len(mated) :], minlength=len(values))
    if laplace:
        ratio = _isotonic(np.pad(hits, 1, constant_values=1), np.pad(others, 1, constant_values=1))[1:-1]
    else:
        ratio = _isotonic(hits, others)
    llr = (ratio - math.log(len(mated) / len(nonmated)))[place]
    return llr[: len(mated)], llr[len(mated) :]


def _isotonic(hits: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Log odds of `hits` against `others`, rising from each value to the next."""
    from scipy.optimize import isotonic_regression

    total = hits + others
    blocks = isotonic_regression(hits / total, weights=total).blocks
    # From whole counts, not from the means of the regression: exact, and 0 and 1 are truly so.
    starts = np.asarray(blocks[:-1], np.int64)
    with np.errstate(divide="ignore"):
        odds = np.log(np.add.reduceat(hits, starts) / np.add.reduceat(others, starts))
    return np.repeat(np.maximum.accumulate(odds), np.diff(blocks))


@dataclass(frozen=True, slots=True)
class Logistic:
    """A straight line from similarity to log-likelihood ratio: a·s + b.

    Attributes:
        a: rise of the natural-log ratio per unit of similarity; positive.
        b: ratio at similarity 0.
    """

    a: float
    b: float

    def llr(self, similarity: np.ndarray | float) -> np.ndarray:
        """Natural-log likelihood ratio of each similarity, in its shape."""
        return np.asarray(self.a * np.asarray(similarity, np.float64) + self.b)

    def probability(self, similarity: np.ndarray | float, prior: float) -> np.ndarray:
        """Probability that the two are the same person.

        Args:
            similarity: of any shape.
            prior: probability before the comparison. Where the evidence is weak it is nearly all of the
                answer: the same pair may be 59 % at a prior of 1/2 and 1.4 % at one of 1/100.

        Raises:
            InvalidArgument: a prior outside 0..1, ends excluded.
        """
        from scipy.special import expit

        return np.asarray(expit(self.llr(similarity) + _logit(prior)))


def fit_logistic(mated: np.ndarray, nonmated: np.ndarray, prior: float = 0.5) -> Logistic:
    """Logistic regression with each kind weighted to a prior, by Newton's method.

    The weights make the result independent of how many comparisons of each kind there are; at a prior of 1/2
    it minimises Cllr among straight lines.

    Args:
        mated: (m,) finite similarities of mated comparisons, none of which will be reported on.
        nonmated: (n,) of non-mated ones.
        prior: where the calibration is to be most accurate.

    Raises:
        ScoresInvalid: empty, not finite, mated comparisons are not the more alike ones, or the two kinds do
            not overlap, so that no finite line is best.
        InvalidArgument: a prior outside 0..1, ends excluded.
    """
    offset = _logit(prior)
    mated, nonmated = _both(mated, nonmated)
    _require_overlap(mated, nonmated)
    s = np.concatenate([mated, nonmated])
    middle, spread = float(s.mean()), float(s.std())
    sign = np.repeat([1.0, -1.0], [len(mated), len(nonmated)])
    weight = np.repeat([prior / len(mated), (1 - prior) / len(nonmated)], [len(mated), len(nonmated)])
    a, b = _newton((s - middle) / spread, sign, weight, offset)
    return Logistic(a=a / spread, b=b - a * middle / spread)


def _require_overlap(mated: np.ndarray, nonmated: np.ndarray) -> None:
    """Refuse what a logistic curve cannot be fitted to."""
    if not (np.isfinite(mated).all() and np.isfinite(nonmated).all()):
        raise ScoresInvalid("a calibration needs finite similarities: leave failed comparisons out")
    if mated.mean() <= nonmated.mean():
        raise ScoresInvalid(
            f"mated comparisons are not more alike (mean {mated.mean():.4g}) than non-mated ones (mean "
            f"{nonmated.mean():.4g}): negate distances first; if these are similarities they hold no evidence"
        )
    if mated.min() >= nonmated.max():
        raise ScoresInvalid(
            f"every mated similarity (from {mated.min():.4g}) is at or above every non-mated one (up to "
            f"{nonmated.max():.4g}), so the steepest of all lines would fit best: calibrate on more or "
            "harder comparisons, or use pav(..., laplace=True)"
        )


def _newton(z: np.ndarray, sign: np.ndarray, weight: np.ndarray, offset: float) -> tuple[float, float]:
    """Slope and intercept at the minimum of the weighted logistic loss, which is convex."""
    from scipy.special import expit

    def loss(line: np.ndarray) -> float:
        return float(weight @ np.logaddexp(0.0, -sign * (line[0] * z + line[1] + offset)))

    line = np.zeros(2)
    here = loss(line)
    for _ in range(_STEPS):
        wrong = expit(-sign * (line[0] * z + line[1] + offset))
        pull, bend = -weight * sign * wrong, weight * wrong * (1 - wrong)
        gradient = np.array([pull @ z, pull.sum()])
        curve = np.array([[bend @ (z * z), bend @ z], [bend @ z, bend.sum()]])
        # The ridge is below rounding unless the curve is flat, and then a shorter step is what is wanted.
        step = np.linalg.solve(curve + _RIDGE * np.eye(2), gradient)
        while (ahead := loss(line - step)) > here + _ROUNDING:
            step /= 2
        line, here = line - step, ahead
        if abs(gradient @ step) <= _GAIN:
            return float(line[0]), float(line[1])
    raise ScoresInvalid(
        "no line fits these similarities, as the two kinds hardly overlap: calibrate on more or harder "
        "comparisons, or use pav(..., laplace=True)"
    )


@dataclass(frozen=True, slots=True)
class Dcf:
    """A detection cost.

    Attributes:
        value: cost_miss · prior · FNMR + cost_false_match · (1 − prior) · FMR.
        normalised: divided by the cost of the better of accepting all and accepting none; 1 is useless.
        threshold: where it was reached; accept at or above. +inf accepts none.
    """

    value: float
    normalised: float
    threshold: float


def min_dcf(
    mated: np.ndarray,
    nonmated: np.ndarray,
    prior: float,
    cost_miss: float = 1.0,
    cost_false_match: float = 1.0,
) -> Dcf:
    """The lowest detection cost that any threshold reaches on these comparisons.

    Optimistic, as its threshold is chosen on what it is measured on: a comparison of systems, no promise.
    Of several equally good thresholds the highest is given, which has the fewest false matches.

    Args:
        mated: (m,) similarities of mated comparisons; −inf for a failed one, which is a miss everywhere.
        nonmated: (n,) of non-mated ones.
        prior: probability that a comparison is mated, in use.
        cost_miss, cost_false_match: positive.

    Raises:
        ScoresInvalid: empty, not one-dimensional, NaN or +inf.
        InvalidArgument: a prior outside 0..1, ends excluded, or a cost that is not positive.
    """
    miss, false_match = _costs(prior, cost_miss, cost_false_match)
    mated, nonmated = (np.sort(values) for values in _both(mated, nonmated))
    if max(mated[-1], nonmated[-1]) == np.inf:
        raise ScoresInvalid("a similarity is infinite: no threshold lies above it")
    values = np.unique(np.concatenate([mated, nonmated]))
    thresholds = np.append(values[np.isfinite(values)], np.inf)
    fnmr = np.searchsorted(mated, thresholds) / len(mated)
    fmr = (len(nonmated) - np.searchsorted(nonmated, thresholds)) / len(nonmated)
    cost = miss * fnmr + false_match * fmr
    best = len(cost) - 1 - int(np.argmin(cost[::-1]))
    return Dcf(float(cost[best]), float(cost[best] / min(miss, false_match)), float(thresholds[best]))


def act_dcf(
    mated_llr: np.ndarray,
    nonmated_llr: np.ndarray,
    prior: float,
    cost_miss: float = 1.0,
    cost_false_match: float = 1.0,
) -> Dcf:
    """The detection cost of taking log-likelihood ratios at their word.

    Accepts where llr ≥ log(cost_false_match · (1 − prior)) − log(cost_miss · prior), which is best when the
    ratios are calibrated; what it costs above `min_dcf` is miscalibration.

    Raises:
        ScoresInvalid: empty, not one-dimensional or NaN.
        InvalidArgument: a prior outside 0..1, ends excluded, or a cost that is not positive.
    """
    miss, false_match = _costs(prior, cost_miss, cost_false_match)
    mated_llr, nonmated_llr = _both(mated_llr, nonmated_llr)
    threshold = math.log(false_match) - math.log(miss)
    value = miss * float((mated_llr < threshold).mean()) + false_match * float(
        (nonmated_llr >= threshold).mean()
    )
    return Dcf(value, value / min(miss, false_match), threshold)


def _costs(prior: float, cost_miss: float, cost_false_match: float) -> tuple[float, float]:
    """Cost of missing every mated comparison, and of accepting every non-mated one."""
    _logit(prior)
    if not (0 < cost_miss < math.inf and 0 < cost_false_match < math.inf):
        raise InvalidArgument(f"costs are positive: {cost_miss}, {cost_false_match}")
    return cost_miss * prior, cost_false_match * (1 - prior)


def _logit(prior: float) -> float:
    if not 0 < prior < 1:
        raise InvalidArgument(f"a prior is a probability between 0 and 1, both excluded, not {prior}")
    return math.log(prior) - math.log1p(-prior)


def _both(mated: np.ndarray, nonmated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both columns as float64, with something in each and no NaN."""
    columns = [np.asarray(mated, np.float64), np.asarray(nonmated, np.float64)]
    for name, values in zip(("mated", "non-mated"), columns, strict=True):
        if values.ndim != 1 or not values.size:
            raise ScoresInvalid(f"needs a column of {name} comparisons, not shape {values.shape}")
        if np.isnan(values).any():
            raise ScoresInvalid(f"{int(np.isnan(values).sum())} {name} values are NaN: leave them out")
    return columns[0], columns[1]
