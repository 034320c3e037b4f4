"""Accuracy on lists of pairs in folds, as LFW defines it and as insightface computes it."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from lineament.core.errors import InvalidArgument, ScoresInvalid

GRID = np.arange(0, 4, 0.01)
"""Thresholds on squared distances that `insightface_folds` tries."""

UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Folds:
    """Accuracy of each fold at the threshold that is best on all other folds.

    Attributes:
        accuracies: (k,) share of right decisions, folds in ascending order of their numbers.
        thresholds: (k,) the similarities from which pairs of that fold were accepted.
        mean: of the accuracies.
        standard_error: of that mean, sd with k − 1 over √k, the S_E of LFW's technical report 07-49.
        spread: sd with k, as many programs print behind `±`; √(k − 1) times the standard error.
    """

    accuracies: Float64[np.ndarray, "k"]
    thresholds: Float64[np.ndarray, "k"]
    mean: float
    standard_error: float
    spread: float

    @classmethod
    def of(cls, accuracies: np.ndarray, thresholds: np.ndarray) -> "Folds":
        """From the (k,) accuracies and thresholds of at least two folds."""
        return cls(
            accuracies=accuracies,
            thresholds=thresholds,
            mean=float(accuracies.mean()),
            standard_error=float(accuracies.std(ddof=1)) / math.sqrt(len(accuracies)),
            spread=float(accuracies.std()),
        )


@dataclass(frozen=True, slots=True, eq=False)
class CompatFolds:
    """What insightface's verification.py computes.

    Attributes:
        tpr, fpr: (400,) true and false positive rate at each threshold of the grid, mean over the folds.
        accuracies: (k,) share of right decisions in each fold.
        thresholds: (k,) squared distances below which pairs of that fold were accepted.
        mean: of the accuracies.
        spread: their sd with k, not a standard error.
    """

    tpr: Float64[np.ndarray, "g"]
    fpr: Float64[np.ndarray, "g"]
    accuracies: Float64[np.ndarray, "k"]
    thresholds: Float64[np.ndarray, "k"]
    mean: float
    spread: float


def best_threshold(similarity: np.ndarray, mated: np.ndarray) -> float:
    """The threshold with the most right decisions.

    Tried is every gap between two neighbouring different similarities, accepting all and accepting none. If
    several are best, the middle one is taken (the upper of two), and of it the midpoint.

    Args:
        similarity: (n,); NaN where a sample failed, which is rejected at any threshold.
        mated: (n,) bool.

    Raises:
        ScoresInvalid: lengths differ, labels are not boolean, a similarity is infinite, or one kind has none.
    """
    similarity, mated = _listed(similarity, mated)
    order = _order(similarity)
    return _best(similarity[order], mated[order], "among these pairs")


def strict_folds(similarity: np.ndarray, mated: np.ndarray, fold: np.ndarray) -> Folds:
    """Accuracy of each fold at the `best_threshold` of all other folds: LFW's View 2.

    Args:
        similarity: (n,); NaN where a sample failed, which is a rejection: right for a non-mated pair.
        mated: (n,) bool.
        fold: (n,) int, 0 or larger, at least two different.

    Raises:
        ScoresInvalid: lengths differ, a type is wrong, a similarity is infinite, a fold number is negative,
            there is one fold only, or one has no mated or no non-mated pair.
    """
    similarity, mated = _listed(similarity, mated)
    fold = np.asarray(fold)
    _check_folds(fold, mated)
    order = _order(similarity)
    values, labels, member = similarity[order], mated[order], fold[order]
    numbers = np.unique(fold)
    accuracies, thresholds = np.empty(len(numbers)), np.empty(len(numbers))
    for at, number in enumerate(numbers):
        others, test = member != number, fold == number
        thresholds[at] = _best(values[others], labels[others], f"outside fold {number}")
        accuracies[at] = np.mean((similarity[test] >= thresholds[at]) == mated[test])
    return Folds.of(accuracies, thresholds)


def insightface_folds(a: np.ndarray, b: np.ndarray, mated: np.ndarray, folds: int = 10) -> CompatFolds:
    """Accuracy as insightface's recognition/arcface_torch/eval/verification.py computes it, to the letter.

    Folds are contiguous blocks of the list, the first n % k of them one pair longer. A pair is accepted when
    the squared distance is less than a threshold of 0, 0.01, … 3.99; of equally good ones the smallest is
    taken. A fold of one kind is not refused: its rate of the missing kind is 0. Use it to compare with
    published numbers, `strict_folds` for a result.

    Args:
        a, b: (n, d) unit-length embeddings of both sides.
        mated: (n,) bool.
        folds: k, from 2 to n.

    Raises:
        ScoresInvalid: shapes differ, labels are not boolean, or an embedding is not of finite unit length.
        InvalidArgument: a number of folds that is not possible.
    """
    a, b, mated = np.asarray(a, np.float64), np.asarray(b, np.float64), np.asarray(mated)
    _check_embeddings(a, b, mated)
    if not 2 <= folds <= len(mated):
        raise InvalidArgument(f"{folds} folds of {len(mated)} pairs: choose from 2 to the number of pairs")
    distance = np.sum(np.square(np.subtract(a, b)), 1)
    sizes = np.full(folds, len(mated) // folds)
    sizes[: len(mated) % folds] += 1
    fold = np.repeat(np.arange(folds), sizes)
    # A distance counts from the first threshold that is larger than it.
    first = np.searchsorted(GRID, distance, side="right")
    tp, positives = _accepted(fold[mated], first[mated], folds)
    fp, negatives = _accepted(fold[~mated], first[~mated], folds)
    right = tp + negatives[:, None] - fp
    best = np.array([np.argmax((right.sum(0) - right[k]) / (len(mated) - sizes[k])) for k in range(folds)])
    accuracies = right[np.arange(folds), best] / sizes
    return CompatFolds(
        tpr=np.mean(tp / np.maximum(positives, 1)[:, None], 0),
        fpr=np.mean(fp / np.maximum(negatives, 1)[:, None], 0),
        accuracies=accuracies,
        thresholds=GRID[best],
        mean=float(np.mean(accuracies)),
        spread=float(np.std(accuracies)),
    )


def _order(similarity: np.ndarray) -> np.ndarray:
    """Indices of the (n,) similarities that are numbers, ascending."""
    order = np.argsort(similarity, kind="stable")
    return order[: len(order) - int(np.count_nonzero(np.isnan(similarity)))]


def _best(ascending: np.ndarray, mated: np.ndarray, where: str) -> float:
    """The best threshold for sorted similarities (n,) without NaN, in linear time.

    Raises:
        ScoresInvalid: there is none of one kind.
    """
    matches = int(np.count_nonzero(mated))
    if matches in (0, len(mated)):
        kind = "non-mated" if matches else "mated"
        raise ScoresInvalid(f"no {kind} pair {where} has a similarity: a threshold needs pairs of both kinds")
    # gain[i]: right decisions when the i smallest are rejected, over those when none is.
    gain = np.concatenate([[0], np.cumsum(np.where(mated, -1, 1))])
    possible = np.concatenate([[True], ascending[1:] != ascending[:-1], [True]])
    best = np.flatnonzero(possible & (gain == gain[possible].max()))
    at = int(best[len(best) // 2])
    if at == 0:
        return float(ascending[0])
    if at == len(ascending):
        return float(np.nextafter(ascending[-1], np.inf))
    below, above = float(ascending[at - 1]), float(ascending[at])
    middle = below + (above - below) / 2
    return middle if below < middle else above


def _accepted(fold: np.ndarray, first: np.ndarray, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """(k, 400) pairs of each fold accepted at each threshold, and (k,) all its pairs."""
    width = len(GRID) + 1
    counts = np.bincount(fold * width + first, minlength=folds * width).reshape(folds, width)
    return np.cumsum(counts, axis=1)[:, :-1], counts.sum(1)


def _listed(similarity: np.ndarray, mated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Similarities as float64 (n,) and labels as bool (n,).

    Raises:
        ScoresInvalid: saying what is wrong with them.
    """
    similarity, mated = np.asarray(similarity, np.float64), np.asarray(mated)
    if similarity.ndim != 1 or mated.shape != similarity.shape:
        raise ScoresInvalid(
            f"{mated.shape} labels for {similarity.shape} similarities: give one label per comparison"
        )
    if mated.dtype != np.bool_:
        raise ScoresInvalid(f"labels are True (same subject) or False, not {mated.dtype}")
    if np.isinf(similarity).any():
        raise ScoresInvalid("a similarity is infinite: give NaN for a comparison that failed")
    return similarity, mated


