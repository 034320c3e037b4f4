"""Ranks, CMC and open-set errors: against counting by hand, and what they refuse."""

import math
import subprocess
import sys
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.identification import (
    Searches,
    at_fpir,
    cmc,
    fmr_for_fpir,
    fnir,
    fpir,
    fpir_from_fmr,
    ranks,
)

TENTHS = st.integers(-2, 9).map(lambda tenth: tenth / 10)


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Similarities with many ties, and marks of one or more mates per probe."""
    probes, references = draw(st.integers(1, 5)), draw(st.integers(1, 7))
    cells = st.lists(TENTHS, min_size=references, max_size=references)
    similarity = np.array(draw(st.lists(cells, min_size=probes, max_size=probes)))
    mate = np.zeros((probes, references), bool)
    for row in mate:
        row[draw(st.lists(st.integers(0, references - 1), min_size=1, unique=True))] = True
    return similarity, mate


def counted(row: np.ndarray, mate: np.ndarray, ties: str) -> int:
    """The rank, one reference at a time."""
    best = max(s for s, m in zip(row, mate, strict=True) if m)
    before = [
        s for s, m in zip(row, mate, strict=True) if not m and (s > best or (s == best and ties[0] == "p"))
    ]
    return 1 + len(before)


@settings(deadline=None)
@given(tables(), st.sampled_from(["pessimistic", "optimistic"]))
def test_ranks_are_counted_against_non_mates_only(table: tuple[np.ndarray, np.ndarray], ties: Any) -> None:
    similarity, mate = table
    want = [counted(row, marks, ties) for row, marks in zip(similarity, mate, strict=True)]
    assert ranks(similarity, mate, ties).tolist() == want


@settings(deadline=None)
@given(tables(), st.sampled_from(["pessimistic", "optimistic"]))
def test_a_column_means_the_same_as_one_mark(table: tuple[np.ndarray, np.ndarray], ties: Any) -> None:
    similarity, mate = table
    column = mate.argmax(axis=1)
    alone = np.arange(similarity.shape[1]) == column[:, None]
    np.testing.assert_array_equal(ranks(similarity, column, ties), ranks(similarity, alone, ties))


@settings(deadline=None)
@given(tables())
def test_pessimistic_is_never_better_than_optimistic(table: tuple[np.ndarray, np.ndarray]) -> None:
    pessimistic, optimistic = ranks(*table, "pessimistic"), ranks(*table, "optimistic")
    assert (pessimistic >= optimistic).all()
    assert (optimistic >= 1).all()
    assert (pessimistic <= table[0].shape[1]).all()


@settings(deadline=None)
@given(tables())
def test_the_curve_rises_to_one_on_a_closed_set(table: tuple[np.ndarray, np.ndarray]) -> None:
    gallery = table[0].shape[1]
    found = ranks(*table)
    curve = cmc(found, gallery)
    assert curve.shape == (gallery,)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == 1
    np.testing.assert_allclose(curve, [(found <= r).mean() for r in range(1, gallery + 1)])


def test_blocks_of_probes_give_what_the_whole_gives() -> None:
    rng = np.random.default_rng(5)
    similarity = rng.integers(0, 20, (50, 30)).astype(np.float32) / 20
    mate = rng.random((50, 30)) < 0.1
    mate[:, 0] = True
    parts = [ranks(similarity[i : i + 7], mate[i : i + 7]) for i in range(0, 50, 7)]
    np.testing.assert_array_equal(np.concatenate(parts), ranks(similarity, mate))


def test_other_mates_do_not_stand_in_the_way() -> None:
    similarity = np.array([[0.9, 0.8, 0.8, 0.1]])
    mates = np.array([[True, True, False, False]])
    assert ranks(similarity, mates).tolist() == [1]
    # The second mate alone would come third: behind the other one, and behind the tie.
    assert ranks(similarity, np.array([1])).tolist() == [3]


def test_a_failed_mate_comes_last_and_whole_numbers_are_similarities() -> None:
    assert ranks(np.array([[-np.inf, 0.1, -np.inf]]), np.array([0])).tolist() == [3]
    assert ranks(np.array([[3, 5, 3]]), np.array([[True, False, False]])).tolist() == [3]
    assert ranks(np.empty((0, 4)), np.empty(0, np.int64)).tolist() == []


@pytest.mark.parametrize(
    ("similarity", "mate", "says"),
    [
        (np.zeros(3), np.array([0]), "shape"),
        (np.zeros((1, 0)), np.array([0]), "shape"),
        (np.array([[0.1, np.nan]]), np.array([0]), "NaN"),
        (np.zeros((2, 3)), np.array([0]), "one column"),
        (np.zeros((1, 3)), np.array([0.0]), "one column"),
        (np.zeros((1, 3)), np.array([3]), "not one of the 3"),
        (np.zeros((1, 3)), np.array([-1]), "not one of the 3"),
        (np.zeros((1, 3)), np.array([True]), "marks"),
        (np.zeros((1, 3)), np.zeros((1, 3), bool), "non-mated searches"),
    ],
)
def test_ranks_refuse(similarity: np.ndarray, mate: np.ndarray, says: str) -> None:
    with pytest.raises(ScoresInvalid, match=says):
        ranks(similarity, mate)


def test_failed_searches_are_never_found() -> None:
    np.testing.assert_allclose(cmc(np.array([1, 2, 2]), 3, failed=1), [0.25, 0.75, 0.75])
    np.testing.assert_allclose(cmc(np.array([], np.int64), 2, failed=5), [0, 0])


@pytest.mark.parametrize(
    ("found", "gallery"),
    [
        (np.array([0, 1]), 3),
        (np.array([4]), 3),
        (np.array([1.0]), 3),
        (np.array([], int), 3),
        (np.array([1]), 0),
    ],
)
def test_cmc_refuses(found: np.ndarray, gallery: int) -> None:
    with pytest.raises(ScoresInvalid):
        cmc(found, gallery)
    with pytest.raises(InvalidArgument):
        cmc(np.array([1]), 3, failed=-1)


@st.composite
def searches(draw: st.DrawFn) -> Searches:
    """Searches with ties, in float32 or float64, with failures."""
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    mated = draw(st.lists(TENTHS, min_size=1, max_size=20))
    gallery = draw(st.integers(1, 9))
    places = draw(st.lists(st.integers(1, gallery), min_size=len(mated), max_size=len(mated)))
    return Searches(
        mate_similarity=np.array(mated, dtype),
        mate_rank=np.array(places),
        top_nonmated=np.array(draw(st.lists(TENTHS, min_size=1, max_size=40)), dtype),
        gallery=gallery,
        mated_failed=draw(st.integers(0, 3)),
        nonmated_failed=draw(st.integers(0, 3)),
    )


@settings(max_examples=300, deadline=None)
@given(searches(), st.integers(1, 999).map(lambda x: x / 1000), st.sampled_from([None, 1, 3]))
def test_the_target_is_never_exceeded_and_nothing_lower_would_do(
    found: Searches, target: float, rank: int | None
) -> None:
    point = at_fpir(found, target, rank)
    assert Fraction(point.false_positives, point.nonmated) <= Fraction(str(target))
    assert point.fpir == fpir(found, point.threshold)
    assert point.fnir == fnir(found, point.threshold, rank) == point.misses / point.mated
    assert point.dir == 1 - point.fnir
    if point.bar is None:
        assert point.threshold == -math.inf
    else:
        assert point.threshold > point.bar
        # Down to the bar itself the rate would be too high: nothing is given away.
        more = int((found.top_nonmated >= point.bar).sum())
        assert Fraction(more, point.nonmated) > Fraction(str(target))
    assert (point.status == "insufficient") == (Fraction(str(target)) * point.nonmated < 1)


@settings(deadline=None)
@given(searches(), TENTHS, st.integers(1, 9))
def test_rates_by_hand(found: Searches, threshold: float, rank: int) -> None:
    positives = sum(float(s) >= threshold for s in found.top_nonmated)
    assert fpir(found, threshold) == positives / found.nonmated_count
    hits = sum(
        float(s) >= threshold and place <= rank
        for s, place in zip(found.mate_similarity, found.mate_rank, strict=True)
    )
    assert fnir(found, threshold, rank) == (found.mated_count - hits) / found.mated_count
    assert fnir(found, threshold) <= fnir(found, threshold, rank)


def test_failed_searches_count_as_the_side_they_are_on() -> None:
    found = Searches(
        np.array([0.9]), np.array([1]), np.array([0.8, 0.2]), 5, mated_failed=3, nonmated_failed=2
    )
    assert (fpir(found, 0.5), fnir(found, 0.5)) == (0.25, 0.75)
    point = at_fpir(found, 0.5)
    assert (point.allowed, point.bar, point.fpir, point.fnir) == (2, None, 0.5, 0.75)


def test_a_float32_bar_is_exceeded_by_the_next_float32() -> None:
    top = np.array([0.7, 0.6], np.float32)
    found = Searches(np.array([0.6, 0.7], np.float32), np.array([1, 1]), top, 5)
    point = at_fpir(found, 0.5)
    assert point.bar == float(np.float32(0.6))
    assert point.threshold == float(np.nextafter(np.float32(0.6), np.float32(1)))
    assert (point.false_positives, point.misses) == (1, 1)
    # float32(0.7) is less than 0.7: a threshold is not rounded down to meet it.
    assert fpir(found, 0.7) == 0


def test_thirty_false_positives_make_a_point_reliable() -> None:
    top = np.linspace(0, 1, 300)
    found = Searches(np.array([0.5]), np.array([1]), top, 5)
    assert at_fpir(found, "0.1").reliable
    assert not at_fpir(found, "0.099").reliable
    starved = at_fpir(found, 1e-3)
    assert (starved.status, starved.bar, starved.fpir) == ("insufficient", 1.0, 0)


@pytest.mark.parametrize(
    "change",
    [
        {"mate_similarity": np.array([np.nan])},
        {"top_nonmated": np.array([np.inf])},
        {"mate_rank": np.array([0])},
        {"mate_rank": np.array([6])},
        {"mated_failed": -1},
        {"nonmated_failed": -1},
    ],
)
def test_searches_refuse(change: dict[str, Any]) -> None:
    good: dict[str, Any] = {
        "mate_similarity": np.array([0.5]),
        "mate_rank": np.array([1]),
        "top_nonmated": np.array([0.5]),
        "gallery": 5,
    }
    with pytest.raises(ScoresInvalid):
        Searches(**(good | change))


def test_rates_refuse_what_is_not_there() -> None:
    no_ranks = np.array([], np.int64)
    empty = Searches(np.array([]), no_ranks, np.array([]), 5)
    one = Searches(np.array([0.5]), np.array([1]), np.array([0.5]), 5)
    with pytest.raises(ScoresInvalid, match="not in the gallery"):
        fpir(empty, 0.5)
    with pytest.raises(ScoresInvalid, match="are in the gallery"):
        fnir(empty, 0.5)
    with pytest.raises(ScoresInvalid):
        at_fpir(Searches(np.array([]), no_ranks, np.array([0.5]), 5), 0.5)
    with pytest.raises(InvalidArgument, match="rank"):
        fnir(one, 0.5, rank=0)
    with pytest.raises(InvalidArgument, match="not a number"):
        fpir(one, math.nan)
    with pytest.raises(InvalidArgument):
        at_fpir(one, 1.5)


UNKNOWN_TIES = """
import numpy as np
from lineament.core.errors import InvalidArgument
from lineament.metrics.identification import ranks
try:
    ranks(np.zeros((1, 2)), np.array([0]), "worst")
