"""The input of every metric: what it keeps, and what it refuses."""

import numpy as np
import pytest

from lineament.core.errors import EvidenceInsufficient, ScoresInvalid
from lineament.metrics.scores import Histogram, Scores

SIMILARITY = np.array([0.1, 0.9, np.nan, 0.4, np.nan, 0.4, -0.2])
MATED = np.array([False, True, True, False, False, True, False])


def test_of_a_list() -> None:
    scores = Scores.of(SIMILARITY, MATED)
    assert scores.mated.tolist() == [0.9, 0.4]
    assert scores.nonmated.tolist() == [0.4, 0.1, -0.2]
    assert (scores.mated_failed, scores.nonmated_failed) == (1, 1)
    assert (scores.mated_count, scores.nonmated_count, scores.nonmated_total) == (3, 4, 3)
    assert scores.complete


def test_failures_can_be_excluded() -> None:
    scores = Scores.of(SIMILARITY, MATED, policy="exclude")
    assert (scores.mated_count, scores.nonmated_count) == (2, 3)


def test_subjects_follow_their_comparisons() -> None:
    subjects = np.array([(0, 1), (2, 2), (3, 3), (4, 5), (6, 7), (8, 8), (9, 1)])
    scores = Scores.of(SIMILARITY, MATED, subjects=subjects)
    assert scores.mated_subject is not None
    assert scores.nonmated_subjects is not None
    assert scores.mated_subject.tolist() == [2, 8]
    assert scores.nonmated_subjects.tolist() == [[4, 5], [0, 1], [9, 1]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_type_is_kept(dtype: type) -> None:
    assert Scores.of(SIMILARITY.astype(dtype), MATED).nonmated.dtype == dtype


def test_whole_numbers_become_float64() -> None:
    scores = Scores.of(np.array([3, 1, 2]), np.array([True, False, False]))
    assert scores.nonmated.dtype == np.float64
    assert scores.nonmated.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("similarity", "mated", "says"),
    [
        (SIMILARITY, MATED[:-1], "one label per comparison"),
        (SIMILARITY[None], MATED[None], "one label per comparison"),
        (SIMILARITY, MATED.astype(int), "True .* or False"),
        (np.array([0.1, np.inf]), np.array([True, False]), "not finite"),
        (np.array([-np.inf, 0.1]), np.array([True, False]), "not finite"),
    ],
)
def test_bad_lists(similarity: np.ndarray, mated: np.ndarray, says: str) -> None:
    with pytest.raises(ScoresInvalid, match=says):
        Scores.of(similarity, mated)


def test_bad_parts() -> None:
    mated, nonmated = np.array([0.5]), np.array([0.3, 0.2])
    with pytest.raises(ScoresInvalid, match="descending"):
        Scores(mated, nonmated[::-1], 2)
    with pytest.raises(ScoresInvalid, match="cannot be the largest of 1"):
        Scores(mated, nonmated, 1)
    with pytest.raises(ScoresInvalid, match="1 mated similarities are not finite"):
        Scores(np.array([np.nan]), nonmated, 2)


def test_one_kind_only() -> None:
    with pytest.raises(ScoresInvalid, match="no mated comparison"):
        Scores.of(np.array([0.1]), np.array([False])).require_both()
    with pytest.raises(ScoresInvalid, match="no non-mated comparison"):
        Scores.of(np.array([0.1]), np.array([True])).require_both()
    # A failed comparison is a comparison.
    Scores.of(np.array([0.1, np.nan]), np.array([True, False])).require_both()


def test_how_far_down_one_may_look() -> None:
    scores = Scores(np.array([0.5]), np.array([0.3, 0.2]), 9)
    assert not scores.complete
    scores.require_largest(2)
    with pytest.raises(EvidenceInsufficient, match=r"2 largest of 9 .* 3 are needed"):
        scores.require_largest(3)
    Scores(np.array([0.5]), np.array([0.3, 0.2]), 2).require_largest(3)


def test_bins() -> None:
    bins = Histogram(-1.0, 1.0, np.array([0, 1, 2, 3]), np.array([4, 0, 0, 0]))
    assert bins.width == 0.5
    assert bins.centres.tolist() == [-0.75, -0.25, 0.25, 0.75]
