"""What a threshold costs, with intervals, and what a small benchmark may not claim."""

import numpy as np
import pytest

from lineament.core.errors import ScoresInvalid
from lineament.core.template import ModelId
from lineament.core.threshold import Threshold
from lineament.evaluate.verification import verification
from lineament.metrics.scores import Scores


def made(people: int = 60, each: int = 4, seed: int = 0) -> Scores:
    """All pairs of noisy templates of some people."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(people, 24))
    x = np.repeat(centres, each, axis=0) + 0.9 * rng.normal(size=(people * each, 24))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    subject = np.repeat(np.arange(people), each)
    i, j = np.triu_indices(len(x), 1)
    return Scores.of(
        (x @ x.T)[i, j], subject[i] == subject[j], subjects=np.stack([subject[i], subject[j]], axis=1)
    )


def test_points_are_counted_by_hand() -> None:
    scores = made()
    section = verification(scores, targets=(1e-1, 1e-2, 1e-3), replicates=100).results["verification"]
    for point in section["points"]:
        t = point["threshold"]
        assert (
            point["false_matches"]
            == int((scores.nonmated >= t).sum())
            <= point["target"] * len(scores.nonmated)
        )
        assert point["false_nonmatches"] == int((scores.mated < t).sum())
        assert point["tar"] == pytest.approx(1 - point["fnmr"])
        assert point["fnmr_interval"][0] <= point["fnmr"] <= point["fnmr_interval"][1]
        assert point["tar_interval"] == pytest.approx([1 - v for v in point["fnmr_interval"][::-1]])
        assert point["fmr_interval"][0] <= point["fmr"] <= point["fmr_interval"][1]
    assert "bootstrap over subjects" in section["interval_method"]
    assert 0 < section["eer"]["value"] < 0.2 and section["eer"]["method"] == "rocch"
    assert 0.9 < section["auc"] < 1
    assert 0 < section["min_cllr"] < 1


def test_subjects_make_intervals_wider_than_counting_comparisons() -> None:
    scores = made()
    over_people = verification(scores, targets=(1e-2,), replicates=400).results["verification"]["points"][0]
    as_if = verification(scores, targets=(1e-2,), replicates=0).results["verification"]["points"][0]
    assert "Wilson" in as_if["interval_method"]
    assert np.diff(over_people["fmr_interval"])[0] > 1.2 * np.diff(as_if["fmr_interval"])[0]


def test_what_cannot_be_measured_is_said() -> None:
    rng = np.random.default_rng(1)
    scores = Scores.of(rng.normal(size=400), np.arange(400) < 200)
    done = verification(scores, targets=(1e-1, 1e-3))
    first, second = done.results["verification"]["points"]
    assert (first["status"], first["reliable"]) == ("ok", False)
    assert second["status"] == "insufficient"
    said = " ".join(done.notes)
    assert "At 0.001 there is less than one false match to count" in said
    assert "under 0.015 (rule of three)" in said
    assert "Fewer than 30 false matches at 0.1 (20)" in said
    assert "Intervals count comparisons as independent" in said


def test_the_cost_of_a_deployed_threshold() -> None:
    scores, model = made(), ModelId("m", "0" * 64)
    card = Threshold(
        0.5, 1e-3, (0.4, 0.6), (0.0, 1.0), 0.1, 100, 0, 9, "other people", model, "2026-01-01", "m"
    )
    row = verification(scores, deployed=card, replicates=100).results["verification"]["deployed"]
    assert row["false_matches"] == int((scores.nonmated >= 0.5).sum())
    assert row["name"] == "measured on other people, 2026-01-01"
    assert row["promised_fmr"] == 1e-3


def test_one_kind_of_comparison_is_not_enough() -> None:
    with pytest.raises(ScoresInvalid, match="no non-mated comparison"):
        verification(Scores.of(np.array([0.1, 0.2]), np.array([True, True])))


def test_curves_hold_nothing_below_one_error() -> None:
    scores = made()
    curve = verification(scores, replicates=0).curves["roc"]
    positive = np.asarray(curve["fmr"])
    assert positive[positive > 0].min() >= 1 / len(scores.nonmated)
    bars = verification(scores, replicates=0).curves["histogram"]
    assert int(np.sum(bars["nonmated"])) == len(scores.nonmated)
