"""The floor rule against scikit-learn's curve and its own promises, on similarities with many ties."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve

from lineament.metrics.operating import OperatingPoint, allowed, at_fmr, at_threshold
from lineament.metrics.scores import Scores

TARGETS = [0.3, 0.29, 0.2, 0.1, 0.07, 0.05, 0.01, 0.001]

values = st.integers(0, 12).map(lambda tenths: tenths / 10)
sides = st.tuples(st.lists(values, min_size=1, max_size=30), st.lists(values, min_size=1, max_size=60))
targets = st.integers(1, 999).map(lambda thousandths: thousandths / 1000)


def scores_of(mated: np.ndarray, nonmated: np.ndarray, dtype: type = np.float64) -> Scores:
    similarity = np.concatenate([mated, nonmated]).astype(dtype)
    return Scores.of(similarity, np.arange(len(similarity)) < len(mated))


def test_two_thousand_sets_against_scikit_learn() -> None:
    random = np.random.default_rng(7)
    for _ in range(2000):
        mated = np.round(random.normal(0.6, 0.25, random.integers(1, 60)), 1)
        nonmated = np.round(random.normal(0.2, 0.25, random.integers(1, 300)), 1)
        scores = scores_of(mated, nonmated)
        labels = np.repeat([1, 0], [len(mated), len(nonmated)])
        fpr, tpr, _ = roc_curve(labels, np.concatenate([mated, nonmated]), drop_intermediate=False)
        target = float(random.choice(TARGETS))
        point = at_fmr(scores, target)
        limit = Fraction(str(target))
        assert Fraction(point.false_matches, point.nonmated) <= limit
        within = np.array([Fraction(round(rate * len(nonmated)), len(nonmated)) <= limit for rate in fpr])
        assert point.tar == pytest.approx(tpr[within].max(), abs=1e-12)


@settings(deadline=None, max_examples=300)
@given(sides, targets, st.sampled_from([np.float32, np.float64]))
def test_promises(sides: tuple[list[float], list[float]], target: float, dtype: type) -> None:
    mated, nonmated = (np.array(side, dtype) for side in sides)
    scores = scores_of(mated, nonmated, dtype)
    point = at_fmr(scores, target)
    assert point.allowed == (round(target * 1000) * len(nonmated)) // 1000
    # What it says happens when its threshold is applied, and when its bar is.
    accepted = nonmated.astype(np.float64) >= point.threshold
    assert point.false_matches == accepted.sum() == (nonmated > dtype(point.bar)).sum()
    assert point.false_nonmatches == (mated.astype(np.float64) < point.threshold).sum()
    # The target is met, and no lower threshold meets it: the bar itself would let too many in.
    assert point.false_matches <= point.allowed < (nonmated >= dtype(point.bar)).sum()
    assert (point.fmr, point.fnmr) == (
        point.false_matches / len(nonmated),
        point.false_nonmatches / len(mated),
    )
    assert point.status == ("insufficient" if target * len(nonmated) < 0.9999999 else "ok")
    again = at_threshold(scores, point.threshold)
    assert (again.false_matches, again.false_nonmatches, again.bar) == (
        point.false_matches,
        point.false_nonmatches,
        point.bar,
    )


@settings(deadline=None, max_examples=200)
@given(sides, targets)
def test_no_threshold_within_the_target_misses_fewer(
    sides: tuple[list[float], list[float]], target: float
) -> None:
    mated, nonmated = map(np.array, sides)
    point = at_fmr(scores_of(mated, nonmated), target)
    for threshold in [*mated, *nonmated, 2.0]:
        if (nonmated >= threshold).sum() <= point.allowed:
            assert (mated >= threshold).mean() <= point.tar + 1e-12


@settings(deadline=None, max_examples=200)
@given(sides, targets, targets)
def test_a_looser_target_is_never_worse(
    sides: tuple[list[float], list[float]], one: float, other: float
) -> None:
    scores = scores_of(*map(np.array, sides))
    tight, loose = (at_fmr(scores, target) for target in sorted((one, other)))
    assert tight.threshold >= loose.threshold
    assert tight.fmr <= loose.fmr
    assert tight.tar <= loose.tar


@settings(deadline=None, max_examples=200)
@given(sides, targets, st.randoms(use_true_random=False))
def test_order_does_not_matter(sides: tuple[list[float], list[float]], target: float, random) -> None:
    def point(order: list[int]) -> OperatingPoint:
        similarity = np.array([*sides[0], *sides[1]])[order]
        return at_fmr(Scores.of(similarity, np.array(order) < len(sides[0])), target)

    order = list(range(len(sides[0]) + len(sides[1])))
    straight = point(order)
    random.shuffle(order)
    assert point(order) == straight


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 10**6 - 1), st.integers(0, 10**13))
def test_allowed_is_exact(millionths: int, trials: int) -> None:
    assert allowed(millionths / 10**6, trials) == millionths * trials // 10**6


@settings(deadline=None, max_examples=200)
@given(sides, targets, st.integers(0, 5), st.integers(0, 40))
def test_failed_comparisons_are_rejections(
    sides: tuple[list[float], list[float]], target: float, mated_failed: int, nonmated_failed: int
) -> None:
    # The same as similarities that lie below all others and are never accepted.
    failed = np.full(mated_failed + nonmated_failed, np.nan)
    similarity = np.concatenate([*map(np.array, sides), failed])
    mated = np.repeat([True, False, True, False], [*map(len, sides), mated_failed, nonmated_failed])
    point = at_fmr(Scores.of(similarity, mated), target)
    assert (point.mated, point.nonmated) == (len(sides[0]) + mated_failed, len(sides[1]) + nonmated_failed)
    low = at_fmr(Scores.of(np.nan_to_num(similarity, nan=-1.0), mated), target)
    if low.bar != -1:
        assert point == low
    else:
        assert (point.bar, point.threshold) == (None, -np.inf)
        assert (point.false_matches, point.false_nonmatches) == (len(sides[1]), mated_failed)
