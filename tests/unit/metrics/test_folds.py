"""Accuracy in folds: against the slow obvious way, against fixed numbers, and what is refused."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from lineament.core.errors import InvalidArgument, ScoresInvalid
from lineament.metrics.folds import GRID, Folds, best_threshold, insightface_folds, strict_folds

PARITY = Path(__file__).parents[2] / "golden" / "verification_parity.npz"


def right(similarity: np.ndarray, mated: np.ndarray, threshold: float) -> int:
    """Right decisions, one pair at a time; NaN is rejected."""
    return sum((s >= threshold) == bool(m) for s, m in zip(similarity, mated, strict=True))


def slow_threshold(similarity: np.ndarray, mated: np.ndarray) -> float:
    """Every gap tried: the middle of the best ones, its midpoint."""
    values = sorted({float(s) for s in similarity if not math.isnan(s)})
    tried = [values[0]]
    tried += [low + (high - low) / 2 for low, high in pairwise(values)]
    tried.append(float(np.nextafter(values[-1], np.inf)))
    counts = [right(similarity, mated, threshold) for threshold in tried]
    best = [at for at, count in enumerate(counts) if count == max(counts)]
    return tried[best[len(best) // 2]]


def random_pairs(seed: int, n: int, digits: int, failed: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    mated = random.random(n) < random.uniform(0.2, 0.8)
    mated[:2] = True, False
    similarity = np.round(random.normal(0.25, 0.2, n) + 0.25 * mated, digits)
    similarity[2:][random.random(n - 2) < failed] = np.nan
    return similarity, mated


@pytest.mark.parametrize("failed", [0.0, 0.2])
@pytest.mark.parametrize("digits", [1, 2, 12])
def test_best_threshold_against_every_gap(digits: int, failed: float) -> None:
    for seed in range(60):
        similarity, mated = random_pairs(seed, 2 + seed, digits, failed)
        got = best_threshold(similarity, mated)
        assert got == slow_threshold(similarity, mated), seed
        assert best_threshold(similarity[::-1], mated[::-1]) == got


def test_best_threshold_by_hand() -> None:
    assert best_threshold(
        np.array([0.8, 0.6, 0.2, 0.1]), np.array([True, True, False, False])
    ) == pytest.approx(0.4)
    # Two gaps are best, from .2 to .4 and from .6 to .8: the upper.
    values, mated = np.array([0.2, 0.4, 0.6, 0.8]), np.array([False, True, False, True])
    assert best_threshold(values, mated) == pytest.approx(0.7)
    # Three are best: the middle one.
    values, mated = np.arange(6) / 10, np.array([False, True, False, True, False, True])
    assert best_threshold(values, mated) == pytest.approx(0.25)
    # Accepting all, and none, can be best.
    assert best_threshold(np.array([0.3, 0.2, 0.1]), np.array([False, True, True])) == 0.1
    assert best_threshold(np.array([0.3, 0.2, 0.1]), np.array([True, False, False])) == 0.25
    assert best_threshold(np.array([0.1, 0.2, 0.3]), np.array([True, False, False])) > 0.3


def test_best_threshold_separates_neighbouring_numbers() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1))
    got = best_threshold(np.array([low, high]), np.array([False, True]))
    assert low < got <= high


@pytest.mark.parametrize("failed", [0.0, 0.1])
@pytest.mark.parametrize("digits", [1, 12])
def test_strict_folds_the_slow_way(digits: int, failed: float) -> None:
    for seed in range(6):
        similarity, mated = random_pairs(seed, 150, digits, failed)
        fold = np.random.default_rng(seed).permutation(np.arange(150) % 7) * 3
        got = strict_folds(similarity, mated, fold)
        accuracies = []
        for at, number in enumerate(np.unique(fold)):
            test = fold == number
            threshold = slow_threshold(similarity[~test], mated[~test])
            assert got.thresholds[at] == threshold
            accuracies.append(right(similarity[test], mated[test], threshold) / int(test.sum()))
        np.testing.assert_allclose(got.accuracies, accuracies, rtol=0, atol=1e-15)
        assert got.mean == pytest.approx(sum(accuracies) / 7, abs=1e-15)
        squares = sum((p - got.mean) ** 2 for p in accuracies)
        assert got.standard_error == pytest.approx(math.sqrt(squares / 6) / math.sqrt(7), abs=1e-15)
        assert got.spread == pytest.approx(math.sqrt(squares / 7), abs=1e-15)


def test_the_fold_under_test_does_not_choose_its_threshold() -> None:
    similarity = np.array([0.9, 0.1, 0.5, 0.4, 0.9, 0.1])
    mated = np.array([True, False] * 3)
    fold = np.array([0, 0, 1, 1, 2, 2])
    moved = similarity.copy()
    moved[2:4] = 0.05, 0.02
    before, after = strict_folds(similarity, mated, fold), strict_folds(moved, mated, fold)
    assert before.thresholds[1] == after.thresholds[1] == 0.5
    assert before.accuracies.tolist() == [1, 1, 1]
    assert after.accuracies[1] == 0.5


def test_standard_error_as_printed() -> None:
    accuracies = np.array([0.995, 0.9967, 0.9983, 1, 0.9967, 0.995, 0.9983, 1, 0.9967, 0.9983])
    got = Folds.of(accuracies, np.zeros(10))
    assert got.mean == pytest.approx(0.9975, abs=5.1e-5)
    assert got.spread == pytest.approx(0.00169823, abs=5.1e-9)
    assert got.standard_error == pytest.approx(0.00056608, abs=5.1e-9)


def test_a_failed_pair_is_rejected() -> None:
    similarity = np.array([0.9, np.nan, 0.1, 0.9, 0.1, np.nan])
    mated = np.array([True, True, False, True, False, False])
    got = strict_folds(similarity, mated, np.array([0, 0, 0, 1, 1, 1]))
    assert got.accuracies.tolist() == [pytest.approx(2 / 3), 1]


GOOD = np.array([0.9, 0.1, 0.8, 0.2])
LABELS = np.array([True, False, True, False])
FOLD = np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("similarity", "mated", "fold", "message"),
    [
        (GOOD, LABELS, np.array([0, 0, 1]), "one per pair"),
        (GOOD[:3], LABELS, FOLD, "one label per comparison"),
        (GOOD[None], LABELS[None], FOLD, "one label per comparison"),
        (GOOD, LABELS.astype(int), FOLD, "True .* or False"),
        (GOOD, LABELS, FOLD.astype(float), "whole numbers"),
        (GOOD, LABELS, FOLD - 1, "negative fold number"),
        (GOOD, LABELS, np.zeros(4, int), "at least 2"),
        (np.array([0.9, 0.1, np.inf, 0.2]), LABELS, FOLD, "infinite"),
        (GOOD, np.array([True, True, True, False]), FOLD, "fold 0 has no non-mated pair"),
        (GOOD, np.array([True, False, False, False]), FOLD, "fold 1 has no mated pair"),
        (np.array([np.nan, 0.1, 0.8, 0.2]), LABELS, FOLD, "no mated pair outside fold 1"),
        (np.array([0.9, 0.1, 0.8, np.nan]), LABELS, FOLD, "no non-mated pair outside fold 0"),
    ],
)
def test_strict_refusals(similarity: np.ndarray, mated: np.ndarray, fold: np.ndarray, message: str) -> None:
    with pytest.raises(ScoresInvalid, match=message):
        strict_folds(similarity, mated, fold)


def test_threshold_refusals() -> None:
    with pytest.raises(ScoresInvalid, match="no mated pair among"):
        best_threshold(GOOD, np.zeros(4, bool))
    with pytest.raises(ScoresInvalid, match="no mated pair among"):
        best_threshold(np.full(4, np.nan), LABELS)
    with pytest.raises(ScoresInvalid, match="one label"):
        best_threshold(GOOD, LABELS[:2])


def parity() -> dict[str, np.ndarray]:
    with np.load(PARITY) as archive:
        return {name: archive[name] for name in archive.files}


def test_insightface_folds_are_those_of_insightface() -> None:
    golden = parity()
    a, b = golden["ver_emb"][0::2], golden["ver_emb"][1::2]
    got = insightface_folds(a, b, golden["ver_same"])
    for name in ("acc", "tpr", "fpr"):
        mine = got.accuracies if name == "acc" else getattr(got, name)
        np.testing.assert_allclose(mine, golden[f"ver_{name}"], rtol=0, atol=1e-12)
    assert got.mean == golden["ver_acc"].mean()
    assert got.spread == golden["ver_acc"].std()


@pytest.mark.parametrize(("pairs", "folds"), [(600, 10), (597, 10), (23, 4), (11, 11)])
def test_insightface_folds_the_slow_way(pairs: int, folds: int) -> None:
    golden = parity()
    a, b, mated = (
        golden["ver_emb"][0 : 2 * pairs : 2],
        golden["ver_emb"][1 : 2 * pairs : 2],
        golden["ver_same"][:pairs],
    )
    got = insightface_folds(a, b, mated, folds)
    distance = ((a - b) ** 2).sum(1)
    for at, test in enumerate(np.array_split(np.arange(pairs), folds)):
        train = np.setdiff1d(np.arange(pairs), test)
        counts = [int(((distance[train] < t) == mated[train]).sum()) for t in GRID]
        threshold = GRID[counts.index(max(counts))]
        assert got.thresholds[at] == threshold
        assert got.accuracies[at] == np.mean((distance[test] < threshold) == mated[test])


def test_a_distance_on_the_grid_is_not_less() -> None:
    a = np.array([[1.0, 0], [1, 0]])
    b = np.array([[0.0, 1], [0, 1]])
    got = insightface_folds(a, b, np.array([True, True]), 2)
    assert 2.0 in GRID
    assert got.thresholds.tolist() == [GRID[201], GRID[201]]
    assert (got.tpr[200], got.tpr[201]) == (0, 1)
    assert (got.mean, got.fpr.max()) == (1, 0)


def test_insightface_refusals() -> None:
    a = np.eye(4)
    for folds in (1, 5):
        with pytest.raises(InvalidArgument, match="choose from 2"):
            insightface_folds(a, a, LABELS, folds)
    for one, other, labels, message in (
        (20 * a, a, LABELS, "length 1"),
        (a, np.full((4, 4), np.nan), LABELS, "finite"),
        (a, a[:3], LABELS, "twice"),
        (a, a, LABELS[:3], "twice"),
        (a, a, LABELS.astype(int), "True"),
    ):
        with pytest.raises(ScoresInvalid, match=message):
            insightface_folds(one, other, labels, 2)
