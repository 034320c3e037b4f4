"""Intervals that know that comparisons share subjects: the subject (vertex) bootstrap.

Subjects are drawn with replacement, not comparisons. A subject drawn c times counts c times: a mated
comparison of subject i has weight c_i, a non-mated one of i and j has weight c_i·c_j (vertex resampling,
Snijders and Borgatti 1999). Comparisons with one person who resembles many then come and go together, as
they would with another sample of people.

Failed comparisons have no subjects here; their share of all comparisons is held fixed.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Int64

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid
from lineament.metrics.intervals import Interval, Rate, exact
from lineament.metrics.operating import accepted_nonmated, allowed, largest_at_least, least_accepted
from lineament.metrics.scores import Scores

SEED = 20251125
METHOD = "subject-bootstrap"
CONFIDENCE = 0.95

LEFT_OUT = 0.01
"""Share of all pairs of samples that may have been left out on purpose when weights come from counts."""


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """Percentile intervals from drawing subjects.

    Attributes:
        replicates, seed: how many draws, and what makes them repeatable.
        fmr, fnmr: of the rates.
        threshold: of the threshold; without width when it was given.
    """

    replicates: int
    seed: int
    fmr: Interval
    fnmr: Interval
    threshold: Interval


def draws(subjects: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """How often each subject is drawn: int64 (subjects,) per replicate, with sum `subjects`.

    Raises:
        EvidenceInsufficient: fewer than two subjects.
        InvalidArgument: no replicates.
    """
    if subjects < 2:
        raise EvidenceInsufficient(
            f"{subjects} subject says nothing about other people: measure on more, at least on 2"
        )
    if replicates < 1:
        raise InvalidArgument(f"{replicates} replicates: ask for at least 1, better for 1000")
    return _draws(subjects, replicates, seed)


def weighted_rates(scores: Scores, weight: np.ndarray, threshold: float) -> tuple[float, float]:
    """(FNMR, FMR) at a threshold when subjects count several times.

    Args:
        scores: comparisons with the subjects of all that are kept.
        weight: (subjects,) whole numbers, how often each subject counts.
        threshold: accept similarities of at least it.

    Returns:
        Rates; NaN where no comparison has a weight.

    Raises:
        ScoresInvalid: subjects are unknown, or have no weight or a negative one.
        EvidenceInsufficient: too few of the largest non-mated similarities were kept.
        InvalidArgument: the threshold is not a number.
    """
    tables = _tables(scores)
    weight = np.asarray(weight)
    if weight.dtype.kind not in "iu" or weight.ndim != 1 or (weight < 0).any():
        raise ScoresInvalid(
            f"weights are whole numbers (n,) of at least 0, not {weight.dtype} {weight.shape}"
        )
    if len(weight) < tables.subjects or (tables.samples is not None and len(weight) != tables.subjects):
        raise ScoresInvalid(
            f"{len(weight)} weights for {tables.subjects} subjects: give one for each subject"
        )
    return _fixed(scores, tables, threshold).rates(weight.astype(np.int64))


def bootstrap_at_threshold(
    scores: Scores, threshold: float, replicates: int = 1000, seed: int = SEED
) -> Bootstrap:
    """Intervals of both rates at a fixed threshold.

    Args:
        scores: comparisons with the subjects of all that are kept.
        threshold: accept similarities of at least it.
        replicates: draws of subjects.
        seed: of the draws; equal seeds and subjects give equal draws, so two systems can be compared.

    Raises:
        ScoresInvalid: subjects are unknown, or no comparison of one kind has a similarity.
        EvidenceInsufficient: too few of the largest non-mated similarities were kept, or too few subjects.
        InvalidArgument: no replicates, or the threshold is not a number.
    """
    tables = _tables(scores)
    fixed = _fixed(scores, tables, threshold)
    drawn = draws(len(tables.drawn), replicates, seed)
    rates = np.array([fixed.rates(tables.spread(counts)) for counts in drawn])
    return Bootstrap(
        replicates=replicates,
        seed=seed,
        fmr=_percentiles(rates[:, 1]),
        fnmr=_percentiles(rates[:, 0]),
        threshold=Interval(float(threshold), float(threshold), METHOD, CONFIDENCE),
    )


def bootstrap_at_fmr(scores: Scores, target: Rate, replicates: int = 1000, seed: int = SEED) -> Bootstrap:
    """Intervals at a false match rate, with the threshold chosen anew in each draw by the floor rule.

    Args:
        scores: comparisons with the subjects of all that are kept. In about half of the draws the threshold
            lies lower than in the data: keep twice as many non-mated similarities as the target needs.
        target: false match rate, in (0, 1).
        replicates: draws of subjects.
        seed: of the draws.

    Returns:
        Intervals of the FMR achieved, of the FNMR, and of the threshold.

    Raises:
        ScoresInvalid: subjects are unknown, or no comparison of one kind has a similarity.
        EvidenceInsufficient: too few of the largest non-mated similarities were kept, or too few subjects.
        InvalidArgument: no replicates, or the target is not in (0, 1).
    """
    tables = _tables(scores)
    order = np.argsort(scores.mated, kind="stable")
    mated, subject = scores.mated[order], tables.mated[order]
    found = np.empty((max(replicates, 0), 3))
    for at, drawn in enumerate(draws(len(tables.drawn), replicates, seed)):
        weight = tables.spread(drawn)
        total = tables.total(weight)
        threshold, matches = _floor(scores, tables, weight, target, total)
        of_mated = weight[subject]
        misses = of_mated[: np.searchsorted(mated, least_accepted(threshold, mated.dtype))].sum()
        found[at] = (
            _fnmr(scores, int(misses), int(of_mated.sum())),
            _fmr(scores, matches, total),
            threshold if total else math.nan,
        )
    return Bootstrap(
        replicates=replicates,
        seed=seed,
        fmr=_percentiles(found[:, 1]),
        fnmr=_percentiles(found[:, 0]),
        threshold=_percentiles(found[:, 2]),
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Tables:
    """Who is in which comparison.

    Attributes:
        subjects: one more than the largest subject number.
        drawn: (k,) numbers of the subjects that can be drawn.
        mated: (m,) subject of each mated comparison.
        first, second: (t,) subjects of each kept non-mated one.
        samples: (subjects,) samples of each, when every pair was compared.
        scale: non-mated comparisons over all pairs of samples; 1 without `samples`.
    """

    subjects: int
    drawn: Int64[np.ndarray, "k"]
    mated: Int64[np.ndarray, "m"]
    first: Int64[np.ndarray, "t"]
    second: Int64[np.ndarray, "t"]
    samples: Int64[np.ndarray, "s"] | None
    scale: Fraction

    def spread(self, drawn: np.ndarray) -> np.ndarray:
        """(subjects,) weights from (k,) counts of those that can be drawn."""
        if len(drawn) == self.subjects:
            return drawn
        weight = np.zeros(self.subjects, np.int64)
        weight[self.drawn] = drawn
        return weight

    def products(self, weight: np.ndarray, count: int) -> np.ndarray:
        """(count,) weights of the most similar non-mated comparisons."""
        return weight[self.first[:count]] * weight[self.second[:count]]

    def total(self, weight: np.ndarray) -> Fraction:
        """Weight of all non-mated comparisons with a similarity, kept or not."""
        if self.samples is None:
            return Fraction(int(self.products(weight, len(self.first)).sum()))
        return self.scale * _pairs(weight * self.samples)


@dataclass(frozen=True, slots=True, eq=False)
class _Fixed:
    """What a fixed threshold does, by subject.

    Attributes:
        scores, tables: of which.
        misses, mated: (subjects,) mated comparisons rejected, and all of them.
        matches: non-mated comparisons accepted; they are the first ones.
    """

    scores: Scores
    tables: _Tables
    misses: Int64[np.ndarray, "s"]
    mated: Int64[np.ndarray, "s"]
    matches: int

    def rates(self, weight: np.ndarray) -> tuple[float, float]:
        """(FNMR, FMR) under (subjects,) weights."""
        size = len(self.mated)
        matches = int(self.tables.products(weight, self.matches).sum())
        return (
            _fnmr(self.scores, int(weight[:size] @ self.misses), int(weight[:size] @ self.mated)),
            _fmr(self.scores, matches, self.tables.total(weight)),
        )


def _draws(subjects: int, replicates: int, seed: int) -> Iterator[np.ndarray]:
    """The draws, once the arguments are checked."""
    random = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(random.integers(0, subjects, subjects), minlength=subjects).astype(np.int64)


def _pairs(samples: np.ndarray) -> int:
    """Pairs of samples of different subjects, ((Σ n)² − Σ n²) / 2, from the (s,) samples of each.

    Copies of one subject under a draw are never compared with each other: they are not different people.
    """
    return (int(samples.sum()) ** 2 - int(samples @ samples)) // 2


def _tables(scores: Scores) -> _Tables:
    """Subjects of all kept comparisons, checked.

    Raises:
        ScoresInvalid: they are unknown or do not fit, or no comparison of one kind has a similarity.
        EvidenceInsufficient: the weight of what was not kept cannot be known.
    """
    mated, pairs = _subjects(scores)
    present = np.unique(np.concatenate([mated, pairs.ravel()]))
    if present[0] < 0:
        raise ScoresInvalid(f"subject {present[0]} is negative: number the subjects from 0")
    if (pairs[:, 0] == pairs[:, 1]).any():
        raise ScoresInvalid("a non-mated comparison has one subject on both sides: check the labels")
    subjects, samples, scale = int(present[-1]) + 1, None, Fraction(1)
    if scores.samples is not None:
        samples = scores.samples.astype(np.int64)
        subjects, scale = _check_samples(samples, subjects), _scale(scores, samples)
        present = np.arange(subjects)
    first, second = np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
    return _Tables(subjects, present.astype(np.int64), mated, first, second, samples, scale)


def _subjects(scores: Scores) -> tuple[np.ndarray, np.ndarray]:
    """(m,) subject of each mated comparison and (t, 2) of each non-mated one that is kept.

    Raises:
        ScoresInvalid: they are unknown or do not fit, or no comparison of one kind has a similarity.
        EvidenceInsufficient: the weight of what was not kept cannot be known.
    """
    scores.require_both()
    if not len(scores.mated) or not scores.nonmated_total:
        raise ScoresInvalid("every comparison of one kind failed: there is nothing to draw")
    if scores.mated_subject is None or scores.nonmated_subjects is None:
        raise ScoresInvalid("the subjects of the comparisons are unknown: give them, or use wilson intervals")
    if not scores.complete and scores.samples is None:
        raise EvidenceInsufficient(
            "not all non-mated comparisons were kept, and without the samples of each subject the weight of "
            "the rest is unknown: give Scores.samples, or keep all"
        )
    mated, pairs = scores.mated_subject.astype(np.int64), scores.nonmated_subjects.astype(np.int64)
    if len(mated) != len(scores.mated) or len(pairs) != len(scores.nonmated):
        raise ScoresInvalid("there are not as many subjects as comparisons: give them for every comparison")
    return mated, pairs


def _check_samples(samples: np.ndarray, subjects: int) -> int:
    """How many subjects there are by their (s,) sample counts.

    Raises:
        ScoresInvalid: fewer than are named by comparisons, or a negative count.
    """
    if len(samples) < subjects or (samples < 0).any():
        raise ScoresInvalid(
            f"{len(samples)} sample counts for {subjects} subjects: give one of at least 0 for each subject"
        )
    return len(samples)


def _scale(scores: Scores, samples: np.ndarray) -> Fraction:
    """Non-mated comparisons over pairs of samples of different subjects: 1, or less when some were left out.

    Raises:
        ScoresInvalid: they differ by more than what a few exclusions explain.
    """
    pairs = _pairs(samples)
    if not (1 - LEFT_OUT) * pairs <= scores.nonmated_total <= pairs:
        raise ScoresInvalid(
            f"{scores.nonmated_total} non-mated comparisons, but {pairs} pairs of samples of different "
            "subjects: give Scores.samples only when every pair of samples with a template was compared"
        )
    return Fraction(scores.nonmated_total, pairs)


def _fixed(scores: Scores, tables: _Tables, threshold: float) -> _Fixed:
    """Count by subject what a threshold does.

    Raises:
        EvidenceInsufficient: too few of the largest non-mated similarities were kept.
        InvalidArgument: the threshold is not a number.
    """
    matches = accepted_nonmated(scores, threshold)
    scores.require_largest(matches)
    missed = scores.mated < least_accepted(threshold, scores.mated.dtype)
    return _Fixed(
        scores=scores,
        tables=tables,
        misses=np.bincount(tables.mated[missed], minlength=tables.subjects).astype(np.int64),
        mated=np.bincount(tables.mated, minlength=tables.subjects).astype(np.int64),
        matches=matches,
    )


def _floor(
    scores: Scores, tables: _Tables, weight: np.ndarray, target: Rate, total: Fraction
) -> tuple[float, int]:
    """Threshold and weight of the false matches by the floor rule under (subjects,) weights.

    Raises:
        EvidenceInsufficient: too few of the largest non-mated similarities were kept.
    """
    everything = total * Fraction(scores.nonmated_count, scores.nonmated_total)
    limit = math.floor(exact(target) * everything)
    size = 2 * allowed(target, scores.nonmated_count) + 1000
    while True:
        size = min(size, len(scores.nonmated))
        running = np.cumsum(tables.products(weight, size))
        at = int(np.searchsorted(running, limit, side="right"))
        if at < size:
            break
        if size == len(scores.nonmated):
            if scores.complete:
                return -math.inf, int(running[-1])
            raise EvidenceInsufficient(
                f"for an FMR of {target} a draw of subjects needs more than the {size} largest non-mated "
                f"similarities that were kept: repeat the evaluation keeping at least twice that rate"
            )
        size *= 2
    bar = scores.nonmated[at]
    threshold = float(np.nextafter(bar, bar.dtype.type(np.inf)))
    count = largest_at_least(scores.nonmated, threshold)
    return threshold, int(running[count - 1]) if count else 0


def _fnmr(scores: Scores, misses: int, total: int) -> float:
    """Weighted FNMR, the share of failed comparisons held fixed; NaN without weight."""
    failed = scores.mated_failed / scores.mated_count
    return failed + (1 - failed) * (misses / total) if total else math.nan


def _fmr(scores: Scores, matches: int, total: Fraction) -> float:
    """Weighted FMR, the share of failed comparisons held fixed; NaN without weight."""
    succeeded = scores.nonmated_total / scores.nonmated_count
    return succeeded * float(matches / total) if total else math.nan


def _percentiles(values: np.ndarray) -> Interval:
    """Where the middle 95 % of the (replicates,) draws lie that have a value.

    Raises:
        EvidenceInsufficient: fewer than half of the draws have one.
    """
    usable = values[~np.isnan(values)]
    if 2 * len(usable) < len(values):
        raise EvidenceInsufficient(
            f"only {len(usable)} of {len(values)} draws of subjects have comparisons of both kinds: measure "
            "on more people"
        )
    # Values that occurred, not means of two: a threshold may be -inf.
    # Rounded, for (1 − 0.95) / 2 is more than 0.025 and would skip the 25th of 1000.
    tail = round((1 - CONFIDENCE) / 2, 12)
    low, high = np.quantile(usable, [tail, 1 - tail], method="inverted_cdf")
    return Interval(float(low), float(high), METHOD, CONFIDENCE)
