"""Differences between groups: bounds, invariances, and None where a ratio has no value."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.groups import (
    GroupErrors,
    fairness_discrepancy_rate,
    garbe,
    gini,
    inequity_rate,
    max_over_geomean,
    max_over_mean,
    max_over_min,
)
from lineament.metrics.intervals import wilson

RATES = st.lists(st.floats(1e-6, 1), min_size=2, max_size=8)
ONE = [gini, max_over_geomean, max_over_min, max_over_mean]
TWO = [garbe, fairness_discrepancy_rate, inequity_rate]


@settings(deadline=None)
@given(RATES)
def test_gini_is_the_mean_difference_of_two_different_groups(rates: list[float]) -> None:
    n = len(rates)
    pairs = [abs(rates[i] - rates[j]) for i in range(n) for j in range(n) if i != j]
    want = float(np.mean(pairs)) / (2 * float(np.mean(rates)))
    found = gini(rates)
    assert found == pytest.approx(want, abs=1e-12)
    assert found is not None
    assert -1e-12 <= found <= 1 + 1e-12


@settings(deadline=None)
@given(RATES)
def test_ratios_are_ordered_and_bounded(rates: list[float]) -> None:
    over_mean, over_geomean, over_min = max_over_mean(rates), max_over_geomean(rates), max_over_min(rates)
    assert over_mean is not None
    assert over_geomean is not None
    assert over_min is not None
    assert 1 - 1e-9 <= over_mean <= over_geomean * (1 + 1e-9)
    assert over_geomean <= over_min * (1 + 1e-9)
    assert over_mean <= len(rates) + 1e-9


@settings(deadline=None)
@given(RATES, st.floats(0.01, 1), st.randoms())
def test_scale_and_order_do_not_matter(rates: list[float], scale: float, random: object) -> None:
    shuffled = [rate * scale for rate in rates]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    for measure in ONE:
        assert measure(shuffled) == pytest.approx(measure(rates), rel=1e-9, abs=1e-9)


def test_equal_groups_differ_in_nothing() -> None:
    same = [0.02, 0.02, 0.02]
    assert [measure(same) for measure in ONE] == pytest.approx([0, 1, 1, 1])
    assert garbe(same, same) == pytest.approx(0)
    assert fairness_discrepancy_rate(same, same) == 1
    assert inequity_rate(same, same) == pytest.approx(1)


@pytest.mark.parametrize("groups", [2, 3, 7])
def test_one_group_that_bears_everything_is_a_gini_of_one(groups: int) -> None:
    rates = np.zeros(groups)
    rates[1] = 0.3
    assert gini(rates) == pytest.approx(1)
    assert max_over_mean(rates) == pytest.approx(groups)


def test_a_group_without_errors_gives_none_and_never_infinity() -> None:
    some, none = [0.0, 0.1], [0.0, 0.0]
    assert max_over_min(some) is None
    assert max_over_geomean(some) is None
    assert inequity_rate(some, [0.1, 0.1]) is None
    assert inequity_rate([0.1, 0.1], some) is None
    assert [measure(none) for measure in ONE] == [None] * 4
    assert garbe(none, some) is None
    assert garbe(some, none) is None
    assert fairness_discrepancy_rate(none, none) == 1


def test_the_weight_chooses_between_the_two_errors() -> None:
    fmr, fnmr = [1e-4, 4e-4], [0.01, 0.03]
    assert garbe(fmr, fnmr, a=1.0) == gini(fmr)
    assert garbe(fmr, fnmr, a=0.0) == gini(fnmr)
    assert inequity_rate(fmr, fnmr, a=1.0) == pytest.approx(4)
    assert inequity_rate(fmr, fnmr, a=0.0) == pytest.approx(3)
    assert fairness_discrepancy_rate(fmr, fnmr, a=1.0) == pytest.approx(1 - 3e-4)
    assert fairness_discrepancy_rate(fmr, fnmr, a=0.0) == pytest.approx(0.98)


def test_tiny_rates_do_not_underflow_in_the_geometric_mean() -> None:
    assert max_over_geomean([1e-300, 1e-300, 1e-300]) == pytest.approx(1)


@pytest.mark.parametrize("rates", [[], [0.1], [0.1, 1.5], [-0.1, 0.1], [0.1, np.nan], [[0.1, 0.2]]])
def test_bad_rates_are_refused(rates: list[float]) -> None:
    good = [0.1] * max(2, len(rates))
    for measure in ONE:
        with pytest.raises(ScoresInvalid):
            measure(np.array(rates))
    for measure in TWO:
        with pytest.raises(ScoresInvalid):
            measure(np.array(rates), good)
        with pytest.raises(ScoresInvalid):
            measure(good, np.array(rates))


@pytest.mark.parametrize("measure", TWO)
def test_both_errors_belong_to_the_same_groups(measure: Callable[..., float | None]) -> None:
    with pytest.raises(ScoresInvalid, match="same groups"):
        measure([0.1, 0.2], [0.1, 0.2, 0.3])
    for weight in (-0.1, 1.1, float("nan")):
        with pytest.raises(InvalidArgument, match="weight"):
            measure([0.1, 0.2], [0.1, 0.2], a=weight)


def test_counts_decide_what_is_sufficient() -> None:
    few = GroupErrors("a", mated=1000, false_nonmatches=29, nonmated=10**6, false_matches=30)
    assert (few.fmr, few.fnmr) == (3e-5, 0.029)
    assert (few.fmr_sufficient, few.fnmr_sufficient, few.sufficient) == (True, False, False)
    assert few.fmr_interval == wilson(30, 10**6)
    assert few.fnmr_interval == wilson(29, 1000)
    enough = GroupErrors("b", mated=1000, false_nonmatches=30, nonmated=10**6, false_matches=30)
    assert enough.sufficient


def test_a_group_without_comparisons_has_no_rate() -> None:
    empty = GroupErrors("c", mated=0, false_nonmatches=0, nonmated=0, false_matches=0)
    assert (empty.fmr, empty.fnmr, empty.fmr_interval, empty.fnmr_interval) == (None, None, None, None)
    assert not empty.sufficient
    for counts in ((1, 2, 0, 0), (0, 0, 1, 2), (1, -1, 0, 0)):
        with pytest.raises(ScoresInvalid, match="group d"):
            GroupErrors("d", *counts)
