"""Threshold cards: safe values, refusals that say how much data it takes, search thresholds for a size."""

import numpy as np
import pytest

from lineament.core.errors import EvidenceInsufficient, InvalidArgument, ScoresInvalid, ThresholdMismatch
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold
from lineament.evaluate.calibrate import Origin, calibrate, calibrate_search, safe_threshold
from lineament.metrics.intervals import upper_bound
from lineament.metrics.scores import Scores

MODEL = ModelId("m", "a" * 64)
ORIGIN = Origin(MODEL, "d", "made up", 50, date="2026-01-01")


def people(
    count: int = 50, each: int = 4, seed: int = 0, noise: float = 0.5
) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = np.repeat(rng.normal(size=(count, 32)), each, axis=0) + noise * rng.normal(size=(count * each, 32))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float32), np.repeat(np.arange(count), each)


def scores(**settings) -> Scores:
    x, subject = people(**settings)
    i, j = np.triu_indices(len(x), 1)
    sides = np.stack([subject[i], subject[j]], axis=1)
    return Scores.of((x @ x.T)[i, j], subject[i] == subject[j], subjects=sides)


@pytest.mark.parametrize(
    ("trials", "target", "safe"),
    [(10**6, 1e-5, 4), (3 * 10**6, 1e-6, 0), (10**7, 1e-6, 4), (3 * 10**7, 1e-6, 20), (3 * 10**5, 1e-4, 20)],
)
def test_safe_counts_of_the_design(trials, target, safe) -> None:
    largest = np.linspace(0.9, 0.5, 100)
    value, allowed = safe_threshold(largest, trials, target)
    assert allowed == safe
    assert int((largest >= value).sum()) == safe


def test_what_cannot_be_certified_is_refused_with_the_number_needed() -> None:
    with pytest.raises(EvidenceInsufficient, match=r"at least 2,995,731 are needed"):
        safe_threshold(np.linspace(0.9, 0.5, 100), 10**6, 1e-6)
    with pytest.raises(EvidenceInsufficient, match="keep more"):
        safe_threshold(np.linspace(0.9, 0.5, 3), 10**6, 1e-5)


def test_a_card_is_safe_and_carries_its_evidence() -> None:
    data = scores()
    card = calibrate(data, 1e-2, ORIGIN, replicates=200)
    passed = int((data.nonmated >= card.value).sum())
    assert card.false_matches == passed
    assert upper_bound(passed, data.nonmated_total) <= 1e-2 < upper_bound(passed + 1, data.nonmated_total)
    assert card.fnmr == pytest.approx(float((data.mated < card.value).mean()))
    assert card.fmr_interval is not None and card.fmr_interval[0] <= passed / data.nonmated_total
    assert card.interval[0] <= card.value <= card.interval[1] and card.interval[0] < card.interval[1]
    assert (card.model, card.detector, card.date, card.precision) == (MODEL, "d", "2026-01-01", "float32")
    assert Threshold.from_dict(card.to_dict()) == card


def test_without_people_the_interval_says_that_it_is_too_narrow() -> None:
    rng = np.random.default_rng(0)
    data = Scores.of(np.clip(rng.normal(0, 0.2, 9000), -1, 1), np.arange(9000) < 3000)
    card = calibrate(data, 1e-2, ORIGIN)
    assert "too narrow" in card.method
    assert card.interval == (card.value, card.value)


def test_the_same_picture_under_two_names_is_told() -> None:
    data = Scores.of(np.ones(5000), np.arange(5000) < 10)
    with pytest.raises(EvidenceInsufficient, match="two names"):
        calibrate(data, 1e-2, ORIGIN)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0])
def test_impossible_rates_are_refused(rate) -> None:
    with pytest.raises(InvalidArgument, match="between 0 and 1"):
        calibrate(scores(), rate, ORIGIN)


def test_a_rate_needs_different_people() -> None:
    with pytest.raises(ScoresInvalid, match="different people"):
        calibrate(Scores.of(np.array([0.5, 0.6]), np.array([True, True])), 0.1, ORIGIN)


def test_a_search_threshold_holds_for_every_gallery_drawn_and_for_no_larger_one() -> None:
    x, subject = people(count=200, each=3)
    card = calibrate_search(x, subject, 40, 0.05, ORIGIN, galleries=5)
    assert (card.gallery_size, card.fpir, card.fmr) == (40, 0.05, None)
    assert card.false_matches / card.comparisons <= 0.05
    card.require_search(MODEL, 40)
    with pytest.raises(ThresholdMismatch, match="galleries of up to 40"):
        card.require_search(MODEL, 41)
    with pytest.raises(ThresholdMismatch, match="searching 40 references"):
        card.require(MODEL)
    one_to_one = calibrate(scores(), 1e-2, ORIGIN, replicates=50)
    with pytest.raises(ThresholdMismatch, match="not for searching"):
        one_to_one.require_search(MODEL, 40)
    assert card.value > one_to_one.value
    assert Threshold.from_dict(card.to_dict()) == card


def test_a_search_threshold_counts_by_the_slow_obvious_way() -> None:
    x, subject = people(count=120, each=2, seed=4)
    card = calibrate_search(x, subject, 30, 0.1, ORIGIN, galleries=1)
    # The same drawing, then one search at a time.
    rng = np.random.default_rng(20251125)
    order = rng.permutation(len(subject))
    reference = np.array([order[np.flatnonzero(subject[order] == p)[0]] for p in range(120)])
    enrolled = rng.choice(120, 30, replace=False)
    gallery = x[reference[enrolled]]
    tops = [float((gallery @ v).max()) for v, s in zip(x, subject, strict=True) if s not in enrolled]
    assert card.comparisons == len(tops)
    assert card.false_matches == sum(t >= card.value for t in tops)


def test_too_few_people_for_a_gallery_are_told() -> None:
    x, subject = people(count=20)
    with pytest.raises(EvidenceInsufficient, match=r"at least 79 people"):
        calibrate_search(x, subject, 20, 0.05, ORIGIN)
