"""At which similarity a search accepts: measured on searches, or bounded from pairs, or refused."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.gallery_twins import card

from lineament.core.errors import InvalidArgument, ThresholdMismatch, ThresholdMissing
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold
from lineament.gallery.operating import pair_threshold, search_threshold

MODEL, OTHER = ModelId("a", "a" * 64), ModelId("b", "b" * 64)
PAIRS = [card(MODEL, 0.3, 1e-3), card(MODEL, 0.4, 1e-4), card(MODEL, 0.5, 1e-6)]


def on_searches(value: float, fpir: float, size: int, model: ModelId = MODEL) -> Threshold:
    return card(model, value, None, fpir=fpir, gallery_size=size)


class TestBound:
    @pytest.mark.parametrize(
        ("fpir", "size", "value"),
        [(1e-2, 1, 0.3), (1e-2, 10, 0.3), (1e-2, 11, 0.4), (1e-2, 101, 0.5), (0.5, 500, 0.3)],
    )
    def test_the_loosest_that_keeps_the_promise(self, fpir: float, size: int, value: float) -> None:
        found = search_threshold(PAIRS, MODEL, fpir, size, None)
        assert found.value == value and found.gallery_size == size
        assert found.fpir is not None and found.fpir <= fpir * (1 + 1e-9)
        assert "bound" in found.method and found.measured
        found.require_search(MODEL, size)

    def test_its_interval_is_that_of_size_comparisons(self) -> None:
        found = search_threshold(PAIRS, MODEL, 1e-2, 100, None)
        assert found.fmr is None and found.fpir == pytest.approx(1e-2)
        assert found.fmr_interval == pytest.approx((0.0, 2e-2))

    @given(st.floats(1e-6, 0.999), st.integers(1, 10**7))
    @settings(max_examples=200, deadline=None)
    def test_never_a_promise_that_the_evidence_does_not_give(self, fpir: float, size: int) -> None:
        try:
            found = search_threshold(PAIRS, MODEL, fpir, size, None)
        except ThresholdMissing:
            assert 1e-6 * size > fpir
            return
        rate = {t.value: t.fmr for t in PAIRS}[found.value]
        assert rate is not None and rate * size <= fpir * (1 + 1e-9)
        tighter = [t for t in PAIRS if t.value < found.value]
        assert all(t.fmr is not None and t.fmr * size > fpir for t in tighter), "a looser one would have done"


class TestMeasured:
    def test_on_searches_goes_before_a_stricter_bound(self) -> None:
        assert (
            search_threshold([*PAIRS, on_searches(0.35, 1e-2, 1000)], MODEL, 1e-2, 1000, None).value == 0.35
        )

    def test_the_lower_of_both_wins(self) -> None:
        assert search_threshold([*PAIRS, on_searches(0.45, 1e-2, 1000)], MODEL, 1e-2, 10, None).value == 0.3

    @pytest.mark.parametrize(
        "unfit",
        [
            on_searches(0.1, 1e-2, 999),
            on_searches(0.1, 2e-2, 1000),
            on_searches(0.1, 1e-2, 1000, OTHER),
        ],
    )
    def test_not_for_a_smaller_gallery_a_larger_rate_or_another_model(self, unfit: Threshold) -> None:
        with pytest.raises(ThresholdMissing):
            search_threshold([unfit], MODEL, 1e-2, 1000, None)

    def test_what_is_missing_is_said(self) -> None:
        with pytest.raises(ThresholdMissing) as caught:
            search_threshold([*PAIRS, on_searches(0.4, 1e-2, 500)], MODEL, 1e-3, 5000, None)
        for part in (
            "FPIR 0.001",
            "5,000",
            "FPIR 0.01 up to 500",
            "calibrate",
            "3,000",
            "FPIR 0.005 at this size",
        ):
            assert part in str(caught.value)

    def test_what_a_person_typed_in_is_no_evidence(self) -> None:
        with pytest.raises(ThresholdMissing, match="nothing"):
            search_threshold([Threshold.typed_in(0.4, MODEL)], MODEL, 0.5, 1, None)


class TestGiven:
    @pytest.mark.parametrize("value", [-1.0, 0.0, 0.4, 1.0])
    def test_a_bare_cosine_wins_and_is_unmeasured(self, value: float) -> None:
        found = search_threshold(PAIRS, MODEL, 1e-9, 10**9, value)
        assert found.value == value and not found.measured

    @pytest.mark.parametrize("value", [1.01, -2, math.nan, math.inf, True, "0.5", [0.5]])
    def test_no_cosine(self, value: object) -> None:
        with pytest.raises((InvalidArgument, TypeError)):
            search_threshold(PAIRS, MODEL, 1e-2, 10, value)  # pyright: ignore[reportArgumentType]

    def test_a_measured_one_must_fit(self) -> None:
        fits = on_searches(0.4, 1e-2, 100)
        assert search_threshold([], MODEL, 0.5, 100, fits) is fits
        for unfit in (on_searches(0.4, 1e-2, 99), on_searches(0.4, 1e-2, 100, OTHER), PAIRS[0]):
            with pytest.raises(ThresholdMismatch):
                search_threshold([], MODEL, 0.5, 100, unfit)

    @pytest.mark.parametrize("fpir", [0.0, 1.0, -0.1, math.nan, math.inf])
    def test_no_rate(self, fpir: float) -> None:
        with pytest.raises(InvalidArgument):
            search_threshold(PAIRS, MODEL, fpir, 10, None)


class TestPairs:
    def test_at_the_rate_or_the_next_stricter(self) -> None:
        assert [pair_threshold(PAIRS, MODEL, r).value for r in (1e-2, 1e-3, 5e-4, 1e-4, 1e-6)] == [
            0.3,
            0.3,
            0.4,
            0.4,
            0.5,
        ]

    def test_none(self) -> None:
        for cards, model in (([], MODEL), (PAIRS, OTHER), ([on_searches(0.1, 1e-9, 9)], MODEL)):
            with pytest.raises(ThresholdMissing, match="calibrate"):
                pair_threshold(cards, model, 1e-7)
