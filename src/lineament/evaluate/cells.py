"""The comparisons of each group with each group, for false match rates by group."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int

from lineament.core.errors import EvidenceInsufficient
from lineament.evaluate.account import LIMIT, Account, bin_counts, coarse
from lineament.evaluate.tiles import Plan
from lineament.metrics.scores import Histogram, Scores


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """The comparisons of one group with one group (itself, or another).

    Attributes:
        a, b: the groups, a ≤ b.
        mated: (m,) similarities of its mated pairs.
        nonmated: (t,) its non-mated similarities among those kept of all groups, descending.
        mated_rows, nonmated_rows: where they stand in `AllPairs.scores`, (m,) and (t,).
        nonmated_total: how many non-mated pairs it has.
        floor: above it every non-mated similarity was kept; −infinity when all were.
        histogram: of its comparisons.
    """

    a: int
    b: int
    mated: Float32[np.ndarray, "m"]
    nonmated: Float32[np.ndarray, "t"]
    mated_rows: Int[np.ndarray, "m"]
    nonmated_rows: Int[np.ndarray, "t"]
    nonmated_total: int
    floor: float
    histogram: Histogram

    def false_matches(self, threshold: float) -> int:
        """Non-mated pairs at or above a threshold, which lies above what was dropped.

        Raises:
            EvidenceInsufficient: it does not.
        """
        if threshold <= self.floor and len(self.nonmated) < self.nonmated_total:
            raise EvidenceInsufficient(
                f"non-mated similarities up to {self.floor:.6g} were not all kept, and {threshold:.6g} is "
                "not above: repeat the comparison keeping a larger false match rate"
            )
        return int((self.nonmated >= threshold).sum())

    def false_nonmatches(self, threshold: float) -> int:
        """Mated pairs below a threshold."""
        return int((self.mated < threshold).sum())


def cells_of(
    tiles: Plan,
    account: Account,
    group: np.ndarray,
    scores: Scores,
    pairs: tuple[np.ndarray, np.ndarray],
) -> tuple[Cell, ...]:
    """The account of every pair of groups.

    Args:
        tiles, account: of a complete comparison.
        group: (n,) of each sample as given.
        scores: of all groups together.
        pairs: rows of the mated (m, 2) and of the kept non-mated pairs (t, 2) in `scores`.
    """
    names, member = np.unique(group, return_inverse=True)
    position = {int(name): i for i, name in enumerate(names)}
    table = np.full((len(names), len(names)), -1, np.int64)
    for number, (a, b) in enumerate(tiles.cells):
        table[position[a], position[b]] = table[position[b], position[a]] = number

    def split(rows: np.ndarray) -> list[np.ndarray]:
        cell = table[member[rows[:, 0]], member[rows[:, 1]]]
        by_cell = np.argsort(cell, kind="stable")
        return np.split(by_cell, np.searchsorted(cell[by_cell], np.arange(1, len(tiles.cells))))

    floor = float(scores.nonmated[-1]) if not scores.complete else -np.inf
    return tuple(
        Cell(
            a=a,
            b=b,
            mated=scores.mated[mated],
            nonmated=scores.nonmated[nonmated],
            mated_rows=mated,
            nonmated_rows=nonmated,
            nonmated_total=int(tiles.totals[number, 1]),
            floor=floor,
            histogram=Histogram(
                -LIMIT, LIMIT, coarse(bin_counts(scores.mated[mated])), account.by_cell[number]
            ),
        )
        for number, ((a, b), mated, nonmated) in enumerate(
            zip(tiles.cells, split(pairs[0]), split(pairs[1]), strict=True)
        )
    )
