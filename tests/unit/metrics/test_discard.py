"""Error versus discard: against discarding by hand, and what it refuses."""

import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.discard import Edc, edc, ideal, partial_area, threshold_at_fnmr

TENTH = st.integers(0, 9).map(lambda tenth: tenth / 10)
ROWS = st.lists(st.tuples(st.one_of(TENTH, st.just(math.nan)), TENTH, TENTH), min_size=1, max_size=30)


def columns(rows: list[tuple[float, float, float]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    table = np.array(rows, np.float64)
    return table[:, 0], table[:, 1], table[:, 2]


@settings(deadline=None)
@given(ROWS, TENTH, st.sampled_from(["fnmr", "fmr"]))
def test_the_curve_by_hand(rows: list[tuple[float, float, float]], threshold: float, kind: str) -> None:
    curve = edc(*columns(rows), threshold, kind)  # pyright: ignore[reportArgumentType]
    levels = sorted({min(a, b) for _, a, b in rows})
    assert len(curve.discarded) == len(levels)
    for place, level in enumerate(levels):
        left = [s for s, a, b in rows if min(a, b) >= level]
        accepted = sum(s >= threshold for s in left)
        errors = accepted if kind == "fmr" else len(left) - accepted
        assert curve.discarded[place] == pytest.approx(1 - len(left) / len(rows))
        assert curve.error[place] == errors / len(left)


@settings(deadline=None)
@given(ROWS, TENTH, st.floats(0.01, 1))
def test_no_measure_is_better_than_the_ideal_one(
    rows: list[tuple[float, float, float]], threshold: float, limit: float
) -> None:
    curve = edc(*columns(rows), threshold)
    best = ideal(curve)
    assert best.error[0] == curve.error[0]
    assert (np.diff(best.error) <= 1e-15).all()
    assert partial_area(best, limit) <= partial_area(curve, limit) + 1e-12


@settings(deadline=None)
@given(ROWS, TENTH, st.floats(0.01, 1))
def test_areas_are_those_of_fine_sums(
    rows: list[tuple[float, float, float]], threshold: float, limit: float
) -> None:
    curve = edc(*columns(rows), threshold)
    middle = (np.arange(20_000) + 0.5) / 20_000 * limit
    held = curve.error[np.searchsorted(curve.discarded, middle, side="right") - 1]
    assert partial_area(curve, limit) == pytest.approx(held.mean() * limit, abs=2e-3)
    joined = np.interp(middle, curve.discarded, curve.error)
    assert partial_area(curve, limit, "trapezoid") == pytest.approx(joined.mean() * limit, abs=2e-3)


def test_equal_quality_goes_together_whatever_the_order() -> None:
    similarity = np.array([0.1, 0.9, 0.9, 0.1])
    quality = np.array([0.2, 0.2, 0.2, 0.8])
    curve = edc(similarity, quality, np.ones(4), 0.5)
    assert curve.discarded.tolist() == [0, 0.75]
    assert curve.error.tolist() == [0.5, 1]
    turned = edc(similarity[::-1], np.ones(4), quality[::-1], 0.5)
    np.testing.assert_array_equal(curve.error, turned.error)


def test_one_quality_for_all_is_one_point_that_holds() -> None:
    curve = edc(np.array([0.1, 0.9]), np.ones(2), np.ones(2), 0.5)
    assert (curve.discarded.tolist(), curve.error.tolist()) == ([0], [0.5])
    assert partial_area(curve, 0.4) == partial_area(curve, 0.4, "trapezoid") == pytest.approx(0.2)


def test_a_limit_between_two_corners() -> None:
    curve = Edc(discarded=np.array([0, 0.2]), error=np.array([0.4, 0.0]), comparisons=10, errors=4)
    assert partial_area(curve, 0.1) == pytest.approx(0.04)
    assert partial_area(curve, 0.1, "trapezoid") == pytest.approx(0.1 * (0.4 + 0.2) / 2)
    assert partial_area(curve, 1.0) == pytest.approx(0.08)


def test_failed_samples_are_rejections_of_the_lowest_quality() -> None:
    similarity = np.array([np.nan, 0.9, 0.9, 0.2])
    quality = np.array([-np.inf, 0.5, 0.9, 0.9])
    curve = edc(similarity, quality, np.ones(4), 0.5)
    np.testing.assert_allclose(curve.error, [1 / 2, 1 / 3, 1 / 2])
    assert edc(similarity, quality, np.ones(4), 0.5, "fmr").errors == 2


@settings(deadline=None)
@given(st.lists(TENTH, min_size=1, max_size=30), st.integers(1, 99))
def test_the_starting_threshold_is_the_highest_within_its_rate(values: list[float], percent: int) -> None:
    similarity, fnmr = np.array(values), percent / 100
    threshold = threshold_at_fnmr(similarity, fnmr)
    assert (similarity < threshold).sum() * 100 <= percent * len(values)
    higher = similarity[similarity > threshold]
    if higher.size:
        assert (similarity < higher.min()).sum() * 100 > percent * len(values)


def test_the_starting_threshold_and_failures() -> None:
    similarity = np.array([np.nan, 0.5, 0.7, 0.9])
    assert threshold_at_fnmr(similarity, 0.25) == 0.5
    assert threshold_at_fnmr(similarity, "0.5") == 0.7
    with pytest.raises(ScoresInvalid, match="1 of 4 comparisons failed"):
        threshold_at_fnmr(similarity, 0.2)
    with pytest.raises(ScoresInvalid, match="no mated"):
        threshold_at_fnmr(np.array([]), 0.2)
    with pytest.raises(InvalidArgument):
        threshold_at_fnmr(similarity, 1.0)


@pytest.mark.parametrize(
    ("similarity", "quality"),
    [
        (np.array([]), np.array([])),
        (np.zeros(2), np.zeros(3)),
        (np.zeros((2, 1)), np.zeros((2, 1))),
        (np.zeros(2), np.array([0.1, np.nan])),
    ],
)
def test_bad_columns_are_refused(similarity: np.ndarray, quality: np.ndarray) -> None:
    with pytest.raises(ScoresInvalid):
        edc(similarity, quality, quality, 0.5)


@pytest.mark.parametrize("shape", [(3,), (1,), (), (4, 1)])
def test_both_samples_of_every_comparison_have_a_quality(shape: tuple[int, ...]) -> None:
    four, other = np.ones(4), np.ones(shape)
    with pytest.raises(ScoresInvalid, match="two each"):
        edc(four, four, other, 0.5)
    with pytest.raises(ScoresInvalid, match="two each"):
        edc(four, other, four, 0.5)


def test_an_infinite_similarity_is_no_failure() -> None:
    with pytest.raises(ScoresInvalid, match="1 of 4 comparisons failed"):
        threshold_at_fnmr(np.array([np.nan, np.inf, 0.2, 0.3]), 0.1)


def test_bad_settings_are_refused() -> None:
    one = np.ones(1)
    curve = edc(one, one, one, 0.5)
    with pytest.raises(InvalidArgument, match="not a number"):
        edc(one, one, one, math.nan)
    for limit in (0.0, -0.1, 1.1, math.nan):
        with pytest.raises(InvalidArgument, match="limit"):
            partial_area(curve, limit)


UNKNOWN_KINDS = """
import numpy as np
from lineament.core.errors import InvalidArgument
from lineament.metrics.discard import edc, partial_area
one = np.ones(1)
curve = edc(one, one, one, 0.5)
for call in (lambda: edc(one, one, one, 0.5, "eer"), lambda: partial_area(curve, 0.5, "spline")):
    try:
        call()
    except InvalidArgument as error:
        print(error)
"""


def test_unknown_kinds_are_refused_without_type_checks_as_well() -> None:
    done = subprocess.run([sys.executable, "-c", UNKNOWN_KINDS], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "the error is fnmr or fmr, not 'eer'",
        "an area is step or trapezoid, not 'spline'",
    ]
