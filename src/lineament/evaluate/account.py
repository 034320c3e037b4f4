"""What is kept of a comparison of all pairs while its tiles go by."""

import cv2
import numpy as np

from lineament.core.errors import ScoresInvalid
from lineament.evaluate.largest import Largest
from lineament.evaluate.tiles import Plan, Tile

LIMIT = 1 + 2.0**-7
"""Similarities lie within ±LIMIT: vectors are of unit length up to rounding, their products as well."""

BINS = 66_048
"""Of width 2⁻¹⁵ from −LIMIT to LIMIT: every edge is a float32, so that no similarity is counted on the wrong
side of one."""

COARSE = 16
"""Bins of the whole histogram that make one of a pair of groups."""

HOLE = np.float32(-2)
"""In place of a similarity that does not count."""

LOWEST = np.float32(-1.5)
"""Between holes and similarities."""

CHUNK = 1 << 18
"""Similarities that are looked at together when many are above the floor."""


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

    def add(self, number: int, block: np.ndarray) -> None:
        """Take in the similarities of tile `number`, float32, C-contiguous; they are overwritten.

        Raises:
            ScoresInvalid: a similarity is not a number from −1 to 1.
        """
        self.whole = False
        tile = self._plan.tiles[number]
        expected = self._take_mated(number, block)
        self._count(tile, block, expected)
        self._offer(tile, block)
        self.done = number + 1
        self.whole = True

    def _take_mated(self, number: int, block: np.ndarray) -> int:
        """Gather mated similarities and leave holes for them; how many non-mated ones remain."""
        tile = self._plan.tiles[number]
        if tile.diagonal:
            block[np.tri(len(block), dtype=np.bool_)] = HOLE
        left_out = self._plan.exclusions(number)
        block[left_out] = HOLE
        rows, columns = self._plan.mated(number)
        values = block[rows, columns]
        block[rows, columns] = HOLE
        good = values != HOLE
        values, keys = values[good], self._keys(tile, rows[good], columns[good])
        place = slice(self.mated_filled, self.mated_filled + len(values))
        self.mated[place], self.mated_keys[place] = values, keys
        self.mated_filled += len(values)
        return tile.pairs - len(left_out[0]) - len(values)

    def _count(self, tile: Tile, block: np.ndarray, expected: int) -> None:
        """Histogram and moments."""
        counts = bin_counts(block)
        if counts.sum() != expected:
            raise ScoresInvalid(
                f"{expected - int(counts.sum())} of {expected} similarities are not numbers from −1 to 1: "
                "something changed the templates while they were compared; compare again"
            )
        holes = block.size - expected
        self.histogram += counts
        self.by_cell[tile.cell] += coarse(counts)
        self.moments[0] += cv2.sumElems(block)[0] - holes * float(HOLE)
        self.moments[1] += cv2.norm(block, cv2.NORM_L2SQR) - holes * float(HOLE) ** 2

    def _offer(self, tile: Tile, block: np.ndarray) -> None:
        """Pass on what may be among the largest."""
        floor = max(self.largest.floor, LOWEST)
        if block.max() < floor:
            return
        flat = block.reshape(-1)
        hits = np.flatnonzero(flat >= floor)
        for start in range(0, len(hits), CHUNK):
            some = hits[start : start + CHUNK]
            # The floor has risen with the chunks before.
            some = some[flat[some] >= self.largest.floor]
            rows, columns = np.divmod(some, block.shape[1])
            self.largest.offer(flat[some], self._keys(tile, rows, columns))

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


def bin_counts(values: np.ndarray) -> np.ndarray:
    """int64 (BINS,) counts of float32 similarities of any shape; what is outside ±LIMIT is not counted."""
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
