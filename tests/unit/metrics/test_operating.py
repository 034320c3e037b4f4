"""Points of operation: what the property tests of the floor rule do not say."""

import numpy as np
import pytest

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid
from lineament.metrics.operating import allowed, at_fmr, at_threshold, largest_at_least, least_accepted
from lineament.metrics.scores import Scores


def random_scores(
    dtype: type = np.float64, mated: int = 500, nonmated: int = 20_000, digits: int = 3
) -> Scores:
    random = np.random.default_rng(3)
    similarity = np.concatenate([random.normal(0.5, 0.15, mated), random.normal(0, 0.12, nonmated)])
    return Scores.of(np.round(similarity, digits).astype(dtype), np.arange(len(similarity)) < mated)


def kept(scores: Scores, count: int) -> Scores:
    """The same comparisons with only the largest non-mated similarities."""
    return Scores(mated=scores.mated, nonmated=scores.nonmated[:count], nonmated_total=scores.nonmated_total)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_threshold_is_the_next_number_of_the_type(dtype: type) -> None:
    scores = random_scores(dtype)
    point = at_fmr(scores, 1e-3)
    assert point.allowed == 20
    assert point.bar == scores.nonmated[20]
    assert dtype(point.threshold) == np.nextafter(dtype(point.bar), dtype(np.inf))
    assert point.threshold > point.bar
    assert point.reliable is False
    assert at_fmr(scores, 1e-2).reliable is True


@pytest.mark.parametrize("target", [1e-4, 1e-3, 4.9e-3])
def test_the_largest_are_enough(target: float) -> None:
    scores = random_scores()
    assert at_fmr(kept(scores, 101), target) == at_fmr(scores, target)


def test_too_few_of_the_largest() -> None:
    scores = kept(random_scores(), 101)
    with pytest.raises(EvidenceInsufficient, match=r"101 largest of 20000 .* 201 are needed"):
        at_fmr(scores, 0.01)
    with pytest.raises(EvidenceInsufficient, match="keeping a larger"):
        at_threshold(scores, float(scores.nonmated[-1]))
    with pytest.raises(EvidenceInsufficient):
        at_threshold(scores, -5.0)
    above = float(np.nextafter(scores.nonmated[-1], 2))
    assert at_threshold(scores, above).false_matches == np.count_nonzero(scores.nonmated >= above)


def test_a_float64_threshold_between_two_float32_similarities() -> None:
    low = np.float32(0.3)
    high = np.nextafter(low, np.float32(1))
    scores = Scores.of(np.array([high, low, high, low], np.float32), np.array([True, True, False, False]))
    between = (float(low) * 3 + float(high)) / 4
    assert np.float32(between) == low, "rounding alone would accept the lower one"
    point = at_threshold(scores, between)
    assert (point.false_matches, point.false_nonmatches) == (1, 1)
    assert point.bar == float(low)
    exactly = at_threshold(scores, float(low))
    assert (exactly.false_matches, exactly.false_nonmatches) == (2, 0)


def test_numbers_beyond_the_type() -> None:
    scores = random_scores(np.float32)
    for threshold in (1e300, np.inf):
        point = at_threshold(scores, threshold)
        assert (point.false_matches, point.fnmr) == (0, 1)
    for threshold in (-1e300, -np.inf):
        point = at_threshold(scores, threshold)
        assert (point.fmr, point.fnmr, point.bar) == (1, 0, None)
    assert at_threshold(scores, -np.inf).bar is None
    assert least_accepted(1e300, np.dtype(np.float32)) == np.inf


def test_everything_may_match_when_most_comparisons_failed() -> None:
    scores = Scores(np.array([0.5, 0.1]), np.array([0.4, 0.2]), 2, mated_failed=1, nonmated_failed=8)
    point = at_fmr(scores, 0.2)
    assert (point.allowed, point.bar, point.threshold) == (2, None, -np.inf)
    assert (point.false_matches, point.nonmated, point.fmr) == (2, 10, 0.2)
    assert (point.false_nonmatches, point.mated, point.tar) == (1, 3, pytest.approx(2 / 3))
    point = at_fmr(scores, 0.1)
    assert (point.bar, point.false_matches, point.fmr) == (0.2, 1, 0.1)
    assert (point.false_nonmatches, point.fnmr) == (2, pytest.approx(2 / 3))


def test_every_comparison_failed() -> None:
    scores = Scores(np.empty(0), np.empty(0), 0, mated_failed=3, nonmated_failed=5)
    for point in (at_fmr(scores, 0.1), at_threshold(scores, 0.3)):
        assert (point.fmr, point.fnmr) == (0, 1)


def test_a_threshold_reports_its_own_rate_as_target() -> None:
    point = at_threshold(random_scores(), 0.3)
    assert point.target == point.fmr > 0
    assert point.allowed == point.false_matches
    assert point.status == "ok"


def test_insufficient_is_less_than_one_comparison() -> None:
    scores = random_scores(nonmated=1000)
    assert at_fmr(scores, "0.001").status == "ok"
    point = at_fmr(scores, "0.000999")
    assert (point.status, point.false_matches, point.bar) == ("insufficient", 0, scores.nonmated[0])


def test_largest_at_least() -> None:
    descending = np.array([3.0, 2, 2, 1])
    assert [largest_at_least(descending, t) for t in (4.0, 3.0, 2.5, 2.0, 1.0, 0.0)] == [0, 1, 1, 3, 4, 4]
    assert largest_at_least(np.empty(0, np.float32), 0.1) == 0


def test_impossible_arguments() -> None:
    scores = random_scores()
    for target in (0.0, 1.0, -0.1, float("nan"), "0", "two"):
        with pytest.raises(InvalidArgument, match="write it like"):
            at_fmr(scores, target)
    with pytest.raises(InvalidArgument, match="not a number"):
        at_threshold(scores, float("nan"))
    with pytest.raises(InvalidArgument, match="count of 0 or more"):
        allowed(0.1, -1)
    one_kind = Scores(scores.mated, np.empty(0), 0)
    for function in (at_fmr, at_threshold):
        with pytest.raises(ScoresInvalid, match="no non-mated comparison"):
            function(one_kind, 0.1)