def _check_folds(fold: np.ndarray, mated: np.ndarray) -> None:
    """Refuse folds from which no accuracy follows.

    Raises:
        ScoresInvalid: saying which fold.
    """
    if fold.shape != mated.shape:
        raise ScoresInvalid(f"{fold.shape} fold numbers for {mated.shape} pairs: give one per pair")
    if fold.dtype.kind not in "iu":
        raise ScoresInvalid(f"fold numbers are whole numbers, not {fold.dtype}: number the folds")
    if (fold < 0).any():
        raise ScoresInvalid(
            f"{int((fold < 0).sum())} pairs have a negative fold number: leave pairs without a fold out"
        )
    numbers, member = np.unique(fold, return_inverse=True)
    if len(numbers) < 2:
        raise ScoresInvalid(
            f"{len(numbers)} fold: a threshold is chosen on the other folds, so at least 2 are needed"
        )
    matches, sizes = np.bincount(member[mated], minlength=len(numbers)), np.bincount(member)
    for number, same, size in zip(numbers, matches, sizes, strict=True):
        if same in (0, size):
            kind = "non-mated" if same else "mated"
            raise ScoresInvalid(
                f"fold {number} has no {kind} pair: check that the list is in the order of its folds"
            )


def _check_embeddings(a: np.ndarray, b: np.ndarray, mated: np.ndarray) -> None:
    """Refuse embeddings for which the grid of thresholds means nothing.

    Raises:
        ScoresInvalid: saying what is wrong with them.
    """
    if a.ndim != 2 or a.shape != b.shape or mated.shape != a.shape[:1]:
        raise ScoresInvalid(
            f"embeddings {a.shape} and {b.shape} with {mated.shape} labels: give (n, d) twice and n labels"
        )
    if mated.dtype != np.bool_:
        raise ScoresInvalid(f"labels are True (same subject) or False, not {mated.dtype}")
    for side in (a, b):
        lengths = np.sqrt(np.einsum("nd,nd->n", side, side))
        if not (np.abs(lengths - 1) <= UNIT_TOLERANCE).all():
            raise ScoresInvalid(
                "an embedding is not a finite vector of length 1, so squared distances do not lie in 0 to 4: "
                "normalise them, and leave failed pairs to strict_folds"
            )