except InvalidArgument as error:
    print(error)
"""


def test_unknown_ties_are_refused_without_type_checks_as_well() -> None:
    done = subprocess.run([sys.executable, "-c", UNKNOWN_TIES], capture_output=True, text=True, check=True)
    assert done.stdout == "ties are pessimistic or optimistic, not 'worst'\n"


@pytest.mark.parametrize(("fmr", "gallery"), [(1e-9, 12_000_000), (1e-12, 1000), (1e-17, 10**6), (0.25, 7)])
def test_tiny_rates_lose_nothing(fmr: float, gallery: int) -> None:
    # 1 − (1 − f)^N by its first binomial terms, exactly; the rest is far below what is asked for here.
    f, exact = Fraction(fmr), Fraction(0)
    term = Fraction(1)
    for k in range(1, 8):
        term = term * f * (gallery - k + 1) / k
        exact += term if k % 2 else -term
    assert fpir_from_fmr(fmr, gallery) == pytest.approx(float(exact), rel=1e-12)
    assert fmr_for_fpir(float(exact), gallery) == pytest.approx(fmr, rel=1e-12)


def test_certain_rates_and_empty_galleries() -> None:
    assert (fpir_from_fmr(0.0, 10), fpir_from_fmr(1.0, 10)) == (0, 1)
    assert (fpir_from_fmr(0.5, 0), fpir_from_fmr(1.0, 0)) == (0, 0)
    assert (fmr_for_fpir(0.0, 10), fmr_for_fpir(1.0, 10)) == (0, 1)
    for wrong in ((-0.1, 5), (1.1, 5), (0.1, -1)):
        with pytest.raises(InvalidArgument):
            fpir_from_fmr(*wrong)
    with pytest.raises(InvalidArgument):
        fmr_for_fpir(0.1, 0)
