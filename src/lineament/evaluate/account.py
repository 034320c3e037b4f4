"""What is kept of a comparison of all pairs while its tiles go by."""

import math
from dataclasses import dataclass

import cv2
import numpy as np

from lineament.core.errors import ScoresInvalid
from lineament.evaluate.largest import Largest
from lineament.evaluate.tiles import Plan, Tile

LIMIT = 1 + 2.0**-7
"""Similarities lie within ±LIMIT: vectors are of unit length up to rounding, their products as well."""

BINS = 66_048
"""Of width 2⁻¹⁵ from −LIMIT to LIMIT: every edge is a float32, so that no similarity is counted on the wrong
side of one, unless it is within 1e-15 of 0."""

COARSE = 16
"""Bins of the whole histogram that make one of a pair of groups."""

HOLE = np.float32(-2)
"""In place of a similarity that does not count."""

LOWEST = np.float32(-1.5)
"""Between holes and similarities."""

SLAB = 1 << 19
"""Similarities of a tile that are searched at a time for large ones: memory for their pairs stays small."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What is in one tile.

    Attributes:
        number: of the tile.
        mated, mated_keys: float32 and int64 (m,), its mated similarities and their pairs.
        counts: int64 (BINS,) of its non-mated similarities.
        sums: sum and sum of squares of its non-mated similarities.
        values, keys: float32 and int64 (k,), those that may be among the largest, and their pairs.
    """

    number: int
    mated: np.ndarray
    mated_keys: np.ndarray
    counts: np.ndarray
    sums: tuple[float, float]
    values: np.ndarray
    keys: np.ndarray


