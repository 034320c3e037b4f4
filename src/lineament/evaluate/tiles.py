"""How the comparison of all pairs of samples is cut into rectangles.

Samples are sorted once, by group and then by subject. Every rectangle ("tile") then lies in one pair of
groups, and the mated pairs of a row of a tile are one run of columns, found by bisection.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lineament.core.errors import InvalidArgument, ScoresInvalid

Rule = Literal["all", "same_group"]
"""Which pairs are compared: all, or those within a group."""

MAX_CELLS = 5050
"""Pairs of groups that are accounted for one by one: those of 100 groups."""


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of pairs of sorted samples.

    Attributes:
        top, bottom: first row, and the one after the last.
        left, right: columns likewise; `left >= top`.
        cell: number of the pair of groups that it lies in.
    """

    top: int
    bottom: int
    left: int
    right: int
    cell: int

    @property
    def diagonal(self) -> bool:
        """Whether samples meet themselves in it: then only the pairs above the diagonal count."""
        return self.left == self.top

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.bottom - self.top, self.right - self.left

    @property
    def pairs(self) -> int:
        """Pairs that count."""
        rows, columns = self.shape
        return rows * (rows - 1) // 2 if self.diagonal else rows * columns


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """All tiles, and what is in them.

    Attributes:
        order: (n,) int64, row of each sorted sample among the samples as given.
        subject: (n,) int32 subject of each sorted sample, numbered from 0 without gaps.
        samples: (s,) int64 samples of each subject.
        cells: pairs of groups (lower, higher) in the caller's numbers; ((0, 0),) without groups.
        tiles: in the order of work: along a row of tiles, then the next row.
        excluded: (x, 2) int64 positions (lower, higher) among sorted samples of the pairs left out, by tile.
        excluded_start: (tiles + 1,) int64, where the pairs of each tile begin in `excluded`.
        totals: (cells, 2) int64 mated and non-mated pairs that count, exclusions taken off.
        everything: whether pairs of all groups are compared, and not only those within one.
    """

    order: np.ndarray
    subject: np.ndarray
    samples: np.ndarray
    cells: tuple[tuple[int, int], ...]
    tiles: tuple[Tile, ...]
    excluded: np.ndarray
    excluded_start: np.ndarray
    totals: np.ndarray
    everything: bool

    @property
    def mated_total(self) -> int:
        """Mated pairs of all cells."""
        return int(self.totals[:, 0].sum())

    @property
    def nonmated_total(self) -> int:
        """Non-mated pairs of all cells."""
        return int(self.totals[:, 1].sum())

    def exclusions(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns, counted within tile `number`, of the pairs left out."""
        tile = self.tiles[number]
        pairs = self.excluded[self.excluded_start[number] : self.excluded_start[number + 1]]
        return pairs[:, 0] - tile.top, pairs[:, 1] - tile.left

    def mated(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns, counted within tile `number`, of all mated pairs, those left out included."""
        tile = self.tiles[number]
        first, count = mated_runs(self.subject, tile)
        rows = np.repeat(np.arange(len(count)), count)
        before = np.cumsum(count) - count
        columns = np.arange(len(rows)) - np.repeat(before - first, count)
        return rows, columns


def plan(
    count: int,
    subject: np.ndarray,
    group: np.ndarray | None,
    rule: Rule,
    exclude: np.ndarray | None,
    block: int,
) -> Plan:
    """Sort samples and cut all their pairs into tiles of at most `block` × `block`.

    Args:
        count: samples, n.
        subject: (n,) int, any numbers.
        group: (n,) int, any numbers, or None.
        rule: which pairs are compared.
        exclude: (k, 2) int row numbers of pairs to leave out, in any order, repeated or not.
        block: edge of a tile.

    Raises:
        ScoresInvalid: labels are not whole numbers or of lengths that differ.
        InvalidArgument: pairs to leave out are not pairs of two different rows, or there are too many groups.
    """
    subject = _labels(subject, count, "subject")
    group = np.zeros(count, np.int64) if group is None else _labels(group, count, "group")
    _, compact = np.unique(subject, return_inverse=True)
    names, member = np.unique(group, return_inverse=True)
    order = np.lexsort((compact, member))
    compact = compact.astype(np.int32)
    ends = np.searchsorted(member[order], np.arange(len(names) + 1))
    cells, tiles = _cut(ends, rule, block)
    sorted_subject = compact[order]
    left_out, start = _place(_pairs(exclude, order), tiles, member[order] if rule == "same_group" else None)
    return Plan(
        order=order,
        subject=sorted_subject,
        samples=np.bincount(compact).astype(np.int64),
        cells=tuple((int(names[a]), int(names[b])) for a, b in cells),
        tiles=tiles,
        excluded=left_out,
        excluded_start=start,
        totals=_totals(sorted_subject, tiles, len(cells), left_out, start),
        everything=rule == "all" or len(names) == 1,
    )


def mated_runs(subject: np.ndarray, tile: Tile) -> tuple[np.ndarray, np.ndarray]:
    """First column and number of columns of the mated pairs of each row of a tile.

    Args:
        subject: (n,) subjects of sorted samples; ascending within a tile's rows, and within its columns.
        tile: where; on the diagonal only columns right of it count.

    Returns:
        Two int64 (rows,) arrays, columns counted within the tile.
    """
    rows, columns = subject[tile.top : tile.bottom], subject[tile.left : tile.right]
    if rows[-1] < columns[0]:
        none = np.zeros(len(rows), np.int64)
        return none, none
    last = np.searchsorted(columns, rows, side="right")
    if tile.diagonal:
        first = np.arange(1, len(rows) + 1)
    else:
        first = np.searchsorted(columns, rows, side="left")
    return first, last - first


def _labels(values: np.ndarray, count: int, what: str) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (count,) or values.dtype.kind not in "iu":
        raise ScoresInvalid(
            f"{what} is {values.dtype} of shape {values.shape}: give a whole number for each of the {count} "
            "samples"
        )
    return values


def _cut(ends: np.ndarray, rule: Rule, block: int) -> tuple[list[tuple[int, int]], tuple[Tile, ...]]:
    """Cells, as pairs of group positions, and tiles."""
    groups = len(ends) - 1
    cells = [(g, h) for g in range(groups) for h in range(g, groups if rule == "all" else g + 1)]
    if len(cells) > MAX_CELLS:
        raise InvalidArgument(
            f"{groups} groups make {len(cells)} pairs of groups, and at most {MAX_CELLS} are accounted for: "
            "merge groups, or compare within groups only"
        )
    number = {cell: i for i, cell in enumerate(cells)}
    bands = [
        (g, start, min(start + block, int(ends[g + 1])))
        for g in range(groups)
        for start in range(int(ends[g]), int(ends[g + 1]), block)
    ]
    return cells, tuple(_tiles(bands, number))


def _tiles(bands: list[tuple[int, int, int]], number: dict[tuple[int, int], int]) -> Iterator[Tile]:
    """Tiles of pairs of bands (group, start, end) whose groups make a cell; no lone sample with itself."""
    for i, (g, top, bottom) in enumerate(bands):
        for h, left, right in bands[i:]:
            if (g, h) in number and (left > top or bottom - top > 1):
                yield Tile(top, bottom, left, right, number[g, h])


def _pairs(exclude: np.ndarray | None, order: np.ndarray) -> np.ndarray:
    """Positions among sorted samples, (x, 2), lower first, without repetitions."""
    if exclude is None or not len(exclude):
        return np.empty((0, 2), np.int64)
    pairs = np.asarray(exclude)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype.kind not in "iu":
        raise InvalidArgument(
            f"pairs to leave out are {pairs.dtype} of shape {pairs.shape}: give row numbers (k, 2)"
        )
    low, high = int(pairs.min()), int(pairs.max())
    if low < 0 or high >= len(order) or (pairs[:, 0] == pairs[:, 1]).any():
        raise InvalidArgument(
            f"pairs to leave out must be of two different rows from 0 to {len(order) - 1}; these go from "
            f"{low} to {high} and {int((pairs[:, 0] == pairs[:, 1]).sum())} are of one row: check the numbers"
        )
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return np.unique(np.sort(place[pairs], axis=1), axis=0)


def _place(
    pairs: np.ndarray, tiles: tuple[Tile, ...], member: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs sorted by tile, and where each tile's begin; `member` drops those between two groups."""
    if member is not None:
        pairs = pairs[member[pairs[:, 0]] == member[pairs[:, 1]]]
    if not len(pairs):
        return pairs, np.zeros(len(tiles) + 1, np.int64)
    # Tiles come row by row with ascending columns, so that they too are found by bisection.
    corner = np.array([(t.top, t.left) for t in tiles], np.int64)
    tops = np.unique(corner[:, 0])
    top = tops[np.searchsorted(tops, pairs[:, 0], side="right") - 1]
    span = int(pairs.max()) + 1 + int(corner.max())
    tile = np.searchsorted(corner[:, 0] * span + corner[:, 1], top * span + pairs[:, 1], side="right") - 1
    by_tile = np.argsort(tile, kind="stable")
    return pairs[by_tile], np.searchsorted(tile[by_tile], np.arange(len(tiles) + 1)).astype(np.int64)


def _totals(
    subject: np.ndarray, tiles: tuple[Tile, ...], cells: int, left_out: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """(cells, 2) mated and non-mated pairs that count."""
    totals = np.zeros((cells, 2), np.int64)
    for number, tile in enumerate(tiles):
        mated = int(mated_runs(subject, tile)[1].sum())
        pairs = left_out[start[number] : start[number + 1]]
        lost = int((subject[pairs[:, 0]] == subject[pairs[:, 1]]).sum())
        totals[tile.cell] += (mated - lost, tile.pairs - mated - (len(pairs) - lost))
    return totals
