"""From chosen faces to a verdict."""

from dataclasses import replace

import numpy as np
import pytest

from lineament import Decision, Face, ModelId, Reason, Template, Threshold
from lineament.core.errors import InvalidArgument, ThresholdMismatch, ThresholdMissing
from lineament.pipeline.compare import Side, decide, find_threshold
from lineament.pipeline.policy import Choice

MODEL, OTHER = ModelId("m", "0" * 64), ModelId("other", "f" * 64)
REST = ((0.0, 0.5), None, 10, 1, 5, "made up", MODEL, "2026-11-25", "by hand")
CARD = Threshold(0.42, 1e-4, (0.40, 0.44), *REST)


def side(angle: float | None, *reasons: Reason) -> Side:
    """A face whose template points in this direction (radians), or none."""
    if angle is None:
        return Side("x.jpg", 0, Choice(None, reasons))
    vector = np.array([np.cos(angle), np.sin(angle)], np.float32)
    face = Face(
        np.zeros(4, np.float32), np.zeros((5, 2), np.float32), 1.0, template=Template(vector, 1.0, MODEL)
    )
    return Side("x.jpg", 1, Choice(face, reasons))


def verdict_at(similarity: float, threshold: Threshold = CARD):
    return decide(side(0.0), side(float(np.arccos(similarity))), threshold, MODEL, "d", "exactly_one")


@pytest.mark.parametrize(
    ("similarity", "decision", "code"),
    [
        (0.39, Decision.NO_MATCH, "below_threshold"),
        (0.41, Decision.UNDECIDED, "near_threshold"),
        (0.43, Decision.UNDECIDED, "near_threshold"),
        (0.45, Decision.MATCH, "above_threshold"),
        (-0.9, Decision.NO_MATCH, "below_threshold"),
    ],
)
def test_decisions_around_the_interval(similarity: float, decision: Decision, code: str):
    verdict = verdict_at(similarity)
    assert verdict.decision is decision
    assert verdict.reasons[0].code == code
    assert verdict.similarity == pytest.approx(similarity, abs=1e-6)
    assert verdict.match == (decision is Decision.MATCH)


def test_a_typed_in_threshold_decides_without_a_band_and_is_marked():
    typed = Threshold.typed_in(0.42, MODEL)
    assert verdict_at(0.43, typed).decision is Decision.MATCH
    verdict = verdict_at(0.41, typed)
    assert verdict.decision is Decision.NO_MATCH
    assert "threshold_unmeasured" in {r.code for r in verdict.reasons}


def test_equal_to_a_typed_in_threshold_is_a_match():
    exact = Threshold.typed_in(1.0, MODEL)
    assert decide(side(0.0), side(0.0), exact, MODEL, "d", "p").decision is Decision.MATCH


def test_without_a_face_nothing_is_compared():
    verdict = decide(side(0.0), side(None, Reason("no_face", "none", "b", True)), CARD, MODEL, "d", "p")
    assert verdict.decision is Decision.NO_COMPARISON
    assert verdict.similarity is None
    assert not verdict.match
    assert verdict.reasons[0].code == "no_face"


def test_another_detector_than_the_measured_one_is_said():
    card = replace(CARD, detector="yunet+refined")
    told = {r.code for r in decide(side(0.0), side(0.0), card, MODEL, "yunet", "p").reasons}
    assert "detector_differs" in told
    told = {r.code for r in decide(side(0.0), side(0.0), card, MODEL, "yunet+refined", "p").reasons}
    assert "detector_differs" not in told


def test_another_models_threshold_is_refused():
    with pytest.raises(ThresholdMismatch):
        decide(side(0.0), side(0.0), CARD, OTHER, "d", "p")


class TestFindThreshold:
    def test_exact_rate(self):
        assert find_threshold([CARD], MODEL, 1e-4, None) is CARD

    def test_another_rate_is_missing_and_the_measured_ones_are_named(self):
        with pytest.raises(ThresholdMissing, match=r"measured for it: 0\.0001"):
            find_threshold([CARD], MODEL, 1e-5, None)

    def test_another_model_is_missing(self):
        with pytest.raises(ThresholdMissing, match="nothing was measured"):
            find_threshold([CARD], OTHER, 1e-4, None)

    def test_search_thresholds_do_not_count(self):
        search = Threshold(0.5, None, (0.5, 0.5), *REST, gallery_size=100, fpir=1e-2)
        with pytest.raises(ThresholdMissing):
            find_threshold([search], MODEL, 1e-4, None)

    def test_given_wins(self):
        assert find_threshold([CARD], MODEL, 1e-4, 0.2).value == 0.2
        for wrong in (True, "0.5", 7, float("nan")):
            with pytest.raises((InvalidArgument, TypeError)):
                find_threshold([CARD], MODEL, 1e-4, wrong)
        with pytest.raises(ThresholdMismatch):
            find_threshold([], OTHER, 1e-4, CARD)

    @pytest.mark.parametrize("fmr", [0.0, 1.0, -1.0, float("nan")])
    def test_rates_outside_zero_to_one(self, fmr: float):
        with pytest.raises(InvalidArgument):
            find_threshold([CARD], MODEL, fmr, None)