class Account:
    """Sums over the tiles so far; the same tiles in the same order give the same bits.

    Attributes:
        done: tiles that are in it.
        whole: False while a tile is being added.
        largest: largest non-mated similarities; a pair's key is lower row · n + higher row.
        mated, mated_keys: float32 and int64 (m,) of all mated pairs; the first `mated_filled` are there.
        histogram: int64 (BINS,) of non-mated similarities.
        by_cell: int64 (cells, BINS / COARSE) likewise.
        moments: float64 (2,) sum and sum of squares of non-mated similarities.
    """

    def __init__(self, plan: Plan, count: int) -> None:
        """For all tiles of a plan, keeping the `count` largest non-mated similarities."""
        self._plan = plan
        self.done = 0
        self.whole = True
        self.largest = Largest(count, plan.nonmated_total)
        self.mated = np.empty(plan.mated_total, np.float32)
        self.mated_keys = np.empty(plan.mated_total, np.int64)
        self.mated_filled = 0
        self.histogram = np.zeros(BINS, np.int64)
        self.by_cell = np.zeros((len(plan.cells), BINS // COARSE), np.int64)
        self.moments = np.zeros(2)

    def look(self, number: int, block: np.ndarray) -> Found:
        """What is in tile `number`; changes nothing here, so that several threads may look at a time.

        Args:
            number: of the tile.
            block: its similarities, float32, C-contiguous; overwritten.

        Raises:
            ScoresInvalid: a similarity is not a number from −1 to 1.
        """
        mated, mated_keys, expected = self._take_mated(number, block)
        counts, sums = _count(block, expected)
        values, keys = self._candidates(self._plan.tiles[number], block)
        return Found(number, mated, mated_keys, counts, sums, values, keys)

    def add(self, found: Found) -> None:
        """Take in what was found in the next tile."""
        self.whole = False
        place = slice(self.mated_filled, self.mated_filled + len(found.mated))
        self.mated[place], self.mated_keys[place] = found.mated, found.mated_keys
        self.mated_filled = place.stop
        self.histogram += found.counts
        self.by_cell[self._plan.tiles[found.number].cell] += coarse(found.counts)
        self.moments += found.sums
        self.largest.offer(found.values, found.keys)
        self.done = found.number + 1
        self.whole = True

    def _take_mated(self, number: int, block: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
        """Mated similarities and their pairs, leaving holes; and how many non-mated ones remain."""
        tile = self._plan.tiles[number]
        if tile.diagonal:
            block[np.tri(len(block), dtype=np.bool_)] = HOLE
        left_out = self._plan.exclusions(number)
        block[left_out] = HOLE
        rows, columns = self._plan.mated(number)
        values = block[rows, columns]
        block[rows, columns] = HOLE
        good = values != HOLE
        keys = self._keys(tile, rows[good], columns[good])
        return values[good], keys, tile.pairs - len(left_out[0]) - len(keys)

    def _candidates(self, tile: Tile, block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Non-mated similarities that may be among the largest, and their pairs."""
        values, keys = [np.empty(0, np.float32)], [np.empty(0, np.int64)]
        step = max(1, SLAB // block.shape[1])
        for start in range(0, len(block), step):
            slab = block[start : start + step]
            # The floor may rise meanwhile: then a few too many are found, and dropped later.
            floor = max(self.largest.floor, LOWEST)
            if slab.max() < floor:
                continue
            hits = np.flatnonzero(slab.reshape(-1) >= floor)
            rows, columns = np.divmod(hits, block.shape[1])
            values.append(slab[rows, columns])
            keys.append(self._keys(tile, start + rows, columns))
        return np.concatenate(values), np.concatenate(keys)

    def _keys(self, tile: Tile, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        order = self._plan.order
        a, b = order[tile.top + rows], order[tile.left + columns]
        return np.minimum(a, b) * len(order) + np.maximum(a, b)

    def state(self) -> dict[str, np.ndarray]:
        """Everything that `restore` needs."""
        values, keys = self.largest.kept()
        return {
            "done": np.array(self.done),
            "values": values,
            "keys": keys,
            "mated": self.mated[: self.mated_filled],
            "mated_keys": self.mated_keys[: self.mated_filled],
            "histogram": self.histogram,
            "by_cell": self.by_cell,
            "moments": self.moments,
        }

    def restore(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` gave for the same plan."""
        self.done = int(state["done"])
        self.largest.offer(state["values"], state["keys"])
        self.mated_filled = len(state["mated"])
        self.mated[: self.mated_filled] = state["mated"]
        self.mated_keys[: self.mated_filled] = state["mated_keys"]
        self.histogram[:] = state["histogram"]
        self.by_cell[:] = state["by_cell"]
        self.moments[:] = state["moments"]


def _count(block: np.ndarray, expected: int) -> tuple[np.ndarray, tuple[float, float]]:
    """Counts by bin, and sum and sum of squares, of a tile that has `expected` similarities beside holes."""
    counts, total = bin_counts(block), cv2.sumElems(block)[0]
    # NaN is counted in the first bin.
    if counts.sum() != expected or not math.isfinite(total):
        raise ScoresInvalid(
            f"of {expected} similarities some are not numbers from −1 to 1: something changed the templates "
            "while they were compared; compare again"
        )
    hole, holes = float(HOLE), block.size - expected
    return counts, (total - holes * hole, cv2.norm(block, cv2.NORM_L2SQR) - holes * hole**2)


def bin_counts(values: np.ndarray) -> np.ndarray:
    """int64 (BINS,) counts of float32 similarities of any shape.

    What is outside ±LIMIT is not counted; NaN is, in the first bin.
    """
    counts = np.zeros(BINS, np.int64)
    line = values.reshape(1, -1)
    # OpenCV gives counts as float32, which is exact up to 2²⁴.
    for start in range(0, line.size, 1 << 24):
        part = line[:, start : start + (1 << 24)]
        counts += cv2.calcHist([part], [0], None, [BINS], [-LIMIT, LIMIT]).reshape(-1).astype(np.int64)
    return counts


def coarse(counts: np.ndarray) -> np.ndarray:
    """Bins added up `COARSE` at a time."""
    return counts.reshape(-1, COARSE).sum(axis=1)
