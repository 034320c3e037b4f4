"""Differences between groups of people, at one threshold for all of them.

A threshold of its own for each group would hide the harm that these numbers are about. Non-mated comparisons
should be within a group (same sex, age, region): across groups people are easier to tell apart.

A ratio is undefined as soon as the best group made no error. Then the answer is None and never infinity: the
counts, which `GroupErrors` keeps, say whether there was anything to see.

Sources: J. Howard et al., *Evaluating proposed fairness models for face recognition algorithms*, 2022 (Gini,
GARBE); T. de Freitas Pereira and S. Marcel, *Fairness in biometrics: a figure of merit to assess biometric
verification systems*, 2021 (FDR); P. Grother, *Demographic differentials in face recognition algorithms*,
NIST, 2021 (inequity rate; maximum over geometric mean). ISO/IEC 19795-10 is the standard.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.intervals import Interval, reliable, wilson

Rates = Sequence[float] | np.ndarray
"""One error rate per group, in 0..1; groups without comparisons left out."""


@dataclass(frozen=True, slots=True)
class GroupErrors:
    """What one group's comparisons gave at the common threshold.

    Attributes:
        name: of the group.
        mated, false_nonmatches: comparisons of the same subject, and rejections among them.
        nonmated, false_matches: comparisons of different subjects, and acceptances among them.

    Raises:
        ScoresInvalid: a count is negative, or there are more errors than comparisons.
    """

    name: str
    mated: int
    false_nonmatches: int
    nonmated: int
    false_matches: int

    def __post_init__(self) -> None:
        pairs = ((self.false_nonmatches, self.mated), (self.false_matches, self.nonmated))
        if not all(0 <= errors <= trials for errors, trials in pairs):
            raise ScoresInvalid(f"group {self.name}: {pairs} are not errors and comparisons")

    @property
    def fmr(self) -> float | None:
        """False match rate; None without non-mated comparisons."""
        return self.false_matches / self.nonmated if self.nonmated else None

    @property
    def fnmr(self) -> float | None:
        """False non-match rate; None without mated comparisons."""
        return self.false_nonmatches / self.mated if self.mated else None

    @property
    def fmr_interval(self) -> Interval | None:
        """Wilson, 95 %; takes comparisons as independent, which those of one subject are not."""
        return wilson(self.false_matches, self.nonmated) if self.nonmated else None

    @property
    def fnmr_interval(self) -> Interval | None:
        """Wilson, 95 %; takes comparisons as independent, which those of one subject are not."""
        return wilson(self.false_nonmatches, self.mated) if self.mated else None

    @property
    def fmr_sufficient(self) -> bool:
        """Thirty false matches or more (rule of 30): below, a ratio of rates is mostly chance."""
        return reliable(self.false_matches)

    @property
    def fnmr_sufficient(self) -> bool:
        """Thirty false non-matches or more."""
        return reliable(self.false_nonmatches)

    @property
    def sufficient(self) -> bool:
        """Whether both rates rest on thirty errors or more."""
        return self.fmr_sufficient and self.fnmr_sufficient


def gini(x: Rates) -> float | None:
    """Gini coefficient of the rates with the correction for few groups, n/(n−1) · Σᵢⱼ|xᵢ−xⱼ| / (2n²·mean).

    Returns:
        0 when all are equal, 1 when one group bears every error; None when nobody made one.

    Raises:
        ScoresInvalid: fewer than two groups, or a rate outside 0..1.
    """
    rates = _rates(x)
    mean = float(rates.mean())
    if mean == 0:
        return None
    n = len(rates)
    distances = float(np.abs(rates[:, None] - rates[None, :]).sum())
    return n / (n - 1) * distances / (2 * n * n * mean)


def garbe(fmr: Rates, fnmr: Rates, a: float = 0.5) -> float | None:
    """Gini aggregation rate for biometric equitability: a · Gini(FMR) + (1−a) · Gini(FNMR); 0 is best.

    Raises:
        ScoresInvalid: fewer than two groups, different numbers of them, or a rate outside 0..1.
        InvalidArgument: `a` outside 0..1.
    """
    _same_groups(fmr, fnmr, a)
    of_fmr, of_fnmr = gini(fmr), gini(fnmr)
    if of_fmr is None or of_fnmr is None:
        return None
    return a * of_fmr + (1 - a) * of_fnmr


def max_over_geomean(x: Rates) -> float | None:
    """The worst rate over the geometric mean of all; 1 when all are equal, None when a group made no error.

    Raises:
        ScoresInvalid: fewer than two groups, or a rate outside 0..1.
    """
    rates = _rates(x)
    if rates.min() == 0:
        return None
    return float(rates.max() / np.exp(np.log(rates).mean()))


def max_over_min(x: Rates) -> float | None:
    """The worst rate over the best; 1 when all are equal, None when a group made no error.

    Raises:
        ScoresInvalid: fewer than two groups, or a rate outside 0..1.
    """
    rates = _rates(x)
    return float(rates.max() / rates.min()) if rates.min() > 0 else None


def max_over_mean(x: Rates) -> float | None:
    """The worst rate over the arithmetic mean; from 1 to the number of groups, None when all are 0.

    Raises:
        ScoresInvalid: fewer than two groups, or a rate outside 0..1.
    """
    rates = _rates(x)
    return float(rates.max() / rates.mean()) if rates.max() > 0 else None


def fairness_discrepancy_rate(fmr: Rates, fnmr: Rates, a: float = 0.5) -> float:
    """1 − (a · range(FMR) + (1−a) · range(FNMR)); 1 is best.

    Always defined, and blind: FMRs of 1e-6 and 1e-3 are a thousand times apart and cost it 0.0005. Print it
    beside a ratio, never alone.

    Raises:
        ScoresInvalid: fewer than two groups, different numbers of them, or a rate outside 0..1.
        InvalidArgument: `a` outside 0..1.
    """
    _same_groups(fmr, fnmr, a)
    return 1 - (a * float(np.ptp(_rates(fmr))) + (1 - a) * float(np.ptp(_rates(fnmr))))


def inequity_rate(fmr: Rates, fnmr: Rates, a: float = 0.5) -> float | None:
    """(max/min of FMR)^a · (max/min of FNMR)^(1−a); 1 is best, None when a group made no error of a kind.

    Raises:
        ScoresInvalid: fewer than two groups, different numbers of them, or a rate outside 0..1.
        InvalidArgument: `a` outside 0..1.
    """
    _same_groups(fmr, fnmr, a)
    of_fmr, of_fnmr = max_over_min(fmr), max_over_min(fnmr)
    if of_fmr is None or of_fnmr is None:
        return None
    return of_fmr**a * of_fnmr ** (1 - a)


def _rates(x: Rates) -> np.ndarray:
    rates = np.asarray(x, np.float64)
    if rates.ndim != 1 or len(rates) < 2:
        raise ScoresInvalid(f"differences need two groups or more, not rates of shape {rates.shape}")
    if not ((rates >= 0) & (rates <= 1)).all():
        raise ScoresInvalid(f"rates lie in 0..1: leave groups without comparisons out of {rates.tolist()}")
    return rates


def _same_groups(fmr: Rates, fnmr: Rates, a: float) -> None:
    if not 0 <= a <= 1:
        raise InvalidArgument(f"a weight lies in 0..1, not {a}")
    if len(_rates(fmr)) != len(_rates(fnmr)):
        raise ScoresInvalid(
            f"{len(fmr)} FMRs and {len(fnmr)} FNMRs: give both for the same groups, in one order"
        )
