"""Equal error rates by their three methods, against fixed numbers and against all segments of the curve."""

from itertools import combinations, pairwise

import numpy as np
import pytest

from lineament.core.errors import EvidenceInsufficient, ScoresInvalid
from lineament.metrics.curves import roc
from lineament.metrics.eer import EerMethod, eer
from lineament.metrics.operating import at_threshold
from lineament.metrics.scores import Histogram, Scores

SET_A = Scores(
    np.array([0.9, 0.8, 0.8, 0.6, 0.5, 0.3]), np.array([0.7, 0.5, 0.4, 0.3, 0.2, 0.2, 0.1, 0.1, 0, 0]), 10
)


def random_scores(seed: int, failed: bool = False) -> Scores:
    random = np.random.default_rng(seed)
    mated = np.round(random.normal(0.5, 0.3, random.integers(1, 30)), 1)
    nonmated = np.sort(np.round(random.normal(0.2, 0.3, random.integers(1, 40)), 1))[::-1]
    counts = random.integers(0, 5, 2).tolist() if failed else (0, 0)
    return Scores(mated, nonmated, len(nonmated), mated_failed=counts[0], nonmated_failed=counts[1])


def points(scores: Scores) -> list[tuple[float, float]]:
    """FMR and FNMR of every threshold, and of the two decisions that look at nothing."""
    curve = roc(scores)
    return [(1.0, 0.0), *zip(curve.fmr.tolist(), curve.fnmr.tolist(), strict=True), (0.0, 1.0)]


def crossing(one: tuple[float, float], other: tuple[float, float]) -> float | None:
    """Where a segment meets FMR = FNMR."""
    left, right = one[0] - one[1], other[0] - other[1]
    if left == 0:
        return one[0]
    if left * right >= 0:
        return other[0] if right == 0 else None
    share = left / (left - right)
    return one[0] + share * (other[0] - one[0])


@pytest.mark.parametrize(
    ("method", "value", "threshold"),
    [("midpoint", 0.183333, 0.5), ("interpolated", 0.1875, None), ("rocch", 0.1875, None)],
)
def test_set_a(method: EerMethod, value: float, threshold: float | None) -> None:
    got = eer(SET_A, method)
    assert (got.method, got.threshold) == (method, threshold)
    assert got.value == pytest.approx(value, abs=5e-7)


def test_the_hull_is_the_default_and_is_below_the_line() -> None:
    # The curve has a dent at the diagonal, which a choice by lot between two thresholds cuts off.
    scores = Scores(np.array([0.9, 0.9, 0.3, 0.3]), np.array([0.5, 0.5, 0.1, 0.1]), 4)
    assert eer(scores).method == "rocch"
    assert eer(scores).value == 0.25
    assert eer(scores, "interpolated").value == 0.5
    assert eer(scores, "midpoint").value == 0.5


@pytest.mark.parametrize("failed", [False, True])
def test_hull_is_the_lowest_crossing_of_any_segment(failed: bool) -> None:
    for seed in range(150):
        scores = random_scores(seed, failed)
        found = [crossing(*pair) for pair in combinations(points(scores), 2)]
        want = min(value for value in found if value is not None)
        assert eer(scores).value == pytest.approx(want, abs=1e-12), seed


@pytest.mark.parametrize("failed", [False, True])
def test_interpolated_is_the_crossing_of_neighbours(failed: bool) -> None:
    for seed in range(150):
        scores = random_scores(seed, failed)
        curve = points(scores)
        found = [crossing(*pair) for pair in pairwise(curve)]
        got = eer(scores, "interpolated")
        want = [value for value in found if value is not None]
        assert want == pytest.approx([got.value] * len(want), abs=1e-12), seed


def test_midpoint_is_the_smallest_gap() -> None:
    for seed in range(150):
        scores = random_scores(seed, failed=True)
        got = eer(scores, "midpoint")
        assert got.threshold is not None
        at = at_threshold(scores, got.threshold)
        assert got.value == (at.fmr + at.fnmr) / 2
        assert abs(at.fmr - at.fnmr) == pytest.approx(min(abs(a - b) for a, b in points(scores)[1:-1]))


def test_midpoint_takes_the_lowest_of_equal_gaps() -> None:
    # FMR .4 and .2 beside an FNMR of .3: in binary the first gap is larger.
    assert 0.4 - 0.3 > 0.3 - 0.2
    scores = Scores(np.repeat([0.9, 0.1], [7, 3]), np.repeat([0.8, 0.5, 0.0], [2, 2, 6]), 10)
    assert {(0.4, 0.3), (0.2, 0.3)} <= set(points(scores))
    got = eer(scores, "midpoint")
    assert (got.threshold, got.value) == (0.5, 0.35)


def test_a_threshold_with_equal_errors_is_named() -> None:
    scores = Scores(np.array([0.9, 0.8, 0.7, 0.2]), np.array([0.6, 0.1, 0.1, 0.0]), 4)
    got = eer(scores, "interpolated")
    assert (got.value, got.threshold) == (0.25, 0.6)
    separated = Scores(np.array([0.9, 0.8]), np.array([0.2, 0.1]), 2)
    for method in ("rocch", "midpoint", "interpolated"):
        assert (eer(separated, method).value, eer(separated, method).threshold) == (0, 0.8)


def test_no_information_is_one_half() -> None:
    same = Scores(np.full(3, 0.4), np.full(5, 0.4), 5)
    for method in ("rocch", "midpoint", "interpolated"):
        assert eer(same, method).value == pytest.approx(0.5)
    # A useless system is not worse than a coin on the hull.
    reversed_order = Scores(np.array([0.1, 0.2]), np.array([0.9, 0.8]), 2)
    assert eer(reversed_order).value == pytest.approx(0.5)
    assert eer(reversed_order, "interpolated").value == 1


def test_shortened_similarities() -> None:
    random = np.random.default_rng(1)
    mated = random.normal(0.5, 0.15, 400)
    nonmated = np.sort(random.normal(0, 0.15, 20_000))[::-1]
    edges = np.linspace(-1, 1.5, 4097)
    bins = Histogram(-1.0, 1.5, np.histogram(mated, edges)[0], np.histogram(nonmated, edges)[0])
    short = Scores(mated, nonmated[:50], len(nonmated), histogram=bins)
    whole = Scores(mated, nonmated, len(nonmated))
    for method in ("rocch", "midpoint", "interpolated"):
        assert eer(short, method).value == pytest.approx(eer(whole, method).value, abs=2e-3)
    with pytest.raises(EvidenceInsufficient, match="without a histogram"):
        eer(Scores(mated, nonmated[:50], len(nonmated)))


def test_refusals() -> None:
    with pytest.raises(ScoresInvalid, match="no mated"):
        eer(Scores(np.empty(0), np.array([0.1]), 1))
