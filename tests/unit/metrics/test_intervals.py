"""Intervals against their definitions, and counts that certify a target."""

import time
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from lineament.core.errors import InvalidArgument
from lineament.metrics import intervals

counts = st.integers(1, 3000).flatmap(lambda trials: st.tuples(st.integers(0, trials), st.just(trials)))


@settings(deadline=None, max_examples=150)
@given(counts, st.sampled_from([0.9, 0.95, 0.99]))
def test_both_intervals_are_scipy_s(count: tuple[int, int], confidence: float) -> None:
    errors, trials = count
    peer = binomtest(errors, trials)
    for ours, name in ((intervals.wilson, "wilson"), (intervals.clopper_pearson, "exact")):
        got, want = ours(errors, trials, confidence), peer.proportion_ci(confidence, name)
        assert (got.low, got.high) == pytest.approx((want.low, want.high), rel=1e-7, abs=1e-12)
        assert got.low <= errors / trials <= got.high
        assert got.confidence == confidence


@settings(deadline=None, max_examples=150)
@given(counts)
def test_bounds_are_where_the_tail_is_five_percent(count: tuple[int, int]) -> None:
    errors, trials = count
    upper, lower = intervals.upper_bound(errors, trials), intervals.lower_bound(errors, trials)
    assert lower <= errors / trials <= upper
    if errors < trials:
        assert binom.cdf(errors, trials, upper) == pytest.approx(0.05, rel=1e-6)
    else:
        assert upper == 1
    if errors:
        assert binom.sf(errors - 1, trials, lower) == pytest.approx(0.05, rel=1e-6)
    else:
        assert lower == 0


def test_ends_are_exact_without_errors_and_with_nothing_else() -> None:
    for method in (intervals.wilson, intervals.clopper_pearson):
        assert method(0, 17).low == 0
        assert method(17, 17).high == 1
    assert intervals.wilson(3, 9).method == "wilson"
    assert intervals.clopper_pearson(3, 9).method == "clopper-pearson"


@pytest.mark.parametrize("target", [1e-1, 1e-2, 2e-3, "0.0005"])
@pytest.mark.parametrize("trials", [1, 29, 100, 3000, 20_001])
def test_largest_safe_by_trying_all(target: float | str, trials: int) -> None:
    safe = [k for k in range(trials + 1) if k < 200 or k % 50 == 0]
    safe = [k for k in safe if intervals.upper_bound(k, trials) <= float(target)]
    got = intervals.largest_safe(trials, target)
    if not safe:
        assert got is None
    else:
        assert got is not None
        assert got >= max(safe)
        assert intervals.upper_bound(got, trials) <= float(target) < intervals.upper_bound(got + 1, trials)


def test_a_billion_trials_are_fast() -> None:
    start = time.perf_counter()
    got = intervals.largest_safe(10**9, 1e-3)
    assert time.perf_counter() - start < 0.5
    assert got is not None
    assert 0.99e6 < got < 1e6
    assert intervals.upper_bound(got, 10**9) <= 1e-3 < intervals.upper_bound(got + 1, 10**9)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.999])
@pytest.mark.parametrize("target", [0.9, 0.05, 1e-3, 1e-4, 1e-6, 1e-9])
def test_trials_needed_is_the_smallest(target: float, confidence: float) -> None:
    trials = intervals.trials_needed(target, confidence)
    assert intervals.upper_bound(0, trials, confidence) <= target
    assert trials == 1 or intervals.upper_bound(0, trials - 1, confidence) > target
    assert intervals.largest_safe(trials, target, confidence) == 0


def test_trials_needed_is_just_below_the_rule_of_three() -> None:
    assert intervals.trials_needed(1e-6) == 2_995_731
    assert intervals.trials_needed("1e-6") < 3e6


@pytest.mark.parametrize("trials", [1, 2, 3, 4, 1000])
def test_rule_of_three_is_a_rate(trials: int) -> None:
    assert intervals.upper_bound(0, trials) <= intervals.rule_of_three(trials) <= 1


def test_thirty_errors() -> None:
    assert not intervals.reliable(29)
    assert intervals.reliable(30)
    assert intervals.trials_for_thirty(0.07) == 429
    assert intervals.trials_for_thirty("0.3") == 100


@pytest.mark.parametrize("rate", [0.29, "0.29", "2.9e-1", Decimal("0.29"), np.float64(0.29)])
def test_rates_are_taken_to_the_letter(rate) -> None:
    assert intervals.exact(rate) == Fraction(29, 100)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, 1.5, float("nan"), float("inf"), "0", "1", "-1e-3", "nan"])
def test_rates_outside(rate) -> None:
    for function in (intervals.exact, intervals.trials_for_thirty, intervals.trials_needed):
        with pytest.raises(InvalidArgument, match="between 0 and 1"):
            function(rate)
    with pytest.raises(InvalidArgument, match="between 0 and 1"):
        intervals.largest_safe(100, rate)


def test_rates_that_are_not_numbers_or_absurd() -> None:
    with pytest.raises(InvalidArgument, match="write it like"):
        intervals.exact("one in a million")
    with pytest.raises(InvalidArgument, match="no data can support"):
        intervals.exact("1e-999999999")


@pytest.mark.parametrize(
    "function", [intervals.wilson, intervals.clopper_pearson, intervals.upper_bound, intervals.lower_bound]
)
def test_impossible_counts(function) -> None:
    with pytest.raises(InvalidArgument, match="at least one trial"):
        function(0, 0)
    with pytest.raises(InvalidArgument, match="11 errors in 10 trials"):
        function(11, 10)
    with pytest.raises(InvalidArgument, match="-1 errors"):
        function(-1, 10)
    for confidence in (0.0, 1.0, 95.0, float("nan")):
        with pytest.raises(InvalidArgument, match="confidence"):
            function(1, 10, confidence)


def test_impossible_trials() -> None:
    with pytest.raises(InvalidArgument, match="at least one trial"):
        intervals.rule_of_three(0)
    with pytest.raises(InvalidArgument, match="at least one trial"):
        intervals.largest_safe(0, 0.1)
    with pytest.raises(InvalidArgument, match="confidence"):
        intervals.trials_needed(0.1, 1.0)
