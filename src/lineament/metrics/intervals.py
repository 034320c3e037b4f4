"""How sure a counted error rate is, and how much data a claim needs.

All of it treats comparisons as independent. Comparisons that share subjects are not, so for all pairs of a
set these intervals are too narrow: `lineament.metrics.bootstrap` resamples subjects instead.
"""

import math
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction

from lineament.core.errors import InvalidArgument

Rate = float | str | Decimal
"""An error rate as a person writes it; text and decimals are taken to the letter."""

RELIABLE_ERRORS = 30
"""With so many errors the true rate is within ±30 % of the measured one at 90 % confidence (Doddington)."""

SMALLEST_EXPONENT = -30


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a true rate (or threshold) lies.

    Attributes:
        low, high: ends, both included.
        method: `wilson`, `clopper-pearson` or `subject-bootstrap`.
        confidence: in (0, 1), two-sided.
    """

    low: float
    high: float
    method: str
    confidence: float


def exact(rate: Rate) -> Fraction:
    """A rate as the decimal number that was written, not as the nearest binary one.

    Raises:
        InvalidArgument: not a number strictly between 0 and 1.
    """
    try:
        number = Decimal(str(rate))
    except InvalidOperation:
        raise InvalidArgument(f"{rate!r} is not a rate: write it like 0.001 or 1e-3") from None
    if not number.is_finite() or not 0 < number < 1:
        raise InvalidArgument(f"a rate lies between 0 and 1, both excluded, not {rate}: write it like 1e-4")
    if number.adjusted() < SMALLEST_EXPONENT:
        raise InvalidArgument(f"no data can support a rate of {rate}: name one of at least 1e-30")
    return Fraction(number)


def wilson(errors: int, trials: int, confidence: float = 0.95) -> Interval:
    """Two-sided score interval (Wilson 1927): near nominal coverage on average, also for few errors.

    Raises:
        InvalidArgument: errors not within 0..trials, no trials, or confidence not in (0, 1).
    """
    from scipy.special import ndtri

    _check(errors, trials, confidence)
    z2 = float(ndtri(0.5 + confidence / 2)) ** 2
    rate, scale = errors / trials, 1 + z2 / trials
    centre = (rate + z2 / (2 * trials)) / scale
    half = math.sqrt(z2 * (rate * (1 - rate) / trials + z2 / (4 * trials * trials))) / scale
    return Interval(
        low=max(0.0, centre - half) if errors else 0.0,
        high=min(1.0, centre + half) if errors < trials else 1.0,
        method="wilson",
        confidence=confidence,
    )


def clopper_pearson(errors: int, trials: int, confidence: float = 0.95) -> Interval:
    """Two-sided exact interval (Clopper and Pearson 1934): covers at least as often as it says.

    Raises:
        InvalidArgument: errors not within 0..trials, no trials, or confidence not in (0, 1).
    """
    _check(errors, trials, confidence)
    tail = (1 - confidence) / 2
    return Interval(_low(errors, trials, tail), _high(errors, trials, tail), "clopper-pearson", confidence)


def upper_bound(errors: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided Clopper–Pearson bound: the true rate is at most this, with `confidence`.

    Raises:
        InvalidArgument: errors not within 0..trials, no trials, or confidence not in (0, 1).
    """
    _check(errors, trials, confidence)
    return _high(errors, trials, 1 - confidence)


def lower_bound(errors: int, trials: int, confidence: float = 0.95) -> float:
    """One-sided Clopper–Pearson bound: the true rate is at least this, with `confidence`.

    Raises:
        InvalidArgument: errors not within 0..trials, no trials, or confidence not in (0, 1).
    """
    _check(errors, trials, confidence)
    return _low(errors, trials, 1 - confidence)


def rule_of_three(trials: int) -> float:
    """All that no error in `trials` comparisons shows, at 95 % confidence: a rate of at most 3/N.

    Raises:
        InvalidArgument: no trials.
    """
    _check(0, trials, 0.95)
    return min(1.0, 3 / trials)


def reliable(errors: int) -> bool:
    """Whether there are errors enough for the rule of 30."""
    return errors >= RELIABLE_ERRORS


def trials_for_thirty(rate: Rate) -> int:
    """Comparisons at which 30 errors are expected at a rate: the smallest N with rate·N ≥ 30.

    Raises:
        InvalidArgument: the rate is not in (0, 1).
    """
    return math.ceil(RELIABLE_ERRORS / exact(rate))


def largest_safe(trials: int, target: Rate, confidence: float = 0.95) -> int | None:
    """The most errors in `trials` comparisons that still certify a target rate.

    A threshold at which `floor(target * trials)` false matches were counted meets the target on this data
    only; with this smaller count it meets the target on other data of the same kind, with `confidence`.

    Returns:
        The largest k with `upper_bound(k, trials) <= target`; None when not even 0 errors would do.

    Raises:
        InvalidArgument: no trials, or target or confidence not in (0, 1).
    """
    _check(0, trials, confidence)
    limit = float(exact(target))
    if upper_bound(0, trials, confidence) > limit:
        return None
    # The upper bound exceeds errors / trials and grows with the errors.
    low, high = 0, min(trials, math.floor(exact(target) * trials) + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if upper_bound(middle, trials, confidence) <= limit:
            low = middle
        else:
            high = middle
    return low


def trials_needed(target: Rate, confidence: float = 0.95) -> int:
    """Comparisons without a single error that certify a target rate: the smallest N that does.

    Raises:
        InvalidArgument: target or confidence not in (0, 1).
    """
    _check(0, 1, confidence)
    limit = float(exact(target))
    trials = max(1, math.ceil(math.log(1 - confidence) / math.log1p(-limit)))
    # Rounding may put the quotient on the wrong side of a whole number.
    while upper_bound(0, trials, confidence) > limit:
        trials += 1
    while trials > 1 and upper_bound(0, trials - 1, confidence) <= limit:
        trials -= 1
    return trials


def _high(errors: int, trials: int, tail: float) -> float:
    """The rate at which `errors` or fewer would be seen with probability `tail`."""
    from scipy.special import betainccinv

    if errors == trials:
        return 1.0
    if errors == 0:
        return -math.expm1(math.log(tail) / trials)
    return float(betainccinv(errors + 1, trials - errors, tail))


def _low(errors: int, trials: int, tail: float) -> float:
    """The rate at which `errors` or more would be seen with probability `tail`."""
    from scipy.special import betaincinv

    return float(betaincinv(errors, trials - errors + 1, tail)) if errors else 0.0


def _check(errors: int, trials: int, confidence: float) -> None:
    """Refuse counts and confidences from which no interval follows.

    Raises:
        InvalidArgument: saying which.
    """
    if trials < 1:
        raise InvalidArgument(f"an interval needs at least one trial, not {trials}: report the count instead")
    if not 0 <= errors <= trials:
        raise InvalidArgument(f"{errors} errors in {trials} trials: give errors between 0 and the trials")
    if not 0 < confidence < 1:
        raise InvalidArgument(f"confidence lies between 0 and 1, both excluded, not {confidence}: write 0.95")
