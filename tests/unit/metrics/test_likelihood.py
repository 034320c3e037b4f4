"""Likelihood ratios: against scikit-learn, against brute force, and what they refuse."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.likelihood import (
    Logistic,
    act_dcf,
    cllr,
    fit_logistic,
    min_cllr,
    min_dcf,
    pav,
)

TIED = st.lists(st.integers(0, 9).map(lambda tenth: tenth / 10), min_size=1, max_size=25).map(np.array)
PRIORS = st.sampled_from([0.5, 0.1, 0.01, 0.9])


@settings(max_examples=300, deadline=None)
@given(TIED, TIED)
def test_pav_is_isotonic_regression(mated: np.ndarray, nonmated: np.ndarray) -> None:
    s = np.concatenate([mated, nonmated])
    label = np.repeat([1.0, 0.0], [len(mated), len(nonmated)])
    posterior = IsotonicRegression().fit(s, label).predict(s)  # pools equal scores as well
    with np.errstate(divide="ignore"):
        want = np.log(posterior) - np.log1p(-posterior) - math.log(len(mated) / len(nonmated))
    want = np.where(posterior > 1 - 1e-12, np.inf, np.where(posterior < 1e-12, -np.inf, want))
    np.testing.assert_allclose(np.concatenate(pav(mated, nonmated)), want, rtol=0, atol=1e-9)


@settings(deadline=None)
@given(TIED, TIED, st.booleans())
def test_pav_never_falls_and_treats_equals_alike(
    mated: np.ndarray, nonmated: np.ndarray, laplace: bool
) -> None:
    llr = np.concatenate(pav(mated, nonmated, laplace))
    s = np.concatenate([mated, nonmated])
    order = np.argsort(s, kind="stable")
    rising = llr[order]
    assert (rising[1:] >= rising[:-1]).all()
    assert all(len(set(llr[s == value])) == 1 for value in set(s.tolist()))
    assert np.isfinite(llr).all() or not laplace


def test_laplace_adds_one_of_each_kind_at_both_ends() -> None:
    mated, nonmated = np.array([0.8, 0.9]), np.array([0.1, 0.2, 0.3])
    plain = pav(mated, nonmated)
    assert np.isposinf(plain[0]).all()
    assert np.isneginf(plain[1]).all()
    # At the top 2 + 1 mated to 1 non-mated, at the bottom 1 to 3 + 1, at odds of 2 to 3 in all.
    careful = pav(mated, nonmated, laplace=True)
    np.testing.assert_allclose(careful[0], math.log(3 / 1) - math.log(2 / 3))
    np.testing.assert_allclose(careful[1], math.log(1 / 4) - math.log(2 / 3))


@settings(deadline=None)
@given(TIED, TIED, st.floats(-5, 5), st.floats(-5, 5), st.floats(0.1, 3))
def test_no_monotone_calibration_beats_the_minimum(
    mated: np.ndarray, nonmated: np.ndarray, low: float, rise: float, bend: float
) -> None:
    least = min_cllr(mated, nonmated)
    assert -1e-12 <= least <= 1 + 1e-12
    steepness = abs(rise)
    for calibrate in (
        lambda s: low + steepness * s,
        lambda s: low + steepness * s**bend,
        lambda s: np.where(s >= 0.5, low + steepness, low),
    ):
        assert least <= cllr(calibrate(mated), calibrate(nonmated)) + 1e-12


@settings(deadline=None)
@given(TIED, TIED)
def test_the_minimum_sees_only_the_order(mated: np.ndarray, nonmated: np.ndarray) -> None:
    assert min_cllr(np.exp(3 * mated), np.exp(3 * nonmated)) == pytest.approx(min_cllr(mated, nonmated))


def test_cllr_of_certainty() -> None:
    assert cllr(np.array([np.inf]), np.array([-np.inf])) == 0
    assert cllr(np.array([np.inf, -np.inf]), np.array([0.0])) == math.inf
    assert cllr(np.array([1000.0]), np.array([-1000.0])) == 0  # e^1000 does not overflow


@st.composite
def overlapping(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Similarities whose kinds overlap, mated ones the larger on the whole."""
    mated, nonmated = draw(TIED), draw(TIED)
    mated = np.concatenate([mated + 0.2, [0.1, 0.9]])
    nonmated = np.concatenate([nonmated - 0.2, [0.05, 0.5]])
    return (
        (mated, nonmated) if mated.mean() > nonmated.mean() + 0.01 else (mated + 1, np.append(nonmated, 2.0))
    )


