"""Comparisons and errors by group, at one threshold."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from lineament.core.errors import ScoresInvalid
from lineament.evaluate.allpairs import AllPairs
from lineament.evaluate.rows import labels
from lineament.metrics.groups import GroupErrors
from lineament.metrics.operating import least_accepted
from lineament.metrics.scores import FailurePolicy


@dataclass(frozen=True, slots=True, eq=False)
class GroupCounts:
    """Comparisons and errors by group at one threshold.

    Attributes:
        names: (g,) of the groups.
        threshold: accepted at or above, for everybody.
        mated, false_nonmatches: (g,) comparisons of one subject within a group, and rejections among them.
        nonmated, false_matches: (g, g) comparisons of different subjects by the groups of both sides,
            whichever side is first (symmetric), and acceptances among them.
        mated_across: mated comparisons between two groups.

    Raises:
        ScoresInvalid: shapes do not fit, or there are fewer than two groups.
    """

    names: tuple[str, ...]
    threshold: float
    mated: Int[np.ndarray, "g"]
    false_nonmatches: Int[np.ndarray, "g"]
    nonmated: Int[np.ndarray, "g g"]
    false_matches: Int[np.ndarray, "g g"]
    mated_across: int = 0

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise ScoresInvalid(f"{len(self.names)} group cannot be compared with another: label two or more")
        if self.mated.shape != (len(self.names),):
            raise ScoresInvalid(f"{self.mated.shape} counts for {len(self.names)} groups")

    @property
    def errors(self) -> tuple[GroupErrors, ...]:
        """Each group's own comparisons."""
        return tuple(
            GroupErrors(
                name=name,
                mated=int(self.mated[g]),
                false_nonmatches=int(self.false_nonmatches[g]),
                nonmated=int(self.nonmated[g, g]),
                false_matches=int(self.false_matches[g, g]),
            )
            for g, name in enumerate(self.names)
        )


def count_groups(
    similarity: np.ndarray,
    mated: np.ndarray,
    group_a: np.ndarray,
    group_b: np.ndarray,
    names: Sequence[str],
    threshold: float,
    policy: FailurePolicy = "reject",
) -> GroupCounts:
    """Comparisons and errors by group at a threshold; arguments and errors as for `groups`."""
    sides = sides_of(group_a, group_b, len(similarity), len(names))
    values = np.asarray(similarity)
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    counted = np.ones(len(values), bool) if policy == "reject" else ~np.isnan(values)
    # NaN is never accepted.
    accepted = values >= least_accepted(threshold, values.dtype)
    own, g = sides[:, 0] == sides[:, 1], len(names)
    within = mated & counted & own
    other = ~mated & counted
    return GroupCounts(
        names=tuple(names),
        threshold=threshold,
        mated=np.bincount(sides[within, 0], minlength=g),
        false_nonmatches=np.bincount(sides[within & ~accepted, 0], minlength=g),
        nonmated=_table(sides[other], g),
        false_matches=_table(sides[other & accepted], g),
        mated_across=int((mated & counted & ~own).sum()),
    )


def sides_of(group_a: np.ndarray, group_b: np.ndarray, count: int, groups: int) -> np.ndarray:
    """(n, 2) group numbers."""
    sides = np.stack([labels(group_a, count, "groups"), labels(group_b, count, "groups")], axis=1)
    if count and not (sides.min() >= 0 and sides.max() < groups):
        raise ScoresInvalid(f"a group number is not one of the {groups} names, numbered from 0")
    return sides


def _table(sides: np.ndarray, groups: int) -> np.ndarray:
    """(g, g) symmetric counts of pairs of groups."""
    low, high = sides.min(axis=1), sides.max(axis=1)
    upper = np.bincount(low * groups + high, minlength=groups * groups).reshape(groups, groups)
    return np.maximum(upper, upper.T)


def count_cells(
    pairs: AllPairs, numbers: Sequence[int], names: tuple[str, ...], threshold: float
) -> GroupCounts:
    """Counts from the comparison of all pairs.

    Args:
        pairs: with `group_cells`.
        numbers: of the groups there, in the order of `names`.
        names: of the groups.
        threshold: for everybody.

    Raises:
        EvidenceInsufficient: the threshold lies below what was kept.
    """
    g = len(names)
    mated, rejected = np.zeros(g, np.int64), np.zeros(g, np.int64)
    nonmated, accepted = np.zeros((g, g), np.int64), np.zeros((g, g), np.int64)
    across = 0
    least = float(least_accepted(threshold, pairs.scores.nonmated.dtype))
    for cell in pairs.group_cells:
        a, b = numbers.index(cell.a), numbers.index(cell.b)
        nonmated[a, b] = nonmated[b, a] = cell.nonmated_total
        accepted[a, b] = accepted[b, a] = cell.false_matches(least)
        if a == b:
            mated[a], rejected[a] = len(cell.mated), cell.false_nonmatches(least)
        else:
            across += len(cell.mated)
    return GroupCounts(names, threshold, mated, rejected, nonmated, accepted, across)