@settings(max_examples=50, deadline=None)
@given(overlapping(), st.sampled_from([0.5, 0.1, 0.9]))
def test_logistic_is_weighted_logistic_regression(data: tuple[np.ndarray, np.ndarray], prior: float) -> None:
    mated, nonmated = data
    if mated.mean() <= nonmated.mean() + 0.01:
        return
    line = fit_logistic(mated, nonmated, prior)
    s = np.concatenate([mated, nonmated])[:, None]
    label = np.repeat([1, 0], [len(mated), len(nonmated)])
    weight = np.repeat([prior / len(mated), (1 - prior) / len(nonmated)], [len(mated), len(nonmated)])
    peer = LogisticRegression(C=1e12, tol=1e-12, max_iter=10_000, solver="newton-cholesky")
    peer.fit(s, label, sample_weight=weight * len(s))
    assert line.a == pytest.approx(float(peer.coef_[0, 0]), rel=1e-5, abs=1e-6)
    want = float(peer.intercept_[0]) - math.log(prior / (1 - prior))
    assert line.b == pytest.approx(want, rel=1e-5, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(overlapping())
def test_no_line_near_by_costs_less(data: tuple[np.ndarray, np.ndarray]) -> None:
    mated, nonmated = data
    if mated.mean() <= nonmated.mean():
        return
    line = fit_logistic(mated, nonmated)
    here = cllr(line.llr(mated), line.llr(nonmated))
    assert min_cllr(mated, nonmated) <= here <= 1 + 1e-12
    for da, db in ((0.01, 0), (-0.01, 0), (0, 0.01), (0, -0.01), (0.01, -0.01), (-0.01, 0.01)):
        other = Logistic(line.a + da, line.b + db)
        assert here <= cllr(other.llr(mated), other.llr(nonmated)) + 1e-13


def test_logistic_does_not_depend_on_how_many_there_are_of_a_kind() -> None:
    mated, nonmated = np.array([0.9, 0.6, 0.3]), np.array([0.5, 0.2, 0.1, 0.4])
    once, often = fit_logistic(mated, nonmated), fit_logistic(mated, np.repeat(nonmated, 50))
    assert (often.a, often.b) == pytest.approx((once.a, once.b), rel=1e-9)


@pytest.mark.parametrize("overlap", [1e-3, 1e-6, 1e-9])
def test_logistic_survives_kinds_that_hardly_overlap(overlap: float) -> None:
    mated, nonmated = np.append(np.ones(1000), 0.0), np.append(-np.ones(1000), overlap)
    line = fit_logistic(mated, nonmated)
    # At the best line the mean error of each kind is the same, and so is the mean of error times similarity.
    miss, match = 1 / (1 + np.exp(line.llr(mated))), 1 / (1 + np.exp(-line.llr(nonmated)))
    assert miss.mean() == pytest.approx(match.mean(), abs=1e-9)
    assert (miss * mated).mean() == pytest.approx((match * nonmated).mean(), abs=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_logistic_does_not_mind_the_scale(shift: float) -> None:
    mated, nonmated = np.array([0.9, 0.6, 0.3]), np.array([0.5, 0.2, 0.1, 0.4])
    plain, scaled = fit_logistic(mated, nonmated), fit_logistic(1e3 * mated + shift, 1e3 * nonmated + shift)
    np.testing.assert_allclose(scaled.llr(1e3 * mated + shift), plain.llr(mated), rtol=1e-5)


@pytest.mark.parametrize(
    ("mated", "nonmated", "says"),
    [
        ([0.9, 0.8], [0.1, 0.2], "at or above"),
        ([0.9, 0.5], [0.1, 0.5], "at or above"),  # touching is as bad: any steeper line is better
        ([0.1, 0.2], [0.9, 0.8], "negate"),
        ([0.5, 0.5], [0.5, 0.5], "negate"),
        ([0.9, -np.inf], [0.1, 0.95], "failed"),
        ([0.9, np.nan], [0.1, 0.95], "NaN"),
        ([], [0.1], "mated"),
    ],
)
def test_logistic_refuses(mated: list[float], nonmated: list[float], says: str) -> None:
    with pytest.raises(ScoresInvalid, match=says):
        fit_logistic(np.array(mated), np.array(nonmated))


def test_probability_moves_with_the_prior() -> None:
    line = Logistic(a=10.0, b=-5.0)
    s = np.array([0.2, 0.5, 0.9])
    assert line.llr(s).tolist() == pytest.approx([-3, 0, 4])
    assert line.probability(s, 0.5).tolist() == pytest.approx((1 / (1 + np.exp(-line.llr(s)))).tolist())
    odds = np.exp(line.llr(s)) * 0.001 / 0.999
    assert line.probability(s, 0.001).tolist() == pytest.approx((odds / (1 + odds)).tolist())
    assert float(line.probability(1e6, 0.5)) == 1
    assert float(line.probability(-1e6, 0.5)) == 0


@settings(max_examples=300, deadline=None)
@given(TIED, TIED, PRIORS, st.sampled_from([1.0, 10.0]))
def test_min_dcf_is_the_least_over_thresholds(
    mated: np.ndarray, nonmated: np.ndarray, prior: float, cost_miss: float
) -> None:
    found = min_dcf(mated, nonmated, prior, cost_miss=cost_miss)

    def cost(t: float) -> float:
        return cost_miss * prior * (mated < t).mean() + (1 - prior) * (nonmated >= t).mean()

    everything = [*np.unique(np.concatenate([mated, nonmated])).tolist(), math.inf]
    costs = [cost(t) for t in everything]
    assert found.value == pytest.approx(min(costs), abs=1e-15)
    assert cost(found.threshold) == pytest.approx(found.value, abs=1e-15)
    assert found.normalised == pytest.approx(found.value / min(cost_miss * prior, 1 - prior))
    assert found.normalised <= 1 + 1e-12
    higher = [c for t, c in zip(everything, costs, strict=True) if t > found.threshold]
    assert all(c > found.value - 1e-15 for c in higher)


@settings(max_examples=300, deadline=None)
@given(TIED, TIED, PRIORS)
def test_calibrated_ratios_reach_the_minimum(mated: np.ndarray, nonmated: np.ndarray, prior: float) -> None:
    best = min_dcf(mated, nonmated, prior)
    assert act_dcf(*pav(mated, nonmated), prior).value == pytest.approx(best.value, abs=1e-12)
    assert act_dcf(mated, nonmated, prior).value >= best.value - 1e-12


def test_of_equally_good_thresholds_the_highest_is_given() -> None:
    one = np.array([0.5])
    assert min_dcf(one, one, 0.5).threshold == math.inf  # accepting all costs the same
    assert min_dcf(np.array([0.2, 0.8]), np.array([0.1, 0.5]), 0.5).threshold == 0.8


def test_costs_and_prior_set_where_ratios_accept() -> None:
    found = act_dcf(np.array([2.0]), np.array([2.5]), 0.1, cost_miss=1.0, cost_false_match=1.0)
    assert found.threshold == pytest.approx(math.log(9))
    assert (found.value, found.normalised) == pytest.approx((1.0, 10.0))  # misleading: worse than useless
    assert act_dcf(np.array([2.0]), np.array([2.5]), 0.1, cost_miss=9.0).threshold == pytest.approx(
        0, abs=1e-12
    )


def test_failed_comparisons_are_missed_everywhere() -> None:
    mated, nonmated = np.array([0.9, -np.inf]), np.array([0.1, 0.2])
    found = min_dcf(mated, nonmated, 0.5)
    assert (found.value, found.threshold) == (0.25, 0.9)
    assert min_dcf(np.array([-np.inf]), nonmated, 0.5).threshold == math.inf
    assert np.isneginf(pav(np.array([0.9]), np.array([-np.inf]))[1]).all()


@pytest.mark.parametrize(
    "columns",
    [([], [0.1]), ([0.1], []), ([np.nan], [0.1]), ([0.1], [np.nan]), ([[0.1]], [0.1]), ([0.1], [[0.1]])],
)
def test_bad_columns_are_refused(columns: tuple[list[float], list[float]]) -> None:
    mated, nonmated = np.array(columns[0]), np.array(columns[1])
    for measure in (cllr, min_cllr, pav, fit_logistic):
        with pytest.raises(ScoresInvalid):
            measure(mated, nonmated)
    for cost in (min_dcf, act_dcf):
        with pytest.raises(ScoresInvalid):
            cost(mated, nonmated, 0.5)


def test_bad_priors_and_costs_are_refused() -> None:
    mated, nonmated = np.array([0.9, 0.3]), np.array([0.1, 0.5])
    for prior in (0.0, 1.0, -0.1, math.nan):
        for refuse in (fit_logistic, min_dcf, act_dcf):
            with pytest.raises(InvalidArgument, match="prior"):
                refuse(mated, nonmated, prior)
        with pytest.raises(InvalidArgument, match="prior"):
            Logistic(1.0, 0.0).probability(0.5, prior)
    for costs in ((0.0, 1.0), (1.0, -1.0), (math.inf, 1.0)):
        with pytest.raises(InvalidArgument, match="costs"):
            min_dcf(mated, nonmated, 0.5, *costs)
    with pytest.raises(ScoresInvalid, match="infinite"):
        min_dcf(np.array([np.inf]), nonmated, 0.5)
